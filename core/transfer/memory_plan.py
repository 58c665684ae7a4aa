"""How much memory a run will take, and the tiles (:mod:`isostyle.tiles`) with which it fits.

The estimate counts whole images, whole content maps, and for each pixel of a crop the maps that are computed there, times what
the backend needs for each of their bytes. ``python scripts/large_pictures.py CONTENT STYLE --model`` measures these numbers.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isostyle import recipe_text, tiles
from isostyle.errors import InputError
from isostyle.interface import Dtype
from isostyle.network import Network
from isostyle.recipe import LbfgsSettings, Recipe
from isostyle.system.memory import CONSTANT, allowance, text_of
from isostyle.tiles import parse_tile

#: Bytes that an evaluation holds at its peak, for each byte of the maps that it computes (the outputs of convolutions, ReLUs
#: and pools). ReLUs and pools keep theirs for the backward pass; MXNet keeps those of convolutions, too. A backend that is not
#: here gets the largest. Measured with torch 2.13, mxnet 1.9.1 and paddle 3.3 on CPUs: 1.5 to 1.8, 3.1 to 3.2 and 2.7 to 3.3
#: of whole pictures; of tiles of 768 pixels, whose maps are multiplied and added up besides, 1.4, 3.8 and 3.6.
BYTES_PER_BYTE: Mapping[str, float] = {"torch": 2.0, "mxnet": 4.2, "paddle": 4.0}
#: The most whole images that are held at a time: the last event's, the one that is evaluated, what the optimizer keeps and its
#: temporaries, or NumPy's copies of image and gradient. L-BFGS has two more for each pair of its history.
ADAM_IMAGES = 8
LBFGS_IMAGES = 10
#: The sum that an average is made of, and the average.
AVERAGE_IMAGES = 2
#: A line search has its direction, the gradient at the lower end of its bracket, and its trial.
SEARCH_IMAGES = 3
#: The side of the tiles, in pixels, for which an L-BFGS history is cut if both do not fit. Smaller tiles cost more time.
TILE_BESIDE_HISTORY = 512
#: No smaller tile is chosen, though one may be given: nearly all of the work would be in halos.
LEAST_TILE = 128


@dataclass(frozen=True)
class Choice:
    """How a run goes about its memory."""

    #: Perhaps with a shorter history.
    recipe: Recipe
    #: The side of a tile's window in pixels; None: the picture is computed whole.
    tile: int | None
    #: Bytes that the run will take, beyond what the process has already.
    estimate: int
    #: Bytes that it may take; None if nothing is known.
    limit: int | None
    #: What the user should know.
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """What decides how much memory a run takes; the sizes of both images are (height, width)."""

    recipe: Recipe
    network: Network
    backend: str
    dtype: Dtype
    content: tuple[int, int]
    style: tuple[int, int]

    def bytes(self, tile: int | None, history: int | None = None) -> int:
        """Bytes that a run takes, in tiles or whole, perhaps with a shorter history than the recipe's."""
        recipe, item = self.recipe, {"float32": 4, "float64": 8}[self.dtype]
        style_layers, content_layers = ([tap for tap, _ in taps] for taps in (recipe.style_layers, recipe.content_layers))
        crops = max(
            self.crop(self.content, recipe.taps, tile) * maps_of(self.network, recipe.taps),
            self.crop(self.style, style_layers, tile) * maps_of(self.network, style_layers),
        )
        computed = crops * BYTES_PER_BYTE.get(self.backend, max(BYTES_PER_BYTE.values()))
        layers = [self.network.layer(tap) for tap in content_layers]
        # Of targets, NumPy's array; and the engine's tensor, where the picture is computed whole.
        targets = sum(layer.out_channels * area(self.content, layer.halvings) for layer in layers) * (2 if tile is None else 1)
        images = self.images(history)
        # Before the run: both pictures, the start, and the content map.
        held = max(images * area(self.content), 3 * area(self.content) + area(self.style)) * 3
        return CONSTANT + math.ceil(item * (computed + targets + held))

    def images(self, history: int | None) -> int:
        """Whole images that are held at a time."""
        optimizer, recipe = self.recipe.optimizer, self.recipe
        if not isinstance(optimizer, LbfgsSettings):
            return ADAM_IMAGES + AVERAGE_IMAGES * (recipe.average_decay > 0)
        pairs = min(optimizer.history if history is None else history, recipe.most_updates)
        return LBFGS_IMAGES + SEARCH_IMAGES * recipe.searches + 2 * pairs

    def crop(self, size: tuple[int, int], taps: Iterable[str], tile: int | None) -> int:
        """Pixels of the largest crop that is computed at a time."""
        if tile is None:
            return area(size)
        return math.prod(max(span.last - span.first for span in axis) for axis in self.axes(size, taps, tile))

    def axes(self, size: tuple[int, int], taps: Iterable[str], tile: int) -> list[list[tiles.Span]]:
        """Rows and columns of the windows: every row with every column is one."""
        taps = tuple(taps)
        grid, halo = tiles.grid_of(self.network, taps), tiles.halo_of(self.network, taps)
        return [tiles.spans(side, tile, grid, halo) for side in size]

    def count(self, size: tuple[int, int], taps: Iterable[str], tile: int) -> int:
        """How many windows there are."""
        return math.prod(len(axis) for axis in self.axes(size, taps, tile))

    def smallest(self) -> int:
        """The side of the smallest tile that is chosen: at least as wide as its halo."""
        return max(tiles.halo_of(self.network, self.recipe.taps), LEAST_TILE)

    def largest(self, limit: int, history: int | None = None) -> int | None:
        """The largest side of a tile with which the run fits; None if it never does."""
        grid, smallest = tiles.grid_of(self.network, self.recipe.taps), self.smallest()
        found = None
        low, high = 0, max(0, max(*self.content, *self.style) - smallest) // grid
        while low <= high:  # what it takes grows with the tile, but for rounding
            middle = (low + high) // 2
            if self.bytes(smallest + middle * grid, history) <= limit:
                found, low = smallest + middle * grid, middle + 1
            else:
                high = middle - 1
        return found


def choose(model: Model, tile: str | int, max_memory: str | int | None, *, on_cpu: bool = True) -> Choice:
    """The tile, and the length of an L-BFGS history, for which a run fits into memory.

    Args:
        tile: ``"auto"``: none if the run fits whole, else the largest that fits; ``"off"``; or its side in pixels.
        max_memory: of the whole process, as ``"4GiB"`` or in bytes; None: nine tenths of what is free.
        on_cpu: whether tensors live in the memory that the system tells of.

    Raises:
        InputError: an argument cannot be used, or nothing fits.
    """
    side = parse_tile(tile)
    limit, allowed = allowance(max_memory, on_cpu=on_cpu, ask=side == "auto")
    if limit is None or side != "auto":
        return as_given(model, side if isinstance(side, int) else None, limit, allowed)
    whole = model.bytes(None)
    if whole <= limit:
        return Choice(model.recipe, None, whole, limit)
    why = f"as a whole it would take about {text_of(whole)}, more than {allowed}"
    largest = model.largest(limit)
    remembers = isinstance(model.recipe.optimizer, LbfgsSettings)
    if largest is not None and (largest >= TILE_BESIDE_HISTORY or not remembers):
        return Choice(model.recipe, largest, model.bytes(largest), limit, (told(model, largest, why),))
    # Rather a shorter history than small tiles: these as with one pair, and then as many pairs as there is room for.
    if remembers and (most := model.largest(limit, 1)) is not None:
        for found in (min(most, max(model.smallest(), TILE_BESIDE_HISTORY)), most):
            if (history := fitting_history(model, found, limit)) is not None:
                return shortened(model, found, history, limit, (told(model, found, why),))
    smallest = model.smallest()
    least = text_of(model.bytes(smallest, 1))
    instead = f"; a tile of {smallest} is tried all the same if you ask for it" if max_memory is None else ", or a larger limit"
    raise InputError(
        f"even in tiles of {smallest} pixels the run would take about {least}, more than {allowed}; "
        f"choose a smaller size{instead}"
    )


def as_given(model: Model, tile: int | None, limit: int | None, allowed: str) -> Choice:
    """The tile that was given, or none; with a shorter history if that makes it fit.

    Raises:
        InputError: it does not fit.
    """
    taken = model.bytes(tile)
    lines = () if tile is None else narrow(model, tile)
    if limit is None or taken <= limit:
        return Choice(model.recipe, tile, taken, limit, lines)
    history = fitting_history(model, tile, limit)
    if history is None:
        how = "the picture as a whole" if tile is None else f"tiles of {tile} pixels"
        raise InputError(
            f"{how} would take about {text_of(taken)}, more than {allowed}; try tiles that are chosen (auto), or a larger limit"
        )
    return shortened(model, tile, history, limit, lines)


def told(model: Model, tile: int, why: str) -> str:
    """The line that says that a picture is computed in tiles."""
    count = model.count(model.content, model.recipe.taps, tile)
    halo = tiles.halo_of(model.network, model.recipe.taps)
    return f"in {count} tiles of at most {tile}x{tile} pixels, each with a halo of {halo}: {why}"


def narrow(model: Model, tile: int) -> tuple[str, ...]:
    """A line if a tile that was given is narrower than its halo, and the picture has more than one."""
    halo = tiles.halo_of(model.network, model.recipe.taps)
    if tile >= halo or all(len(axis) == 1 for axis in model.axes(model.content, model.recipe.taps, tile)):
        return ()
    return (f"tiles of {tile} pixels are narrower than their halo of {halo}: most of the work is done more than once",)


def fitting_history(model: Model, tile: int | None, limit: int) -> int | None:
    """The longest L-BFGS history that fits; None if not even one pair does, or the optimizer has none."""
    settings = model.recipe.optimizer
    if not isinstance(settings, LbfgsSettings):
        return None
    # What is held before the run may be more than the first pairs take, which then cost nothing: so try, and do not divide.
    lengths = range(1, settings.history + 1)
    return bisect.bisect_right(lengths, limit, key=lambda length: model.bytes(tile, length)) or None


def shortened(model: Model, tile: int | None, history: int, limit: int, lines: tuple[str, ...]) -> Choice:
    """A choice with a history that is no longer than ``history``, and a line if that makes it shorter."""
    settings = model.recipe.optimizer
    assert isinstance(settings, LbfgsSettings)
    if history >= settings.history:
        return Choice(model.recipe, tile, model.bytes(tile), limit, lines)
    line = f"L-BFGS keeps {history} pair{'s' * (history > 1)} and not {settings.history}: no more fit into memory"
    changed = dataclasses.replace(model.recipe, optimizer=dataclasses.replace(settings, history=history))
    recipe = recipe_text.named(changed, model.recipe)
    return Choice(recipe, tile, model.bytes(tile, history), limit, (*lines, line))


def maps_of(network: Network, taps: Iterable[str]) -> float:
    """Values of all maps up to the deepest of ``taps``, for each pixel of the image."""
    return math.fsum(layer.out_channels / 4**layer.halvings for layer in network.cut(taps))


def area(size: tuple[int, int], halvings: int = 0) -> int:
    """Pixels of a map, behind so many pools."""
    return (size[0] >> halvings) * (size[1] >> halvings)
