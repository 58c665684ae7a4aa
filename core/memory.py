"""How much memory a run will take, how much there is, and the tiles (:mod:`isostyle.tiles`) that fit.

The estimate is a model: whole images, whole content maps, and for each pixel of a crop the maps that are computed there, times
what the backend needs for each of their bytes. ``python scripts/large_pictures.py CONTENT STYLE --model`` measures the
numbers below.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isostyle import allocation, recipe_text, tiles
from isostyle.errors import InputError, shown
from isostyle.interface import Dtype
from isostyle.network import Network
from isostyle.recipe import LbfgsSettings, Recipe, require_count

#: Bytes that an evaluation holds at its peak, for each byte of the maps that it computes (the outputs of convolutions, ReLUs
#: and pools): ReLUs and pools keep theirs for the way back, MXNet keeps those of convolutions, too. Of a backend that is not
#: here, the largest. Measured with torch 2.13, mxnet 1.9.1 and paddle 3.3 on an AVX2 CPU: 1.8, 3.2 and 2.7 of whole pictures;
#: of tiles of 768 pixels, whose maps are multiplied and added up besides, 1.4, 3.8 and 3.6.
BYTES_PER_BYTE: Mapping[str, float] = {"torch": 2.0, "mxnet": 4.2, "paddle": 4.0}
#: Buffers that depend on no picture, and memory that was freed in pieces into which nothing larger fits: programs keep what is
#: freed (:mod:`isostyle.allocation`).
CONSTANT = 256 * 2**20
#: Whole images that are held at the same time at most: the last event's, the one that is evaluated, what the optimiser keeps
#: and its temporaries, or NumPy's copies of image and gradient. L-BFGS has two more for each pair of its history.
ADAM_IMAGES = 8
LBFGS_IMAGES = 10
#: A line search has its direction, the gradient at the lower end of its bracket, and its trial.
SEARCH_IMAGES = 3
#: Of what is free, the share that isostyle allows itself.
SHARE_OF_FREE = 0.9
#: The side of the tiles, in pixels, for which an L-BFGS history is cut if both do not fit: smaller ones cost more time.
TILE_BESIDE_HISTORY = 512
#: No smaller tile is chosen, though one may be given: nearly all of the work would be in halos.
LEAST_TILE = 128

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
Size = tuple[int, int]


@dataclass(frozen=True)
class Choice:
    """How a run goes about its memory."""

    #: With a shorter history, perhaps.
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
    """What a run takes: a recipe, on a network, in a backend, with images of these sizes (height, width)."""

    recipe: Recipe
    network: Network
    backend: str
    dtype: Dtype
    content: Size
    style: Size

    def bytes(self, tile: int | None, history: int | None = None) -> int:
        """Of a run in tiles, or whole; with a shorter history than the recipe's."""
        recipe, item = self.recipe, {"float32": 4, "float64": 8}[self.dtype]
        style_taps, content_taps = ([tap for tap, _ in taps] for taps in (recipe.style_taps, recipe.content_taps))
        crops = max(
            self.crop(self.content, recipe.taps, tile) * maps_of(self.network, recipe.taps),
            self.crop(self.style, style_taps, tile) * maps_of(self.network, style_taps),
        )
        computed = crops * BYTES_PER_BYTE.get(self.backend, max(BYTES_PER_BYTE.values()))
        layers = [self.network.layer(tap) for tap in content_taps]
        # Of targets, NumPy's array; and the engine's tensor, where the picture is computed whole.
        targets = sum(layer.out_channels * area(self.content, layer.halvings) for layer in layers) * (2 if tile is None else 1)
        images = ADAM_IMAGES
        if isinstance(recipe.optimiser, LbfgsSettings):
            images = (
                LBFGS_IMAGES
                + SEARCH_IMAGES * recipe.searches
                + 2 * min(recipe.optimiser.history if history is None else history, recipe.most_updates)
            )
        # Before the run: both pictures, the start, and the content map.
        held = max(images * area(self.content), 3 * area(self.content) + area(self.style)) * 3
        return CONSTANT + math.ceil(item * (computed + targets + held))

    def crop(self, size: Size, taps: Iterable[str], tile: int | None) -> int:
        """Pixels of the largest crop that is computed at a time."""
        if tile is None:
            return area(size)
        return math.prod(max(span.last - span.first for span in axis) for axis in self.axes(size, taps, tile))

    def axes(self, size: Size, taps: Iterable[str], tile: int) -> list[list[tiles.Span]]:
        """Rows and columns of the windows: every row with every column is one."""
        taps = tuple(taps)
        grid, halo = tiles.grid_of(self.network, taps), tiles.halo_of(self.network, taps)
        return [tiles.spans(side, tile, grid, halo) for side in size]

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
    whole = model.bytes(None)
    given = None if isinstance(side, str) else side
    if limit is None or side == "off" or given is not None:
        taken = model.bytes(given)
        lines = () if given is None else narrow(model, given)
        if limit is not None and taken > limit:
            how = "the picture as a whole" if given is None else f"tiles of {given} pixels"
            history = fitting_history(model, given, limit)
            if history is None:
                raise InputError(
                    f"{how} would take about {text_of(taken)}, more than {allowed}; try --tile auto, or a larger --max-memory"
                )
            return shortened(model, given, history, limit, lines)
        return Choice(model.recipe, given, taken, limit, lines)
    if whole <= limit:
        return Choice(model.recipe, None, whole, limit)
    why = f"as a whole it would take about {text_of(whole)}, more than {allowed}"
    remembers = isinstance(model.recipe.optimiser, LbfgsSettings)
    found = model.largest(limit)
    if found is not None and (found >= TILE_BESIDE_HISTORY or not remembers):
        return Choice(model.recipe, found, model.bytes(found), limit, (told(model, found, why),))
    # Rather a shorter history than small tiles: these as with one pair, and then as many pairs as there is room for.
    if remembers and (most_of := model.largest(limit, 1)) is not None:
        for found in (min(most_of, max(model.smallest(), TILE_BESIDE_HISTORY)), most_of):
            if (history := fitting_history(model, found, limit)) is not None:
                return shortened(model, found, history, limit, (told(model, found, why),))
    least = model.bytes(model.smallest(), 1)
    instead = f"--tile {model.smallest()} tries it all the same" if max_memory is None else "or a larger --max-memory"
    raise InputError(
        f"even in tiles of {model.smallest()} pixels the run would take about {text_of(least)}, more than {allowed}; "
        f"choose a smaller --size{';' if max_memory is None else ','} {instead}"
    )


def allowance(max_memory: str | int | None, *, on_cpu: bool, ask: bool) -> tuple[int | None, str]:
    """Bytes that may be taken beyond what the process has already, and what to call them; None if there is no limit.

    Args:
        max_memory: of the whole process, as :func:`choose` has it.
        ask: whether the system is asked what is free, where ``max_memory`` does not say.

    Raises:
        InputError: ``max_memory`` cannot be used.
    """
    most = None if max_memory is None else parse(max_memory)
    if on_cpu and (most is not None or ask):
        # What a run before this one has left is free, although the process still has it.
        allocation.give_back_freed_memory()
    if most is not None:
        used = resident() if on_cpu else 0
        if most <= used:
            raise InputError(
                f"the {text_of(most)} of --max-memory are less than the {text_of(used)} that the program takes before it begins"
            )
        if not used:
            return most, f"the {text_of(most)} of --max-memory"
        return most - used, f"the {text_of(most - used)} that --max-memory leaves ({text_of(most)}, {text_of(used)} in use)"
    free = available() if on_cpu and ask else None
    if free is None:
        return None, ""
    limit = int(SHARE_OF_FREE * free)
    return limit, f"the {text_of(limit)} that can be used"


def told(model: Model, tile: int, why: str) -> str:
    count = math.prod(len(axis) for axis in model.axes(model.content, model.recipe.taps, tile))
    halo = tiles.halo_of(model.network, model.recipe.taps)
    return f"in {count} tiles of at most {tile}x{tile} pixels, each with a halo of {halo}: {why}"


def narrow(model: Model, tile: int) -> tuple[str, ...]:
    """A line if a tile that was given is narrower than its halo, and the picture has more than one."""
    halo = tiles.halo_of(model.network, model.recipe.taps)
    if tile >= halo or all(len(axis) == 1 for axis in model.axes(model.content, model.recipe.taps, tile)):
        return ()
    return (f"tiles of {tile} pixels are narrower than their halo of {halo}: most of the work is done more than once",)


def fitting_history(model: Model, tile: int | None, limit: int) -> int | None:
    """The longest L-BFGS history that fits; None if not even one pair does, or the optimiser has none."""
    settings = model.recipe.optimiser
    if not isinstance(settings, LbfgsSettings):
        return None
    # What is held before the run may be more than the first pairs take, so that they cost nothing: tried, and not divided.
    lengths = range(1, settings.history + 1)
    return bisect.bisect_right(lengths, limit, key=lambda length: model.bytes(tile, length)) or None


def shortened(model: Model, tile: int | None, history: int, limit: int, lines: tuple[str, ...]) -> Choice:
    settings = model.recipe.optimiser
    assert isinstance(settings, LbfgsSettings)
    if history >= settings.history:
        return Choice(model.recipe, tile, model.bytes(tile), limit, lines)
    line = f"L-BFGS keeps {history} pair{'s' * (history > 1)} and not {settings.history}: no more fit into memory"
    changed = dataclasses.replace(model.recipe, optimiser=dataclasses.replace(settings, history=history))
    recipe = recipe_text.named(changed, model.recipe)
    return Choice(recipe, tile, model.bytes(tile, history), limit, (*lines, line))


def maps_of(network: Network, taps: Iterable[str]) -> float:
    """Values of all maps up to the deepest of ``taps``, for each pixel of the image."""
    return math.fsum(layer.out_channels / 4**layer.halvings for layer in network.cut(taps))


def area(size: Size, halvings: int = 0) -> int:
    return (size[0] >> halvings) * (size[1] >> halvings)


def parse_tile(tile: str | int) -> str | int:
    """``auto``, ``off``, or the side of a tile in pixels."""
    if isinstance(tile, str):
        if tile in ("auto", "off"):
            return tile
        if not re.fullmatch(r"[0-9]{1,9}", tile):
            raise InputError(f"the tile must be auto, off or its side in pixels, not {shown(tile)}")
        tile = int(tile)
    require_count(tile, "side of a tile", "pixel")
    return tile


def parse(amount: str | int) -> int:
    """Bytes, from a number of them or from a text as ``4GiB``, ``512 MiB`` or ``1.5GB``."""
    if isinstance(amount, int) and not isinstance(amount, bool) and amount > 0:
        return amount
    if isinstance(amount, str):
        units = {unit.lower(): size for unit, size in UNITS.items()}
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]i?B)", amount.strip(), flags=re.IGNORECASE)
        if found and (count := int(float(found[1]) * units[found[2].lower()])) > 0:
            return count
    raise InputError(f"the memory must be a number with KiB, MiB, GiB, MB or GB, as 4GiB, not {shown(amount)}")


def text_of(count: int) -> str:
    """4.2 GiB, 310 MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(count, 0) / 2**20:.0f} MiB"


# What the system tells


def resident() -> int:
    """Bytes of memory that this process has now; where only its peak is known (not Linux), that; 0 if nothing is."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return peak() or 0


def peak() -> int | None:
    """Largest resident size that this process has had, in bytes; None where the system does not tell (Windows).

    Linux counts what the parent had before it started this process into getrusage's, and not into VmHWM.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def available(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that can be had without swapping: what Linux says is available, and no more than this process's control groups
    allow; elsewhere all of the machine's memory; None if nothing is known."""
    try:
        fields = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
        found = [int(fields["MemAvailable"].split()[0]) * 1024]
    except (OSError, ValueError, KeyError, IndexError):
        try:
            found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
        except (OSError, ValueError, AttributeError):
            return None
    return max(0, min(found + list(left_in_groups(proc, cgroups))))


def left_in_groups(proc: Path, cgroups: Path) -> Iterable[int]:
    """What each control group above this process leaves (version 2: memory.max; version 1: memory.limit_in_bytes)."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        limit, usage = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        place = root / path.lstrip("/")
        # In a container the path may be the host's, which is not there; then the root is the container's own.
        for group in (place, *place.parents):
            try:
                # Files that are only cached count as usage, and go when memory is needed.
                statistics = dict(row.split() for row in (group / "memory.stat").read_text().splitlines())
                cached = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
                yield int((group / limit).read_text()) - int((group / usage).read_text()) + cached
            except (OSError, ValueError):
                pass  # no such file, or "max": no limit
            if group == root:
                break
