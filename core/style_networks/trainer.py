"""Training an image transformation network: recipe x photographs -> parameters, one event a step.

Johnson, Alahi and Fei-Fei 2016, section 3: a network's output for a photograph has the losses that a style transfer minimizes,
with the photograph itself as content image. A style transfer moves its picture by the gradient of those losses with respect to
the picture. Here that gradient goes on through the network to its parameters. So training needs only an objective
(:class:`isostyle.interface.Objective`) and a :class:`isostyle.interface.Transform` of a framework, and what the conformance
suite says of objectives holds here.

Photographs go through one after the other, and their gradients are added up. Instance normalization knows no batch, so this is
the same as a batch, and takes the memory of one photograph.

Each photograph of a step is painted in one of the styles. Its loss moves all that is shared, and that style's scales and shifts
(Dumoulin, Shlens and Kudlur 2017). A new style is learned by its scales and shifts alone: all else is fixed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from isostyle.checks import POSITIVE, PlainNumbers, require_count, require_number, require_seed
from isostyle.errors import InputError, IsostyleError
from isostyle.interface import Array, Engine, Objective, Parameters, Targets, Tensor, Transform
from isostyle.losses import summed
from isostyle.optim import Adam, State
from isostyle.published import ONE_PASS
from isostyle.recipe import AdamSettings, Constant, Recipe, StepDecay
from isostyle.transform_network import LEAST_SIDE, NARROW, TransformNetwork, is_own

#: Johnson et al. 2016, section 4.1, have four crops of 256 pixels a step. A larger one comes nearer to the statistics of a
#: whole painting: crops of *The Starry Night* itself, at 1024 pixels, are .50 from its Gram matrices if a side has 192 pixels,
#: .29 at 256, and .09 at 384 (scripts/crops_of_a_painting.py). Below that, a training learns noise.
BATCH, CROP = 1, 384
#: There Adam has 1e-3, 40000 times; with a twentieth of the steps, twice as much learns more, if it becomes less in time.
LEARNING_RATE, DECAY = 2e-3, StepDecay(every=400, factor=0.7)
#: The first weights: normal, He et al. 2015, equation 10; the last stage's much smaller, so that training begins near a gray
#: picture and not at noise, whose losses are thousands of times as large.
OUT_SHARE = 0.1


@dataclass(frozen=True)
class TrainingRecipe(PlainNumbers):
    """How a network is trained."""

    #: Whose losses are minimized; what it says of a picture's start, size, optimizer and steps does not count.
    losses: Recipe = ONE_PASS
    network: TransformNetwork = NARROW
    optimizer: AdamSettings = field(default_factory=lambda: AdamSettings(LEARNING_RATE))
    schedule: StepDecay | Constant = DECAY
    steps: int = 2000
    #: Photographs a step.
    batch: int = BATCH
    #: Height and width of what is cut out of them, in pixels.
    crop: int = CROP
    #: A crop shows a photograph's shorter side whole, or down to one of so many parts of it. A picture of a thousand pixels has
    #: large smooth areas; a network that was only shown whole photographs, small as crops are, leaves them empty.
    zoom: float = 3.0
    #: The std of noise that is added to normalized crops. Where a crop is flat, each instance normalization magnifies by up to
    #: 1 / sqrt(EPSILON), and the gradient overflows.
    noise: float = 0.03
    #: The style image's longer side, in pixels.
    style_size: int = 1024
    #: Of the first weights, and of which photographs and crops come when.
    seed: int = 0
    #: By how much scales and shifts learn faster than the rest. They are about 1, where the numbers of a kernel are about a
    #: twentieth, and of many styles each has its turn seldom: as slow as kernels, styles would all look alike.
    own_rate: float = 10.0

    def check(self) -> None:
        """Raises InputError if a value is out of range."""
        self.optimizer.check()
        self.schedule.check()
        require_count(self.steps, "number of steps")
        require_count(self.batch, "number of photographs a step")
        require_count(self.crop, "size of a crop", "pixel")
        require_count(self.style_size, "size of the style image", "pixel")
        require_number(self.zoom, "zoom", POSITIVE)
        if self.zoom < 1:
            raise InputError(f"the zoom must be at least 1, not {self.zoom:g}")
        require_number(self.noise, "noise of crops")
        require_number(self.own_rate, "rate of scales and shifts", POSITIVE)
        require_seed(self.seed)
        self.network.check()
        if self.losses.space != "normalized" or self.losses.without_gradient:
            raise InputError(
                f"the losses of {self.losses.name!r} cannot train a network: they need a normalized image that all move"
            )
        if self.crop < LEAST_SIDE:
            raise InputError(f"a crop must have at least {LEAST_SIDE} pixels a side, not {self.crop}")


@dataclass(frozen=True)
class TrainingEvent:
    """One step: the losses of its photographs before the update, as means."""

    #: Updates before it.
    step: int
    learning_rate: float
    terms: dict[str, float]

    @property
    def losses(self) -> dict[str, float]:
        """content, style, tv and total: terms of all taps added up."""
        return summed(self.terms)


class NonFiniteTraining(IsostyleError):
    """A loss or a parameter became infinite or not a number."""

    def __init__(self, name: str, value: float, step: int) -> None:
        super().__init__(f"{name} became {value} at step {step} of the training; try a smaller learning rate")


def first_parameters(network: TransformNetwork, seed: int, styles: int = 1) -> dict[str, Array]:
    """What training starts from, float32, of :meth:`TransformNetwork.shapes`. Biases and shifts are 0, scales 1."""
    random = np.random.RandomState(seed)
    parameters = {}
    for name, shape in network.shapes(styles).items():
        kind = name.rpartition(".")[2]
        if kind == "weight":
            share = OUT_SHARE if name.startswith("out.") else 1.0
            values = share * math.sqrt(2 / math.prod(shape[1:])) * random.standard_normal(shape)
        else:
            values = np.full(shape, 1.0 if kind == "scale" else 0.0)
        parameters[name] = values.astype(np.float32)
    return parameters


def steps_of(state: Mapping[str, State]) -> int:
    """How many updates a trainer's state has behind it."""
    return int(next(iter(state.values()))["step"])


class Trainer:
    """Steps of a training. Its state is a dict of Adam's states by parameter: all that is needed to go on."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        transform: Transform,
        engine: Engine,
        styles: Sequence[Array],
        fixed: Parameters | None = None,
    ) -> None:
        """``engine``: the loss network. ``styles``: normalized style images, (1, 3, H, W). ``fixed``: parameters that are not
        trained."""
        recipe.check()
        self.recipe = recipe
        self.transform = transform
        self.engine = engine
        self.adam = Adam(recipe.optimizer, recipe.schedule)
        faster = dataclasses.replace(recipe.optimizer, learning_rate=recipe.own_rate * recipe.optimizer.learning_rate)
        self.adam_of_styles = Adam(faster, recipe.schedule)
        # Content targets are each photograph's own; those of the style images stay.
        self.styles = [engine.targets(recipe.losses, style, style).style for style in styles]
        self.rows = [transform.tensor(row) for row in np.eye(len(styles))[:, None]]
        self.fixed = {name: transform.tensor(array) for name, array in (fixed or {}).items()}

    def adam_of(self, name: str) -> Adam:
        """What makes the steps of the parameter called ``name``."""
        return self.adam_of_styles if is_own(name) else self.adam

    def start(self, parameters: Parameters) -> dict[str, State]:
        """The state before the first step."""
        return {name: self.adam.start(self.transform.tensor(array)) for name, array in parameters.items()}

    def restored(self, state: Mapping[str, Mapping[str, Array]], step: int) -> dict[str, State]:
        """The state after ``step`` steps, from a checkpoint's arrays."""
        tensor = self.transform.tensor
        return {name: {**{key: tensor(array) for key, array in each.items()}, "step": step} for name, each in state.items()}

    def parameters(self, state: Mapping[str, State]) -> dict[str, Tensor]:
        """The parameters that are trained, in a state."""
        return {name: each["image"] for name, each in state.items()}

    def painting(self, parameters: Mapping[str, Tensor], style: int) -> dict[str, Tensor]:
        """The parameters that paint in the style of that number."""
        row = self.rows[style]
        return {
            name: (row @ tensor).reshape((-1,)) if is_own(name) else tensor
            for name, tensor in {**self.fixed, **parameters}.items()
        }

    def targets(self, photograph: Tensor, style: int) -> Targets:
        """Those of the transformed ``photograph``: its own features, and the style image's Gram matrices."""
        losses = self.recipe.losses
        taps = [tap for tap, _ in losses.content_layers]
        content = self.engine.features(photograph, taps, losses.pooling, losses.first_padding)
        return Targets({tap: self.engine.array(feature) for tap, feature in content.items()}, self.styles[style])

    def objective(self, photograph: Tensor, style: int) -> Objective:
        """The losses of the ``photograph`` painted in a style."""
        return self.engine.objective(self.recipe.losses, self.targets(photograph, style))

    def losses(self, parameters: Mapping[str, Tensor], photograph: Array, style: int = 0) -> dict[str, float]:
        """The losses of one normalized photograph, (1, 3, H, W), by term."""
        given = self.engine.tensor(photograph)
        evaluation = self.objective(given, style)(self.transform.apply(self.painting(parameters, style), given))
        return {name: float(value) for name, value in evaluation.terms.items()}

    def evaluate(
        self, parameters: Mapping[str, Tensor], photograph: Array, style: int = 0
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """The losses of one normalized photograph, (1, 3, H, W), by term, and the gradient of their total by parameter that is
        trained."""
        given = self.engine.tensor(photograph)
        transformed, vjp = self.transform.vjp(self.painting(parameters, style), given)
        evaluation = self.objective(given, style)(transformed)
        column = self.rows[style].reshape((-1, 1))
        gradient = {
            name: column @ part.reshape((1, -1)) if is_own(name) else part
            for name, part in vjp(evaluation.gradient).items()
            if name in parameters
        }
        return {name: float(value) for name, value in evaluation.terms.items()}, gradient

    def step(
        self, state: dict[str, State], photographs: Sequence[Array], styles: Sequence[int] | None = None
    ) -> tuple[dict[str, State], TrainingEvent]:
        """One update by the mean of the losses of ``photographs``, each in one of the ``styles``, by number [default: all in
        the first].

        Raises:
            NonFiniteTraining: a loss, a gradient or a parameter is no longer finite; ``state`` is as it was.
        """
        parameters = self.parameters(state)
        step, rate = steps_of(state), self.adam.learning_rate(next(iter(state.values())))
        sums: dict[str, float] = {}
        gradient: dict[str, Tensor] = {}
        for photograph, style in zip(photographs, styles or [0] * len(photographs), strict=True):
            terms, found = self.evaluate(parameters, photograph, style)
            sums = {name: sums.get(name, 0.0) + value / len(photographs) for name, value in terms.items()}
            gradient = {name: gradient[name] + part if gradient else part for name, part in found.items()}
        gradient = {name: part / len(photographs) for name, part in gradient.items()}
        # A loss is named before the gradient that it spoils, and its terms before their total.
        require_finite({**sums, **sizes("the gradient of", gradient)}, step)
        following = {name: self.adam_of(name).update(dict(state[name]), part) for name, part in gradient.items()}
        require_finite(sizes("the parameter", self.parameters(following)), step)
        return following, TrainingEvent(step, rate, sums)


def sizes(what: str, tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """The sum of each tensor's absolute values, which is finite only if all of them are."""
    return {f"{what} {name}": float(abs(tensor).sum()) for name, tensor in tensors.items()}


def require_finite(values: Mapping[str, float], step: int) -> None:
    """Raises NonFiniteTraining for the first of ``values`` that is not finite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise NonFiniteTraining(name, value, step)
