"""Gray pictures: which ones are, and which gray is as light as a color."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isostyle.images.deep import EIGHT_TO_SIXTEEN, Deep, Pixels, strips

#: Channels of gray may be so far apart, of 255: LittleCMS rounds each on its own when it converts colors.
APART = 1
#: How much red, green and blue add to luminance, by sRGB's primaries (ITU-R BT.709): the gray of a pixel is as light as the
#: pixel was. They are put on samples and not on light, which of colors as faint as these (20 of 255) differ by a step or two.
LUMINANCE = (0.2126, 0.7152, 0.0722)


def is_gray(picture: Pixels) -> bool:
    """Whether a picture has no color anywhere, whatever mode it has."""
    apart = APART * EIGHT_TO_SIXTEEN if isinstance(picture, Deep) else APART
    for _, strip in strips(picture):
        samples = strip.samples if isinstance(strip, Deep) else np.asarray(strip)
        red, green, blue = (samples[..., channel] for channel in range(3))
        most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
        if (most - least).max() > apart:
            return False
    return True


def grayed(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colors in 0..1, channels last, as the grays of their luminance."""
    gray: NDArray[np.float64] = pixels @ np.array(LUMINANCE)
    return np.repeat(gray[..., None], 3, axis=-1)
