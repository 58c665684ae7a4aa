"""Pictures as normalized NCHW arrays for the engines, and arrays as pictures.

Everything that could differ between frameworks happens here, once, in Pillow and NumPy: resizing, normalization, noise. Every
backend starts from the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isostyle.images.deep import MOST, STRIP, Deep, P, Pixels, Samples, strips
from isostyle.images.gray import grayed
from isostyle.interface import Array, Dtype
from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.recipe import Space
from isostyle.sizes import Size


def resize(picture: P, height: int, width: int) -> P:
    """Bilinear with antialiasing, as torchvision and Paddle do on PIL images, and as d2l's PyTorch and Paddle tabs run."""
    # The frameworks' own resizers do not agree: the defaults of MXNet and torch do not antialias, and are 27 to 30 dB away from
    # this on a photograph.
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def fitted(picture: P, size: Size) -> P:
    """A picture at the size that a rule has for it."""
    return resize(picture, *size.fit(picture.height, picture.width))


def resize_array(image: Array, height: int, width: int) -> Array:
    """An array of shape (1, 3, H, W) at another size, its dtype kept: each channel as :func:`resize`, in float32."""
    channels = [Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32)) for channel in image[0]]
    resized = np.stack([np.asarray(resize(channel, height, width)) for channel in channels])[None]
    return np.ascontiguousarray(resized, dtype=image.dtype)


def to_array(picture: Pixels, dtype: Dtype, space: Space = "normalized") -> Array:
    """An RGB picture as a C-contiguous array of shape (1, 3, H, W).

    A sample x of 8 bits becomes x / 255, one of 16 bits x / 65535; if normalized, (that - mean) / std.
    """
    array = np.empty((1, 3, picture.height, picture.width), dtype)
    if isinstance(picture, Deep):
        for top, deep in strips(picture):
            array[0, :, top : top + STRIP] = scaled(deep.samples / MOST, space).transpose(2, 0, 1)
        return array
    # Eight bits have 256 values, each computed once.
    values = scaled(np.arange(256.0)[:, None] / 255, space).astype(dtype)
    for top, rows in strips(picture):
        strip = np.asarray(rows)
        for channel in range(3):
            array[0, channel, top : top + STRIP] = values[:, channel][strip[..., channel]]
    return array


def scaled(pixels: NDArray[np.float64], space: Space) -> NDArray[np.float64]:
    """Values in 0..1, channels last, as the space has them."""
    return (pixels - np.array(RGB_MEAN)) / np.array(RGB_STD) if space == "normalized" else pixels + np.zeros(3)


def to_picture(image: Array, space: Space = "normalized", *, gray: bool = False) -> Image.Image:
    """An array of shape (1, 3, H, W) as an 8-bit RGB picture; ``gray``: as :func:`rounded` has it."""
    picture = Image.new("RGB", (image.shape[3], image.shape[2]))
    for top in range(0, picture.height, STRIP):
        eight = rounded(image[:, :, top : top + STRIP], space, most=255, gray=gray).astype(np.uint8)
        picture.paste(Image.fromarray(eight), (0, top))
    return picture


def rounded(image: Array, space: Space = "normalized", *, most: int = MOST, gray: bool = False) -> Samples:
    """An array of shape (1, 3, H, W) as whole numbers up to ``most``, (H, W, 3): clipped to 0..1, in ``gray`` if
    that is asked for, rounded to the nearest."""
    samples = np.empty((*image.shape[2:], 3), np.uint16)
    for top in range(0, len(samples), STRIP):
        pixels = image[0, :, top : top + STRIP].transpose(1, 2, 0).astype(np.float64)
        if space == "normalized":
            pixels = pixels * np.array(RGB_STD) + np.array(RGB_MEAN)
        if gray:
            pixels = grayed(pixels.clip(0, 1))
        samples[top : top + STRIP] = np.rint(pixels.clip(0, 1) * most)
    return samples


def between(photograph: Array, painted: Array, strength: float) -> Array:
    """Normalized arrays of shape (1, 3, H, W): at a strength of 0 the ``photograph``, at 1 what was ``painted``, clipped to
    what can be shown; between them, their colors mixed."""
    black, white = (scaled(np.array(end), "normalized").reshape(1, 3, 1, 1).astype(painted.dtype) for end in (0.0, 1.0))
    found: Array = photograph + np.array(strength, painted.dtype) * (painted.clip(black, white) - photograph)
    return found


@dataclass(frozen=True, eq=False)
class Rounded:
    """An array of shape (1, 3, H, W) as a picture of 16 bits, which is computed when its rows are asked for."""

    image: Array
    space: Space = "normalized"
    gray: bool = False

    def rows(self, top: int, bottom: int) -> Samples:
        return rounded(self.image[:, :, top:bottom], self.space, gray=self.gray)


def crop(picture: P, height: int, width: int) -> P:
    """The middle of a picture, ``height`` x ``width`` pixels; an odd pixel goes where torchvision's CenterCrop has it."""
    top, left = round((picture.height - height) / 2), round((picture.width - width) / 2)
    return picture.crop((left, top, left + width, top + height))


def mirrored(image: Array, margin: int) -> Array:
    """An array of shape (1, 3, H, W), continued by ``margin`` pixels on every side as in a mirror; :func:`inner` undoes it."""
    return np.pad(image, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="symmetric") if margin else image


def inner(image: Array, margin: int) -> Array:
    """An array of shape (1, 3, H, W) without the ``margin`` pixels on every side."""
    return np.ascontiguousarray(image[..., margin : image.shape[2] - margin, margin : image.shape[3] - margin])


def noise(shape: tuple[int, ...], seed: int, dtype: Dtype) -> Array:
    """Standard normal noise. ``RandomState`` is the one generator of NumPy whose stream is promised never to change."""
    return np.random.RandomState(seed).standard_normal(shape).astype(dtype)


def uniform_noise(shape: tuple[int, ...], seed: int, dtype: Dtype) -> Array:
    """Noise that is uniform in 0..1."""
    return np.random.RandomState(seed).uniform(size=shape).astype(dtype)
