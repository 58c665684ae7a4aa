"""TIFF files whose colors are floats: Pillow reads floats of gray, so the file is told to be gray and three times as wide."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Tags (TIFF 6.0), in the order in which they stand in a file.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION = 256, 257, 258, 259, 262, 274
SAMPLES, PLANAR, PREDICTOR, TILE_WIDTH, EXTRA, FORMAT = 277, 284, 317, 322, 338, 339
GRAY, RGB, FLOATS, FLOAT_BITS, TOGETHER = 1, 2, 3, 32, 1
#: What TargetPrinter is to Pillow and to libtiff: nothing. It takes the place of EXTRA.
UNUSED = 337
#: Alpha, premultiplied or not, among the kinds of extra samples.
ALPHAS = (1, 2)
NO_PREDICTOR, DIFFERENCES, FLOAT_PREDICTOR = 1, 2, 3
#: Bytes of a value, by type: SHORT and LONG.
SIZES = {3: 2, 4: 4}
MOST_ENTRIES = 1000


@dataclass(frozen=True, eq=False)
class AsGray:
    """A file that Pillow reads, and how its rows become pixels."""

    data: bytes
    width: int
    height: int
    #: Of a pixel: 3, or 4.
    samples: int
    has_alpha: bool
    predictor: int
    orientation: int

    def restored(self, wide: NDArray[np.float32]) -> NDArray[Any]:
        """(H, W * samples) as upright floats of shape (H, W, samples)."""
        values = np.ascontiguousarray(wide, np.float32)
        if self.predictor == DIFFERENCES:
            whole = values.view(np.uint32).reshape(self.height, self.width, self.samples)
            values = whole.cumsum(axis=1, dtype=np.uint32).view(np.float32)
        elif self.predictor == FLOAT_PREDICTOR:
            # Adobe's technical note 3: the bytes of a row, differences over a pixel; first all upper ones.
            parts = values.view(np.uint8).reshape(self.height, -1, self.samples).cumsum(axis=1, dtype=np.uint8)
            planes = parts.reshape(self.height, 4, self.width * self.samples)
            values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(">f4").astype(np.float32)
        return turned(values.reshape(self.height, self.width, self.samples), self.orientation)


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Upright, by the tag Orientation."""
    turns: dict[int, Callable[[], NDArray[Any]]] = {
        2: lambda: values[:, ::-1],
        3: lambda: values[::-1, ::-1],
        4: lambda: values[::-1],
        5: lambda: values.transpose(1, 0, 2),
        6: lambda: np.rot90(values, -1),
        7: lambda: values[::-1, ::-1].transpose(1, 0, 2),
        8: lambda: np.rot90(values),
    }
    return turns[orientation]() if orientation in turns else values


def as_gray(data: bytes) -> AsGray | None:
    """The file with other words in its head; None if it is no TIFF with colors as floats of 32 bits.

    Raises:
        struct.error, ValueError: it is broken, or is one of a kind that cannot be read; the message is a clause.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    places: dict[int, int] = {}
    found: dict[int, tuple[int, ...]] = {}
    for place in range(start + 2, start + 2 + 12 * min(count, MOST_ENTRIES), 12):
        tag, kind, length, offset = struct.unpack_from(f"{order}HHII", data, place)
        places[tag] = place
        if kind in SIZES and length <= 8:
            where = place + 8 if length * SIZES[kind] <= 4 else offset
            found[tag] = struct.unpack_from(f"{order}{length}{'H' if kind == 3 else 'I'}", data, where)

    def one(tag: int, otherwise: int) -> int:
        return (found.get(tag) or (otherwise,))[0]

    samples, extra = one(SAMPLES, 1), found.get(EXTRA, ())
    of_floats = set(found.get(FORMAT, ())) == {FLOATS} and set(found.get(BITS, ())) == {FLOAT_BITS}
    if one(PHOTOMETRIC, GRAY) != RGB or not of_floats or samples not in (3, 4) or not {WIDTH, HEIGHT} <= found.keys():
        return None
    if one(PLANAR, TOGETHER) != TOGETHER:
        raise ValueError("its colors stand apart from each other (PlanarConfiguration 2), which is not read for floats")
    predictor = one(PREDICTOR, NO_PREDICTOR)
    if predictor == FLOAT_PREDICTOR and order == ">":
        raise ValueError("it is big-endian with a floating-point predictor, which is not read")
    if predictor != NO_PREDICTOR and TILE_WIDTH in found:
        raise ValueError("it has tiles and a predictor, which is not read for floats")
    changed = bytearray(data)

    def say(tag: int, value: int, name: int | None = None) -> None:
        """One value, a LONG, in the entry of a tag, if there is one."""
        if tag in places:
            struct.pack_into(f"{order}HHII", changed, places[tag], name or tag, 4, 1, value)

    def say_short(tag: int, value: int, name: int | None = None) -> None:
        if tag in places:
            struct.pack_into(f"{order}HHIHH", changed, places[tag], name or tag, 3, 1, value, 0)

    width, height = one(WIDTH, 0), one(HEIGHT, 0)
    say(WIDTH, width * samples)
    say(TILE_WIDTH, one(TILE_WIDTH, 0) * samples)
    for tag, value in ((BITS, FLOAT_BITS), (PHOTOMETRIC, GRAY), (SAMPLES, 1), (FORMAT, FLOATS), (ORIENTATION, 1)):
        say_short(tag, value)
    say_short(PREDICTOR, NO_PREDICTOR)
    say_short(EXTRA, 0, UNUSED)
    return AsGray(bytes(changed), width, height, samples, bool(extra) and extra[0] in ALPHAS, predictor, one(ORIENTATION, 1))
