"""Who computes the cases: a backend with core's optimizers and pictures, or the oracle with its own.

The probes of :mod:`.kinds` ask a subject for what the two do in different ways.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from isostyle import transform_network
from isostyle.conformance import native, zoo
from isostyle.conformance.cases import (
    BATCH,
    MIXTURE,
    NOISE_SHAPE,
    OWN_RATE,
    STYLE_IMAGES,
    TRAINING_OPTIMIZER,
    TRAINING_STEPS,
    Case,
    coarser,
)
from isostyle.conformance.inputs import Inputs, numbers
from isostyle.conformance.kinds.kind import ENGINE, STYLE_NETWORKS, NotHere, Points, engine_of, recipe_of
from isostyle.conformance.oracle import noise, optimizers, pictures
from isostyle.conformance.oracle import transform as oracle_transform
from isostyle.conformance.oracle.engine import OracleEngine, layers
from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.interface import Array, Backend, Engine, Evaluation, Objective, Targets, Tensor, Transform
from isostyle.optim import Adam, optimizer
from isostyle.recipe import AdamSettings, LbfgsSettings, Recipe
from isostyle.style_networks.tiles import TiledTransform
from isostyle.style_networks.trainer import Trainer, TrainingRecipe
from isostyle.tiles import WHOLE, TiledEngine
from isostyle.transfer import descent
from isostyle.transfer.styles import Weighted, targets_of

#: The kinds of loss terms, in the order of the point ``losses``.
TERMS = ("content", "style", "tv")


class Subject:
    """A backend, with core's optimizers and pictures: what `isostyle run` uses."""

    def __init__(self, backend: Backend, device: str, inputs: Inputs) -> None:
        self.backend = backend
        self.device = device
        self.inputs = inputs
        self.engines: dict[tuple[str, str], Engine] = {}

    def require(self, part: str) -> None:
        """Raises NotHere if the backend lacks this part."""
        if not hasattr(self.backend, part):
            raise NotHere(f"the backend has no `{part}`, and so no {'engine' if part == ENGINE else 'style networks'}")

    # Engines and what they are given

    def engine(self, network: str, dtype: str) -> Engine:
        """Raises NotHere if the backend has none."""
        self.require(ENGINE)
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

    def targets_of_styles(self, engine: Engine, recipe: Recipe, content: Array, styles: Sequence[Weighted]) -> Targets:
        return targets_of(engine, recipe, content, styles)

    # Runs and optimizers

    def descend(self, engine: Engine, recipe: Recipe, content: Array, style: Array, start: Array) -> Points:
        """A run of ``recipe``: every event's step, learning rate, total, losses and image.

        The levels of a pyramid are given :func:`coarser` arrays.
        """
        levels = [(one, coarser(content, share), coarser(style, share)) for share, one in recipe.levels]
        given = [(one, (x.shape[2], x.shape[3]), partial(both, x, y)) for one, x, y in levels]
        events = list(descent.climb(engine, given, [coarser(start, recipe.levels[0][0])]))
        trials = {"trials": np.array([int(event.trial) for event in events])} if recipe.searches else {}
        return trials | {
            "steps": np.array([event.step for event in events]),
            "rates": np.array([event.learning_rate for event in events]),
            "totals": np.array([event.terms["total"] for event in events]),
            "losses": np.array([[event.losses[name] for name in TERMS] for event in events]),
            **by_size([event.image() for event in events]),
        }

    def adam(self, engine: Engine, recipe: Recipe, gradients: Array) -> Array:
        """The image after an update with each of ``gradients``, from zeros."""
        method = Adam(adam_of(recipe), recipe.schedule)
        state = method.start(engine.tensor(gradients[0] * 0))
        for gradient in gradients:
            given = Evaluation({}, engine.tensor(gradient))
            state = method.step(state, partial(at, given)).state
        return engine.array(state["image"])

    def rates(self, recipe: Recipe, updates: Sequence[int]) -> list[float]:
        """The learning rates of these updates, counted from 1."""
        method = optimizer(recipe)
        return [method.learning_rate({"step": update - 1}) for update in updates]

    def native_adam(self, engine: Engine, recipe: Recipe, gradients: Array) -> Array:
        """As :meth:`adam`, by the framework's own."""
        return native.adam(self.backend.name, engine, adam_of(recipe), list(gradients))

    def native_lbfgs(self, engine: Engine, objective: Objective, start: Array, evaluations: int) -> tuple[Array, list[float]]:
        """The image after so many evaluations by the framework's own L-BFGS, and the totals on the way."""
        return native.lbfgs(self.backend.name, engine, LbfgsSettings(), objective, start, evaluations)

    # Style networks

    def transform(self, case: Case, dtype: Any) -> tuple[Transform, dict[str, Tensor]]:
        """The style network of a case, and its parameters.

        Raises:
            NotHere: the backend has no style networks.
        """
        self.require(STYLE_NETWORKS)
        network, parameters = self.inputs.style_network(case.variant)
        made = self.backend.transform(network, device=self.device, dtype=dtype)
        return made, {name: made.tensor(array) for name, array in parameters.items()}

    def transform_in_tiles(self, case: Case, transform: Any, parameters: Any, picture: Array) -> Array:
        """The transformed ``picture``, computed in the case's tiles."""
        return TiledTransform(transform, transform.network, case.tile or WHOLE).apply(parameters, picture)

    def trainer(self, case: Case, dtype: str) -> Trainer:
        transform, _ = self.transform(case, dtype)
        settings, schedule = TRAINING_OPTIMIZER
        network, _ = self.inputs.style_network(case.variant)
        recipe = TrainingRecipe(recipe_of(case), network, settings, schedule, TRAINING_STEPS, own_rate=OWN_RATE)
        return Trainer(recipe, transform, engine_of(self, case, dtype), self.style_images())

    def style_images(self) -> list[Array]:
        return [self.inputs.arrays[name] for name in STYLE_IMAGES]

    def mixture(self) -> Points:
        """Scales and shifts of two styles that are mixed."""
        found = self.inputs.styles()
        made = transform_network.mixed(found, MIXTURE)
        return {name: made[name] for name in found if transform_network.is_own(name)}

    def losses_by_parameter(self, case: Case, dtype: str) -> tuple[Mapping[str, float], Points]:
        """The losses of one transformed photograph, and their gradient by parameter."""
        trainer, variant = self.trainer(case, dtype), case.variant or ""
        parameters = trainer.parameters(trainer.start(self.inputs.styles()))
        terms, gradient = trainer.evaluate(parameters, self.inputs.cut(variant)[0], BATCH[variant])
        return terms, {name: trainer.transform.array(x) for name, x in gradient.items()}

    def train(self, case: Case, dtype: str) -> Points:
        """A short training: every step's number, rate, total and losses, and the parameters after it."""
        trainer = self.trainer(case, dtype)
        state = trainer.start(self.inputs.styles())
        events = []
        for _ in range(TRAINING_STEPS):
            state, event = trainer.step(state, self.batch(), list(BATCH.values()))
            events.append(event)
        trained = {name: trainer.transform.array(tensor) for name, tensor in trainer.parameters(state).items()}
        rates = [event.learning_rate for event in events]
        return trained | course([event.step for event in events], rates, [event.terms for event in events])

    def batch(self) -> list[Array]:
        return [self.inputs.cut(variant)[0] for variant in BATCH]

    # The framework's own network, pictures, recipes

    def zoo(self, engine: Engine, case: Case) -> Points:
        chosen = self.inputs.network(case.network or "")
        return zoo.examine(self.backend.name, chosen.network, chosen.parameters, engine, self.scene(case)[2])

    def normalize(self, name: str, dtype: Any) -> Array:
        return arrays.to_array(self.inputs.picture(name), dtype)

    def denormalize(self, image: Array) -> Array:
        return np.asarray(arrays.to_picture(image))

    def resize(self, name: str, height: int, width: int) -> Array:
        return np.asarray(arrays.resize(self.inputs.picture(name), height, width))

    def crop(self, name: str, height: int, width: int) -> Array:
        return np.asarray(arrays.crop(self.inputs.picture(name), height, width))

    def noise(self, seed: int, dtype: Any) -> Points:
        kinds = {"normal": arrays.noise, "uniform": arrays.uniform_noise}
        return {kind: make(NOISE_SHAPE, seed, dtype) for kind, make in kinds.items()}

    def numbers(self, recipe: Recipe) -> dict[str, float | str]:
        return numbers(recipe)


class OracleSubject(Subject):
    """The oracle, with its own optimizers and pictures. It computes everything whole."""

    def tiled(self, engine: Engine, case: Case) -> Engine:
        return engine

    def targets_of_styles(self, engine: Any, recipe: Recipe, content: Array, styles: Sequence[Weighted]) -> Targets:
        return Targets(engine.targets(recipe, content, content).content, engine.averaged(recipe, styles))

    def descend(self, engine: Any, recipe: Recipe, content: Array, style: Array, start: Array) -> Points:
        watched = Watched(engine)
        levels = [(one, coarser(content, share), coarser(style, share)) for share, one in recipe.levels]
        evaluates = [watched.objective(*level) for level in levels]
        image = coarser(start, recipe.levels[0][0])
        settings = recipe.optimizer
        trials = {}
        if isinstance(settings, AdamSettings):
            memory = optimizers.Moments()
            for (one, x, _), evaluate in zip(levels, evaluates, strict=True):
                enlarged = image if image.shape == x.shape else pictures.enlarge(image, *x.shape[2:])
                memory = memory.enlarged(*x.shape[2:]) if one.carries_moments else optimizers.Moments()
                iterates = optimizers.adam(evaluate, enlarged, settings, one.schedule, one.clamped, memory=memory)
                begun, last = len(watched.images), after(one.steps, iterates)
                image = optimizers.average([*watched.images[begun:], last], one.average_decay)
            image = last
            steps: Sequence[int] = range(sum(one.steps for one, *_ in levels) + 1)
        elif not recipe.searches:
            iterates = optimizers.lbfgs(evaluates[-1], start, settings.learning_rate, settings.history, recipe.clamped)
            image, steps = after(recipe.steps, iterates), range(recipe.steps + 1)
        else:
            stages = [
                optimizers.Stage(evaluate, one.steps, *x.shape[2:])
                for (one, x, _), evaluate in zip(levels, evaluates, strict=True)
            ]
            walk = optimizers.climb(stages, image, settings)
            image, steps, trials = walk.image, walk.steps, {"trials": np.array(walk.trials, dtype=int)}
        evaluates[-1](image)
        shown = averages(watched.images, recipe.average_decay)
        return trials | course(steps, self.rates_of_levels(recipe, len(steps)), watched.terms) | by_size(shown)

    def rates_of_levels(self, recipe: Recipe, count: int) -> list[float]:
        """The learning rates of ``count`` updates; those of Adam begin anew at each level."""
        if isinstance(recipe.optimizer, LbfgsSettings):
            return self.rates(recipe, range(1, count + 1))
        begun = [update for _, one in recipe.levels for update in range(1, one.steps + 1)]
        return self.rates(recipe, [*begun, recipe.steps + 1])

    def adam(self, engine: Engine, recipe: Recipe, gradients: Array) -> Array:
        given = iter(gradients.astype(np.float64))
        start = gradients[0] * 0
        iterates = optimizers.adam(lambda image: (0.0, next(given)), start, adam_of(recipe), recipe.schedule)
        return after(len(gradients), iterates)

    def rates(self, recipe: Recipe, updates: Sequence[int]) -> list[float]:
        return [optimizers.learning_rate(recipe.optimizer, recipe.schedule, update) for update in updates]

    native_adam = adam

    def native_lbfgs(self, engine: Any, objective: Objective, start: Array, evaluations: int) -> tuple[Array, list[float]]:
        totals: list[float] = []

        def evaluate(image: Any) -> tuple[float, Any]:
            evaluation = objective(image)
            totals.append(float(evaluation.terms["total"]))
            return totals[-1], evaluation.gradient

        return after(evaluations, optimizers.lbfgs(evaluate, start)), totals

    def transform_in_tiles(self, case: Case, transform: Any, parameters: Any, picture: Array) -> Array:
        made: Array = transform.apply(parameters, picture)
        return made

    def losses_by_parameter(self, case: Case, dtype: str) -> tuple[Mapping[str, float], Points]:
        engine: Any = engine_of(self, case, dtype)
        recipe, variant = recipe_of(case), case.variant or ""
        style, picture = self.style_images()[BATCH[variant]], self.inputs.cut(variant)[0]
        grams = engine.targets(recipe, style, style).style
        weights = np.eye(len(STYLE_IMAGES))[BATCH[variant]]
        transform, _ = self.transform(case, dtype)
        image, vjp = transform.vjp(oracle_transform.painting(self.inputs.styles(), weights), transform.tensor(picture))
        found = engine.evaluate(recipe, oracle_transform.targets_of(engine, recipe, grams, picture), image)
        return found.terms, oracle_transform.painting_backward(vjp(found.gradient), weights)

    def mixture(self) -> Points:
        found = self.inputs.styles()
        made = oracle_transform.painting(found, np.array(MIXTURE))
        return {name: made[name] for name in found if made[name].shape != found[name].shape}

    def train(self, case: Case, dtype: str) -> Points:
        engine: Any = engine_of(self, case, dtype)
        network, _ = self.inputs.style_network(case.variant)
        batches = [list(zip(self.batch(), BATCH.values(), strict=True))] * TRAINING_STEPS
        transform, parameters = oracle_transform.OracleTransform(network), self.inputs.styles()
        walk = oracle_transform.train(
            engine, transform, recipe_of(case), TRAINING_OPTIMIZER, parameters, self.style_images(), batches, OWN_RATE
        )
        rates = [optimizers.learning_rate(*TRAINING_OPTIMIZER, update) for update in range(1, TRAINING_STEPS + 1)]
        return walk[-1].parameters | course(range(TRAINING_STEPS), rates, [step.terms for step in walk[:-1]])

    def zoo(self, engine: Any, case: Case) -> Points:
        maps = engine.features(self.scene(case)[2], zoo.TAPS)
        kinds = [kind for _, kind in layers(engine.network)]
        return {
            **{f"features/{tap}": x for tap, x in maps.items()},
            "kept/conv1_1": maps["conv1_1"],
            "layers": zoo.expected_lines(engine.network, kinds),
        }

    def normalize(self, name: str, dtype: Any) -> Array:
        return pictures.normalize(np.asarray(self.inputs.picture(name)))

    def denormalize(self, image: Array) -> Array:
        return pictures.denormalize(image.astype(np.float64))

    def resize(self, name: str, height: int, width: int) -> Array:
        return pictures.resize(np.asarray(self.inputs.picture(name)), height, width)

    def crop(self, name: str, height: int, width: int) -> Array:
        return pictures.middle(np.asarray(self.inputs.picture(name)), height, width)

    def noise(self, seed: int, dtype: Any) -> Points:
        kinds = {"normal": noise.normal, "uniform": noise.uniform}
        return {kind: noise.filled(NOISE_SHAPE, draw(seed)) for kind, draw in kinds.items()}

    def numbers(self, recipe: Recipe) -> dict[str, float | str]:
        if recipe.name not in self.inputs.published:
            raise InputError(
                f"published.json has no recipe {recipe.name!r}; `python -m isostyle.conformance.make_inputs` writes it"
            )
        return dict(self.inputs.published[recipe.name])


class Watched:
    """Objectives of the oracle that keep every image that they were given, and its terms."""

    def __init__(self, engine: OracleEngine) -> None:
        self.engine = engine
        self.images: list[Array] = []
        self.terms: list[Mapping[str, float]] = []

    def objective(self, recipe: Recipe, content: Array, style: Array) -> optimizers.Evaluate:
        targets = self.engine.targets(recipe, content, style)

        def evaluate(image: pictures.Floats) -> tuple[float, pictures.Floats]:
            found = self.engine.evaluate(recipe, targets, image)
            self.images.append(image)
            self.terms.append(found.terms)
            return found.terms["total"], found.gradient

        return evaluate


def adam_of(recipe: Recipe) -> AdamSettings:
    assert isinstance(recipe.optimizer, AdamSettings)
    return recipe.optimizer


def at(given: Evaluation, image: Tensor) -> tuple[Tensor, Evaluation]:
    """What an optimizer is told at ``image``: always ``given``."""
    return image, given


def both(content: Array, style: Array) -> tuple[Array, list[Weighted]]:
    return content, [(style, 1.0)]


def after(updates: int, images_of_updates: Iterator[Array]) -> Array:
    """The image after so many updates."""
    return next(itertools.islice(images_of_updates, updates - 1, None))


def averages(images: Sequence[Array], decay: float) -> list[Array]:
    """What is seen after each of ``images``: the average of those of its size so far."""
    found = []
    for i, image in enumerate(images):
        found.append(optimizers.average([each for each in images[: i + 1] if each.shape == image.shape], decay))
    return found


def course(steps: Iterable[int], rates: Sequence[float], terms: Sequence[Mapping[str, float]]) -> Points:
    """What a run or a training is recorded by: numbers of steps, rates, totals, and losses of each kind."""
    return {
        "steps": np.array(list(steps)),
        "rates": np.array(rates),
        "totals": np.array([each["total"] for each in terms]),
        "losses": np.array([[of_kind(each, kind) for kind in TERMS] for each in terms]),
    }


def of_kind(terms: Mapping[str, float], kind: str) -> float:
    """The sum of all terms of one kind."""
    return math.fsum(value for name, value in terms.items() if name.partition("/")[0] == kind)


def by_size(found: Sequence[Array]) -> Points:
    """The last image, all of its size, and those of a coarser level, if there are any."""
    last = found[-1]
    coarse = [image for image in found if image.shape != last.shape]
    fine = np.concatenate([image for image in found if image.shape == last.shape])
    return {"image": last, "images": fine, **({"coarse images": np.concatenate(coarse)} if coarse else {})}
