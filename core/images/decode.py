"""Pictures in: files of every kind that people have, as RGB in sRGB's colors. docs/pictures.md is the contract.

Pillow decodes. What it reads of 16 bits in eight, RGB and what has alpha, is decoded twice: once for the upper bytes of all
samples and once for the lower ones, which take each other's places when the order of bytes is said to be the other one.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from isostyle.errors import InputError, shown
from isostyle.images import exif, float_tiff, icc
from isostyle.images.deep import MOST, STRIP, Deep, Samples
from isostyle.system import allocation
from isostyle.system.files import read_input, reason, sha256

#: What a caller may hand in: a path, the bytes of a file, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
#: of uint8 in 0..255, uint16 in 0..65535 or floats in 0..1.
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]
#: RGB, of 8 or 16 bits a sample.
Pixels: TypeAlias = Image.Image | Deep

#: More pixels than this are refused before they are decoded: Pillow's own limit for a decompression bomb.
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)
#: Transparent pixels are laid on this color.
BACKGROUND = (255, 255, 255)
#: What is read, where Pillow has it. Not among them: EPS, for which Pillow would start a program (Ghostscript).
FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "TIFF",
    "WEBP",
    "AVIF",
    "GIF",
    "BMP",
    "PPM",
    "JPEG2000",
    "TGA",
    "ICO",
    "PCX",
    "SGI",
    "DDS",
    "PSD",
)
#: Formats whose further frames are no pictures of their own, but layers of the one that is read.
LAYERED = ("PSD",)
#: Of Pillow's modes, those that hold 16 bits a sample; Pillow would clip and not scale them.
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
#: Formats whose 16 bits Pillow has in mode I, that of 32 bits (PNG before Pillow 11).
SIXTEEN_BIT_IN_I = ("PNG", "PPM")
#: How Pillow calls samples of 16 bits that it rounds to 8, but for their order of bytes: B, L or N, the machine's.
SIXTEEN_BIT_RAW = ("RGB;16", "RGBA;16", "RGBX;16")
OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}
#: Where the bytes of a sample are in memory.
UPPER, LOWER = (1, 0) if np.little_endian else (0, 1)
#: EXIF's tag.
ORIENTATION = 0x0112
#: How it calls floats of 32 bits in a file's order of bytes, and in the machine's.
FLOAT_RAW, NATIVE_FLOAT_RAW = ("F;32F", "F;32BF"), "F;32NF"
#: Gray and alpha of a PNG, of 16 bits both: its four bytes are taken for RGBA's.
GRAY_AND_ALPHA = "LA;16B"
#: Tags of a TIFF, and what they say: gray in which 0 is white; samples of one color apart from those of another.
BITS, PHOTOMETRIC, WHITE_IS_ZERO, PLANAR, APART = 258, 262, 0, 284, 2
#: The name of bytes that have none.
NAMELESS = "the picture"


@dataclass(frozen=True, eq=False)
class PictureIn:
    """A picture that was read."""

    #: In sRGB's colors: orientation applied, transparency laid on white.
    pixels: Pixels
    #: Mode L, as large as the pixels; None if nothing is transparent.
    alpha: Image.Image | None = None
    #: What is worth keeping of its EXIF.
    exif: bytes | None = None
    #: What the user should know.
    lines: tuple[str, ...] = ()

    @property
    def eight_bits(self) -> Image.Image:
        return self.pixels.eight_bits() if isinstance(self.pixels, Deep) else self.pixels


def read(source: ImageLike, what: str = "image") -> PictureIn:
    """The picture.

    Raises:
        InputError: there is no such file, or it holds no whole picture, or an array has another shape, type or range. The
            message begins with ``what`` or the file's name.
    """
    # Before the first large array: color profiles hold matrices.
    allocation.take_buffers()
    if isinstance(source, np.ndarray):
        return from_array(source, what)
    if isinstance(source, Image.Image):
        return opened(source, None, what)
    if isinstance(source, bytes):
        return decode(source, what)
    return decode(read_input(Path(source)), repr(str(source)))


def decode(data: bytes, name: str) -> PictureIn:
    """The picture in ``data``, the bytes of a file called ``name``; as :func:`read`."""
    with warnings.catch_warnings():
        # Pillow warns from half the limit on; isostyle has one limit.
        warnings.simplefilter("ignore")
        try:
            with open_picture(data) as picture:
                return opened(picture, data, name)
        except UnidentifiedImageError:
            return float_colors(data, name)
        except Image.DecompressionBombError:
            raise too_large(name) from None
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise broken(name, error) from None


def open_picture(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=formats())


def formats() -> list[str]:
    """Of :data:`FORMATS`, those that this Pillow can open."""
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]


def opened(picture: Image.Image, data: bytes | None, what: str) -> PictureIn:
    """A picture that Pillow has opened, from the file ``data`` if it is one's."""
    if picture.width * picture.height > MAX_PIXELS:
        raise too_large(what)
    try:
        prepare(picture, what)
        raw = raw_mode(picture)  # gone as soon as it is decoded, for its EXIF perhaps
        lines = []
        if picture.format not in LAYERED and getattr(picture, "is_animated", False):
            lines.append(f"{what} holds more than one picture: the first is taken")
        kept = exif.kept(picture)
        profile = picture.info.get("icc_profile")
        profile = profile if isinstance(profile, bytes) and profile else None
        deep = sixteen_bits(picture, data, raw, what)
        try:
            pixels, alpha = colors(picture, profile, data is None) if deep is None else deep_colors(*deep, profile)
        except icc.Unusable as error:
            if profile is None:
                raise InputError(f"{what} has Lab colors, and {error}") from None
            lines.append(f"{what} has a color profile that cannot be used: {error}; its colors are taken for sRGB")
            pixels, alpha = colors(picture, None, data is None) if deep is None else deep_colors(*deep, None)
        return PictureIn(pixels, alpha, kept, tuple(lines))
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # Pillow's decoders meet a broken file with OSError, SyntaxError, ValueError, EOFError, struct.error and others.
        raise broken(what, error) from None


def prepare(picture: Image.Image, what: str) -> None:
    """Make good what Pillow takes for something else, before it decodes a TIFF.

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


def too_large(what: str) -> InputError:
    return InputError(f"{what} has more than {MAX_PIXELS / 1e6:.0f} megapixels; make it smaller")


def broken(what: str, error: Exception) -> InputError:
    return InputError(f"{what} cannot be decoded, and may be broken or truncated: {reason(error)}")


# 8 bits


def colors(picture: Image.Image, profile: bytes | None, callers: bool) -> tuple[Image.Image, Image.Image | None]:
    """Pixels, and alpha if there is any, of a picture whose samples have 8 bits or fewer; ``callers``: it is not ours, and is
    not changed. Raises Unusable."""
    given, picture = picture, upright(picture)
    wanted = None if profile is None else icc.mode_of(profile)
    alpha = None
    if picture.has_transparency_data:
        layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        alpha = layer.getchannel("A")
        plain = layer.convert("RGB")
        del layer
    elif picture.mode in ("RGB", "LAB", "CMYK"):
        # Of 100 megapixels, each copy that is not made is 400 MB.
        plain = picture.copy() if callers and picture is given else picture
    else:
        plain = picture.convert("RGB")
    if wanted == "L" and picture.mode in ("1", "L", "LA", "La"):
        plain = plain.getchannel(0)
    rgb = icc.to_srgb(plain, profile)
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb, None
    for top in range(0, rgb.height, STRIP):
        box = (0, top, rgb.width, min(top + STRIP, rgb.height))
        strip = rgb.crop(box)
        strip.putalpha(alpha.crop(box))
        canvas = Image.new("RGBA", strip.size, (*BACKGROUND, 255))
        rgb.paste(Image.alpha_composite(canvas, strip).convert("RGB"), box[:2])
    return rgb, alpha


# 16 bits, and floats


def sixteen_bits(
    picture: Image.Image, data: bytes | None, raw: str | None, what: str
) -> tuple[Samples, Samples | None, bool] | None:
    """RGB samples, (H, W, 3), those of alpha, (H, W), and whether it is gray; None if the picture has 8 bits or fewer.

    Raises:
        InputError: its samples have 32 bits, or are floats that are none of a picture.
    """
    inverted = tag_of(picture, PHOTOMETRIC) == WHITE_IS_ZERO
    if picture.mode in SIXTEEN_BIT_MODES or (picture.mode == "I" and picture.format in SIXTEEN_BIT_IN_I):
        clear = picture.info.get("transparency")
        gray = np.asarray(upright(picture))
        gray = gray if gray.dtype == np.uint16 else gray.clip(0, MOST).astype(np.uint16)
        alpha = np.where(gray == clear, 0, MOST).astype(np.uint16) if isinstance(clear, int) else None
        return spread(np.bitwise_not(gray) if inverted else gray), alpha, True
    if picture.mode == "F":
        gray = to_samples(np.asarray(upright(picture)), what)
        return spread(np.bitwise_not(gray) if inverted else gray), None, True
    if picture.mode == "I":
        raise InputError(f"{what} has 32-bit samples; save it with 8 or 16 bits")
    if data is None or raw is None:
        return None
    if raw == GRAY_AND_ALPHA:
        parts = np.asarray(decoded_as(data, "RGBA"))
        both = np.ascontiguousarray(parts).view(">u2").astype(np.uint16)
        return spread(both[..., 0]), both[..., 1], True
    if raw[:-1] not in SIXTEEN_BIT_RAW or raw[-1] not in OTHER_ORDER or tag_of(picture, PLANAR) == APART:
        return None
    clear = picture.info.get("transparency")
    upper = upright(picture)
    samples = np.empty((upper.height, upper.width, len(upper.mode)), np.uint16)
    put(upper, samples, UPPER)
    del upper
    put(decoded_as(data, raw[:-1] + OTHER_ORDER[raw[-1]]), samples, LOWER)
    if samples.shape[2] == 4:
        return np.ascontiguousarray(samples[..., :3]), samples[..., 3].copy(), False
    if isinstance(clear, tuple) and len(clear) == 3:
        return samples, np.where((samples == clear).all(axis=-1), 0, MOST).astype(np.uint16), False
    return samples, None, False


def tag_of(picture: Image.Image, tag: int) -> Any:
    """A tag of a TIFF; None of all others."""
    tags = getattr(picture, "tag_v2", None)
    return None if tags is None else tags.get(tag)


def raw_mode(picture: Image.Image) -> str | None:
    """How Pillow calls the samples in the file, if all of it has one name."""
    names = set()
    for tile in getattr(picture, "tile", []):
        given = tile[3]
        names.add(given[0] if isinstance(given, tuple) and given else given)
    name = names.pop() if len(names) == 1 else None
    return name if isinstance(name, str) and name else None


def decoded_as(data: bytes, raw: str) -> Image.Image:
    """The picture in ``data``, its samples taken for ``raw``, which must have as many bytes; upright."""
    with open_picture(data) as picture:
        picture.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in picture.tile
        ]
        picture.load()
        return upright(picture)


def upright(picture: Image.Image) -> Image.Image:
    """The picture itself, if its EXIF does not say that it is to be turned."""
    picture.load()  # a PNG may have its EXIF behind its pixels
    return picture if picture.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(picture)


def put(picture: Image.Image, samples: Samples, place: int) -> None:
    """A byte of each sample to where it belongs."""
    octets = samples.view(np.uint8).reshape(*samples.shape, 2)
    for top in range(0, picture.height, STRIP):
        strip = picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
        octets[top : top + STRIP, ..., place] = np.asarray(strip)


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


def deep_colors(samples: Samples, alpha: Samples | None, gray: bool, profile: bytes | None) -> tuple[Deep, Image.Image | None]:
    """As :func:`colors`. What only LittleCMS can convert is rounded to 8 bits for it."""
    if profile is not None:
        try:
            icc.to_srgb_deep(samples, profile, gray=gray)
        except icc.HasTables:
            eight = Deep(samples).eight_bits()
            plain = eight.getchannel(0) if icc.mode_of(profile) == "L" else eight
            converted = icc.to_srgb(plain, profile)
            put(converted, samples, UPPER)
            put(converted, samples, LOWER)
    if alpha is None or alpha.min() == MOST:
        return Deep(samples), None
    for top in range(0, len(samples), STRIP):
        share = alpha[top : top + STRIP, :, None].astype(np.float64) / MOST
        laid = samples[top : top + STRIP] * share + np.array(BACKGROUND) * 257 * (1 - share)
        samples[top : top + STRIP] = np.rint(laid)
    return Deep(samples), Image.fromarray(np.rint(alpha / 257).astype(np.uint8))


def float_colors(data: bytes, name: str) -> PictureIn:
    """A TIFF whose colors are floats, which Pillow does not know.

    Raises:
        InputError: it is none.
    """
    try:
        found = float_tiff.as_gray(data)
        if found is None:
            raise InputError(f"{name} is not a picture that can be read (JPEG, PNG, TIFF, WebP, ...)")
        if found.width * found.height * found.samples > MAX_PIXELS:
            raise too_large(name)
        with open_picture(found.data) as picture:
            prepare(picture, name)
            kept, profile = exif.kept(picture), picture.info.get("icc_profile")
            values = found.restored(np.asarray(picture))
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise broken(name, error) from None
    samples = to_samples(values[..., :3], name)
    alpha = to_samples(values[..., 3], name) if found.samples == 4 and found.has_alpha else None
    lines = []
    try:
        pixels, layer = deep_colors(samples, alpha, False, profile)
    except icc.Unusable as error:
        lines.append(f"{name} has a color profile that cannot be used: {error}; its colors are taken for sRGB")
        pixels, layer = deep_colors(samples, alpha, False, None)
    return PictureIn(pixels, layer, kept, tuple(lines))


# Arrays


def from_array(array: NDArray[Any], what: str) -> PictureIn:
    """Floats are rounded to 16 bits."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in array.shape:
        raise InputError(f"{what}: an array must have shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputError(f"{what}: the array has values that are NaN or infinite")
        if array.min() < 0 or array.max() > 1:
            raise InputError(f"{what}: an array of floats must be in 0..1, not {array.min():g}..{array.max():g}")
        array = to_samples(array, what)
    elif array.dtype == np.uint8:
        return opened(Image.fromarray(np.ascontiguousarray(array)), None, what)
    elif array.dtype.kind != "u" or array.dtype.itemsize != 2:
        raise InputError(f"{what}: an array must be of uint8, uint16 or floats in 0..1, not {array.dtype}")
    if array.ndim == 2:
        return PictureIn(Deep(spread(array.astype(np.uint16))))
    alpha = array[..., 3].astype(np.uint16) if array.shape[2] == 4 else None
    return PictureIn(*deep_colors(array[..., :3].astype(np.uint16), alpha, False, None))


def pixels_sha256(picture: Pixels) -> str:
    """The digest of all samples, row by row, a strip at a time: their bytes at once would be another picture or two in
    memory."""
    found = hashlib.sha256()
    for top in range(0, picture.height, STRIP):
        found.update(picture.crop((0, top, picture.width, min(top + STRIP, picture.height))).tobytes())
    return found.hexdigest()


def read_picture(source: ImageLike, what: str) -> tuple[PictureIn, str | None]:
    """A picture, and the SHA-256 of its file if it has one; the file is read once, so the two belong together."""
    if isinstance(source, str | os.PathLike):
        data = read_input(Path(source))
        return decode(data, repr(str(source))), sha256(data)
    if isinstance(source, bytes):
        return decode(source, what), sha256(source)
    if not isinstance(source, Image.Image | np.ndarray):
        raise InputError(f"{what} must be a path, the bytes of a file, a PIL image or an array, not {shown(source)}")
    return read(source, what), None


def describe(source: ImageLike, picture: Pixels, digest: str | None) -> dict[str, Any]:
    """What a manifest says of an input: its file if it has one, the digest of its decoded pixels, and its size."""
    named = isinstance(source, str | os.PathLike)
    return {
        **({"path": str(source)} if named else {}),
        **({"file_sha256": digest} if digest else {}),
        "pixels_sha256": pixels_sha256(picture),
        "size": [picture.height, picture.width],
    }
