"""``isostyle.apply``: a picture through a style network, in one pass.

>>> import isostyle
>>> isostyle.apply("oil", "photo.jpg").picture.save("out.png")  # doctest: +SKIP

:class:`Applier` is the same for many pictures: the network goes to the device once.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isostyle import registry, tiles
from isostyle._version import __version__
from isostyle.checks import require_count
from isostyle.errors import InputError, IsostyleError, shown
from isostyle.images import arrays, decode, encode
from isostyle.images.decode import ImageLike, PictureIn, describe, read_picture
from isostyle.images.deep import Deep, Pixels, Rounded, rounded
from isostyle.images.encode import Finished
from isostyle.images.options import BITS, QUALITY, PictureOptions
from isostyle.interface import Array, Dtype
from isostyle.recipe import LongSide
from isostyle.registry import choose_device, failure
from isostyle.style_networks import file as style_network
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.tiles import TiledTransform
from isostyle.system import allocation, memory
from isostyle.system.files import require_folder
from isostyle.system.versions import versions
from isostyle.transform_network import TransformNetwork

MANIFEST_SCHEMA = "isostyle.applied/1"
#: Sides of tiles that ``tile="auto"`` chooses from. Larger ones than the first save nothing: what a tile computes beyond itself
#: is 3 % of it.
TILES = (512, 256, 128, 64)
#: On a CPU, ``tile="auto"`` computes larger pictures in tiles in any case: as soon done (what is computed twice is made up for
#: by maps that fit into the cache: ``python scripts/style_memory.py --tile 512``, and ``off``), with a fraction of the memory.
WHOLE_PIXELS = 2**20
#: Pillow's pixels: RGB takes four bytes. Of the picture, of the output, and of the picture that is decoded meanwhile.
PILLOW_BYTES = 3 * 4
#: What an output of 16 bits takes beside.
DEEP_BYTES = 3 * 2
#: What can be done when memory does not suffice all the same.
LESS_MEMORY = "try a smaller --long-side, a smaller --tile, or a lower --max-memory"
#: Buffers that depend on no picture, as in :mod:`isostyle.transfer.memory_plan`.
CONSTANT = memory.CONSTANT
#: Of a picture computed as a whole: bytes that are held at the peak, for each byte of the maps that the stages make; and of
#: one in tiles, for each byte of a tile's largest map. Of a backend that is not here, the largest.
#: ``python scripts/style_memory.py --model`` measures them: with torch 2.15, mxnet 1.9.1 and paddle 3.3 on an AVX2 CPU 1.6, 2.2
#: and 5.2 in the program, which keeps freed memory, and 2.8, 3.6 and 15.4 where that goes back to the system; 4.2, 7.7 and 43.9
#: (Paddle's convolutions copy each pixel as often as their kernel has places).
WHOLE_BYTES: Mapping[str, float] = {"torch": 3.4, "mxnet": 4.3, "paddle": 18.5}
TILE_BYTES: Mapping[str, float] = {"torch": 5.0, "mxnet": 9.3, "paddle": 53.0}
#: Of whole maps that tiles keep: bytes for each of theirs. 1.15 was seen (torch), for what lies between them.
KEPT_BYTES = 1.2


@dataclass(frozen=True)
class Applied:
    """A picture that went through a style network."""

    #: RGB, 8 bits, of the size of what was given.
    picture: Image.Image
    #: Digests, sizes, versions, time and memory, ready for JSON.
    manifest: dict[str, Any]
    #: The picture with all that a file of it may hold.
    finished: Finished

    def save(
        self, path: str | os.PathLike[str], *, bits: int = 8, alpha: str = "keep", quality: int = QUALITY, strip: bool = False
    ) -> None:
        """As :meth:`isostyle.Result.save`. For 16 bits :func:`apply` must have made them.

        Raises:
            InputError: an argument cannot be used, or there is no such folder.
            OSError, ValueError: it cannot be written.
        """
        require_folder(Path(path))
        encode.save(self.finished, Path(path), PictureOptions(alpha, bits, quality, strip))


def apply(
    style: str | os.PathLike[str] | StyleNetwork,
    picture: ImageLike,
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    tile: str | int = "auto",
    max_memory: str | int | None = None,
    long_side: int | None = None,
    dtype: Dtype = "float32",
    bits: int = 8,
    log: Callable[[str], None] | None = None,
) -> Applied:
    """Paint ``picture`` in the one style that a network was trained for.

    Args:
        style: the name of a network that ships (`isostyle styles`), a ``.safetensors`` file that `isostyle train` wrote, or a
            :class:`isostyle.style_networks.file.StyleNetwork`.
        picture: a path, the bytes of a file, a PIL image, or an array, as :func:`isostyle.stylize` has them.
        backend: ``torch``, ``paddle``, ``mxnet``, a third party's, or ``auto``: the first that is installed.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        threads: CPU threads; by default ``OMP_NUM_THREADS``, or all cores.
        tile: ``"auto"``: in tiles, to the same numbers up to rounding, where that takes no longer (large pictures on a CPU) or
            the whole does not fit into memory; ``"off"``; or the side of a tile in pixels.
        max_memory: of the whole process, as ``"4GiB"`` or in bytes; by default nine tenths of what is free.
        long_side: a picture whose longer side has more pixels is shrunk to this first.
        dtype: ``"float32"`` or ``"float64"``.
        bits: of a sample: 16 to write so many afterwards; in tiles, six bytes a pixel more.
        log: called with a line for each thing that a user should know.

    Raises:
        InputError: an argument cannot be used; the message is one sentence. Nothing was computed.
        FrameworkFailure: the framework failed.
    """
    opened, digest = read_picture(picture, "the picture")
    applier = Applier(
        style,
        backend=backend,
        device=device,
        threads=threads,
        tile=tile,
        max_memory=max_memory,
        long_side=long_side,
        dtype=dtype,
        bits=bits,
        log=log,
    )
    for line in opened.lines:
        applier.log(line)
    made = applier(opened)
    given = describe(picture, opened.pixels, digest)
    manifest = {**applier.about, "input": given, "output": made.about, "peak_memory_bytes": memory.peak()}
    return Applied(made.picture, manifest, made.finished)


@dataclass(frozen=True)
class Made:
    """One output of an :class:`Applier`."""

    picture: Image.Image
    #: Its size, digest, seconds, tile and estimated memory, ready for JSON.
    about: dict[str, Any]
    #: The picture with all that a file of it may hold.
    finished: Finished


class Applier:
    """A style network on a device: call it with one picture after another."""

    def __init__(
        self,
        style: str | os.PathLike[str] | StyleNetwork,
        *,
        backend: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        tile: str | int = "auto",
        max_memory: str | int | None = None,
        long_side: int | None = None,
        dtype: Dtype = "float32",
        bits: int = 8,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """As :func:`apply`."""
        found = style if isinstance(style, StyleNetwork) else style_network.find(os.fspath(style))
        if dtype not in ("float32", "float64"):
            raise InputError(f"the dtype must be float32 or float64, not {shown(dtype)}")
        if long_side is not None:
            require_count(long_side, "longer side", "pixel")
        if bits not in BITS:
            raise InputError(f"a picture has 8 or 16 bits a sample, not {shown(bits)}")
        self.long_side = long_side
        self.deep = bits == 16
        self.side = tiles.parse_tile(tile)
        if max_memory is not None:
            memory.parse(max_memory)
        self.style, self.dtype, self.log = found, dtype, log or (lambda line: None)
        self.chosen: dict[tuple[int, int], tuple[int | None, int]] = {}
        count = registry.default_threads() if threads is None else threads
        self.framework = registry.load(backend, count)
        place = choose_device(device, self.framework.devices(), self.framework.name)
        # Once, before the first picture: what an earlier one took and left is free for the next, but not to the system's eyes.
        self.limit, self.allowed = memory.allowance(max_memory, on_cpu=place == "cpu", ask=self.side == "auto")
        self.transform = registry.transform(self.framework, found.network, device=place, dtype=dtype)
        self.parameters = {name: self.transform.tensor(array) for name, array in found.parameters.items()}
        #: What is the same for all pictures, ready for JSON.
        self.about: dict[str, Any] = {
            "schema": MANIFEST_SCHEMA,
            "isostyle": __version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "style": {
                "name": found.name,
                "parameters_sha256": found.digest,
                **dataclasses.asdict(found.network),
            },
            "backend": {
                "name": self.framework.name,
                "version": self.framework.version(),
                "device": place,
                "dtype": dtype,
            },
            "threads": count,
            "versions": versions(),
        }
        plural = "s" * (count > 1)
        self.log(f"backend {self.framework.name} {self.framework.version()} on {place}, {count} thread{plural}, {dtype}")

    def __call__(self, picture: ImageLike | PictureIn, progress: Callable[[float], None] | None = None) -> Made:
        """Transform a picture. ``progress`` is told the share that is done, of one in tiles.

        Raises:
            InputError: it cannot be read, is too small, or does not fit into memory.
            FrameworkFailure: the framework failed.
            IsostyleError: the network made numbers that are not finite.
        """
        if isinstance(picture, Image.Image) and picture.mode == "RGB" and not picture.info:
            given = PictureIn(picture)
        else:
            given = picture if isinstance(picture, PictureIn) else decode.read(picture, "the picture")
        pixels = self.shrunk(given.pixels)
        size = pixels.height, pixels.width
        self.style.network.sizes(*size)
        if size not in self.chosen:  # a video has thousands of one size
            self.chosen[size] = self.choose(size)
        tile, estimate = self.chosen[size]
        began = time.monotonic()
        try:
            made, deep = self.whole(pixels) if tile is None else self.tiled(pixels, tile, progress)
        except IsostyleError:
            raise
        except Exception as error:
            raise failure(self.framework.name, f"size {size[0]}x{size[1]}", error, LESS_MEMORY) from error
        about = {
            "size": list(size),
            "pixels_sha256": decode.pixels_sha256(made),
            "seconds": round(time.monotonic() - began, 3),
            "tile": tile,
            "estimated_memory_bytes": estimate,
        }
        alpha = given.alpha
        if alpha is not None and alpha.size != made.size:
            alpha = arrays.resize(alpha, *size)
        return Made(made, about, Finished(made, deep, alpha, given.exif))

    def shrunk(self, picture: Pixels) -> Pixels:
        """``picture``, or if its longer side is more than ``long_side``, a smaller one."""
        if self.long_side is None or max(picture.size) <= self.long_side:
            return picture
        return arrays.resize(picture, *LongSide(self.long_side).fit(picture.height, picture.width))

    def whole(self, picture: Pixels) -> tuple[Image.Image, Deep | None]:
        image = self.transform.tensor(arrays.to_array(picture, self.dtype))
        made = self.require_finite(self.transform.array(self.transform.apply(self.parameters, image)))
        return arrays.to_picture(made), Rounded(made).whole() if self.deep else None

    def tiled(self, picture: Pixels, tile: int, progress: Callable[[float], None] | None) -> tuple[Image.Image, Deep | None]:
        """Pixels are normalized when a tile needs them: only 8 or 16 bits of the whole picture are held."""
        made = Image.new("RGB", picture.size)
        deep = np.empty((picture.height, picture.width, 3), np.uint16) if self.deep else None

        def read(rows: slice, columns: slice) -> Array:
            return arrays.to_array(picture.crop((columns.start, rows.start, columns.stop, rows.stop)), self.dtype)

        def write(rows: slice, columns: slice, piece: Array) -> None:
            made.paste(arrays.to_picture(self.require_finite(piece)), (columns.start, rows.start))
            if deep is not None:
                deep[rows, columns] = rounded(piece)

        size = picture.height, picture.width
        # Maps of the whole picture lie apart from those of tiles, so that each finds the other's holes closed.
        with allocation.large_blocks(kept=False):
            TiledTransform(self.transform, self.style.network, tile).run(self.parameters, size, read, write, progress)
        return made, None if deep is None else Deep(deep)

    def require_finite(self, image: Array) -> Array:
        if not np.isfinite(image).all():
            raise IsostyleError(f"the style network {self.style.name!r} made numbers that are not finite")
        return image

    def choose(self, size: tuple[int, int]) -> tuple[int | None, int]:
        """The side of a tile, or None for the whole picture, and the bytes that it will take.

        Raises:
            InputError: nothing fits.
        """

        def estimate(tile: int | None) -> int:
            beside = DEEP_BYTES * math.prod(size) * self.deep
            return beside + estimated_bytes(self.style.network, self.framework.name, self.dtype, size, tile)

        def fits(tile: int | None) -> bool:
            return self.limit is None or estimate(tile) <= self.limit

        if self.side != "auto":
            chosen = None if isinstance(self.side, str) else self.side
            if not fits(chosen):
                how = "the picture as a whole" if chosen is None else f"tiles of {chosen} pixels"
                raise InputError(
                    f"{how} would take about {memory.text_of(estimate(chosen))}, more than {self.allowed}; try --tile auto"
                )
            return chosen, estimate(chosen)
        large = self.transform.device == "cpu" and math.prod(size) > WHOLE_PIXELS
        candidates = TILES if large else (None, *TILES)
        for tile in candidates:
            if fits(tile):
                if tile != candidates[0]:
                    how = "in larger ones" if large else "as a whole"
                    taken = memory.text_of(estimate(candidates[0]))
                    self.log(
                        f"in tiles of at most {tile}x{tile} pixels: {how} it would take about {taken}, more than {self.allowed}"
                    )
                return tile, estimate(tile)
        raise InputError(
            f"even in tiles of {TILES[-1]} pixels the picture would take about {memory.text_of(estimate(TILES[-1]))}, more "
            f"than {self.allowed}; shrink it with --long-side"
        )


def estimated_bytes(network: TransformNetwork, backend: str, dtype: Dtype, size: tuple[int, int], tile: int | None) -> int:
    """What a picture will take, beyond what the process has already."""
    item, area = {"float32": 4, "float64": 8}[dtype], math.prod(size)
    full, half, quarter = network.widths
    if tile is None:
        # All stages' outputs: down1 and up2, down2 and up1, down3 and the blocks; and the picture, before and behind them.
        maps = 2 * full + 2 * half / 4 + (1 + 2 * network.blocks) * quarter / 16 + 2 * 3
        return CONSTANT + math.ceil(area * (item * maps * most(WHOLE_BYTES, backend) + PILLOW_BYTES))
    kept = kept_values(network)
    # Of the map that a tile of up2 reads, or one of a block with half the side.
    largest = max(half, full, quarter / 4) * min(area, tile**2)
    return CONSTANT + math.ceil(area * (item * kept * KEPT_BYTES + PILLOW_BYTES) + item * largest * most(TILE_BYTES, backend))


def kept_values(network: TransformNetwork) -> float:
    """Values for each pixel of the picture that tiles keep as whole maps, at the peak: at half and a quarter of its size
    together (``down3`` and ``up1`` read one and make the other), or three at a quarter (a block reads one, makes one, and adds
    a third); and ``down2``'s map, if ``up1`` adds it."""
    _, half, quarter = network.widths
    return max(half / 4 + quarter / 16, (3 if network.blocks else 1) * quarter / 16) + (half / 4 if network.skips else 0)


def most(table: Mapping[str, float], backend: str) -> float:
    return table.get(backend, max(table.values()))
