"""16 bits and floats out of files, which Pillow reads in part."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from isostyle.errors import InputError
from isostyle.images import heif, icc, pages
from isostyle.images.deep import EIGHT_TO_SIXTEEN, MOST, STRIP, Deep, Samples, strips
from isostyle.images.exif import ORIENTATION, upright
from isostyle.images.pages import Page
from isostyle.images.suffixes import readable_formats

#: Floats beyond 0..1 by less than half of a sample's step are rounded to 0 or to the largest sample: x / 255 * 255.00001, say.
#: So are those that are off by a few roundings of their own type, which for float16 is more.
HALF_STEP, FEW = 0.5 / MOST, 4
#: Of Pillow's modes, those that hold 16 bits a sample; Pillow would clip and not scale them.
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
#: The format whose 16 bits Pillow has in mode I, that of 32 bits.
SIXTEEN_BIT_IN_I = "PPM"
#: How Pillow calls samples of 16 bits that it rounds to 8, but for their order of bytes: B, L or N, the machine's.
SIXTEEN_BIT_RAW = ("RGB;16", "RGBA;16", "RGBX;16")
OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}
#: Where the bytes of a sample are in memory.
UPPER, LOWER = (1, 0) if np.little_endian else (0, 1)
#: Gray and alpha of a PNG, of 16 bits both: its four bytes are taken for RGBA's.
GRAY_AND_ALPHA = "LA;16B"
#: How Pillow calls floats of 32 bits in a file's order of bytes, and in the machine's.
FLOAT_RAW, NATIVE_FLOAT_RAW = ("F;32F", "F;32BF"), "F;32NF"

# Tags (TIFF 6.0), in the order in which they stand in a file, and their values.
WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLES, PLANAR = 256, 257, 258, 262, 277, 284
PREDICTOR, TILE_WIDTH, EXTRA, FORMAT = 317, 322, 338, 339
WHITE_IS_ZERO, GRAY, RGB = 0, 1, 2
TOGETHER, APART = 1, 2
FLOATS, FLOAT_BITS = 3, 32
NO_PREDICTOR, DIFFERENCES, FLOAT_PREDICTOR = 1, 2, 3
#: Alpha, premultiplied or not, among the kinds of extra samples.
ALPHAS = (1, 2)
#: The type of a value of 32 bits.
LONG = 4
#: What TargetPrinter is to Pillow and to libtiff: nothing. It takes the place of EXTRA.
UNUSED = 337
Tags: TypeAlias = TiffImagePlugin.ImageFileDirectory_v2


@dataclass(frozen=True, eq=False)
class Found:
    """The samples of a file, in its own colors."""

    #: (H, W, 3).
    rgb: Samples
    #: (H, W).
    alpha: Samples | None = None
    #: Whether the file has one channel, which all three of RGB repeat.
    gray: bool = False


# Files


def open_picture(data: bytes) -> tuple[ImageFile.ImageFile, Tags | None, Page | None]:
    """The picture of a file that is meant, its tags if it is a TIFF with float colors (opened as gray), and which page of a
    TIFF it is. Raises what Pillow raises, NotInstalled and IsRaw."""
    pages.require_developed(data[: pages.BIG_HEAD])
    page = pages.page_of(io.BytesIO(data)) if pages.is_tiff(data) else None
    if page is None or page.is_first:
        return *open_first(data), page
    picture, floats = open_first(pages.first(data, page))
    if page.orientation is not None:
        picture.getexif()[ORIENTATION] = page.orientation
    return picture, floats, page


def open_first(data: bytes) -> tuple[ImageFile.ImageFile, Tags | None]:
    """The first picture of a file that Pillow knows, or that of a TIFF with float colors, opened as gray, and its own tags."""
    try:
        return Image.open(io.BytesIO(data), formats=readable_formats(data[: heif.HEAD])), None
    except UnidentifiedImageError:
        heif.refuse(data[: heif.HEAD])
        if not data.startswith((b"II*\0", b"MM\0*")):
            raise
        tags = Tags(data[:8])
        stream = io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        if not has_float_colors(tags):
            raise
        return Image.open(io.BytesIO(as_gray(data, tags)), formats=["TIFF"]), tags


def prepare(picture: Image.Image, what: str) -> str:
    """How Pillow calls the samples in a file that it has not decoded yet; empty if it has no name for them. What it would take
    for something else is corrected, or refused with an InputError."""
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile:
        return ""
    coder, _, _, given = picture.tile[0]
    name, *others = given if isinstance(given, tuple) and given else (given,)
    if coder == "libtiff" and name in FLOAT_RAW:
        # libtiff hands over the machine's order of bytes, and Pillow expects the file's.
        picture.tile = [tile._replace(args=(NATIVE_FLOAT_RAW, *others)) for tile in picture.tile]
    if coder == "raw" and tag_of(picture, PLANAR) == APART and 16 in (tag_of(picture, BITS) or ()):
        raise InputError(f"{what} has 16 bits in planes (PlanarConfiguration 2), which are read only if they are compressed")
    return name if isinstance(name, str) else ""


def tag_of(picture: Image.Image, tag: int) -> Any:
    """A tag of a TIFF; None of all others."""
    return getattr(picture, "tag_v2", {}).get(tag)


# TIFFs with float colors


def has_float_colors(tags: Tags) -> bool:
    """Whether a TIFF has RGB or RGBA as floats of 32 bits. Raises ValueError with a clause if they cannot be read."""
    if tags.get(PHOTOMETRIC) != RGB or tags.get(SAMPLES) not in (3, 4) or not {WIDTH, HEIGHT} <= set(tags):
        return False
    if set(np.unique(tags.get(FORMAT, 0))) != {FLOATS} or set(np.unique(tags.get(BITS, 0))) != {FLOAT_BITS}:
        return False
    if tags.get(PLANAR, TOGETHER) != TOGETHER:
        raise ValueError("its colors stand apart from each other (PlanarConfiguration 2), which is not read for floats")
    if tags.get(PREDICTOR, NO_PREDICTOR) != NO_PREDICTOR and TILE_WIDTH in tags:
        raise ValueError("it has tiles and a predictor, which is not read for floats")
    return True


def as_gray(data: bytes, tags: Tags) -> bytes:
    """A TIFF with float colors whose head says that it is gray, and as many times as wide as it has colors: Pillow reads floats
    of gray only. Raises struct.error if the file ends in its head."""
    samples = tags[SAMPLES]
    gray = {
        WIDTH: tags[WIDTH] * samples,
        TILE_WIDTH: tags.get(TILE_WIDTH, 0) * samples,
        BITS: FLOAT_BITS,
        PHOTOMETRIC: GRAY,
        SAMPLES: 1,
        FORMAT: FLOATS,
        PREDICTOR: NO_PREDICTOR,
        EXTRA: 0,
        ORIENTATION: 1,
    }
    changed, order = bytearray(data), "<" if tags.prefix == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(f"{order}H", data, place)
        if tag in gray:
            struct.pack_into(f"{order}HHII", changed, place, UNUSED if tag == EXTRA else tag, LONG, 1, gray[tag])
    return bytes(changed)


def float_pixels(wide: NDArray[np.float32], tags: Tags) -> NDArray[Any]:
    """The rows of a TIFF with float colors, read as gray, as upright floats of shape (H, W, 3 or 4)."""
    values = np.ascontiguousarray(wide, np.float32)
    shape = tags[HEIGHT], tags[WIDTH], tags[SAMPLES]
    predictor = tags.get(PREDICTOR, NO_PREDICTOR)
    if predictor == DIFFERENCES:
        values = values.view(np.uint32).reshape(shape).cumsum(axis=1, dtype=np.uint32).view(np.float32)
    elif predictor == FLOAT_PREDICTOR:
        if (tags.prefix == b"II") != np.little_endian:
            # libtiff has put the bytes in the machine's order, but these are no numbers yet.
            values = values.byteswap()
        # Adobe's technical note 3: the bytes of a row, differences over a pixel; first all upper ones.
        parts = values.view(np.uint8).reshape(shape[0], -1, shape[2]).cumsum(axis=1, dtype=np.uint8)
        planes = parts.reshape(shape[0], 4, -1)
        values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(">f4").astype(np.float32)
    return turned(values.reshape(shape), tags.get(ORIENTATION, 1))


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Upright, by the tag Orientation."""
    values = values.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else values
    values = values[::-1] if orientation in (3, 4, 7, 8) else values
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


# Samples


def samples_of(picture: Image.Image, data: bytes | None, raw: str, floats: Tags | None, what: str) -> Found | None:
    """The samples of a picture, upright; None if it has 8 bits or fewer. ``data`` is its file, if it is no caller's; ``raw`` is
    from :func:`prepare`, ``floats`` from :func:`open_picture`. Raises InputError for 32 bits, and for floats beyond 0..1."""
    if floats is not None:
        values = float_pixels(np.asarray(picture), floats)
        has_alpha = values.shape[2] == 4 and floats.get(EXTRA, (0,))[0] in ALPHAS
        alpha = to_samples(values[..., 3], what) if has_alpha else None
        return Found(to_samples(values[..., :3], what), alpha)
    if picture.mode in SIXTEEN_BIT_MODES or (picture.mode == "I" and picture.format == SIXTEEN_BIT_IN_I):
        gray = np.asarray(upright(picture)).clip(0, MOST).astype(np.uint16)
        clear = picture.info.get("transparency")
        alpha = np.where(gray == clear, 0, MOST).astype(np.uint16) if isinstance(clear, int) else None
        return Found(spread(positive(gray, picture)), alpha, gray=True)
    if picture.mode == "F":
        return Found(spread(positive(to_samples(np.asarray(upright(picture)), what), picture)), gray=True)
    if picture.mode == "I":
        raise InputError(f"{what} has 32-bit samples; save it with 8 or 16 bits")
    if data is None:
        return None
    if heif.bits(picture) > 8:
        values = heif.samples(data, picture.tell())
        if values.ndim == 2:
            return Found(spread(values), gray=True)
        return Found(np.ascontiguousarray(values[..., :3]), values[..., 3].copy() if values.shape[2] == 4 else None)
    if raw == GRAY_AND_ALPHA:
        both = np.ascontiguousarray(decoded_as(data, "RGBA")).view(">u2").astype(np.uint16)
        return Found(spread(both[..., 0]), both[..., 1], gray=True)
    if raw[:-1] not in SIXTEEN_BIT_RAW or raw[-1:] not in OTHER_ORDER or tag_of(picture, PLANAR) == APART:
        return None
    return twice_decoded(picture, data, raw)


def twice_decoded(picture: Image.Image, data: bytes, raw: str) -> Found:
    """All samples of RGB or RGBA of 16 bits. Pillow keeps the upper 8; told the other order of bytes, it keeps the lower 8."""
    clear = picture.info.get("transparency")
    upper = upright(picture)
    samples = np.empty((upper.height, upper.width, len(upper.mode)), np.uint16)
    put(upper, samples, UPPER)
    del upper
    put(decoded_as(data, raw[:-1] + OTHER_ORDER[raw[-1]]), samples, LOWER)
    if samples.shape[2] == 4:
        return Found(np.ascontiguousarray(samples[..., :3]), samples[..., 3].copy())
    if isinstance(clear, tuple) and len(clear) == 3:
        return Found(samples, np.where((samples == clear).all(axis=-1), 0, MOST).astype(np.uint16))
    return Found(samples)


def decoded_as(data: bytes, raw: str) -> Image.Image:
    """The picture in ``data``, its samples taken for ``raw``, which must have as many bytes; upright."""
    with open_picture(data)[0] as picture:
        picture.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in picture.tile
        ]
        picture.load()
        return upright(picture)


def put(picture: Image.Image, samples: Samples, place: int) -> None:
    """Put one byte of each sample where it belongs."""
    octets = samples.view(np.uint8).reshape(*samples.shape, 2)
    for top, strip in strips(picture):
        octets[top : top + STRIP, ..., place] = np.asarray(strip)


def positive(gray: Samples, picture: Image.Image) -> Samples:
    """Gray in which 0 is black, whatever it is in a TIFF."""
    return np.bitwise_not(gray) if tag_of(picture, PHOTOMETRIC) == WHITE_IS_ZERO else gray


def spread(gray: Samples) -> Samples:
    """(H, W) as (H, W, 3)."""
    return np.repeat(gray[..., None], 3, axis=-1)


def to_samples(values: NDArray[Any], what: str) -> Samples:
    """Floats in 0..1 as 16 bits; what lies beyond by rounding alone is clipped. Raises InputError for others."""
    if not np.isfinite(values).all():
        raise InputError(f"{what} has samples that are NaN or infinite")
    least, most = float(values.min()), float(values.max())
    beyond = max(HALF_STEP, FEW * float(np.finfo(values.dtype).eps))
    if least < -beyond or most > 1 + beyond:
        # With so many digits that what lies beyond is seen to.
        raise InputError(f"{what} has samples of {least:.8g}..{most:.8g}; floats must be in 0..1")
    made = np.empty(values.shape, np.uint16)
    for top in range(0, len(values), STRIP):
        made[top : top + STRIP] = np.rint(values[top : top + STRIP].astype(np.float64).clip(0, 1) * MOST)
    return made


def to_srgb(found: Found, profile: bytes | None) -> tuple[Deep, Image.Image | None]:
    """The picture in sRGB, and its alpha in 8 bits if there is any. The samples are converted in place, or nothing is, and it
    raises Unusable."""
    samples, alpha = found.rgb, found.alpha
    if profile is not None:
        try:
            icc.to_srgb_deep(samples, profile, gray=found.gray)
        except icc.HasTables:
            # Only LittleCMS can convert it, in 8 bits.
            eight = Deep(samples).eight_bits()
            converted = icc.to_srgb(eight, profile, gray=found.gray)
            put(converted, samples, UPPER)
            put(converted, samples, LOWER)
    if alpha is None:
        return Deep(samples), None
    return Deep(samples), Image.fromarray(np.rint(alpha / EIGHT_TO_SIXTEEN).astype(np.uint8))
