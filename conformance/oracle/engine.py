"""The oracle: neural style transfer in float64 NumPy, with every gradient derived by hand. What it says is right.

The oracle implements the same protocol as the backends (:mod:`isostyle.interface`) and is recorded as they are. It executes
the short formulas of :mod:`isostyle.losses` and states everything else a second time, from the sources, so that a mistake in
core is not on both sides. This module has the network: the order of the layers, convolution, ReLU and pooling with their
gradients. :mod:`.gaussians` has Wasserstein distances, :mod:`.optimizers` and :mod:`.pictures` have the rest of a run,
:mod:`.transform` has style networks. None of them imports a framework, a backend or :mod:`isostyle.optim`.

tests/test_oracle.py checks them by values worked out by hand, by central differences, and by values recorded from PyTorch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from isostyle import losses
from isostyle.conformance.oracle import gaussians
from isostyle.conformance.oracle.pictures import MEAN, STD, Floats
from isostyle.interface import Array, Evaluation, Objective, Parameters, Targets, Vjp
from isostyle.network import Network
from isostyle.recipe import FirstPadding, GramDivisor, Pooling, Recipe, Taps


def layers(network: Network) -> Iterator[tuple[str, str]]:
    """(name, kind) of every layer in order: Simonyan and Zisserman 2014, table 1, columns D and E."""
    for block, depth in enumerate(network.depths, start=1):
        for number in range(1, depth + 1):
            yield f"conv{block}_{number}", "conv"
            yield f"relu{block}_{number}", "relu"
        yield f"pool{block}", "pool"


def convolve(x: Floats, weight: Floats, bias: Floats, padding: FirstPadding = "zeros") -> Floats:
    """Cross-correlation with a 3x3 kernel, stride 1, padding 1, of zeros or the border repeated: (1, C, H, W) -> (1, D, H, W).

    y[d, h, w] = bias[d] + sum over c, i, j of weight[d, c, i, j] x[c, h + i - 1, w + j - 1]
    """
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)), mode="edge" if padding == "replicate" else "constant")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (C, H, W, 3, 3)
    product: Floats = np.einsum("chwij,dcij->dhw", windows, weight, optimize=True)
    return product[None] + bias[None, :, None, None]


def convolve_backward(gradient: Floats, weight: Floats, padding: FirstPadding = "zeros") -> Floats:
    """The transpose of :func:`convolve`: the kernel turned by 180 degrees, input and output channels exchanged. Where the
    border was repeated, it also gets what its copies would."""
    rotated = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    if padding == "zeros":
        return convolve(gradient, rotated, np.zeros(len(rotated)))
    beyond = convolve(np.pad(gradient, ((0, 0), (0, 0), (1, 1), (1, 1))), rotated, np.zeros(len(rotated)))
    rows, columns = (np.eye(side)[np.clip(np.arange(-1, side + 1), 0, side - 1)] for side in gradient.shape[2:])
    folded: Floats = np.einsum("rh,ncrs,sw->nchw", rows, beyond, columns, optimize=True)
    return folded


def relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def relu_backward(gradient: Floats, x: Floats, turned: Sequence[int] = ()) -> Floats:
    """The gradient where x was above 0; at 0 itself it is 0. At the flat indices ``turned`` it is decided the other way."""
    passes = x > 0
    passes.flat[list(turned)] ^= True
    return gradient * passes


def pool(x: Floats) -> Floats:
    """2x2 maximum with stride 2; an odd last row or column is dropped."""
    largest: Floats = corners(x).max(axis=0)
    return largest


def pool_backward(gradient: Floats, x: Floats, turned: Sequence[int] = ()) -> Floats:
    """The first maximum of each window, row by row, gets the whole gradient; in the windows ``turned``, the second largest."""
    windows = corners(x)
    chosen = windows.argmax(axis=0)
    for window in turned:
        chosen.flat[window] = windows.reshape(4, -1)[:, window].argsort(kind="stable")[-2]
    result = np.zeros_like(x)
    height, width = gradient.shape[2:]
    for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        result[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] = gradient * (chosen == number)
    return result


def average(x: Floats) -> Floats:
    """2x2 mean with stride 2; an odd last row or column is dropped."""
    mean: Floats = corners(x).sum(axis=0) / 4
    return mean


def average_backward(gradient: Floats, x: Floats) -> Floats:
    """Each pixel of a window gets a quarter of the gradient."""
    result = np.zeros_like(x)
    height, width = gradient.shape[2:]
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        result[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] = gradient / 4
    return result


def loudness(pooling: Pooling) -> float:
    """What averages are multiplied by."""
    return {"max": 1.0, "average": 1.0, "average-doubled": 2.0}[pooling]


def corners(x: Floats) -> Floats:
    """The four pixels of every 2x2 window, stacked: (4, 1, C, H // 2, W // 2)."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    return np.stack([x[:, :, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)])


def enter(image: Floats, recipe: Recipe) -> Floats:
    """What the network is given: an image in 0..1 is normalized."""
    if recipe.space == "unit":
        image = (image - MEAN[None, :, None, None]) / STD[None, :, None, None]
    return image


class OracleEngine:
    """A network in float64; see :class:`isostyle.interface.Engine`."""

    device = "cpu"

    def __init__(self, network: Network, parameters: Parameters) -> None:
        self.network = network
        self.parameters = {name: array.astype(np.float64) for name, array in parameters.items()}

    def tensor(self, array: Array) -> Floats:
        return np.array(array, dtype=np.float64, order="C")

    def array(self, tensor: Floats) -> Array:
        return tensor.copy()

    def maps(
        self, image: Floats, taps: Iterable[str], pooling: Pooling = "max", padding: FirstPadding = "zeros"
    ) -> dict[str, Floats]:
        """``image``, normalized, then every layer's map (1, C, H, W) up to the deepest of ``taps``, by name, in order."""
        wanted = set(taps)
        found = {"image": self.tensor(image)}
        x = found["image"]
        for name, kind in layers(self.network):
            if wanted <= set(found):
                break
            if kind == "conv":
                own = padding if name == "conv1_1" else "zeros"
                x = convolve(x, self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"], own)
            else:
                x = relu(x) if kind == "relu" else pool(x) if pooling == "max" else loudness(pooling) * average(x)
            found[name] = x
        return found

    def features(
        self, image: Floats, taps: Iterable[str], pooling: Pooling = "max", padding: FirstPadding = "zeros"
    ) -> dict[str, Floats]:
        wanted = set(taps)
        return {name: x for name, x in self.maps(image, wanted, pooling, padding).items() if name in wanted}

    def maps_for(self, recipe: Recipe, image: Floats, taps: Iterable[str]) -> dict[str, Floats]:
        """:meth:`maps` of an image of the recipe's space."""
        return self.maps(enter(image, recipe), taps, recipe.pooling, recipe.first_padding)

    def features_for(self, recipe: Recipe, image: Floats, taps: Taps) -> dict[str, Floats]:
        """The feature maps at ``taps`` of an image of the recipe's space."""
        found = self.maps_for(recipe, image, [tap for tap, _ in taps])
        return {tap: found[tap] for tap, _ in taps}

    def gram(self, feature: Floats, divisor: GramDivisor) -> Array:
        return losses.gram(feature, divisor)

    def targets(self, recipe: Recipe, content: Array, style: Array) -> Targets:
        contents = self.features_for(recipe, content, recipe.content_layers)
        styles = self.features_for(recipe, style, recipe.style_layers)
        return Targets(contents, {tap: self.statistic(feature, recipe) for tap, feature in styles.items()})

    def statistic(self, feature: Floats, recipe: Recipe) -> Array:
        """What the recipe's style losses compare: Gram matrices (C, C), or moments (C, C + 1)."""
        if recipe.style_reduction == "wasserstein":
            return gaussians.moments(feature)
        return losses.gram(feature, recipe.gram_divisor)

    def averaged(self, recipe: Recipe, styles: Sequence[tuple[Array, float]]) -> dict[str, Array]:
        """The style targets of several images: the Gram matrix of all their maps' columns together, in which each image counts
        as its weight says, whatever its size."""
        total = math.fsum(weight for _, weight in styles)
        found = {}
        for tap, _ in recipe.style_layers:
            matrices = [weight * self.targets(recipe, image, image).style[tap] for image, weight in styles]
            found[tap] = np.sum(matrices, axis=0) / total
        return found

    def vjp(self, recipe: Recipe, image: Floats, taps: Taps) -> tuple[dict[str, Floats], Vjp]:
        maps = self.maps_for(recipe, image, [tap for tap, _ in taps])

        def vjp(cotangents: Mapping[str, Floats]) -> Floats:
            everywhere = {name: cotangents.get(name, np.zeros_like(x)) for name, x in maps.items()}
            return self.backward(recipe, maps, {**everywhere, "optimized": np.zeros_like(image)})

        return {tap: maps[tap] for tap, _ in taps}, vjp

    def objective(self, recipe: Recipe, targets: Targets) -> Objective:
        return lambda image: self.evaluate(recipe, targets, image)

    def evaluate(self, recipe: Recipe, targets: Targets, image: Floats) -> Evaluation:
        """Weighted terms, and the gradient of their sum with respect to ``image``."""
        image = self.tensor(image)
        maps = self.maps_for(recipe, image, recipe.taps)
        terms, gradients = self.terms(recipe, targets, maps, image)
        return Evaluation(terms, self.backward(recipe, maps, gradients))

    def terms(
        self, recipe: Recipe, targets: Targets, maps: Mapping[str, Floats], image: Floats
    ) -> tuple[dict[str, float], dict[str, Floats]]:
        """Weighted terms, and by map the gradient of their sum where it looks at that map itself.

        Total variation looks at ``image``, as it is optimized: its gradient is called ``optimized``. Terms that the recipe
        wants without gradient have none.
        """
        terms: dict[str, float] = {}
        gradients = {name: np.zeros_like(x) for name, x in maps.items()}
        gradients["optimized"] = np.zeros_like(image)
        moves = {kind: kind not in recipe.without_gradient for kind in ("content", "style", "tv")}
        for tap, weight in recipe.content_layers:
            weight *= recipe.content_weight
            given = maps[tap], targets.content[tap], recipe.content_reduction
            terms[f"content/{tap}"] = weight * losses.content_loss(*given)
            if moves["content"]:
                gradients[tap] += weight * losses.content_loss_gradient(*given)
        for tap, weight in recipe.style_layers:
            weight *= recipe.style_weight
            loss, gradient = self.style(recipe, maps[tap], targets.style[tap])
            terms[f"style/{tap}"] = weight * loss
            if moves["style"]:
                gradients[tap] += weight * gradient
        terms["tv"] = recipe.tv_weight * losses.tv_loss(image, recipe.variation)
        if moves["tv"]:
            gradients["optimized"] += recipe.tv_weight * losses.tv_loss_gradient(image, recipe.variation)
        terms["total"] = math.fsum(terms.values())
        return terms, gradients

    def style(self, recipe: Recipe, feature: Floats, target: Array) -> tuple[float, Array]:
        """The style loss of one map, without its weights, and its gradient."""
        if recipe.style_reduction == "wasserstein":
            loss, gradient = gaussians.distance(gaussians.moments(feature), target)
            return loss, gaussians.backward(gradient, feature)
        compared = feature, target, recipe.gram_divisor, recipe.style_reduction
        return losses.style_loss(*compared), losses.style_loss_gradient(*compared)

    def backward(
        self,
        recipe: Recipe,
        maps: Mapping[str, Floats],
        gradients: Mapping[str, Floats],
        turned: Mapping[str, Sequence[int]] | None = None,
    ) -> Floats:
        """The chain rule, from the last layer back to the image. ``turned``: decisions by layer that go the other way."""
        turned = turned or {}
        kinds = dict(layers(self.network))
        names = list(maps)
        gradient = gradients[names[-1]]
        for before, name in reversed(list(itertools.pairwise(names))):
            if kinds[name] == "conv":
                padding = recipe.first_padding if name == "conv1_1" else "zeros"
                gradient = convolve_backward(gradient, self.parameters[f"{name}.weight"], padding)
            elif kinds[name] == "relu":
                gradient = relu_backward(gradient, maps[before], turned.get(name, ()))
            elif recipe.pooling != "max":
                gradient = loudness(recipe.pooling) * average_backward(gradient, maps[before])
            else:
                gradient = pool_backward(gradient, maps[before], turned.get(name, ()))
            gradient = gradient + gradients[before]
        if recipe.space == "unit":
            gradient = gradient / STD[None, :, None, None]
        return gradient + gradients["optimized"]

    def decisions(self, maps: Mapping[str, Floats], pooling: Pooling = "max") -> Iterator[tuple[str, Floats]]:
        """By ReLU and max-pool: how far each of its decisions is from the other way, in root mean squares of the map.

        For a ReLU, the distance of its input from 0; for a pooling window, that of its two largest values from each other.
        Rounding that is larger can send a gradient to another place. Exact zeros and ties count as infinitely far: they come
        from regions in which nothing is added up but zeros and a bias, and are exact everywhere (on photographs and noise; a
        flat image has others).
        """
        kinds = dict(layers(self.network))
        for before, name in itertools.pairwise(maps):
            if kinds[name] == "conv" or (kinds[name] == "pool" and pooling != "max"):
                continue
            if kinds[name] == "relu":
                distance = np.abs(maps[before])
            else:
                *_, second, first = np.sort(corners(maps[before]), axis=0)
                distance = first - second
            scale = math.sqrt(np.square(maps[before]).mean()) or 1.0
            yield name, np.where(distance > 0, distance / scale, math.inf)

    def least_margin(self, image: Floats, taps: Iterable[str]) -> float:
        """How close the closest decision is; infinite if there is none."""
        return min(
            (float(distance.min(initial=math.inf)) for _, distance in self.decisions(self.maps(image, taps))), default=math.inf
        )
