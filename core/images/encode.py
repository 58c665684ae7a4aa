"""Pictures as files, in the format that a suffix names, with the profile of sRGB: the same bytes for the same picture.

docs/pictures.md is the contract.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import TiffImagePlugin as Tiff
from PIL.Image import Exif, Image
from PIL.PngImagePlugin import putchunk

from isostyle.errors import InputError, IsostyleError
from isostyle.images import exif, transparency
from isostyle.images.deep import EIGHT_TO_SIXTEEN, STRIP, Rows, Samples
from isostyle.images.icc import srgb
from isostyle.images.options import KEEP, PictureOptions
from isostyle.images.suffixes import WITH_SIXTEEN_BITS, format_of
from isostyle.system import files

#: Pillow's formats that can hold these things, or ask for them.
WITH_PROFILE = WITH_EXIF = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "AVIF")
WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "TGA")
WITH_QUALITY = ("JPEG", "MPO", "WEBP", "AVIF")
#: The format for standard output, and for a picture that is kept elsewhere.
USUAL = "PNG"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: PNG's color types, without and with alpha; its filter Sub, which says what differs from the pixel before.
PNG_COLORS = {3: 2, 4: 6}
PNG_SUB = 1
#: Values of TIFF's tags (TIFF 6.0): Deflate; the predictor that says what differs from the pixel before; colors; alpha apart.
TIFF_DEFLATE, TIFF_DIFFERENCES, TIFF_RGB, TIFF_TOGETHER, TIFF_ALPHA = 8, 2, 2, 1, 2
#: Types of tags that Pillow does not know: LONG and UNDEFINED.
TIFF_TYPES = {Tiff.STRIPOFFSETS: 4, Tiff.STRIPBYTECOUNTS: 4, Tiff.ICCPROFILE: 7}


@dataclass(frozen=True, eq=False)
class Finished:
    """A picture that can be written."""

    #: RGB, 8 bits; what is hidden has colors, too.
    picture: Image
    #: The same with 16 bits, if they are known.
    deep: Rows | None = None
    #: Mode L, of the same size; None if nothing is transparent.
    alpha: Image | None = None
    #: As :func:`isostyle.images.exif.kept` finds it.
    exif: bytes | None = None


def check(path: Path, options: PictureOptions) -> str:
    """The format that a suffix names. Raises InputError unless an RGB picture can be written in it with these options."""
    kind = format_of(path.suffix)
    if not kind:
        raise InputError(f"{str(path)!r} does not end in a picture format that can be written (.png, .jpg, .webp, .tiff, ...)")
    if options.bits == 16 and kind not in WITH_SIXTEEN_BITS:
        raise InputError(f"16 bits a sample are written to .png and .tif, and {str(path)!r} is neither")
    return kind


def keeps_alpha(kind: str, options: PictureOptions) -> bool:
    """Whether a picture's alpha goes into a file of that format."""
    return options.alpha == KEEP and kind in WITH_ALPHA


def encode(finished: Finished, kind: str, options: PictureOptions) -> memoryview:
    """The bytes of a picture file. Raises OSError, ValueError if Pillow cannot write it, InputError if 16 bits are wanted of a
    picture that does not have them."""
    stream = io.BytesIO()
    keeps = keeps_alpha(kind, options)
    picture, about = finished.picture, None
    if finished.exif is not None and not options.strip and kind in WITH_EXIF:
        about = exif.with_size(finished.exif, picture.width, picture.height)
    if options.bits == 16:
        if finished.deep is None:
            raise InputError("this picture was made with 8 bits a sample; make it with bits=16")
        write = {"PNG": write_png, "TIFF": write_tiff}[kind]
        channels = 4 if keeps and finished.alpha is not None else 3
        write(stream, picture.size, channels, strips_of(finished.deep, picture.height, finished.alpha, channels), about)
        return stream.getbuffer()
    if finished.alpha is not None and keeps:
        picture = picture.copy()
        picture.putalpha(finished.alpha)
    elif finished.alpha is not None:
        picture = transparency.on_white(picture, finished.alpha)
    given: dict[str, Any] = {}
    if kind in WITH_QUALITY:
        given["quality"] = options.quality
    if kind in WITH_PROFILE:
        given["icc_profile"] = srgb()
    if about is not None:
        given["exif"] = about.tobytes()
    picture.save(stream, format=kind, **given)
    return stream.getbuffer()


def shown_in_notebooks(finished: Finished) -> bytes:
    """A PNG as Jupyter asks for it. Without EXIF: a notebook is passed on, and nobody looks there for where a photograph was
    taken."""
    return bytes(encode(finished, "PNG", PictureOptions(strip=True)))


def save(finished: Finished, path: Path, options: PictureOptions) -> None:
    """Write a picture whole or not at all, in the format of the suffix. Raises what :func:`check` and :func:`encode` do."""
    files.write_atomically(path, encode(finished, check(path, options), options))


class KeptElsewhere(IsostyleError):
    """A finished picture could not go where it was to go, and lies in a temporary file."""

    def __init__(self, path: str, why: Exception, place: Path) -> None:
        self.place = place
        super().__init__(f"cannot write {path!r}: {files.reason(why)}; the picture is kept in {str(place)!r}")


def keep_elsewhere(finished: Finished, options: PictureOptions, name: str, stem: str, why: Exception) -> KeptElsewhere:
    """Write a picture that cannot go to ``name`` to a temporary file instead; the error to raise. Raises IsostyleError if there
    is no room for it anywhere."""
    data = encode(finished, USUAL, options)
    for folder in (Path(tempfile.gettempdir()), Path.home()):
        place = folder / f"{stem}-{secrets.token_hex(4)}.png"
        with contextlib.suppress(OSError):
            files.write_atomically(place, data)
            return KeptElsewhere(name, why, place)
    raise IsostyleError(f"cannot write {name!r}: {files.reason(why)}; there is no room for the picture anywhere else") from why


# 16 bits: Pillow writes them for gray only


def strips_of(picture: Rows, height: int, alpha: Image | None, channels: int) -> Iterator[Samples]:
    """Samples from top to bottom, (STRIP or fewer, W, channels): of four channels alpha is the last; of three there is none,
    and what it hides is white."""
    for top in range(0, height, STRIP):
        samples = picture.rows(top, top + STRIP)
        if alpha is not None:
            layer = np.asarray(alpha.crop((0, top, alpha.width, top + len(samples)))).astype(np.uint16)[..., None]
            layer *= EIGHT_TO_SIXTEEN
            samples = np.concatenate([samples, layer], -1) if channels == 4 else transparency.samples_on_white(samples, layer)
        yield samples


def write_png(stream: IO[bytes], size: tuple[int, int], channels: int, strips: Iterable[Samples], about: Exif | None) -> None:
    """A PNG (ISO/IEC 15948) of 16 bits a sample, RGB or RGBA."""
    stream.write(PNG_SIGNATURE)
    putchunk(stream, b"IHDR", struct.pack(">IIBBBBB", *size, 16, PNG_COLORS[channels], 0, 0, 0))
    putchunk(stream, b"iCCP", b"sRGB\0\0" + zlib.compress(srgb()))
    if about is not None:
        putchunk(stream, b"eXIf", about.tobytes().removeprefix(b"Exif\0\0"))
    squeeze = zlib.compressobj()
    for samples in strips:
        values = samples.astype(">u2").reshape(len(samples), -1).view(np.uint8)
        lines = np.empty((len(samples), 1 + values.shape[1]), np.uint8)
        lines[:, 0] = PNG_SUB
        lines[:, 1:] = values
        lines[:, 1 + 2 * channels :] -= values[:, : -2 * channels]
        if data := squeeze.compress(lines.tobytes()):
            putchunk(stream, b"IDAT", data)
    putchunk(stream, b"IDAT", squeeze.flush())
    putchunk(stream, b"IEND")


def write_tiff(stream: IO[bytes], size: tuple[int, int], channels: int, strips: Iterable[Samples], about: Exif | None) -> None:
    """A TIFF of 16 bits a sample, RGB or RGBA with alpha apart: strips, each deflated."""
    deflated = []
    for samples in strips:
        changes = samples.astype("<u2")
        changes[:, 1:] -= samples[:, :-1]
        deflated.append(zlib.compress(changes.tobytes()))
    tags = Tiff.ImageFileDirectory_v2(prefix=b"II")
    tags.tagtype.update(TIFF_TYPES)
    tags.update(dict(about or {}))
    tags[Tiff.IMAGEWIDTH], tags[Tiff.IMAGELENGTH] = size
    tags[Tiff.BITSPERSAMPLE], tags[Tiff.SAMPLESPERPIXEL] = (16,) * channels, channels
    tags[Tiff.COMPRESSION], tags[Tiff.PREDICTOR] = TIFF_DEFLATE, TIFF_DIFFERENCES
    tags[Tiff.PHOTOMETRIC_INTERPRETATION], tags[Tiff.PLANAR_CONFIGURATION] = TIFF_RGB, TIFF_TOGETHER
    if channels == 4:
        tags[Tiff.EXTRASAMPLES] = TIFF_ALPHA
    tags[Tiff.ICCPROFILE] = srgb()
    tags[Tiff.ROWSPERSTRIP] = STRIP
    # Offsets behind the directory, whose length Pillow adds.
    tags[Tiff.STRIPOFFSETS] = tuple(np.cumsum([0, *map(len, deflated[:-1])]).tolist())
    tags[Tiff.STRIPBYTECOUNTS] = tuple(map(len, deflated))
    tags.save(stream)
    stream.writelines(deflated)
