"""16 bits and floats out of files, which Pillow reads in part.

Of 16 bits of RGB, and of what has alpha, Pillow keeps the upper 8. A second pass, in which it is told the other order of bytes,
has the lower 8. Pillow knows floats of gray only: a TIFF with float colors is told to be gray, and three times as wide.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from isostyle.errors import InputError
from isostyle.images import icc
from isostyle.images.deep import EIGHT_TO_SIXTEEN, MOST, STRIP, Deep, Samples, strips
from isostyle.images.exif import ORIENTATION, upright
from isostyle.images.suffixes import readable_formats

#: Transparent pixels are laid on this color.
BACKGROUND = (255, 255, 255)
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


def open_picture(data: bytes) -> tuple[ImageFile.ImageFile, Tags | None]:
    """A picture that Pillow knows; or a TIFF with float colors, opened as gray, and its own tags.

    May raise UnidentifiedImageError, or whatever else Pillow meets a broken file with.
    """
    try:
        return Image.open(io.BytesIO(data), formats=readable_formats()), None
    except UnidentifiedImageError:
        if not data.startswith((b"II*\0", b"MM\0*")):
            raise
        places = places_of_tags(data)
        tags = Tags(data[:8])
        stream = io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        if not has_float_colors(tags):
            raise
        return Image.open(io.BytesIO(as_gray(data, tags, places)), formats=["TIFF"]), tags


def prepare(picture: Image.Image, what: str) -> None:
    """Correct what Pillow takes for something else, before it decodes a TIFF. Raises InputError if that is not possible."""
    tiles = getattr(picture, "tile", None)
    if picture.format != "TIFF" or not tiles or not isinstance(picture, ImageFile.ImageFile):
        return
    coder, given = tiles[0][0], tiles[0][3]
    if coder == "libtiff" and isinstance(given, tuple) and given[0] in FLOAT_RAW:
        # libtiff hands over the machine's order of bytes, and Pillow expects the file's.
        picture.tile = [tile._replace(args=(NATIVE_FLOAT_RAW, *given[1:])) for tile in picture.tile]
    elif coder == "raw" and tag_of(picture, PLANAR) == APART and 16 in (tag_of(picture, BITS) or ()):
        raise InputError(
            f"{what} has 16 bits in planes (PlanarConfiguration 2) and no compression; save it with one of the two"
        )


def tag_of(picture: Image.Image, tag: int) -> Any:
    """A tag of a TIFF; None of all others."""
    tags = getattr(picture, "tag_v2", None)
    return None if tags is None else tags.get(tag)


def raw_mode(picture: Image.Image) -> str | None:
    """How Pillow calls the samples in the file, if all of it has one name. Once the picture is decoded, that is gone."""
    names = set()
    for tile in getattr(picture, "tile", []):
        given = tile[3]
        names.add(given[0] if isinstance(given, tuple) and given else given)
    name = names.pop() if len(names) == 1 else None
    return name if isinstance(name, str) and name else None


# TIFFs with float colors


def has_float_colors(tags: Tags) -> bool:
    """Whether a TIFF has RGB or RGBA as floats of 32 bits. Raises ValueError with a clause if they cannot be read."""
    if tags.get(PHOTOMETRIC) != RGB or tags.get(SAMPLES) not in (3, 4) or not {WIDTH, HEIGHT} <= set(tags):
        return False
    formats, bits = set(np.unique(tags.get(FORMAT, 0))), set(np.unique(tags.get(BITS, 0)))
    if formats != {FLOATS} or bits != {FLOAT_BITS}:
        return False
    if tags.get(PLANAR, TOGETHER) != TOGETHER:
        raise ValueError("its colors stand apart from each other (PlanarConfiguration 2), which is not read for floats")
    if tags.get(PREDICTOR, NO_PREDICTOR) != NO_PREDICTOR and TILE_WIDTH in tags:
        raise ValueError("it has tiles and a predictor, which is not read for floats")
    return True


def places_of_tags(data: bytes) -> dict[int, int]:
    """Where the entry of each tag stands in a TIFF. Raises struct.error if the file ends before."""
    order = order_of(data)
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    entries = range(start + 2, start + 2 + 12 * count, 12)
    return {struct.unpack_from(f"{order}HHII", data, place)[0]: place for place in entries}


def order_of(data: bytes) -> str:
    """The order of bytes in a TIFF."""
    return "<" if data[:2] == b"II" else ">"


def as_gray(data: bytes, tags: Tags, places: dict[int, int]) -> bytes:
    """A TIFF with float colors whose head says that it is gray, and as many times as wide as it has colors."""
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
    changed = bytearray(data)
    for tag in gray.keys() & places.keys():
        name = UNUSED if tag == EXTRA else tag
        struct.pack_into(f"{order_of(data)}HHII", changed, places[tag], name, LONG, 1, gray[tag])
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
    values = values.reshape(shape)
    return turned(values, tags.get(ORIENTATION, 1))


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Upright, by the tag Orientation."""
    values = values.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else values
    values = values[::-1] if orientation in (3, 4, 7, 8) else values
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


# Samples


def samples_of(picture: Image.Image, data: bytes | None, raw: str | None, floats: Tags | None, what: str) -> Found | None:
    """The samples of a picture, upright; None if it has 8 bits or fewer.

    Args:
        data: the file, unless the picture is a caller's.
        raw: as :func:`raw_mode` found it.
        floats: as :func:`open_picture` found them.

    Raises:
        InputError: its samples have 32 bits, or are floats that are none of a picture.
    """
    if floats is not None:
        values = float_pixels(np.asarray(picture), floats)
        has_alpha = values.shape[2] == 4 and floats.get(EXTRA, (0,))[0] in ALPHAS
        alpha = to_samples(values[..., 3], what) if has_alpha else None
        return Found(to_samples(values[..., :3], what), alpha)
    if picture.mode in SIXTEEN_BIT_MODES or (picture.mode == "I" and picture.format == SIXTEEN_BIT_IN_I):
        gray = np.asarray(upright(picture))
        gray = gray if gray.dtype == np.uint16 else gray.clip(0, MOST).astype(np.uint16)
        clear = picture.info.get("transparency")
        alpha = np.where(gray == clear, 0, MOST).astype(np.uint16) if isinstance(clear, int) else None
        return Found(spread(positive(gray, picture)), alpha, gray=True)
    if picture.mode == "F":
        return Found(spread(positive(to_samples(np.asarray(upright(picture)), what), picture)), gray=True)
    if picture.mode == "I":
        raise InputError(f"{what} has 32-bit samples; save it with 8 or 16 bits")
    if data is None or raw is None:
        return None
    if raw == GRAY_AND_ALPHA:
        both = np.ascontiguousarray(decoded_as(data, "RGBA")).view(">u2").astype(np.uint16)
        return Found(spread(both[..., 0]), both[..., 1], gray=True)
    if raw[:-1] not in SIXTEEN_BIT_RAW or raw[-1] not in OTHER_ORDER or tag_of(picture, PLANAR) == APART:
        return None
    return twice_decoded(picture, data, raw)


def twice_decoded(picture: Image.Image, data: bytes, raw: str) -> Found:
    """Both bytes of all samples of RGB, or of what has alpha, of 16 bits."""
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
    """Floats in 0..1 as 16 bits. Raises InputError for others."""
    if not np.isfinite(values).all():
        raise InputError(f"{what} has samples that are NaN or infinite")
    if values.min() < 0 or values.max() > 1:
        raise InputError(f"{what} has samples of {values.min():g}..{values.max():g}; floats must be in 0..1")
    made = np.empty(values.shape, np.uint16)
    for top in range(0, len(values), STRIP):
        made[top : top + STRIP] = np.rint(values[top : top + STRIP].astype(np.float64) * MOST)
    return made


def to_srgb(found: Found, profile: bytes | None) -> tuple[Deep, Image.Image | None]:
    """The picture in sRGB, on white, and its alpha in 8 bits if there is any. The samples are converted in place, or
    nothing is, and it raises Unusable."""
    samples, alpha = found.rgb, found.alpha
    if profile is not None:
        try:
            icc.to_srgb_deep(samples, profile, gray=found.gray)
        except icc.HasTables:
            # Only LittleCMS can convert it, in 8 bits.
            eight = Deep(samples).eight_bits()
            converted = icc.to_srgb(eight.getchannel(0) if icc.mode_of(profile) == "L" else eight, profile)
            put(converted, samples, UPPER)
            put(converted, samples, LOWER)
    if alpha is None or alpha.min() == MOST:
        return Deep(samples), None
    for top in range(0, len(samples), STRIP):
        share = alpha[top : top + STRIP, :, None].astype(np.float64) / MOST
        laid = samples[top : top + STRIP] * share + np.array(BACKGROUND) * EIGHT_TO_SIXTEEN * (1 - share)
        samples[top : top + STRIP] = np.rint(laid)
    return Deep(samples), Image.fromarray(np.rint(alpha / EIGHT_TO_SIXTEEN).astype(np.uint8))
