"""16 bits and floats out of files, which Pillow reads in part.

Of 16 bits of RGB, and of what has alpha, Pillow keeps the upper 8. A second pass, in which it is told the other order of bytes,
has the lower 8. Pillow knows floats of gray only: a TIFF with float colors is told to be gray, and three times as wide.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from isostyle.errors import InputError
from isostyle.images import icc
from isostyle.images.deep import EIGHT_TO_SIXTEEN, MOST, STRIP, Deep, Samples, strips
from isostyle.images.exif import ORIENTATION, upright
from isostyle.images.suffixes import readable_formats

#: Transparent pixels are laid on this color.
BACKGROUND = (255, 255, 255)
#: Of Pillow's modes, those that hold 16 bits a sample; Pillow would clip and not scale them.
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
#: Formats whose 16 bits Pillow has in mode I, that of 32 bits (PPM; PNG before Pillow 11).
SIXTEEN_BIT_IN_I = ("PNG", "PPM")
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
#: What TargetPrinter is to Pillow and to libtiff: nothing. It takes the place of EXTRA.
UNUSED = 337
#: The types SHORT and LONG: their letters for :mod:`struct`, and their bytes.
SHORT, LONG = 3, 4
TYPES = {SHORT: ("H", 2), LONG: ("I", 4)}
MOST_ENTRIES = 1000
#: By the tag Orientation: whether rows and columns change places; then the step through rows, and through columns.
TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


@dataclass(frozen=True, eq=False)
class Found:
    """The samples of a file, in its own colors."""

    #: (H, W, 3).
    rgb: Samples
    #: (H, W).
    alpha: Samples | None = None
    #: Whether the file has one channel, which all three of RGB repeat.
    gray: bool = False


@dataclass(frozen=True)
class FloatLayout:
    """How the rows of a TIFF with float colors, read as gray, become pixels."""

    width: int
    height: int
    #: Of a pixel: 3, or 4.
    samples: int
    has_alpha: bool
    predictor: int
    orientation: int

    def pixels(self, wide: NDArray[np.float32]) -> NDArray[Any]:
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
        values = values.reshape(self.height, self.width, self.samples)
        swapped, down, across = TURNS.get(self.orientation, (False, 1, 1))
        return (values.swapaxes(0, 1) if swapped else values)[::down, ::across]


# Files


def open_picture(data: bytes) -> tuple[ImageFile.ImageFile, FloatLayout | None]:
    """A picture that Pillow knows; or a TIFF with float colors, read as gray, and its layout.

    Raises:
        PIL.UnidentifiedImageError: it is neither.
        struct.error, ValueError, or whatever else Pillow meets a broken file with.
    """
    try:
        return Image.open(io.BytesIO(data), formats=readable_formats()), None
    except UnidentifiedImageError:
        found = as_gray(data)
        if found is None:
            raise
        return Image.open(io.BytesIO(found[0]), formats=["TIFF"]), found[1]


def prepare(picture: Image.Image, what: str) -> None:
    """Correct what Pillow takes for something else, before it decodes a TIFF.

    Raises:
        InputError: that is not possible.
    """
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


def as_gray(data: bytes) -> tuple[bytes, FloatLayout] | None:
    """A TIFF with other words in its head, and its layout; None if it is no TIFF with colors as floats of 32 bits.

    Raises:
        struct.error, ValueError: it is broken, or is one of a kind that cannot be read; the message is a clause.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    places, values = directory(data, order)

    def one(tag: int, otherwise: int) -> int:
        return (values.get(tag) or (otherwise,))[0]

    samples, extra, predictor = one(SAMPLES, 1), values.get(EXTRA, ()), one(PREDICTOR, NO_PREDICTOR)
    of_floats = set(values.get(FORMAT, ())) == {FLOATS} and set(values.get(BITS, ())) == {FLOAT_BITS}
    if one(PHOTOMETRIC, GRAY) != RGB or not of_floats or samples not in (3, 4) or not {WIDTH, HEIGHT} <= values.keys():
        return None
    if one(PLANAR, TOGETHER) != TOGETHER:
        raise ValueError("its colors stand apart from each other (PlanarConfiguration 2), which is not read for floats")
    if predictor == FLOAT_PREDICTOR and order == ">":
        raise ValueError("it is big-endian with a floating-point predictor, which is not read")
    if predictor != NO_PREDICTOR and TILE_WIDTH in values:
        raise ValueError("it has tiles and a predictor, which is not read for floats")
    has_alpha = samples == 4 and bool(extra) and extra[0] in ALPHAS
    layout = FloatLayout(one(WIDTH, 0), one(HEIGHT, 0), samples, has_alpha, predictor, one(ORIENTATION, 1))
    wider = {WIDTH: layout.width * samples, TILE_WIDTH: one(TILE_WIDTH, 0) * samples}
    gray = {BITS: FLOAT_BITS, PHOTOMETRIC: GRAY, SAMPLES: 1, FORMAT: FLOATS, ORIENTATION: 1, PREDICTOR: NO_PREDICTOR, EXTRA: 0}
    changed = bytearray(data)
    for tag, value in {**wider, **gray}.items():
        if tag in places:
            name = UNUSED if tag == EXTRA else tag
            struct.pack_into(f"{order}HHII", changed, places[tag], name, LONG, 1, value)
    return bytes(changed), layout


def directory(data: bytes, order: str) -> tuple[dict[int, int], dict[int, tuple[int, ...]]]:
    """Of a TIFF's first directory, where the entry of each tag stands, and the values of those with a few SHORT or LONG."""
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    places: dict[int, int] = {}
    values: dict[int, tuple[int, ...]] = {}
    for place in range(start + 2, start + 2 + 12 * min(count, MOST_ENTRIES), 12):
        tag, kind, length, offset = struct.unpack_from(f"{order}HHII", data, place)
        places[tag] = place
        if kind in TYPES and length <= 8:
            letter, size = TYPES[kind]
            where = place + 8 if length * size <= 4 else offset
            values[tag] = struct.unpack_from(f"{order}{length}{letter}", data, where)
    return places, values


# Samples


def samples_of(
    picture: Image.Image, data: bytes | None, raw: str | None, layout: FloatLayout | None, what: str
) -> Found | None:
    """The samples of a picture, upright; None if it has 8 bits or fewer.

    Args:
        data: the file, if the picture is one's.
        raw: as :func:`raw_mode` found it.
        layout: as :func:`open_picture` found it.

    Raises:
        InputError: its samples have 32 bits, or are floats that are none of a picture.
    """
    if layout is not None:
        values = layout.pixels(np.asarray(picture))
        alpha = to_samples(values[..., 3], what) if layout.has_alpha else None
        return Found(to_samples(values[..., :3], what), alpha)
    if picture.mode in SIXTEEN_BIT_MODES or (picture.mode == "I" and picture.format in SIXTEEN_BIT_IN_I):
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
    """The picture in sRGB, on white, and its alpha in 8 bits if there is any. The samples are converted in place.

    Raises:
        Unusable: the profile cannot be used; nothing is converted.
    """
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
