"""How much memory a picture takes on its way through a style network, and the tiles that fit.

The estimate is a model: the maps that are held at the peak, times what the backend needs for each of their bytes.
``python scripts/style_memory.py --model`` measures the numbers below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from isostyle.errors import InputError
from isostyle.interface import Dtype
from isostyle.system.memory import CONSTANT, text_of
from isostyle.transform_network import TransformNetwork

#: Sides of tiles that ``tile="auto"`` chooses from. Larger ones than the first save nothing: what a tile computes beyond itself
#: is 3 % of it.
TILES = (512, 256, 128, 64)
#: On a CPU, ``tile="auto"`` computes larger pictures in tiles in any case. They take no longer, because their maps fit into the
#: cache (``python scripts/style_memory.py --tile 512``, and ``off``), and need a fraction of the memory.
WHOLE_PIXELS = 2**20
#: Not with these: in tiles they take two to three times as long, since each tile is a call of its own.
WHOLE_IF_IT_FITS = ("onnx",)
#: Pillow's RGB takes four bytes a pixel: of the picture, of the output, and of the picture that is decoded meanwhile.
PILLOW_BYTES = 3 * 4
#: What an output of 16 bits takes besides.
DEEP_BYTES = 3 * 2
#: Of a picture computed as a whole: bytes that are held at the peak, for each byte of the maps that the stages make; and of
#: one in tiles, for each byte of a tile's largest map. Of a backend that is not here, the largest.
#: ``python scripts/style_memory.py --model`` measures them: with torch 2.15, mxnet 1.9.1 and paddle 3.3 on an AVX2 CPU 1.6, 2.2
#: and 5.2 in the program, which keeps freed memory, and 2.8, 3.6 and 15.4 where that goes back to the system; 4.2, 7.7 and 43.9
#: (Paddle's convolutions copy each pixel as often as their kernel has places). onnxruntime 1.32 keeps it always: 0.9, of
#: odd sizes 1.4, and 8.3.
WHOLE_BYTES: Mapping[str, float] = {"torch": 3.4, "mxnet": 4.3, "paddle": 18.5, "onnx": 1.7}
TILE_BYTES: Mapping[str, float] = {"torch": 5.0, "mxnet": 9.3, "paddle": 53.0, "onnx": 10.0}
#: Of whole maps that tiles keep: bytes for each of theirs. 1.15 was seen (torch), for what lies between them.
KEPT_BYTES = 1.2

Size = tuple[int, int]


@dataclass(frozen=True)
class TileChoice:
    """How a picture of one size goes through a style network."""

    #: The side of a tile in pixels; None: the picture is computed whole.
    tile: int | None
    #: Bytes that the picture will take, beyond what the process has already.
    estimate: int
    #: What the user should know.
    line: str | None = None


@dataclass(frozen=True)
class Demand:
    """What pictures take that go through a style network, in one backend."""

    network: TransformNetwork
    backend: str
    dtype: Dtype
    #: Whether outputs of 16 bits are kept, or were before they got other colors.
    deep: bool = False

    def bytes(self, size: Size, tile: int | None) -> int:
        """Of a picture of ``size`` (height, width), whole or in tiles, beyond what the process has already."""
        item, area = {"float32": 4, "float64": 8}[self.dtype], math.prod(size)
        full, half, quarter = self.network.widths
        beside = CONSTANT + DEEP_BYTES * area * self.deep
        if tile is None:
            # All stages' outputs: down1 and up2, down2 and up1, down3 and the blocks; and the picture, before and behind them.
            maps = 2 * full + 2 * half / 4 + (1 + 2 * self.network.blocks) * quarter / 16 + 2 * 3
            return beside + math.ceil(area * (item * maps * most(WHOLE_BYTES, self.backend) + PILLOW_BYTES))
        kept = item * kept_values(self.network) * KEPT_BYTES + PILLOW_BYTES
        # Of the map that a tile of up2 reads, or one of a block with half the side.
        largest = max(half, full, quarter / 4) * min(area, tile**2)
        return beside + math.ceil(area * kept + item * largest * most(TILE_BYTES, self.backend))


def choose_tile(demand: Demand, size: Size, side: str | int, limit: int | None, allowed: str, *, on_cpu: bool) -> TileChoice:
    """The tile with which a picture of ``size`` (height, width) fits into memory.

    Args:
        side: ``"auto"``: the largest that fits, or none; ``"off"``; or the side of a tile in pixels.
        limit: bytes that the picture may take; None if nothing is known.
        allowed: what a message calls them.
        on_cpu: whether the picture is computed on a CPU.

    Raises:
        InputError: nothing fits.
    """
    if side != "auto":
        return given_tile(demand, size, None if isinstance(side, str) else side, limit, allowed)
    large = on_cpu and math.prod(size) > WHOLE_PIXELS and demand.backend not in WHOLE_IF_IT_FITS
    candidates = TILES if large else (None, *TILES)
    tile = next((tile for tile in candidates if limit is None or demand.bytes(size, tile) <= limit), 0)
    if tile == 0:
        least = text_of(demand.bytes(size, TILES[-1]))
        raise InputError(
            f"even in tiles of {TILES[-1]} pixels the picture would take about {least}, more than {allowed}; shrink it with "
            "--long-side"
        )
    line = None
    if tile != candidates[0]:
        how, taken = "in larger ones" if large else "as a whole", text_of(demand.bytes(size, candidates[0]))
        line = f"in tiles of at most {tile}x{tile} pixels: {how} it would take about {taken}, more than {allowed}"
    return TileChoice(tile, demand.bytes(size, tile), line)


def given_tile(demand: Demand, size: Size, tile: int | None, limit: int | None, allowed: str) -> TileChoice:
    """The tile that the user asked for, None if none.

    Raises:
        InputError: it does not fit.
    """
    taken = demand.bytes(size, tile)
    if limit is not None and taken > limit:
        how = "the picture as a whole" if tile is None else f"tiles of {tile} pixels"
        raise InputError(f"{how} would take about {text_of(taken)}, more than {allowed}; try --tile auto")
    return TileChoice(tile, taken)


def kept_values(network: TransformNetwork) -> float:
    """Values for each pixel of the picture that tiles keep as whole maps, at the peak.

    At half and a quarter of its size together (``down3`` and ``up1`` read one and make the other), or three at a quarter (a
    block reads one, makes one, and adds a third); and ``down2``'s map, if ``up1`` adds it.
    """
    _, half, quarter = network.widths
    return max(half / 4 + quarter / 16, (3 if network.blocks else 1) * quarter / 16) + (half / 4 if network.skips else 0)


def most(table: Mapping[str, float], backend: str) -> float:
    """A backend's number; the largest if it is not in the table."""
    return table.get(backend, max(table.values()))
