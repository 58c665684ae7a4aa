"""``isostyle.apply``: a picture through a style network, in one pass.

>>> import isostyle
>>> isostyle.apply("starry-night", "photo.jpg").picture.save("out.png")  # doctest: +SKIP

:class:`Applier` is the same for many pictures: the network goes to the device once.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isostyle import registry
from isostyle._version import __version__
from isostyle.checks import plain, require_count
from isostyle.errors import InputError, IsostyleError, shown
from isostyle.images import arrays, colors, decode, encode, transparency
from isostyle.images.colors import KeepColors, Photograph
from isostyle.images.decode import ImageLike, PictureIn, describe, read_picture
from isostyle.images.deep import STRIP, Deep, Pixels, strips
from isostyle.images.encode import Finished
from isostyle.images.options import BITS, QUALITY, PictureOptions
from isostyle.interface import Array, Dtype
from isostyle.sizes import LongSide
from isostyle.style_networks import file as style_network
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.memory_plan import Demand, TileChoice, choose_tile
from isostyle.style_networks.tiles import TiledTransform
from isostyle.system import allocation, memory
from isostyle.system.files import require_folder
from isostyle.system.memory import Allowance
from isostyle.system.versions import versions
from isostyle.tiles import parse_tile

MANIFEST_SCHEMA = "isostyle.applied/1"
#: How much larger than usual strokes can be, least and most.
STROKE_SIZES = (0.25, 4.0)
#: How what was painted comes back to the picture's size: with clear edges of strokes.
ENLARGED = Image.Resampling.BICUBIC
#: What can be done when memory does not suffice all the same.
LESS_MEMORY = "try a smaller --long-side, a smaller --tile, or a lower --max-memory"


@dataclass(frozen=True)
class Applied:
    """A picture that went through a style network."""

    #: RGB, 8 bits, of the size of what was given; what its alpha hides is painted, too.
    picture: Image.Image
    #: Digests, sizes, versions and time, ready for JSON; of :func:`apply`, its input and peak memory, too.
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

    def _repr_png_(self) -> bytes:
        """The picture, for notebooks."""
        return encode.shown_in_notebooks(self.finished)


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
    strength: float = 1.0,
    stroke_size: float = 1.0,
    keep_colors: KeepColors | None = None,
    dtype: Dtype = "float32",
    bits: int = 8,
    log: Callable[[str], None] | None = None,
) -> Applied:
    """Paint ``picture`` in the one style that a network was trained for.

    Args:
        style: the name of a network that ships (`isostyle styles`), a ``.safetensors`` file that `isostyle train` wrote, a
            ``.pth`` of pytorch/examples (fast_neural_style), or a :class:`isostyle.style_networks.file.StyleNetwork`.
        picture: a path, the bytes of a file, a file object, a PIL image, an array or a tensor, as :func:`isostyle.stylize` has
            them.
        backend: ``onnx``, ``torch``, ``paddle``, ``mxnet``, a third party's, or ``auto``: the first that is installed; on a
            GPU, and in float64, onnx is the last.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        threads: CPU threads; by default ``OMP_NUM_THREADS``, or all cores.
        tile: ``"auto"``: in tiles, to the same numbers up to rounding, where that takes no longer (large pictures on a CPU) or
            the whole does not fit into memory; ``"off"``; or the side of a tile in pixels.
        max_memory: of the whole process, as ``"4GiB"`` or in bytes; by default nine tenths of what is free.
        long_side: a picture whose longer side has more pixels is shrunk to this first.
        strength: of the style: 0 is the photograph, 1 what the network paints; between them, colors are mixed.
        stroke_size: how much larger strokes are, in 0.25..4: the picture is painted at 1 / this of its size, and resized back.
        keep_colors: the picture's: ``"luminance"`` puts its chrominance, ``"histogram"`` the histograms of its channels into
            what was painted (docs/controls.md).
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
        strength=strength,
        stroke_size=stroke_size,
        keep_colors=keep_colors,
        dtype=dtype,
        bits=bits,
        log=log,
    )
    for line in opened.lines:
        applier.log(line)
    made = applier(opened)
    given = describe(picture, opened.pixels, digest, opened.alpha)
    return dataclasses.replace(made, manifest={**made.manifest, "input": given, "peak_memory_bytes": memory.peak()})


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
        strength: float = 1.0,
        stroke_size: float = 1.0,
        keep_colors: KeepColors | None = None,
        dtype: Dtype = "float32",
        bits: int = 8,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """As :func:`apply`."""
        long_side, strength, stroke_size, bits = plain(long_side), plain(strength), plain(stroke_size), plain(bits)
        check_options(dtype, long_side, strength, stroke_size, bits)
        require_colors(keep_colors)
        self.side = parse_tile(tile)
        self.style = style if isinstance(style, StyleNetwork) else style_network.find(os.fspath(style))
        painting = self.style.painting()
        self.long_side, self.strength, self.dtype, self.bits = long_side, strength, dtype, bits
        self.stroke_size, self.keep_colors = stroke_size, keep_colors
        #: Whether 16 bits are painted; of 8, colors that are pulled apart would show the steps.
        self.deep = bits == 16 or keep_colors is not None
        self.log = log or (lambda line: None)
        if backend == "auto":
            backend = registry.choose_to_apply(device, dtype)
        framework = self.framework = registry.start(backend, device, threads, engine=False)
        self.on_cpu = framework.device == "cpu"
        self.allowance = Allowance(max_memory, on_cpu=self.on_cpu, ask=self.side == "auto")
        self.demand = Demand(self.style.network, framework.backend.name, dtype, self.deep)
        #: The last picture's height and width, and its choice: a video has thousands of frames of one size.
        self.last: tuple[tuple[int, int], TileChoice] | None = None
        #: The sizes of which the user was told something.
        self.told: set[tuple[int, int]] = set()
        with framework.own_state():
            self.transform = registry.transform(framework.backend, self.style.network, device=framework.device, dtype=dtype)
            self.parameters = {name: self.transform.tensor(array) for name, array in painting.items()}
        #: What is the same for all pictures, ready for JSON.
        self.about: dict[str, Any] = {
            "schema": MANIFEST_SCHEMA,
            "isostyle": __version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "style": {
                "name": self.style.name,
                "parameters_sha256": self.style.digest,
                **dataclasses.asdict(self.style.network),
            },
            "strength": self.strength,
            "stroke_size": self.stroke_size,
            "keep_colors": self.keep_colors,
            "backend": {**framework.about, "dtype": dtype},
            "threads": framework.threads,
            "versions": versions(),
        }
        self.log(f"{framework}, {dtype}")

    def __call__(self, picture: ImageLike | PictureIn, progress: Callable[[float], None] | None = None) -> Applied:
        """Transform a picture. ``progress`` is told the share that is done, of one in tiles.

        Raises:
            InputError: it cannot be read, is too small, or does not fit into memory.
            FrameworkFailure: the framework failed.
            IsostyleError: the network made numbers that are not finite.
        """
        given = picture if isinstance(picture, PictureIn) else decode.read(picture, "the picture")
        pixels = self.shrunk(given.pixels)
        working = self.working(pixels)
        size = working.height, working.width
        self.style.network.sizes(*size)  # refuses one that is too small
        choice = self.choice(size)
        began = time.monotonic()
        with self.framework.failures(f"size {size[0]}x{size[1]}", LESS_MEMORY), self.framework.own_state():
            canvas = self.whole(working) if choice.tile is None else self.tiled(working, choice.tile, progress)
        if working is not pixels:
            canvas = self.restored(canvas, pixels)
        size, made = (pixels.height, pixels.width), canvas.picture
        alpha = transparency.at_size(given.alpha, *size)
        if self.keep_colors is not None:
            canvas.put_in_colors(Photograph(self.keep_colors, pixels, alpha))
        about = {
            "size": list(size),
            "pixels_sha256": decode.pixels_sha256(made),
            "seconds": round(time.monotonic() - began, 3),
            "tile": choice.tile,
            "estimated_memory_bytes": choice.estimate,
        }
        deep = canvas.deep if self.bits == 16 else None
        return Applied(made, {**self.about, "output": about}, Finished(made, deep, alpha, given.exif))

    def choice(self, size: tuple[int, int]) -> TileChoice:
        """How a picture of that height and width is computed; what the user should know of it is told once.

        Raises:
            InputError: it does not fit into memory.
        """
        if self.last is None or self.last[0] != size:
            choice = choose_tile(self.demand, size, self.side, *self.allowance.now(), on_cpu=self.on_cpu)
            if choice.line is not None and size not in self.told:
                self.log(choice.line)
                self.told.add(size)
            self.last = size, choice
        return self.last[1]

    def shrunk(self, picture: Pixels) -> Pixels:
        """``picture``, or if its longer side is more than ``long_side``, a smaller one."""
        if self.long_side is None or max(picture.size) <= self.long_side:
            return picture
        return arrays.fitted(picture, LongSide(self.long_side))

    def working(self, picture: Pixels) -> Pixels:
        """``picture`` at the size at which it is painted: the larger the strokes, the smaller."""
        if self.stroke_size == 1:
            return picture
        height, width = (max(1, round(side / self.stroke_size)) for side in (picture.height, picture.width))
        return arrays.resize(picture, height, width)

    def restored(self, painted: Canvas, photograph: Pixels) -> Canvas:
        """What was ``painted`` at the working size, at the size of the ``photograph``, and mixed with it."""
        canvas = Canvas(photograph.size, self.deep)
        pixels = painted.pixels.resize(photograph.size, ENLARGED)
        for (top, above), (_, below) in zip(strips(pixels), strips(photograph), strict=True):
            piece = self.mixed(arrays.to_array(above, "float32"), partial(arrays.to_array, below, "float32"))
            canvas.write(slice(top, top + above.height), slice(0, photograph.width), piece)
        return canvas

    def whole(self, picture: Pixels) -> Canvas:
        given = arrays.to_array(picture, self.dtype)
        made = self.transform.array(self.transform.apply(self.parameters, self.transform.tensor(given)))
        canvas = Canvas(picture.size, self.deep)
        canvas.write(slice(0, picture.height), slice(0, picture.width), self.painted(made, lambda: given))
        return canvas

    def tiled(self, picture: Pixels, tile: int, progress: Callable[[float], None] | None) -> Canvas:
        """Pixels are normalized when a tile needs them: only 8 or 16 bits of the whole picture are held."""
        canvas = Canvas(picture.size, self.deep)

        def read(rows: slice, columns: slice) -> Array:
            return arrays.to_array(picture.crop((columns.start, rows.start, columns.stop, rows.stop)), self.dtype)

        def write(rows: slice, columns: slice, piece: Array) -> None:
            canvas.write(rows, columns, self.painted(piece, lambda: read(rows, columns)))

        size = picture.height, picture.width
        # Maps of the whole picture lie apart from those of tiles, so that each finds the other's holes closed.
        with allocation.large_blocks(kept=False):
            TiledTransform(self.transform, self.style.network, tile).run(self.parameters, size, read, write, progress)
        return canvas

    def painted(self, made: Array, photograph: Callable[[], Array]) -> Array:
        """What the network ``made``, mixed with the photograph unless that is still to come, at its own size.

        Raises:
            IsostyleError: a number is not finite.
        """
        if not np.isfinite(made).all():
            raise IsostyleError(f"the style network {self.style.name!r} made numbers that are not finite")
        return self.mixed(made, photograph) if self.stroke_size == 1 else made

    def mixed(self, painted: Array, photograph: Callable[[], Array]) -> Array:
        """What was painted, mixed with the photograph by the strength of the style."""
        return painted if self.strength == 1 else arrays.between(photograph(), painted, self.strength)


class Canvas:
    """A picture that is written piece by piece."""

    def __init__(self, size: tuple[int, int], deep: bool) -> None:
        """``size``: width and height. ``deep``: it has 16 bits, too."""
        width, height = size
        self.picture = Image.new("RGB", size)
        self.deep = Deep(np.empty((height, width, 3), np.uint16)) if deep else None

    @property
    def pixels(self) -> Pixels:
        """The picture, as exact as there is."""
        return self.deep or self.picture

    def write(self, rows: slice, columns: slice, piece: Array) -> None:
        """Put a normalized ``piece`` of shape (1, 3, h, w) there."""
        self.picture.paste(arrays.to_picture(piece), (columns.start, rows.start))
        if self.deep is not None:
            self.deep.samples[rows, columns] = arrays.rounded(piece)

    def put_in_colors(self, photograph: Photograph) -> None:
        """Give the picture the colors of a ``photograph`` of its size. It must have 16 bits."""
        assert self.deep is not None
        found = photograph.in_colors(self.deep, self.picture.height, self.picture.width)
        for top in range(0, self.picture.height, STRIP):
            strip = Deep(found.rows(top, top + STRIP))
            self.deep.samples[top : top + STRIP] = strip.samples
            self.picture.paste(strip.eight_bits(), (0, top))


def require_colors(kind: Any) -> None:
    """Raises InputError if a network that is trained already cannot keep colors in that way."""
    colors.require_kind(kind)
    if kind in colors.OF_STYLE:
        raise InputError(
            f"colors kept by {kind} recolor the painting, and a trained network has none any more; "
            f"{' and '.join(colors.OF_RESULT)} work here, and all with `isostyle run`"
        )


def check_options(dtype: str, long_side: int | None, strength: float, stroke_size: float, bits: int) -> None:
    """Raises InputError if one of these arguments of :func:`apply` cannot be used."""
    if dtype not in ("float32", "float64"):
        raise InputError(f"the dtype must be float32 or float64, not {shown(dtype)}")
    if long_side is not None:
        require_count(long_side, "longer side", "pixel")
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise InputError(f"the strength of the style must be a number in 0..1, not {shown(strength)}")
    least, most = STROKE_SIZES
    if isinstance(stroke_size, bool) or not isinstance(stroke_size, int | float) or not least <= stroke_size <= most:
        raise InputError(f"the size of strokes must be a number in {least:g}..{most:g}, not {shown(stroke_size)}")
    if type(bits) is not int or bits not in BITS:
        raise InputError(f"a picture has 8 or 16 bits a sample, not {shown(bits)}")
