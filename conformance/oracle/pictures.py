"""The oracle's pictures: normalization and resizing in float64 NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: ImageNet's mean and std of R, G and B (torchvision). Stated a second time on purpose: see :mod:`.engine`.
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def normalize(pixels: NDArray[np.uint8]) -> Floats:
    """(H, W, 3) in 0..255 -> (1, 3, H, W): (x / 255 - mean) / std, channel by channel."""
    return np.stack([(pixels[:, :, c] / 255 - MEAN[c]) / STD[c] for c in range(3)])[None]


def denormalize(image: Floats) -> NDArray[np.uint8]:
    """(1, 3, H, W) -> (H, W, 3) in 0..255: clipped, and rounded to the nearest."""
    planes = [np.clip(image[0, c] * STD[c] + MEAN[c], 0, 1) for c in range(3)]
    pixels: NDArray[np.uint8] = np.rint(np.stack(planes, axis=-1) * 255).astype(np.uint8)
    return pixels


def resize(pixels: NDArray[np.uint8], height: int, width: int) -> Floats:
    """Resize (H, W, 3) bilinearly with antialiasing, without rounding.

    The filter is a triangle as wide as the reduction, first along rows, then along columns. A pixel's value stands at its
    center, half a pixel from its edge.
    """
    down, across = (triangle(before, after) for before, after in zip(pixels.shape[:2], (height, width), strict=True))
    resized: Floats = np.einsum("ij,jkc,lk->ilc", down, pixels.astype(np.float64), across, optimize=True)
    return resized


def enlarge(image: Floats, height: int, width: int) -> Floats:
    """Resize (1, 3, H, W) as :func:`resize` does; the input and the result of each axis are rounded to float32."""
    down, across = triangle(image.shape[2], height), triangle(image.shape[3], width)
    rows = np.einsum("ncij,lj->ncil", rounded(image), across)
    return rounded(np.einsum("ki,ncil->nckl", down, rounded(rows)))


def rounded(x: Floats) -> Floats:
    return x.astype(np.float32).astype(np.float64)


def middle(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The middle of (H, W, 3), as torchvision's CenterCrop cuts it: where half a pixel is left, to the even side."""
    starts = []
    for before, after in zip(pixels.shape[:2], (height, width), strict=True):
        half, rest = divmod(before - after, 2)
        starts.append(half + (rest and half % 2))
    top, left = starts
    return pixels[top : top + height, left : left + width]


def triangle(before: int, after: int) -> Floats:
    """The weights (after, before) of one axis; each row has sum 1."""
    ratio = before / after
    centers = (np.arange(after) + 0.5) * ratio
    distance = np.abs(np.arange(before) + 0.5 - centers[:, None]) / max(ratio, 1.0)
    weights = np.clip(1 - distance, 0, None)
    normalized: Floats = weights / weights.sum(axis=1, keepdims=True)
    return normalized
