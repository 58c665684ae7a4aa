"""Record: have one backend compute every case, in one process, and keep what it says.

What is done for each kind of case stands here once, as a *probe*. A probe asks a *subject*: a backend with core's optimizers
and pictures, or the oracle with its own. The oracle also leaves notes on each point (``POINT~NOTE``): what :mod:`.tolerances`
needs to know of the problem, such as how many numbers were added up.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from isostyle import losses, registry
from isostyle._version import __version__
from isostyle.conformance import condition, native, trace, zoo
from isostyle.conformance.cases import (
    BATCH,
    DIVISORS,
    FEW_COLORS,
    FULL_WIDTH,
    GRADIENT_SCALES,
    LBFGS_EVALUATIONS,
    RESIZES,
    TRAINING_OPTIMIZER,
    TRAINING_STEPS,
    Case,
    Inputs,
    coarser,
    short,
    specification_digest,
)
from isostyle.conformance.compare import ORACLE
from isostyle.conformance.oracle import engine as oracle
from isostyle.conformance.oracle import transform as oracle_transform
from isostyle.conformance.tolerances import DECIDED, EPS
from isostyle.errors import InputError, IsostyleError, shown
from isostyle.images import arrays
from isostyle.interface import Array, Backend, Engine, Evaluation, Objective, Targets, Tensor, Transform
from isostyle.optim import Adam, optimizer
from isostyle.published import D2L
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Recipe, StepDecay
from isostyle.style_networks.tiles import TiledTransform
from isostyle.style_networks.trainer import Trainer, TrainingRecipe
from isostyle.system.files import reason
from isostyle.tiles import WHOLE, TiledEngine
from isostyle.transfer import descent

#: Whose versions a trace notes, if they are installed.
DISTRIBUTIONS = ("numpy", "pillow", "safetensors", "torch", "torchvision", "mxnet", "paddlepaddle")

#: The style of trainings.
STYLE_IMAGE = "odd/style"

Points = dict[str, Array]


class NoStyleNetworks(Exception):
    """The backend has no ``transform``, and need not."""


class Subject:
    """A backend, with core's optimizers and pictures: what `isostyle run` uses."""

    def __init__(self, backend: Backend, device: str, inputs: Inputs) -> None:
        self.backend = backend
        self.device = device
        self.inputs = inputs
        self.engines: dict[tuple[str, str], Engine] = {}

    def engine(self, network: str, dtype: str) -> Engine:
        key = network, dtype
        if key not in self.engines:
            chosen = self.inputs.network(network)
            dtype_of_floats: Any = dtype
            self.engines[key] = self.backend.prepare(
                chosen.network, chosen.parameters, device=self.device, dtype=dtype_of_floats
            )
        return self.engines[key]

    def tiled(self, engine: Engine, case: Case) -> Engine:
        """``engine``, which computes in tiles if the case says so."""
        if case.tile is None:
            return engine
        return TiledEngine(engine, self.inputs.network(case.network or "").network, case.tile)

    def scene(self, case: Case) -> tuple[Array, Array, Array]:
        """content, style and image, in the space of the case's recipe."""
        return self.inputs.scene(case.scene or "", case.recipe.space if case.recipe else "normalized")

    def descend(self, engine: Engine, recipe: Recipe, content: Array, style: Array, start: Array) -> Points:
        """A run of ``recipe``, looked at when it is over: every event's step, learning rate, total, losses and image. Levels
        of a pyramid are given :func:`coarser` arrays."""
        levels = [(one, coarser(content, share), coarser(style, share)) for share, one in recipe.levels]
        given = [(one, (x.shape[2], x.shape[3]), partial(both, x, y)) for one, x, y in levels]
        events = list(descent.climb(engine, given, [coarser(start, recipe.levels[0][0])]))
        trials = {"trials": np.array([int(event.trial) for event in events])} if recipe.searches else {}
        return trials | {
            "steps": np.array([event.step for event in events]),
            "rates": np.array([event.learning_rate for event in events]),
            "totals": np.array([event.terms["total"] for event in events]),
            "losses": np.array([[event.losses[name] for name in ("content", "style", "tv")] for event in events]),
            **by_size([event.image() for event in events]),
        }

    def adam(self, engine: Engine, recipe: Recipe, gradients: Array) -> Array:
        method = Adam(adam_of(recipe), recipe.schedule)
        state = method.start(engine.tensor(gradients[0] * 0))
        for gradient in gradients:
            given = Evaluation({}, engine.tensor(gradient))
            state = method.step(state, partial(at, given)).state
        return engine.array(state["image"])

    def rates(self, recipe: Recipe, updates: Sequence[int]) -> list[float]:
        method = optimizer(recipe)
        return [method.learning_rate({"step": update - 1}) for update in updates]

    def native_adam(self, engine: Engine, recipe: Recipe, gradients: Array) -> Array:
        return native.adam(self.backend.name, engine, adam_of(recipe), list(gradients))

    def native_lbfgs(self, engine: Engine, objective: Objective, start: Array, evaluations: int) -> tuple[Array, list[float]]:
        return native.lbfgs(self.backend.name, engine, LbfgsSettings(), objective, start, evaluations)

    def transform(self, case: Case, dtype: Any) -> tuple[Transform, dict[str, Tensor]]:
        """The style network of a case, and its parameters."""
        if not hasattr(self.backend, "transform"):
            raise NoStyleNetworks("the backend has no `transform`, and so no style networks")
        network, parameters = self.inputs.style_network(case.variant)
        made = self.backend.transform(network, device=self.device, dtype=dtype)
        return made, {name: made.tensor(array) for name, array in parameters.items()}

    def transform_in_tiles(self, case: Case, transform: Any, parameters: Any, picture: Array) -> Array:
        """The transformed ``picture``, computed in the case's tiles."""
        return TiledTransform(transform, transform.network, case.tile or WHOLE).apply(parameters, picture)

    def trainer(self, case: Case, dtype: str) -> Trainer:
        transform, _ = self.transform(case, dtype)
        settings, schedule = TRAINING_OPTIMIZER
        recipe = TrainingRecipe(recipe_of(case), self.inputs.style_network(case.variant)[0], settings, schedule, TRAINING_STEPS)
        return Trainer(recipe, transform, engine_of(self, case, dtype), self.inputs.arrays[STYLE_IMAGE])

    def losses_by_parameter(self, case: Case, dtype: str) -> tuple[Mapping[str, float], Points]:
        """The losses of one transformed photograph, and their gradient by parameter."""
        transform, parameters = self.transform(case, dtype)
        terms, gradient = self.trainer(case, dtype).evaluate(parameters, self.inputs.cut(case.variant or "")[0])
        return terms, {name: transform.array(slope) for name, slope in gradient.items()}

    def train(self, case: Case, dtype: str) -> Points:
        """A short training: every step's number, rate, total and losses, and the parameters after it."""
        trainer = self.trainer(case, dtype)
        state = trainer.start(self.inputs.style_network(case.variant)[1])
        events = []
        for _ in range(TRAINING_STEPS):
            state, event = trainer.step(state, self.batch())
            events.append(event)
        after = {name: trainer.transform.array(tensor) for name, tensor in trainer.parameters(state).items()}
        rates = [event.learning_rate for event in events]
        return after | self.course([event.step for event in events], rates, [event.terms for event in events])

    def batch(self) -> list[Array]:
        return [self.inputs.cut(variant)[0] for variant in BATCH]

    def course(self, steps: Sequence[int], rates: Sequence[float], terms: Sequence[Mapping[str, float]]) -> Points:
        return {
            "steps": np.array(steps),
            "rates": np.array(rates),
            "totals": np.array([each["total"] for each in terms]),
            "losses": np.array([[of_kind(each, kind) for kind in ("content", "style", "tv")] for each in terms]),
        }

    def zoo(self, engine: Engine, case: Case) -> Points:
        chosen = self.inputs.network(case.network or "")
        return zoo.examine(self.backend.name, chosen.network, chosen.parameters, engine, self.scene(case)[2])

    def normalize(self, name: str, dtype: Any) -> Array:
        return arrays.to_array(self.inputs.picture(name), dtype)

    def denormalize(self, image: Array) -> Array:
        return np.asarray(arrays.to_picture(image))

    def resize(self, name: str, height: int, width: int) -> Array:
        return np.asarray(arrays.resize(self.inputs.picture(name), height, width))

    def numbers(self, recipe: Recipe) -> dict[str, float | str]:
        from isostyle.conformance.inputs import numbers

        return numbers(recipe)


def adam_of(recipe: Recipe) -> AdamSettings:
    assert isinstance(recipe.optimizer, AdamSettings)
    return recipe.optimizer


def at(given: Evaluation, image: Tensor) -> tuple[Tensor, Evaluation]:
    """What an optimizer is told at ``image``: always ``given``."""
    return image, given


def both(one: Array, other: Array) -> tuple[Array, Array]:
    return one, other


def by_size(found: Sequence[Array]) -> Points:
    """The last image, all of its size, and those of a coarser level, if there are any."""
    last = found[-1]
    coarse = [image for image in found if image.shape != last.shape]
    fine = np.concatenate([image for image in found if image.shape == last.shape])
    return {"image": last, "images": fine, **({"coarse images": np.concatenate(coarse)} if coarse else {})}


def of_kind(terms: Mapping[str, float], kind: str) -> float:
    """The sum of all terms of one kind."""
    return math.fsum(value for name, value in terms.items() if name.partition("/")[0] == kind)


def after(updates: int, images_of_updates: Iterator[Array]) -> Array:
    """The image after so many updates."""
    return next(itertools.islice(images_of_updates, updates - 1, None))


class OracleSubject(Subject):
    """The oracle, with its own optimizers and pictures, and everything whole."""

    def tiled(self, engine: Engine, case: Case) -> Engine:
        return engine

    def transform_in_tiles(self, case: Case, transform: Any, parameters: Any, picture: Array) -> Array:
        made: Array = transform.apply(parameters, picture)
        return made

    def descend(self, engine: Any, recipe: Recipe, content: Array, style: Array, start: Array) -> Points:
        evaluations, found = [], []

        def objective(one: Recipe, share: float) -> Callable[[Any], tuple[float, Any]]:
            targets = engine.targets(one, coarser(content, share), coarser(style, share))

            def evaluate(image: Any) -> tuple[float, Any]:
                found.append(image)
                evaluations.append(engine.evaluate(one, targets, image))
                return evaluations[-1].terms["total"], evaluations[-1].gradient

            return evaluate

        settings = recipe.optimizer
        steps, trials = np.arange(recipe.steps + 1), {}
        evaluate = objective(recipe, 1.0)
        if isinstance(settings, LbfgsSettings) and recipe.searches:
            coarse = [
                oracle.Stage(objective(one, share), one.steps, *coarser(content, share).shape[2:])
                for share, one in recipe.levels[:-1]
            ]
            stages = [*coarse, oracle.Stage(evaluate, recipe.steps, *content.shape[2:])]
            walk = oracle.climb(stages, coarser(start, recipe.levels[0][0]), settings)
            steps, trials = np.array(walk.steps), {"trials": np.array(walk.trials, dtype=int)}
            evaluate(walk.image)
        elif isinstance(settings, LbfgsSettings):
            iterates = oracle.lbfgs(evaluate, start, settings.learning_rate, settings.history, recipe.clamped)
            evaluate(after(recipe.steps, iterates))
        else:
            iterates = oracle.adam(evaluate, start, settings, recipe.schedule, recipe.clamped)
            evaluate(after(recipe.steps, iterates))
        kinds = ("content", "style", "tv")
        return trials | {
            "steps": steps,
            "rates": np.array(self.rates(recipe, range(1, len(steps) + 1))),
            "totals": np.array([evaluation.terms["total"] for evaluation in evaluations]),
            "losses": np.array([[of_kind(evaluation.terms, kind) for kind in kinds] for evaluation in evaluations]),
            **by_size(found),
        }

    def adam(self, engine: Engine, recipe: Recipe, gradients: Array) -> Array:
        given = iter(gradients.astype(np.float64))
        iterates = oracle.adam(lambda image: (0.0, next(given)), gradients[0] * 0, adam_of(recipe), recipe.schedule)
        return after(len(gradients), iterates)

    def rates(self, recipe: Recipe, updates: Sequence[int]) -> list[float]:
        return [oracle.learning_rate(recipe.optimizer, recipe.schedule, update) for update in updates]

    native_adam = adam

    def native_lbfgs(self, engine: Any, objective: Objective, start: Array, evaluations: int) -> tuple[Array, list[float]]:
        totals: list[float] = []

        def evaluate(image: Any) -> tuple[float, Any]:
            evaluation = objective(image)
            totals.append(float(evaluation.terms["total"]))
            return totals[-1], evaluation.gradient

        return after(evaluations, oracle.lbfgs(evaluate, start)), totals

    def losses_by_parameter(self, case: Case, dtype: str) -> tuple[Mapping[str, float], Points]:
        engine: Any = engine_of(self, case, dtype)
        transform, parameters = self.transform(case, dtype)
        recipe, style, picture = recipe_of(case), self.inputs.arrays[STYLE_IMAGE], self.inputs.cut(case.variant or "")[0]
        styles = engine.targets(recipe, style, style).style
        image, pull = transform.recorded(parameters, transform.tensor(picture))
        found = engine.evaluate(recipe, oracle_transform.targets_of(engine, recipe, styles, picture), image)
        return found.terms, pull(found.gradient)

    def train(self, case: Case, dtype: str) -> Points:
        engine: Any = engine_of(self, case, dtype)
        network, parameters = self.inputs.style_network(case.variant)
        style, batches = self.inputs.arrays[STYLE_IMAGE], [self.batch()] * TRAINING_STEPS
        transform = oracle_transform.OracleTransform(network)
        walk = oracle_transform.train(engine, transform, recipe_of(case), TRAINING_OPTIMIZER, parameters, style, batches)
        rates = [oracle.learning_rate(*TRAINING_OPTIMIZER, update) for update in range(1, TRAINING_STEPS + 1)]
        return walk[-1].parameters | self.course(range(TRAINING_STEPS), rates, [step.terms for step in walk[:-1]])

    def zoo(self, engine: Any, case: Case) -> Points:
        maps = engine.features(self.scene(case)[2], zoo.TAPS)
        kinds = [kind for _, kind in oracle.layers(engine.network)]
        return {
            **{f"features/{tap}": x for tap, x in maps.items()},
            "kept/conv1_1": maps["conv1_1"],
            "layers": zoo.expected_lines(engine.network, kinds),
        }

    def normalize(self, name: str, dtype: Any) -> Array:
        return oracle.normalize(np.asarray(self.inputs.picture(name)))

    def denormalize(self, image: Array) -> Array:
        return oracle.denormalize(image.astype(np.float64))

    def resize(self, name: str, height: int, width: int) -> Array:
        return oracle.resize(np.asarray(self.inputs.picture(name)), height, width)

    def numbers(self, recipe: Recipe) -> dict[str, float | str]:
        if recipe.name not in self.inputs.published:
            raise InputError(f"published.json has no recipe {recipe.name!r}; `python -m isostyle.conformance.inputs` writes it")
        return dict(self.inputs.published[recipe.name])


# Probes: what is computed for each kind of case. Returns the points by name.


def probe_tensor(subject: Subject, case: Case, dtype: str) -> Points:
    """Arrays go in and come out: whatever their strides, as copies."""
    engine = subject.engine("narrow", dtype)
    given = subject.inputs.arrays["outside"]
    image = given.astype(dtype)
    turned = np.ascontiguousarray(image[0].transpose(1, 2, 0)).transpose(2, 0, 1)[None]  # (H, W, 3), seen as (1, 3, H, W)
    mirrored = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    found = {name: engine.array(engine.tensor(x)) for name, x in (("plain", image), ("turned", turned), ("mirrored", mirrored))}
    overwritten = image.copy()
    tensor = engine.tensor(overwritten)
    overwritten[:] = 0
    found["after its array was overwritten"] = engine.array(tensor)
    taken = np.asarray(engine.array(tensor))
    if taken.flags.writeable:
        taken[:] = 0
    found["after its copy was overwritten"] = engine.array(tensor)
    other = "float64" if dtype == "float32" else "float32"
    found["given in the other dtype"] = engine.array(engine.tensor(given.astype(other)))
    # Kernels for other layouts give other bits; a tensor's layout must not depend on its array's.
    tap = "conv2_1"
    for name, x in (("turned", turned), ("mirrored", mirrored)):
        strided, plain = (engine.array(engine.features(engine.tensor(y), [tap])[tap]) for y in (x, image))
        found[f"features, {name} less plain"] = strided - plain
    return found


def probe_normalize(subject: Subject, case: Case, dtype: str) -> Points:
    return {name: subject.normalize(name, dtype) for name in ("photo", "painting")}


def probe_denormalize(subject: Subject, case: Case, dtype: str) -> Points:
    arrays = subject.inputs.arrays
    return {name: subject.denormalize(arrays[name].astype(dtype)) for name in ("outside", "picture/image")}


def probe_round_trip(subject: Subject, case: Case, dtype: str) -> Points:
    """A picture that is only loaded and saved is the same picture."""
    return {name: subject.denormalize(subject.normalize(name, "float32")) for name in ("photo", "painting")}


def probe_resize(subject: Subject, case: Case, dtype: str) -> Points:
    return {"photo": subject.resize("photo", *RESIZES[case.variant or ""])}


def probe_features(subject: Subject, case: Case, dtype: str) -> Points:
    """Every layer's map; of wide networks, only those that d2l taps."""
    engine, image = engine_of(subject, case, dtype), subject.scene(case)[2]
    network = subject.inputs.network(case.network or "").network
    # Frameworks refuse to pool a map of one pixel; only oracles divide it into none.
    side = min(image.shape[2:])
    taps = [layer.name for layer in network.layers if side >> layer.halvings]
    if case.network in ("compact", "vgg19"):
        taps = [name for name in taps if name.endswith("_1") or name == "conv4_4"]
    found = engine.features(engine.tensor(image), taps)
    return {tap: engine.array(x) for tap, x in found.items()}


def probe_zoo(subject: Subject, case: Case, dtype: str) -> Points:
    return subject.zoo(engine_of(subject, case, dtype), case)


def probe_gram(subject: Subject, case: Case, dtype: str) -> Points:
    engine = subject.engine("narrow", dtype)
    divisor = next(divisor for divisor in DIVISORS if divisor == case.variant)
    return {
        name: engine.array(engine.gram(engine.tensor(subject.inputs.arrays[name]), divisor)) for name in ("map", "wide map")
    }


def probe_targets(subject: Subject, case: Case, dtype: str) -> Points:
    engine, recipe = engine_of(subject, case, dtype), recipe_of(case)
    content, style, _ = subject.scene(case)
    targets = engine.targets(recipe, content, style)
    return {f"content/{tap}": np.asarray(x) for tap, x in targets.content.items()} | {
        f"style/{tap}": np.asarray(x) for tap, x in targets.style.items()
    }


def probe_terms(subject: Subject, case: Case, dtype: str) -> Points:
    engine, recipe = engine_of(subject, case, dtype), recipe_of(case)
    content, style, image = subject.scene(case)
    found = engine.objective(recipe, engine.targets(recipe, content, style))(engine.tensor(image))
    return {name: np.asarray(float(value), dtype=dtype) for name, value in found.terms.items()}


def probe_gradient(subject: Subject, case: Case, dtype: str) -> Points:
    """The total's gradient, and those of content, style and total variation alone."""
    engine, recipe = engine_of(subject, case, dtype), recipe_of(case)
    content, style, image = subject.scene(case)
    targets = engine.targets(recipe, content, style)
    found = {"total": engine.array(engine.objective(recipe, targets)(engine.tensor(image)).gradient)}
    for term in ("content", "style", "tv"):
        if getattr(recipe, f"{term}_weight") > 0 and term not in recipe.without_gradient:
            found[term] = engine.array(engine.objective(alone(recipe, term), targets)(engine.tensor(image)).gradient)
    return found


def probe_recipe(subject: Subject, case: Case, dtype: str) -> Points:
    return {name: np.array(value) for name, value in subject.numbers(recipe_of(case)).items()}


def probe_schedule(subject: Subject, case: Case, dtype: str) -> Points:
    """The learning rates of the updates on both sides of every boundary, and of the last one."""
    recipe = recipe_of(case)
    # (A run's last event has a rate too: of the update that would follow.)
    every = recipe.schedule.every if isinstance(recipe.schedule, StepDecay) else recipe.steps
    boundaries = range(every, recipe.steps, every)
    updates = [1, *(update for boundary in boundaries for update in (boundary, boundary + 1)), recipe.steps]
    return {"rates": np.array(subject.rates(recipe, updates))}


def probe_adam(subject: Subject, case: Case, dtype: str) -> Points:
    gradients = subject.inputs.arrays["gradients"] * np.float32(GRADIENT_SCALES[case.variant or ""])
    return {"image": subject.adam(subject.engine("narrow", dtype), short(recipe_of(case)), gradients)}


def probe_step(subject: Subject, case: Case, dtype: str) -> Points:
    found = subject.descend(engine_of(subject, case, dtype), short(recipe_of(case), 1), *subject.scene(case))
    return {"image": found["image"]}


def probe_run(subject: Subject, case: Case, dtype: str) -> Points:
    found = subject.descend(engine_of(subject, case, dtype), short(recipe_of(case)), *subject.scene(case))
    if case.network == "compact":
        del found["images"]  # which take room, and are looked at with the small network
    return found


def probe_native_lbfgs(subject: Subject, case: Case, dtype: str) -> Points:
    engine, recipe = engine_of(subject, case, dtype), recipe_of(case)
    content, style, start = subject.scene(case)
    objective = engine.objective(recipe, engine.targets(recipe, content, style))
    image, totals = subject.native_lbfgs(engine, objective, start, LBFGS_EVALUATIONS)
    return {"image": image, "totals": np.array(totals)}


def probe_native_adam(subject: Subject, case: Case, dtype: str) -> Points:
    gradients = subject.inputs.arrays["gradients"] * np.float32(GRADIENT_SCALES[case.variant or ""])
    steady = dataclasses.replace(D2L, schedule=Constant())
    return {"image": subject.native_adam(subject.engine("narrow", dtype), steady, gradients)}


def probe_stages(subject: Subject, case: Case, dtype: str) -> Points:
    """What each stage's convolution alone makes of a map that is padded already."""
    transform, parameters = subject.transform(case, dtype)
    found = {}
    for stage in subject.inputs.style_network(case.variant)[0].stages:
        window = transform.tensor(subject.inputs.arrays["stage"][:, : stage.in_channels])
        found[stage.name] = transform.array(transform.convolve(parameters, stage, window))
    return found


def probe_transform(subject: Subject, case: Case, dtype: str) -> Points:
    """The transformed image, both ways; or in tiles."""
    transform, parameters = subject.transform(case, dtype)
    picture = subject.inputs.cut(case.variant or "")[0]
    if case.tile is not None:
        return {"image": subject.transform_in_tiles(case, transform, parameters, picture)}
    image = transform.tensor(picture)
    found = {"image": transform.apply(parameters, image), "recorded": transform.recorded(parameters, image)[0]}
    return {name: transform.array(tensor) for name, tensor in found.items()}


def probe_pull(subject: Subject, case: Case, dtype: str) -> Points:
    """A slope of the transformed image, taken back to every parameter."""
    transform, parameters = subject.transform(case, dtype)
    image, slope = subject.inputs.cut(case.variant or "")
    _, pull = transform.recorded(parameters, transform.tensor(image))
    found = {name: transform.array(tensor) for name, tensor in pull(transform.tensor(slope)).items()}
    if case.variant in FULL_WIDTH:
        # Its kernels take room; those at both ends show what the slope is on its way.
        found = {name: x for name, x in found.items() if name in ("down1.weight", "out.weight") or x.ndim == 1}
    return found


def probe_training_gradient(subject: Subject, case: Case, dtype: str) -> Points:
    terms, gradient = subject.losses_by_parameter(case, dtype)
    return {name: np.asarray(float(value), dtype=dtype) for name, value in terms.items()} | gradient


def probe_training(subject: Subject, case: Case, dtype: str) -> Points:
    return subject.train(case, dtype)


PROBES: dict[str, Callable[[Subject, Case, str], Points]] = {
    "tensor": probe_tensor,
    "normalize": probe_normalize,
    "denormalize": probe_denormalize,
    "round-trip": probe_round_trip,
    "resize": probe_resize,
    "features": probe_features,
    "zoo": probe_zoo,
    "gram": probe_gram,
    "targets": probe_targets,
    "terms": probe_terms,
    "gradient": probe_gradient,
    "recipe": probe_recipe,
    "schedule": probe_schedule,
    "adam": probe_adam,
    "step": probe_step,
    "run": probe_run,
    "stages": probe_stages,
    "transform": probe_transform,
    "pull": probe_pull,
    "training-gradient": probe_training_gradient,
    "training": probe_training,
    "native-adam": probe_native_adam,
    "native-lbfgs": probe_native_lbfgs,
}


def engine_of(subject: Subject, case: Case, dtype: str) -> Engine:
    assert case.network is not None
    return subject.tiled(subject.engine(case.network, dtype), case)


def recipe_of(case: Case) -> Recipe:
    assert case.recipe is not None
    return case.recipe


# What the oracle notes on a case for the tolerances.


def notes(subject: Subject, case: Case) -> Points:
    """``POINT~NOTE``; a note on all points of a case is ``~NOTE``."""
    found: dict[str, float] = {}
    network = subject.inputs.network(case.network).network if case.network else None
    if case.kind in ("features", "targets", "terms", "zoo") and network:
        passed = 0
        for name, kind in oracle.layers(network):
            passed += kind == "conv"
            for prefix in ("", "content/", "style/", "features/", "kept/"):
                found[f"{prefix}{name}~convolutions"] = passed
    if case.kind == "features":
        found["~exact"] = case.network == "exact"
    if case.kind == "gram":
        for name in ("map", "wide map"):
            found[f"{name}~pixels"] = math.prod(subject.inputs.arrays[name].shape[2:])
    engine: Any = engine_of(subject, case, "float64") if case.recipe and case.network else None
    if case.kind in ("transform", "pull", "training-gradient"):
        found.update(style_network_notes(subject, case, engine))
    if case.kind == "stages":
        found["~convolutions"] = 1
    if case.kind == "training":
        found["~rate"] = TRAINING_OPTIMIZER[0].learning_rate
    if case.kind in ("step", "run", "native-lbfgs", "adam", "native-adam"):
        found["~rate"] = (case.recipe or D2L).optimizer.learning_rate
        found["~lbfgs"] = isinstance((case.recipe or D2L).optimizer, LbfgsSettings) or case.kind == "native-lbfgs"
    if case.kind in ("terms", "gradient"):
        recipe = recipe_of(case)
        content, style, image = subject.scene(case)
        targets = engine.targets(recipe, content, style)
        maps = engine.seen(recipe, image, recipe.content_layers + recipe.style_layers)
        found["~alike"] = case.scene in FEW_COLORS
        cancellation = {}
        for kind, taps in (("content", recipe.content_layers), ("style", recipe.style_layers)):
            for tap, weight in taps:
                name = f"{kind}/{tap}"
                mine = maps[tap] if kind == "content" else engine.gram(maps[tap], recipe.gram_divisor)
                theirs = targets.content[tap] if kind == "content" else targets.style[tap]
                size, apart = rms(mine) + rms(theirs), rms(mine - theirs)
                found[f"{name}~weight"] = weight * weight_of_mean(recipe, kind, maps[tap].shape)
                found[f"{name}~size"] = size
                found[f"{name}~pixels"] = 0 if kind == "content" else math.prod(maps[tap].shape[2:])
                cancellation[name] = size / apart if apart else 0.0
        if case.kind == "gradient":
            found.update(gradient_notes(engine, recipe, targets, image, cancellation))
    return {name: np.asarray(float(value)) for name, value in found.items()}


def style_network_notes(subject: Subject, case: Case, engine: Any) -> dict[str, float]:
    network, parameters = subject.inputs.style_network(case.variant)
    transform = oracle_transform.OracleTransform(network)
    picture, slope = subject.inputs.cut(case.variant or "")
    if case.kind == "transform":
        return condition.conditions(condition.transformed(transform, parameters, picture))
    if case.kind == "pull":
        return condition.conditions(condition.pulled(transform, parameters, picture, slope))
    style = subject.inputs.arrays[STYLE_IMAGE]
    return condition.conditions(condition.trained(engine, transform, parameters, recipe_of(case), style, picture))


def weight_of_mean(recipe: Recipe, kind: str, shape: tuple[int, ...]) -> float:
    """What the mean of squared differences is multiplied by in the total, whatever the recipe's reduction."""
    if kind == "content":
        return recipe.content_weight * losses.content_scale(shape, recipe.content_reduction) * math.prod(shape)
    return recipe.style_weight * losses.style_scale(shape, recipe.style_reduction) * shape[1] ** 2


def gradient_notes(
    engine: oracle.OracleEngine, recipe: Recipe, targets: Targets, image: Array, cancellation: Mapping[str, float]
) -> dict[str, float]:
    """What the tolerances of gradients need. ``margin``: of the closest decision. ``turned``: how far a gradient would be
    off, in relative norm, if every ReLU and pooling that decides by less than rounding in float32 went the other way.
    ``cancellation``: that of each term, weighed by the term's share of the gradient."""
    image = engine.tensor(image)
    maps = engine.maps(oracle.enter(image, recipe), recipe.taps, recipe.pooling)
    distances = list(engine.decisions(maps, recipe.pooling))
    least = min((float(distance.min(initial=math.inf)) for _, distance in distances), default=math.inf)
    close = [(name, int(i)) for name, x in distances for i in np.flatnonzero(x.ravel() < DECIDED * EPS["float32"])]
    found = {"~margin": least, "~close": float(len(close))}

    def gradient(part: Recipe, turned: Mapping[str, Sequence[int]] | None = None) -> Array:
        return engine.backward(part, maps, engine.terms(part, targets, maps, image)[1], turned)

    lost, off = {}, {}
    for kind in ("content", "style", "tv"):
        if getattr(recipe, f"{kind}_weight") == 0 or kind in recipe.without_gradient:
            continue
        whole = alone(recipe, kind)
        slope = gradient(whole)
        taps = {"content": recipe.content_layers, "style": recipe.style_layers}.get(kind, ())
        lost[kind] = 0.0
        for tap, weight in taps:
            if weight > 0:  # of weight 0 it adds nothing, and alone it would be no recipe
                only: dict[str, Any] = {f"{kind}_taps": ((tap, weight),)}
                lost[kind] += norm(gradient(dataclasses.replace(whole, **only))) * cancellation[f"{kind}/{tap}"]
        off[kind] = math.fsum(norm(gradient(whole, {name: [i]}) - slope) for name, i in close if kind != "tv")
        found[f"{kind}~cancellation"] = lost[kind] / (norm(slope) or 1.0)
        found[f"{kind}~turned"] = off[kind] / (norm(slope) or 1.0)
    size = norm(gradient(recipe)) or 1.0
    found["total~cancellation"] = math.fsum(lost.values()) / size
    found["total~turned"] = math.fsum(off.values()) / size
    return found


def alone(recipe: Recipe, term: str) -> Recipe:
    """``recipe`` with one kind of term left, which has a gradient."""
    others: dict[str, Any] = {f"{other}_weight": 0.0 for other in ("content", "style", "tv") if other != term}
    return dataclasses.replace(recipe, **others)


def norm(x: Array) -> float:
    return float(np.linalg.norm(x))


def rms(x: Array) -> float:
    return math.sqrt(float(np.square(x).mean()))


# One recording


def record(
    name: str,
    cases: Sequence[Case],
    inputs: Inputs,
    *,
    threads: int | None = None,
    device: str = "cpu",
    log: Callable[[str], None] | None = None,
) -> trace.Trace:
    """Have the backend ``name`` (or the oracle) compute ``cases``.

    A case that raises an error is recorded with its text, and the others go on.

    Raises:
        InputError: there is no such backend here, or it has no such device.
    """
    count = registry.default_threads() if threads is None else threads
    registry.require_threads(count)
    if name == "auto":
        raise InputError("a trace is of one backend; name it")
    reference = name == ORACLE
    backend: Backend = oracle.Oracle() if reference else registry.load(name, count)
    if device not in backend.devices():
        raise InputError(f"backend {name!r} has no device {shown(device)} here; it has {', '.join(backend.devices())}")
    version_of_backend = trace.printable(backend.version())
    subject = (OracleSubject if reference else Subject)(backend, device, inputs)
    digests = {case.name: inputs.digest(case) for case in cases}
    points: dict[tuple[str, str], Points] = {}
    entries = []
    began = time.monotonic()
    meant = [case for case in cases if reference or not case.only or name in case.only]
    for case in meant:
        # The oracle computes in float64 whatever it is asked for, so once is enough.
        once = "float64" if "float64" in case.dtypes else case.dtypes[0]
        for dtype in (once,) if reference else case.dtypes:
            entry: dict[str, Any] = {"dtype": dtype, "case": case.name, "digest": digests[case.name], "kind": case.kind}
            try:
                found = {point: checked(array) for point, array in PROBES[case.kind](subject, case, dtype).items()}
                points[dtype, case.name] = {**found, **(notes(subject, case) if reference else {})}
            except (zoo.NotInstalled, NoStyleNetworks) as error:
                entry["skip"] = str(error)
            except Exception as error:
                text = str(error) if isinstance(error, IsostyleError) else f"{type(error).__name__}: {reason(error)}"
                entry["error"] = trace.printable(text.strip() or type(error).__name__)[:300]
            entries.append(entry)
    seconds = time.monotonic() - began
    if log:
        log(f"{name} {version_of_backend}: {len(meant)} case{'s' * (len(meant) != 1)} in {seconds:.1f} s")
    return trace.Trace(
        {
            "backend": name,
            "backend_version": version_of_backend,
            "specification": specification_digest(digests),
            "expected": [
                {"case": case.name, "dtype": dtype, "kind": case.kind, "only": case.only}
                for case in cases
                for dtype in case.dtypes
            ],
            "cases": entries,
            "networks": {used: inputs.network(used).digest for used in sorted({c.network for c in cases if c.network})},
            "device": device,
            "threads": count,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "versions": versions(),
        },
        points,
    )


def checked(array: Any) -> Array:
    """``array``, if it is one, of numbers or text; anything else is the backend's error in this case."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in trace.KINDS:
        raise TypeError(f"{getattr(array, 'dtype', type(array).__name__)} is handed out where an array of numbers is expected")
    return array


def versions() -> dict[str, str]:
    """Of everything that can change a number."""
    found = {"isostyle": __version__, "python": platform.python_version(), "platform": platform.platform(), "cpu": cpu()}
    for distribution in DISTRIBUTIONS:
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    return {name: trace.printable(text) for name, text in found.items()}


def cpu() -> str:
    """The processor's name, with its widest vector unit where Linux tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = fields.get("flags", "").split()
    widest = next((unit for unit in ("avx512f", "avx2", "avx") if unit in flags), "")
    return f"{fields.get('model name', platform.machine())} {widest} x {os.cpu_count()}".strip()
