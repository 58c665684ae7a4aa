"""Pictures as files, in the format that a suffix names, with the profile of sRGB. docs/pictures.md is the contract.

The same picture and options make the same bytes, whatever the date and the place.
"""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin
from PIL.Image import Image

from isostyle.errors import InputError, IsostyleError
from isostyle.images import exif
from isostyle.images.deep import EIGHT_TO_SIXTEEN, STRIP, Rows, Samples
from isostyle.images.icc import srgb
from isostyle.images.options import KEEP, PictureOptions
from isostyle.images.suffixes import WITH_SIXTEEN_BITS, format_of
from isostyle.system import files
from isostyle.system.files import reason

#: Pillow's formats that can hold these things, or ask for them.
WITH_PROFILE = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "AVIF")
WITH_EXIF = WITH_PROFILE
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
TIFF_TYPES = {TiffImagePlugin.STRIPOFFSETS: 4, TiffImagePlugin.STRIPBYTECOUNTS: 4, TiffImagePlugin.ICCPROFILE: 7}


@dataclass(frozen=True, eq=False)
class Finished:
    """A picture that can be written."""

    #: RGB, 8 bits.
    picture: Image
    #: The same with 16 bits, if they are known.
    deep: Rows | None = None
    #: Mode L, of the same size; None if nothing is transparent.
    alpha: Image | None = None
    #: As :func:`isostyle.images.exif.kept` finds it.
    exif: bytes | None = None


def check(path: Path, options: PictureOptions | None = None) -> None:
    """Raises InputError unless the suffix names a format in which an RGB picture can be written, with these options."""
    name = str(path)
    kind = tried(path.suffix.lower())
    if kind is None:
        raise InputError(f"{name!r} does not end in a picture format that can be written (.png, .jpg, .webp, .tiff, ...)")
    if options is not None and options.bits == 16 and kind not in WITH_SIXTEEN_BITS:
        raise InputError(f"16 bits a sample are written to .png and .tif, and {name!r} is neither")


@cache
def tried(suffix: str) -> str | None:
    """The format of a suffix if a small picture can be written in it: this Pillow may lack the encoder."""
    try:
        kind = format_of(suffix)
        encode(Finished(PIL.Image.new("RGB", (16, 16))), kind, PictureOptions())
    except (OSError, ValueError, KeyError):
        return None
    return kind


def encode(finished: Finished, kind: str, options: PictureOptions) -> memoryview:
    """The bytes of a picture file.

    Raises:
        OSError, ValueError: Pillow cannot write it.
        InputError: 16 bits are wanted, but the picture or the format does not have them.
    """
    stream = io.BytesIO()
    alpha = finished.alpha if options.alpha == KEEP and kind in WITH_ALPHA else None
    picture, about = finished.picture, None
    if finished.exif is not None and not options.strip and kind in WITH_EXIF:
        about = exif.with_size(finished.exif, picture.width, picture.height)
    if options.bits == 16:
        if kind not in WITH_SIXTEEN_BITS:
            raise InputError(f"16 bits a sample are written to PNG and TIFF, not to {kind}")
        if finished.deep is None:
            raise InputError("this picture was made with 8 bits a sample; make it with bits=16")
        write = write_png if kind == "PNG" else write_tiff
        write(stream, finished.deep, alpha, about)
        return stream.getbuffer()
    if alpha is not None:
        picture = picture.copy()
        picture.putalpha(alpha)
    given: dict[str, Any] = {}
    if kind in WITH_QUALITY:
        given["quality"] = options.quality
    if kind in WITH_PROFILE:
        given["icc_profile"] = srgb()
    if about is not None:
        given["exif"] = about.tobytes()
    picture.save(stream, format=kind, **given)
    return stream.getbuffer()


def save(finished: Finished, path: Path, options: PictureOptions) -> None:
    """Write a picture whole or not at all, in the format of the suffix.

    Raises:
        OSError, ValueError: it cannot be written.
        InputError: as :func:`check` and :func:`encode`.
    """
    try:
        kind = format_of(path.suffix)
    except KeyError:
        raise InputError(f"{str(path)!r} does not end in a picture format that can be written") from None
    files.write_atomically(path, encode(finished, kind, options))


class KeptElsewhere(IsostyleError):
    """A finished picture could not go where it was to go, and lies in a temporary file."""

    def __init__(self, path: str, why: Exception, place: Path) -> None:
        self.place = place
        super().__init__(f"cannot write {path!r}: {reason(why)}; the picture is kept in {str(place)!r}")


def keep_elsewhere(finished: Finished, options: PictureOptions, name: str, stem: str, why: Exception) -> KeptElsewhere:
    """Write a picture that cannot go to ``name`` to a temporary file instead; the error to raise.

    Raises:
        IsostyleError: there is no room for it anywhere.
    """
    data = encode(finished, USUAL, options)
    for folder in (tempfile.gettempdir(), Path.home()):
        place: Path | None = None
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{stem}-", suffix=".png", delete=False) as file:
                place = Path(file.name)
                file.write(data)
            return KeptElsewhere(name, why, place)
        except OSError:
            if place is not None:
                place.unlink(missing_ok=True)
    raise IsostyleError(f"cannot write {name!r}: {reason(why)}; and there is no room for the picture anywhere else") from why


# 16 bits: Pillow writes them for gray only


def write_png(stream: IO[bytes], picture: Rows, alpha: Image | None, about: PIL.Image.Exif | None) -> None:
    """A PNG (ISO/IEC 15948) of 16 bits a sample, RGB or RGBA."""

    def chunk(kind: bytes, data: bytes) -> None:
        stream.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))

    channels = 3 if alpha is None else 4
    stream.write(PNG_SIGNATURE)
    chunk(b"IHDR", struct.pack(">IIBBBBB", picture.width, picture.height, 16, PNG_COLORS[channels], 0, 0, 0))
    chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb()))
    if about is not None:
        chunk(b"eXIf", about.tobytes().removeprefix(b"Exif\0\0"))
    squeeze = zlib.compressobj()
    for top in range(0, picture.height, STRIP):
        samples = strip_of(picture, alpha, top)
        values = samples.astype(">u2").reshape(len(samples), -1).view(np.uint8)
        lines = np.empty((len(samples), 1 + values.shape[1]), np.uint8)
        lines[:, 0] = PNG_SUB
        lines[:, 1:] = values
        lines[:, 1 + 2 * channels :] -= values[:, : -2 * channels]
        if data := squeeze.compress(lines.tobytes()):
            chunk(b"IDAT", data)
    chunk(b"IDAT", squeeze.flush())
    chunk(b"IEND", b"")


def write_tiff(stream: IO[bytes], picture: Rows, alpha: Image | None, about: PIL.Image.Exif | None) -> None:
    """A TIFF of 16 bits a sample, RGB or RGBA with alpha apart: strips, each deflated."""
    channels, strips = 3 if alpha is None else 4, []
    for top in range(0, picture.height, STRIP):
        samples = strip_of(picture, alpha, top).astype("<u2")
        changes = samples.copy()
        changes[:, 1:] -= samples[:, :-1]
        strips.append(zlib.compress(changes.tobytes()))
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    tags.tagtype.update(TIFF_TYPES)
    tags.update(dict(about or {}))
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = picture.width, picture.height
    tags[TiffImagePlugin.BITSPERSAMPLE], tags[TiffImagePlugin.SAMPLESPERPIXEL] = (16,) * channels, channels
    tags[TiffImagePlugin.COMPRESSION], tags[TiffImagePlugin.PREDICTOR] = TIFF_DEFLATE, TIFF_DIFFERENCES
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = TIFF_RGB
    tags[TiffImagePlugin.PLANAR_CONFIGURATION] = TIFF_TOGETHER
    if alpha is not None:
        tags[TiffImagePlugin.EXTRASAMPLES] = TIFF_ALPHA
    tags[TiffImagePlugin.ICCPROFILE] = srgb()
    tags[TiffImagePlugin.ROWSPERSTRIP] = STRIP
    # Offsets behind the directory, whose length Pillow adds.
    tags[TiffImagePlugin.STRIPOFFSETS] = tuple(np.cumsum([0, *map(len, strips[:-1])]).tolist())
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(map(len, strips))
    tags.save(stream)
    for strip in strips:
        stream.write(strip)


def strip_of(picture: Rows, alpha: Image | None, top: int) -> Samples:
    """Samples of some rows, with alpha's if there is one: (STRIP or fewer, W, 3 or 4)."""
    bottom = min(top + STRIP, picture.height)
    samples = picture.rows(top, bottom)
    if alpha is None:
        return samples
    layer = np.asarray(alpha.crop((0, top, alpha.width, bottom))).astype(np.uint16) * EIGHT_TO_SIXTEEN
    return np.concatenate([samples, layer[..., None]], axis=-1)
