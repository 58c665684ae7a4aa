"""Pictures: files, PIL images and arrays in; normalised NCHW arrays for the engines; PIL images out.

Everything that could differ between frameworks happens here, once, in Pillow and NumPy: decoding, resizing, normalisation,
noise. Every backend starts from the same bits. (The frameworks' own resizers do not agree: MXNet's and torch's defaults do not
antialias, and are 27 to 30 dB away from Pillow's on a photograph.)
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from isostyle.errors import InputError
from isostyle.files import read_input, reason
from isostyle.interface import Array, Dtype
from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.recipe import Space

#: What a caller may hand in: a path, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of uint8 in 0..255,
#: uint16 in 0..65535 or floats in 0..1.
ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any]

#: More pixels than this are refused before they are decoded: Pillow's own limit for a decompression bomb.
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)
#: Rows that are converted at a time: whole pictures in float64 would take as much memory as the rest of a run.
STRIP = 64
#: Transparent pixels are laid on this colour.
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
#: Of Pillow's modes, those that hold 16 bits a sample; Pillow would clip and not scale them.
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
#: Formats whose 16 bits Pillow has in mode I, that of 32 bits (PNG before Pillow 11).
SIXTEEN_BIT_IN_I = ("PNG", "PPM")


def read(source: ImageLike, what: str = "image") -> Image.Image:
    """The picture as 8-bit RGB: EXIF orientation applied, transparency laid on white, 16 bits rounded to 8.

    Raises:
        InputError: there is no such file, or it holds no whole picture, or an array has another shape, type or range. The
            message begins with ``what`` or the file's name.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, what)
    if isinstance(source, Image.Image):
        return _decoded(source, what)
    return decode(read_input(Path(source)), repr(str(source)))


def decode(data: bytes, name: str) -> Image.Image:
    """The picture in ``data``, the bytes of a file called ``name``; as :func:`read`."""
    with warnings.catch_warnings():
        # Pillow warns from half the limit on; isostyle has one limit.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=formats()) as picture:
                return _decoded(picture, name)
        except UnidentifiedImageError:
            raise InputError(f"{name} is not a picture that can be read (JPEG, PNG, TIFF, WebP, ...)") from None
        except Image.DecompressionBombError:
            raise _too_large(name) from None
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise _broken(name, error) from None


def size(path: Path) -> tuple[int, int]:
    """Width and height of a picture file by its header, as it lies, whatever its EXIF orientation.

    Raises:
        OSError, or whatever else Pillow meets a broken file with.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=formats()) as picture:
            return picture.size


def formats() -> list[str]:
    """Of :data:`FORMATS`, those that this Pillow can open."""
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]


def resize(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Bilinear with antialiasing, as torchvision and Paddle do on PIL images, and as d2l's PyTorch and Paddle tabs run."""
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def resize_array(image: Array, height: int, width: int) -> Array:
    """An array of shape (1, 3, H, W) at another size, its dtype kept: each channel as :func:`resize`, in float32."""
    channels = [Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32)) for channel in image[0]]
    resized = np.stack([np.asarray(resize(channel, height, width)) for channel in channels])[None]
    return np.ascontiguousarray(resized, dtype=image.dtype)


def to_array(picture: Image.Image, dtype: Dtype, space: Space = "normalised") -> Array:
    """An RGB picture as a C-contiguous array of shape (1, 3, H, W): x / 255, and (x / 255 - mean) / deviation if normalised."""
    array = np.empty((1, 3, picture.height, picture.width), dtype)
    for top in range(0, picture.height, STRIP):
        strip = picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
        pixels = np.asarray(strip, dtype=np.float64) / 255
        if space == "normalised":
            pixels = (pixels - np.array(RGB_MEAN)) / np.array(RGB_STD)
        array[:, :, top : top + STRIP] = pixels.transpose(2, 0, 1)[None]
    return array


def to_picture(image: Array, space: Space = "normalised") -> Image.Image:
    """An array of shape (1, 3, H, W) as an 8-bit RGB picture: clipped to 0..1, rounded to the nearest."""
    picture = Image.new("RGB", (image.shape[3], image.shape[2]))
    for top in range(0, picture.height, STRIP):
        pixels = image[0, :, top : top + STRIP].transpose(1, 2, 0).astype(np.float64)
        if space == "normalised":
            pixels = pixels * np.array(RGB_STD) + np.array(RGB_MEAN)
        picture.paste(Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)), (0, top))
    return picture


def crop(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The middle of a picture, ``height`` x ``width`` pixels; an odd pixel goes where torchvision's CenterCrop has it."""
    top, left = round((picture.height - height) / 2), round((picture.width - width) / 2)
    return picture.crop((left, top, left + width, top + height))


def noise(shape: tuple[int, ...], seed: int, dtype: Dtype) -> Array:
    """Standard normal noise. ``RandomState`` is the one generator of NumPy whose stream is promised never to change."""
    return np.random.RandomState(seed).standard_normal(shape).astype(dtype)


def uniform_noise(shape: tuple[int, ...], seed: int, dtype: Dtype) -> Array:
    """Noise that is uniform in 0..1."""
    return np.random.RandomState(seed).uniform(size=shape).astype(dtype)


def _decoded(picture: Image.Image, what: str) -> Image.Image:
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(what)
    try:
        return _to_rgb(picture, what)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # Pillow's decoders meet a broken file with OSError, SyntaxError, ValueError, EOFError, struct.error and others.
        raise _broken(what, error) from None


def _too_large(what: str) -> InputError:
    return InputError(f"{what} has more than {MAX_PIXELS / 1e6:.0f} megapixels; make it smaller")


def _broken(what: str, error: Exception) -> InputError:
    return InputError(f"{what} cannot be decoded, and may be broken or truncated: {reason(error)}")


def _from_array(array: NDArray[Any], what: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in array.shape:
        raise InputError(f"{what}: an array must have shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputError(f"{what}: the array has values that are NaN or infinite")
        if array.min() < 0 or array.max() > 1:
            raise InputError(f"{what}: an array of floats must be in 0..1, not {array.min():g}..{array.max():g}")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = _to_eight_bits(array)
    elif array.dtype != np.uint8:
        raise InputError(f"{what}: an array must be of uint8, uint16 or floats in 0..1, not {array.dtype}")
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), what)


def _to_rgb(picture: Image.Image, what: str) -> Image.Image:
    kind = picture.format  # which exif_transpose's copy forgets
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in SIXTEEN_BIT_MODES or (picture.mode == "I" and kind in SIXTEEN_BIT_IN_I):
        values = np.asarray(picture).astype(np.int64)
        eight = _to_eight_bits(values)
        if isinstance(clear := picture.info.get("transparency"), int):
            eight[values == clear] = 255
        return Image.fromarray(eight).convert("RGB")
    if picture.mode in ("I", "F"):
        raise InputError(f"{what} has 32-bit samples; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
        return Image.alpha_composite(canvas, layer).convert("RGB")
    return picture.convert("RGB")


def _to_eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """0..65535 to 0..255, rounded: 257 = 65535 / 255."""
    return np.rint(values / 257).astype(np.uint8)
