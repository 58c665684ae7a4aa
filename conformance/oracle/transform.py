"""The oracle's image transformation network, in float64 NumPy, with every gradient derived by hand; and its training.

It states once more, from the sources that :mod:`isostyle.transform_network` names: the order of the stages, reflection,
enlarging, convolution with strides, instance normalization, residual sums, each style's scales and shifts (Dumoulin, Shlens and
Kudlur 2017), what a training step averages, and Adam's way with it. It uses nothing of
:mod:`isostyle.style_networks.trainer` or :mod:`isostyle.optim`.

tests/test_transform.py checks it by values worked out by hand and by central differences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from isostyle.conformance.oracle.engine import OracleEngine, relu, relu_backward
from isostyle.conformance.oracle.optimizers import adam
from isostyle.conformance.oracle.pictures import Floats
from isostyle.interface import Array, Parameters, Targets, VjpParameters
from isostyle.recipe import AdamSettings, Constant, Recipe, StepDecay
from isostyle.transform_network import Stage, TransformNetwork

#: Under the root of instance normalization, said here once more on purpose.
EPSILON = 2.0**-17

Maps = dict[str, Floats]
#: Decisions that go the other way: flat indices by the name of a stage, whose ReLU they are of.
Turned = Mapping[str, Sequence[int]]


class Step(NamedTuple):
    """What a stage does, in this order."""

    name: str
    #: The stage to whose input's size the map is enlarged.
    restores: str | None = None
    stride: int = 1
    norm: bool = True
    #: The stage whose output is added, or the picture.
    adds: str | None = None
    relu: bool = True


def steps(blocks: int, skips: bool = False, residual: bool = False) -> Iterator[Step]:
    """The stages in order: Johnson et al. 2016, supplementary material, table 1, as :mod:`isostyle.transform_network` says."""
    yield Step("down1")
    yield Step("down2", stride=2)
    yield Step("down3", stride=2)
    last = "down3"
    for number in range(1, blocks + 1):
        yield Step(f"block{number}_1")
        yield Step(f"block{number}_2", adds=last, relu=False)
        last = f"block{number}_2"
    yield Step("up1", restores="down3", adds="down2" if skips else None)
    yield Step("up2", restores="down2", adds="down1" if skips else None)
    yield Step("out", norm=False, adds="picture" if residual else None, relu=False)


# Single operations, each with its transpose or derivative


def reflected(length: int, padding: int) -> Array:
    """For each pixel of a padded axis, which pixel it repeats: 0 1 2 3 padded by two is 2 1 0 1 2 3 2 1; the border itself is
    not repeated. Any padding below ``length``."""
    place = np.arange(-padding, length + padding)
    found: Array = (length - 1) - np.abs((length - 1) - np.abs(place))
    return found


def enlarged(length: int) -> Array:
    """For each pixel of an axis that is enlarged to ``length``, which pixel it repeats: each twice, but for an odd last one."""
    return np.arange(length) // 2


def taken(x: Floats, rows: Array, columns: Array) -> Floats:
    """y[c, h, w] = x[c, rows[h], columns[w]]"""
    result: Floats = x[:, :, rows[:, None], columns]
    return result


def taken_backward(gradient: Floats, rows: Array, columns: Array, shape: tuple[int, ...]) -> Floats:
    """The transpose: what a pixel was repeated to is added up. ``shape``: of x."""
    down = np.zeros((*shape[:2], len(rows), shape[3]))
    for place, column in enumerate(columns):
        down[:, :, :, column] += gradient[:, :, :, place]
    result = np.zeros(shape)
    for place, row in enumerate(rows):
        result[:, :, row] += down[:, :, place]
    return result


def windows(x: Floats, kernel: int, stride: int) -> Floats:
    """(C, H, W, k, k): what each output of a convolution looks at; nothing is padded."""
    return np.lib.stride_tricks.sliding_window_view(x[0], (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride]


def convolve(x: Floats, weight: Floats, stride: int) -> Floats:
    """Cross-correlation of (1, C, H, W), padded already: y[d, h, w] = sum of weight[d, c, i, j] x[c, s h + i, s w + j]."""
    product: Floats = np.einsum("chwij,dcij->dhw", windows(x, weight.shape[2], stride), weight, optimize=True)
    return product[None]


def convolve_backward(gradient: Floats, weight: Floats, stride: int, shape: tuple[int, ...]) -> Floats:
    """The transpose with respect to x, of ``shape``: each output's gradient goes back to the pixels that it was made of."""
    result = np.zeros(shape)
    height, width = gradient.shape[2:]
    for i, j in np.ndindex(weight.shape[2:]):
        rows, columns = slice(i, i + stride * height, stride), slice(j, j + stride * width, stride)
        result[0, :, rows, columns] += np.einsum("dhw,dc->chw", gradient[0], weight[:, :, i, j])
    return result


def convolve_weight_backward(gradient: Floats, x: Floats, kernel: int, stride: int) -> Floats:
    """With respect to the kernels: sum over h, w of gradient[d, h, w] x[c, s h + i, s w + j]."""
    result: Floats = np.einsum("dhw,chwij->dcij", gradient[0], windows(x, kernel, stride), optimize=True)
    return result


def standardized(x: Floats) -> tuple[Floats, Floats]:
    """(x - m) / sqrt(v + EPSILON) with each channel's mean m and v = mean((x - m)^2); and that root."""
    centered = x - x.mean(axis=(2, 3), keepdims=True)
    root = np.sqrt(np.square(centered).mean(axis=(2, 3), keepdims=True) + EPSILON)
    return centered / root, root


def standardized_backward(gradient: Floats, standard: Floats, root: Floats) -> Floats:
    """What moves all pixels of a channel alike, or by the same factor, hardly changes it: both parts leave the gradient.

    With c = x - m, r = root, z = c / r, n pixels: dr = sum(c dc) / (n r), so dz = dc / r - z sum(z dc) / (n r), and dc = dx -
    mean(dx).
    """
    centered = gradient - gradient.mean(axis=(2, 3), keepdims=True)
    result: Floats = (centered - standard * (gradient * standard).mean(axis=(2, 3), keepdims=True)) / root
    return result


class OracleTransform:
    """An image transformation network in float64; see :class:`isostyle.interface.Transform`."""

    device = "cpu"

    def __init__(self, network: TransformNetwork) -> None:
        self.steps = tuple(steps(network.blocks, network.skips, network.residual))

    def tensor(self, array: Array) -> Floats:
        return np.array(array, dtype=np.float64, order="C")

    def array(self, tensor: Floats) -> Array:
        return tensor.copy()

    def places(self, step: Step, x: Floats, maps: Maps, kernel: int) -> tuple[Array, Array]:
        """Which rows and columns of its input ``x`` the padded input of a convolution consists of."""
        found = []
        for axis in (2, 3):
            place = enlarged(maps[f"{step.restores}/in"].shape[axis]) if step.restores else np.arange(x.shape[axis])
            found.append(place[reflected(len(place), kernel // 2)])
        return found[0], found[1]

    def maps(self, parameters: Mapping[str, Floats], image: Floats) -> Maps:
        """By ``STAGE/in``, ``/padded``, ``/standard``, ``/root``, ``/sum`` (before the ReLU) and ``/out``; and ``image``."""
        maps: Maps = {"picture/out": image}
        x = image
        for step in self.steps:
            name = step.name
            weight = parameters[f"{name}.weight"]
            maps[f"{name}/in"] = x
            maps[f"{name}/padded"] = taken(x, *self.places(step, x, maps, weight.shape[2]))
            x = convolve(maps[f"{name}/padded"], weight, step.stride)
            if step.norm:
                maps[f"{name}/standard"], maps[f"{name}/root"] = standardized(x)
                x = along(parameters[f"{name}.scale"]) * maps[f"{name}/standard"]
            for kind in ("bias", "shift"):
                if f"{name}.{kind}" in parameters:
                    x = x + along(parameters[f"{name}.{kind}"])
            if step.adds:
                x = x + maps[f"{step.adds}/out"]
            maps[f"{name}/sum"] = x
            x = relu(x) if step.relu else x
            maps[f"{name}/out"] = x
        maps["image"] = x
        return maps

    def backward(
        self, parameters: Mapping[str, Floats], maps: Maps, gradient: Floats, turned: Turned | None = None
    ) -> dict[str, Floats]:
        """The chain rule, from the transformed image's ``gradient`` back to every parameter."""
        turned = turned or {}
        found: dict[str, Floats] = {}
        added: Maps = {}
        for step in reversed(self.steps):
            name = step.name
            gradient = gradient + added.get(name, 0.0)
            if step.relu:
                gradient = relu_backward(gradient, maps[f"{name}/sum"], turned.get(name, ()))
            if step.adds:
                added[step.adds] = gradient
            for kind in ("bias", "shift"):
                if f"{name}.{kind}" in parameters:
                    found[f"{name}.{kind}"] = gradient.sum(axis=(0, 2, 3))
            if step.norm:
                standard, root = maps[f"{name}/standard"], maps[f"{name}/root"]
                found[f"{name}.scale"] = (gradient * standard).sum(axis=(0, 2, 3))
                gradient = standardized_backward(gradient * along(parameters[f"{name}.scale"]), standard, root)
            weight, padded, x = parameters[f"{name}.weight"], maps[f"{name}/padded"], maps[f"{name}/in"]
            found[f"{name}.weight"] = convolve_weight_backward(gradient, padded, weight.shape[2], step.stride)
            gradient = convolve_backward(gradient, weight, step.stride, padded.shape)
            gradient = taken_backward(gradient, *self.places(step, x, maps, weight.shape[2]), x.shape)
        return {name: found[name] for name in parameters}

    def apply(self, parameters: Mapping[str, Floats], image: Floats) -> Floats:
        return self.maps(parameters, image)["image"]

    def vjp(self, parameters: Mapping[str, Floats], image: Floats) -> tuple[Floats, VjpParameters]:
        maps = self.maps(parameters, image)
        return maps["image"], lambda cotangent: self.backward(parameters, maps, cotangent)

    def convolve(self, parameters: Mapping[str, Floats], stage: Stage, window: Floats) -> Floats:
        (step,) = [step for step in self.steps if step.name == stage.name]
        bias = parameters.get(f"{step.name}.bias", np.zeros(1))
        return convolve(window, parameters[f"{step.name}.weight"], step.stride) + along(bias)

    def decisions(self, maps: Maps) -> Maps:
        """By stage with a ReLU: what it decides by."""
        return {step.name: maps[f"{step.name}/sum"] for step in self.steps if step.relu}


def along(vector: Floats) -> Floats:
    """(C,) as (1, C, 1, 1)"""
    return vector.reshape(1, -1, 1, 1)


# Training


def is_styled(name: str) -> bool:
    """Whether each style has a row of its own."""
    return name.split(".")[1] in ("scale", "shift")


def painting(parameters: Mapping[str, Floats], weights: Floats) -> dict[str, Floats]:
    """Scales and shifts of a mixture of styles: y[c] = sum of weights[s] x[s, c]. All else is shared."""
    return {name: np.einsum("s,sc->c", weights, array) if is_styled(name) else array for name, array in parameters.items()}


def painting_backward(gradient: Mapping[str, Floats], weights: Floats) -> dict[str, Floats]:
    """The transpose: dx[s, c] = weights[s] dy[c]."""
    return {name: np.einsum("s,c->sc", weights, part) if is_styled(name) else part for name, part in gradient.items()}


def targets_of(engine: OracleEngine, recipe: Recipe, styles: Mapping[str, Array], photograph: Floats) -> Targets:
    """What a transformed photograph is compared with: its content target is the photograph itself."""
    return Targets(
        engine.features(photograph, [tap for tap, _ in recipe.content_layers], recipe.pooling, recipe.first_padding), styles
    )


class TrainingStep(NamedTuple):
    """The parameters that a step starts from, and the means of its photographs' terms there."""

    parameters: dict[str, Floats]
    terms: dict[str, float]


def train(
    engine: OracleEngine,
    transform: OracleTransform,
    recipe: Recipe,
    optimizer: tuple[AdamSettings, StepDecay | Constant],
    parameters: Parameters,
    styles: Sequence[Array],
    batches: Sequence[Sequence[tuple[Array, int]]],
    own_rate: float,
) -> list[TrainingStep]:
    """Johnson et al. 2016, section 3, with the styles of Dumoulin et al. 2017: a step for each batch of photographs and numbers
    of styles, and what they come to (whose terms are of the last batch). ``own_rate``: by how much scales and shifts learn
    faster."""
    grams = [engine.targets(recipe, style, style).style for style in styles]
    shapes = {name: array.shape for name, array in parameters.items()}
    found: list[TrainingStep] = []

    def evaluate(vector: Floats) -> tuple[float, Floats]:
        batch = batches[min(len(found), len(batches) - 1)]
        mine = cut(vector, shapes)
        sums: dict[str, float] = {}
        gradient = np.zeros_like(vector)
        for photograph, style in batch:
            given, weights = photograph.astype(np.float64), np.eye(len(styles))[style]
            transformed, vjp = transform.vjp(painting(mine, weights), given)
            losses = engine.evaluate(recipe, targets_of(engine, recipe, grams[style], given), transformed)
            sums = {name: sums.get(name, 0.0) + value for name, value in losses.terms.items()}
            gradient += joined(painting_backward(vjp(losses.gradient), weights))
        found.append(TrainingStep(mine, {name: value / len(batch) for name, value in sums.items()}))
        return found[-1].terms["total"], gradient / len(batch)

    # Adam treats each number alone, so all parameters may stand in one vector.
    faster = joined({name: np.full(shape, own_rate if is_styled(name) else 1.0) for name, shape in shapes.items()})
    iterates = adam(evaluate, joined(parameters), *optimizer, faster=faster)
    for _ in batches:
        last = next(iterates)
    evaluate(last)
    return found


def joined(arrays: Mapping[str, Array]) -> Floats:
    """All parameters in one vector."""
    return np.concatenate([array.astype(np.float64).ravel() for array in arrays.values()])


def cut(vector: Floats, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Floats]:
    """A vector in parameters of these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(vector, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
