"""Pictures larger than memory: the objective and its gradient by tiles, equal to the whole picture's up to rounding.

Content losses, Gram matrices and moments are sums over pixels. A first pass adds up X X^T of every style tap (and X 1, for
moments), window by window. Then the gradient dL/dX of every tap is known: a second pass takes it back through each window and
adds up the image's gradient. The memory that this takes depends on the window, not on the picture.

A window is computed in a crop with a halo, as wide as the receptive field of the deepest tap. A convolution pads the crop with
zeros where the picture goes on. That spoils values in the halo only, and these are not used: all gradients there are 0. Where a
crop ends because the picture does, the zeros are the picture's own.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isostyle.checks import MOST, plain, require_count
from isostyle.errors import InputError, shown
from isostyle.interface import Array, Engine, Evaluation, Targets, Tensor, Vjp
from isostyle.losses import (
    BORDER,
    NINE_POINTS,
    content_scale,
    divisor_of,
    style_scale,
    wasserstein_loss,
    wasserstein_loss_gradient,
)
from isostyle.network import KERNEL, POOL, Network
from isostyle.recipe import FirstPadding, GramDivisor, Pooling, Recipe, Taps
from isostyle.system import allocation

#: A tile that is larger than any picture.
WHOLE = MOST
#: Rows of a picture that total variation is computed for at a time.
STRIP = 64


# Geometry


@dataclass(frozen=True)
class Span:
    """One axis of a window: pixels ``begin`` to ``end``, and with the halo ``first`` to ``last``."""

    begin: int
    end: int
    first: int
    last: int

    def crop(self, halvings: int = 0) -> slice:
        """The crop, in a map of the whole picture after so many ``halvings``."""
        return slice(self.first >> halvings, self.last >> halvings)

    def core(self, halvings: int) -> slice:
        """The window, in a map of the crop. ``first`` lies on the grid, so that halving keeps differences."""
        return slice((self.begin - self.first) >> halvings, (self.end - self.first) >> halvings)


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, and the crop that has to be computed for it. The windows of a picture make it up."""

    rows: Span
    columns: Span

    @property
    def crop(self) -> tuple[slice, ...]:
        """Index of the crop in a picture (1, 3, H, W)."""
        return self.crop_of(0)

    def crop_of(self, halvings: int) -> tuple[slice, ...]:
        """Index of the crop in a map of the whole picture."""
        return np.s_[:, :, self.rows.crop(halvings), self.columns.crop(halvings)]

    def core_of(self, halvings: int) -> tuple[slice, ...]:
        """Index of the window in a map of the crop."""
        return np.s_[:, :, self.rows.core(halvings), self.columns.core(halvings)]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the crop."""
        return self.rows.last - self.rows.first, self.columns.last - self.columns.first

    @property
    def has_halo(self) -> bool:
        return any((span.first, span.last) != (span.begin, span.end) for span in (self.rows, self.columns))


def grid_of(network: Network, taps: Iterable[str]) -> int:
    """Pixels between two lines of the grid that windows lie on: pooling windows of the deepest tap do not cross them."""
    return network.least_side(taps)


def radius_of(network: Network, taps: Iterable[str]) -> int:
    """How many pixels beyond a window the values at its ``taps`` depend on. Each convolution looks one pixel of its own map
    further, which is 2^h pixels of the image after h halvings. Pools do not look beyond the grid."""
    return sum(KERNEL // 2 * POOL**layer.halvings for layer in network.cut(taps) if layer.kind == "conv")


def halo_of(network: Network, taps: Iterable[str]) -> int:
    """The radius, rounded up to the grid."""
    taps = tuple(taps)
    grid = grid_of(network, taps)
    return -(-radius_of(network, taps) // grid) * grid


def spans(length: int, tile: int, grid: int, halo: int) -> list[Span]:
    """An axis of ``length`` pixels in equal parts of at most ``tile`` pixels, on the grid. The last part also has the rest,
    which is narrower than the grid.

    All crops are equally long, but for that rest: at the picture's edges they reach further inwards than they need to, because
    frameworks keep buffers for every shape that they have met.
    """
    cells = max(1, length // grid)
    count = -(-cells // max(1, -(-tile // grid)))
    edges = [grid * (cells * i // count) for i in range(count + 1)]
    needed = [(max(0, begin - halo), min(edges[-1], end + halo)) for begin, end in itertools.pairwise(edges)]
    widest = max(last - first for first, last in needed)
    found = []
    for (begin, end), (first, _) in zip(itertools.pairwise(edges), needed, strict=True):
        first = min(first, edges[-1] - widest)
        end, last = (length if place == edges[-1] else place for place in (end, first + widest))
        found.append(Span(begin, end, first, last))
    return found


def windows(height: int, width: int, network: Network, taps: Iterable[str], tile: int) -> list[Window]:
    """The windows of a picture, row by row, of at most ``tile`` x ``tile`` pixels (rounded up to the grid)."""
    taps = tuple(taps)
    grid, halo = grid_of(network, taps), halo_of(network, taps)
    return [Window(rows, columns) for rows in spans(height, tile, grid, halo) for columns in spans(width, tile, grid, halo)]


# Computation


class TiledEngine:
    """``engine``, with targets and objectives by tiles; see :class:`isostyle.interface.Engine`."""

    def __init__(self, engine: Engine, network: Network, tile: int) -> None:
        self.engine = engine
        self.network = network
        self.tile = tile
        self.device = engine.device

    def tensor(self, array: Array) -> Tensor:
        return self.engine.tensor(array)

    def array(self, tensor: Tensor) -> Array:
        return self.engine.array(tensor)

    def features(
        self, image: Tensor, taps: Iterable[str], pooling: Pooling = "max", padding: FirstPadding = "zeros"
    ) -> dict[str, Tensor]:
        return self.engine.features(image, taps, pooling, padding)

    def gram(self, feature: Tensor, divisor: GramDivisor) -> Tensor:
        return self.engine.gram(feature, divisor)

    def vjp(self, recipe: Recipe, image: Tensor, taps: Taps) -> tuple[dict[str, Tensor], Vjp]:
        return self.engine.vjp(recipe, image, taps)

    def windows(self, shape: tuple[int, ...], taps: Taps) -> list[Window]:
        return windows(shape[2], shape[3], self.network, [tap for tap, _ in taps], self.tile)

    def map_shape(self, shape: tuple[int, ...], tap: str) -> tuple[int, ...]:
        """The shape of the map (1, C, H, W) of a whole picture at ``tap``."""
        layer = self.network.layer(tap)
        return (1, layer.out_channels, shape[2] >> layer.halvings, shape[3] >> layer.halvings)

    def targets(self, recipe: Recipe, content: Array, style: Array) -> Targets:
        maps: dict[str, Array] = {}
        for window in self.windows(content.shape, recipe.content_layers):
            for tap, x in self.maps(recipe, content, window, recipe.content_layers).items():
                array, halvings = self.array(x), self.network.layer(tap).halvings
                whole = maps.setdefault(tap, np.empty(self.map_shape(content.shape, tap), array.dtype))
                whole[window.crop_of(halvings)][window.core_of(halvings)] = array[window.core_of(halvings)]
        products = products_of(recipe)
        for window in self.windows(style.shape, recipe.style_layers):
            products.add(self, window, self.maps(recipe, style, window, recipe.style_layers), recipe.style_layers)
        dtype = self.array(self.tensor(np.zeros(1))).dtype
        return Targets(
            maps,
            {
                tap: (product / divisor_of(self.map_shape(style.shape, tap), recipe.gram_divisor)).astype(dtype)
                for tap, product in products.sums.items()
            },
        )

    def objective(self, recipe: Recipe, targets: Targets) -> TiledObjective:
        return TiledObjective(self, recipe, targets)

    def vjp_at(self, recipe: Recipe, whole: Array, window: Window, taps: Taps) -> tuple[dict[str, Tensor], Vjp]:
        """The maps of a window's crop, and their vector-Jacobian product with respect to the crop."""
        return self.vjp(recipe, self.tensor(whole[window.crop]), taps)

    def maps(self, recipe: Recipe, whole: Array, window: Window, taps: Taps) -> dict[str, Tensor]:
        """The maps alone. Without the product nothing else is kept of them."""
        return self.vjp_at(recipe, whole, window, taps)[0]

    def within(self, window: Window, tap: str, x: Tensor) -> Tensor:
        """A map of a crop, with 0 for everything outside the window."""
        if not window.has_halo:
            return x
        mask = np.zeros((1, 1, *x.shape[2:]))
        mask[window.core_of(self.network.layer(tap).halvings)] = 1
        return x * self.tensor(mask)


class Products:
    """X X^T by tap, added up over windows. In float64, whatever the engine's dtype, that is no worse than the whole map's."""

    def __init__(self) -> None:
        self.sums: dict[str, NDArray[np.float64]] = {}

    def add(self, engine: TiledEngine, window: Window, maps: Mapping[str, Tensor], taps: Taps) -> None:
        for tap, _ in taps:
            product = engine.array(engine.gram(engine.within(window, tap, maps[tap]), "1")).astype(np.float64)
            self.sums[tap] = self.sums.get(tap, 0) + product


class Moments(Products):
    """[X X^T | X 1] by tap, likewise. Products of float64 numbers, for roots of small eigenvalues need the digits."""

    def add(self, engine: TiledEngine, window: Window, maps: Mapping[str, Tensor], taps: Taps) -> None:
        for tap, _ in taps:
            x = engine.array(maps[tap])[window.core_of(engine.network.layer(tap).halvings)].astype(np.float64)
            x = x.reshape(x.shape[1], -1)
            sums = np.concatenate([x @ x.T, x.sum(axis=1, keepdims=True)], axis=1)
            self.sums[tap] = self.sums.get(tap, 0) + sums


def products_of(recipe: Recipe) -> Products:
    """What is added up for the style losses of ``recipe``."""
    return Moments() if recipe.style_reduction == "wasserstein" else Products()


@dataclass(frozen=True)
class Factor:
    """What takes a map X, (C, H W), to its gradient: D X + g."""

    matrix: Tensor
    #: (C, 1); None: 0.
    constant: Tensor | None = None

    def times(self, engine: TiledEngine, window: Window, tap: str, x: Tensor) -> Tensor:
        """The gradient at the window's pixels, and 0 at all others."""
        x = engine.within(window, tap, x)
        found = (self.matrix @ x.reshape((x.shape[1], -1))).reshape(x.shape)
        if self.constant is None:
            return found
        inside = engine.within(window, tap, x * 0 + 1)
        return found + inside * self.constant.reshape((1, x.shape[1], 1, 1))


class TiledObjective:
    """What a recipe minimizes, by tiles: image (1, 3, H, W) -> weighted terms and the total's gradient."""

    def __init__(self, engine: TiledEngine, recipe: Recipe, targets: Targets) -> None:
        self.engine = engine
        self.recipe = recipe
        self.targets = targets
        self.content_scales = {tap: content_scale(target, recipe.content_reduction) for tap, target in targets.content.items()}

    def __call__(self, image: Tensor) -> Evaluation:
        recipe, engine = self.recipe, self.engine
        has_gradient = {kind: kind not in recipe.without_gradient for kind in ("content", "style", "tv")}
        whole = engine.array(image)
        del image
        taps = recipe.content_layers + recipe.style_layers
        *others, last = engine.windows(whole.shape, taps)
        gradient = np.zeros_like(whole)
        with allocation.large_blocks(kept=True):
            # The first pass. The second one begins with the last window, so that its maps need not be computed again.
            products = products_of(recipe)
            for window in others:
                products.add(engine, window, engine.maps(recipe, whole, window, recipe.style_layers), recipe.style_layers)
            maps, vjp = engine.vjp_at(recipe, whole, last, taps)
            products.add(engine, last, maps, recipe.style_layers)
            style, factors = self.style(whole.shape, products, has_gradient["style"])

            content = dict.fromkeys((tap for tap, _ in recipe.content_layers), 0.0)
            for window in (last, *others):
                if window is not last:
                    maps, vjp = engine.vjp_at(recipe, whole, window, taps)
                cotangents: dict[str, Tensor] = {}
                for tap, loss, cotangent in self.content(window, maps):
                    content[tap] += loss
                    if has_gradient["content"] and cotangent is not None:
                        cotangents[tap] = cotangent
                    del cotangent
                for tap, factor in factors.items():
                    # dL/dX = 4 s w / d (G - A) X, or w (2 D X + g) / d.
                    cotangent = factor.times(engine, window, tap, maps[tap])
                    cotangents[tap] = cotangents[tap] + cotangent if tap in cotangents else cotangent
                    del cotangent
                del maps
                if cotangents:
                    gradient[window.crop] += engine.array(vjp(cotangents))
                # Keep nothing of this window while the next one is computed.
                del vjp, cotangents
        if others:
            # What the tiles leave is free for the copies of the picture that an optimizer makes.
            allocation.give_back_freed_memory()
        variations = {"absolute": total_variation, "squared": squared_variation, "half-sum": half_sum_variation}
        variation = variations[recipe.variation](whole, gradient, recipe.tv_weight * has_gradient["tv"])
        del whole
        terms = {f"content/{tap}": loss for tap, loss in content.items()}
        terms |= {f"style/{tap}": loss for tap, loss in style.items()}
        terms["tv"] = recipe.tv_weight * variation
        terms["total"] = math.fsum(terms.values())
        return Evaluation(terms, engine.tensor(gradient))

    def style(
        self, shape: tuple[int, ...], products: Products, has_gradient: bool
    ) -> tuple[dict[str, float], dict[str, Factor]]:
        """The weighted style terms by tap, and what the gradients of those that have one are made of: 4 s w / d (G - A); for
        moments 2 w / d D and w / d g."""
        recipe = self.recipe
        terms, factors = {}, {}
        for tap, weight in recipe.style_layers:
            weight *= recipe.style_weight
            of_map = self.engine.map_shape(shape, tap)
            target, divisor = self.targets.style[tap], divisor_of(of_map, recipe.gram_divisor)
            if recipe.style_reduction == "wasserstein":
                found, target = products.sums[tap] / divisor, target.astype(np.float64)
                terms[tap] = weight * wasserstein_loss(found, target)
                if has_gradient and weight > 0:
                    derivative = wasserstein_loss_gradient(found, target) * (weight / divisor)
                    factors[tap] = Factor(self.engine.tensor(2 * derivative[:, :-1]), self.engine.tensor(derivative[:, -1:]))
                continue
            scale = style_scale(of_map, target, recipe.style_reduction)
            difference = products.sums[tap] / divisor - target
            terms[tap] = float(weight * scale * np.square(difference).sum())
            if has_gradient and weight > 0:
                factors[tap] = Factor(self.engine.tensor(4 * scale * weight / divisor * difference))
        return terms, factors

    def content(self, window: Window, maps: Mapping[str, Tensor]) -> Iterator[tuple[str, float, Tensor | None]]:
        """By content tap: the window's share of the weighted term, and its gradient 2 s w (F - P); None for a weight of 0."""
        recipe, engine = self.recipe, self.engine
        for tap, weight in recipe.content_layers:
            weight *= recipe.content_weight
            scale = self.content_scales[tap]
            target = engine.tensor(self.targets.content[tap][window.crop_of(engine.network.layer(tap).halvings)])
            difference = engine.within(window, tap, maps[tap] - target)
            loss = weight * scale * float((difference * difference).sum())
            yield tap, loss, difference * (2 * scale * weight) if weight > 0 else None


def total_variation(image: Array, gradient: Array, factor: float) -> float:
    """:func:`isostyle.losses.tv_loss` by strips of rows; ``factor`` times its gradient is added to ``gradient``."""
    _, channels, height, width = image.shape
    counts = channels * (height - 1) * width, channels * height * (width - 1)
    loss = 0.0
    for top in range(0, height, STRIP):
        rows = image[:, :, top : top + STRIP + 1]  # and the first of the next strip
        down, right = np.diff(rows, axis=2), np.diff(rows[:, :, :STRIP], axis=3)
        for steps, count in zip((down, right), counts, strict=True):
            loss += 0.5 * float(np.abs(steps).sum(dtype=np.float64)) / count
        if factor:
            down, right = (np.sign(x) * (0.5 * factor / count) for x, count in zip((down, right), counts, strict=True))
            gradient[:, :, top + 1 : top + 1 + down.shape[2]] += down
            gradient[:, :, top : top + down.shape[2]] -= down
            gradient[:, :, top : top + right.shape[2], 1:] += right
            gradient[:, :, top : top + right.shape[2], :-1] -= right
    return loss


def half_sum_variation(image: Array, gradient: Array, factor: float) -> float:
    """:func:`isostyle.losses.half_sum_variation` by strips of rows; ``factor`` times its gradient is added to ``gradient``."""
    loss = 0.0
    for top in range(0, image.shape[2] - 1, STRIP):
        strip = image[:, :, top : top + STRIP + 1]  # and the next one's first row
        down, right = np.diff(strip, axis=2)[..., :-1], np.diff(strip[:, :, :-1], axis=3)
        loss += 0.5 * sum(float(np.square(steps).sum(dtype=np.float64)) for steps in (down, right))
        if factor:
            bottom = top + down.shape[2]
            gradient[:, :, top + 1 : bottom + 1, :-1] += factor * down
            gradient[:, :, top:bottom, :-1] -= factor * (down + right)
            gradient[:, :, top:bottom, 1:] += factor * right
    return loss


def squared_variation(image: Array, gradient: Array, factor: float) -> float:
    """:func:`isostyle.losses.squared_variation` by strips of rows; ``factor`` times its gradient is added to ``gradient``."""
    _, channels, height, width = image.shape
    straight, diagonal = channels * height * width, channels * (height + 1) * (width + 1)
    loss = 0.0
    # Rows of the image with its border: 0 and height + 1 are copies. A strip has the first row of the next one, too.
    for top in range(0, height + 1, STRIP):
        bottom = min(top + STRIP, height + 1)
        rows = image[:, :, np.clip(np.arange(top - 1, bottom), 0, height - 1)]
        padded = np.pad(rows, (*BORDER[:2], (0, 0), BORDER[3]), mode="edge")
        share = np.zeros_like(padded)
        for number, (weight, to, origin) in enumerate(NINE_POINTS):
            ends, begins = (strip_of(place, number, first=top == 0) for place in (to, origin))
            difference = padded[ends] - padded[begins]
            scale = 2 * weight / (straight if number < 2 else diagonal)
            loss += scale * float(np.square(difference).sum(dtype=np.float64))
            share[ends] += 2 * scale * factor * difference
            share[begins] -= 2 * scale * factor * difference
        if factor:
            share[..., 1] += share[..., 0]
            share[..., -2] += share[..., -1]
            for row, place in enumerate(np.clip(np.arange(top - 1, bottom), 0, height - 1)):
                gradient[:, :, place] += share[:, :, row, 1:-1]
    return loss


def strip_of(place: tuple[slice, ...], number: int, *, first: bool) -> tuple[slice, ...]:
    """Where a strip has the pixels that ``place`` is of a whole image, for difference ``number`` of the nine-point stencil.

    The first, along rows, leaves out copies, and the row that the next strip begins with. The others go from row to row."""
    rows = {0: slice(int(first), -1), 1: slice(1, None) if place[2].start == 2 else slice(None, -1)}.get(number, place[2])
    return (*place[:2], rows, place[3])


def parse_tile(tile: str | int) -> str | int:
    """``auto``, ``off``, or the side of a tile in pixels."""
    tile = plain(tile)
    if isinstance(tile, str):
        if tile in ("auto", "off"):
            return tile
        if not re.fullmatch(r"[0-9]{1,9}", tile):
            raise InputError(f"the tile must be auto, off or its side in pixels, not {shown(tile)}")
        tile = int(tile)
    require_count(tile, "side of a tile", "pixel")
    return tile
