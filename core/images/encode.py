"""Pictures out: files in the format that a suffix names, in sRGB and saying so. docs/pictures.md is the contract.

Nothing that is written depends on the date, or on where it goes: the same picture and options make the same bytes.
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
from isostyle.images.decode import FORMATS
from isostyle.images.deep import STRIP, Rows
from isostyle.images.icc import srgb
from isostyle.images.options import KEEP, PictureOptions
from isostyle.system import files
from isostyle.system.files import reason

#: Formats of Pillow's that can hold these things.
WITH_PROFILE = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "AVIF")
WITH_EXIF = WITH_PROFILE
WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "TGA")
WITH_SIXTEEN_BITS = ("PNG", "TIFF")
#: Of those that ask for it.
WITH_QUALITY = ("JPEG", "MPO", "WEBP", "AVIF")
#: What Pillow makes smaller when it is written.
SHRINKING = ("ICO",)
USUAL = "PNG"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: PNG's color types, without and with alpha; its filter Sub, which says what differs from the pixel before.
PNG_COLORS = {3: 2, 4: 6}
PNG_SUB = 1
#: TIFF's Deflate, and the predictor that says what differs from the pixel before (TIFF 6.0, section 14).
TIFF_DEFLATE, TIFF_DIFFERENCES = 8, 2


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


def format_of(suffix: str) -> str:
    """Pillow's name for the format of a suffix, with or without its dot.

    Raises:
        KeyError: there is none that can be read and written.
    """
    kind = PIL.Image.registered_extensions()[f".{suffix.lower().removeprefix('.')}"]
    if kind not in FORMATS or kind not in PIL.Image.SAVE or kind in SHRINKING:
        raise KeyError(suffix)
    return kind


def check(path: Path, options: PictureOptions | None = None) -> None:
    """Raises InputError unless the suffix says a format that an RGB picture can be written in, with these options: tried on a
    small one."""
    name = str(path)
    kind = tried(path.suffix.lower())
    if kind is None:
        raise InputError(f"{name!r} does not end in a picture format that can be written (.png, .jpg, .webp, .tiff, ...)")
    if options is not None and options.bits == 16 and kind not in WITH_SIXTEEN_BITS:
        raise InputError(f"16 bits a sample are written to .png and .tif, and {name!r} is neither")


@cache
def tried(suffix: str) -> str | None:
    """The format of a suffix, if a small picture can be written in it."""
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
        InputError: 16 bits are wanted, and were not kept, or the format has none.
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
    """Write a picture to a temporary file, for where it should go it cannot: what to raise.

    Raises:
        IsostyleError: there is no place for it at all.
    """
    try:
        data = encode(finished, USUAL, options)
    except (OSError, ValueError):
        data = encode(finished, USUAL, PictureOptions(options.alpha, options.bits, options.quality, strip=True))
    for folder in dict.fromkeys((Path(tempfile.gettempdir()), Path.home(), Path.cwd())):
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{stem}-", suffix=".png", delete=False) as file:
                place = Path(file.name)
                try:
                    file.write(data)
                    file.flush()
                except OSError:
                    place.unlink(missing_ok=True)
                    raise
            return KeptElsewhere(name, why, place)
        except OSError:
            continue
    raise IsostyleError(f"cannot write {name!r}: {reason(why)}; and there is no room for the picture anywhere else") from why


# 16 bits, which Pillow writes for gray only


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
    if about is not None:
        for tag, value in about.items():
            tags[tag] = value
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = picture.width, picture.height
    tags[TiffImagePlugin.BITSPERSAMPLE], tags[TiffImagePlugin.SAMPLESPERPIXEL] = (16,) * channels, channels
    tags[TiffImagePlugin.COMPRESSION], tags[TiffImagePlugin.PREDICTOR] = TIFF_DEFLATE, TIFF_DIFFERENCES
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION], tags[TiffImagePlugin.PLANAR_CONFIGURATION] = 2, 1
    if alpha is not None:
        tags[TiffImagePlugin.EXTRASAMPLES] = 2
    tags.tagtype[TiffImagePlugin.ICCPROFILE] = 7
    tags[TiffImagePlugin.ICCPROFILE] = srgb()
    tags[TiffImagePlugin.ROWSPERSTRIP] = STRIP
    # Behind the directory, whose length Pillow adds.
    places = np.cumsum([0, *map(len, strips[:-1])]).tolist()
    tags.tagtype[TiffImagePlugin.STRIPOFFSETS] = tags.tagtype[TiffImagePlugin.STRIPBYTECOUNTS] = 4
    tags[TiffImagePlugin.STRIPOFFSETS], tags[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(places), tuple(map(len, strips))
    tags.save(stream)
    for strip in strips:
        stream.write(strip)


def strip_of(picture: Rows, alpha: Image | None, top: int) -> Any:
    """Samples of some rows, with alpha's: (STRIP or fewer, W, 3 or 4)."""
    bottom = min(top + STRIP, picture.height)
    samples = picture.rows(top, bottom)
    if alpha is None:
        return samples
    layer = np.asarray(alpha.crop((0, top, alpha.width, bottom))).astype(np.uint16) * 257
    return np.concatenate([samples, layer[..., None]], axis=-1)
