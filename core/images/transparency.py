"""Transparency: what is invisible influences nothing that is visible.

Under an alpha of 0 a file has any color: black, white, or what somebody erased. Before anything looks at a picture, such a
pixel gets the color of the nearest visible one, so that no convolution and no resizing mixes another into what is seen. Visible
pixels keep the colors of the file, however faint they are: those are not mixed with anything.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isostyle.errors import InputError
from isostyle.images import arrays
from isostyle.images.deep import EIGHT_TO_SIXTEEN, MOST, STRIP, Deep, P, Pixels, Samples, strips

#: Where transparency is given up, the picture is laid on this color.
BACKGROUND = (255, 255, 255)
#: Columns that are looked at a time.
COLUMNS = 512
#: For each pixel the number of another, row by row. The largest picture has less than 2^31.
Places: TypeAlias = NDArray[np.int32]


def fill(pixels: Pixels, alpha: Image.Image, what: str) -> None:
    """Give hidden pixels the colors of the nearest visible ones, in place. Raises InputError if none is visible."""
    if alpha.getbbox() is None:
        raise InputError(f"{what} is transparent everywhere: there is nothing to be seen in it")
    if hides(alpha):
        take(pixels, nearest(visible_in(alpha)))


def as_style(pixels: P, alpha: Image.Image | None) -> P:
    """The visible part of a painting, for Gram matrices.

    They sum over all pixels, so a hidden margin is cut off: what is left is exactly the painting that never had one. What is
    hidden within it is filled by :func:`reflect`. Only masks in the losses could leave that out; a rectangle without any hidden
    pixel would lose much that is visible, and its Gram matrices are farther from the whole painting's.
    """
    box = alpha.getbbox() if alpha is not None else None
    return pixels if box is None or alpha is None else reflect(pixels.crop(box), alpha.crop(box))


def reflect(pixels: P, alpha: Image.Image | None) -> P:
    """A picture that goes on in its hidden pixels as in a mirror that stands at the nearest visible one.

    The nearest colors alone would be flat there, which is a texture that the picture does not have; a mirror repeats its own.
    """
    if alpha is None or not hides(alpha):
        return pixels
    made = Deep(pixels.samples.copy()) if isinstance(pixels, Deep) else pixels.copy()
    take(made, mirrored(nearest(visible_in(alpha))))
    return made


def at_size(alpha: Image.Image | None, height: int, width: int) -> Image.Image | None:
    """``alpha`` of a picture that is made larger or smaller."""
    return alpha if alpha is None or alpha.size == (width, height) else arrays.resize(alpha, height, width)


def on_white(picture: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """An RGB picture without its transparency."""
    if alpha is None:
        return picture
    made = Image.new("RGB", picture.size, BACKGROUND)
    made.paste(picture, mask=alpha)
    return made


def samples_on_white(samples: Samples, alpha: Samples) -> Samples:
    """Samples (H, W, 3) without their transparency, (H, W, 1) of 16 bits."""
    share = alpha / MOST
    made: Samples = np.rint(samples * share + np.array(BACKGROUND) * EIGHT_TO_SIXTEEN * (1 - share)).astype(np.uint16)
    return made


def hides(alpha: Image.Image) -> bool:
    """Whether any pixel cannot be seen at all."""
    return bool(alpha.getextrema()[0] == 0)


def visible_in(alpha: Image.Image) -> NDArray[np.bool_]:
    """Where a picture can be seen at all."""
    return np.asarray(alpha) > 0


def take(pixels: Pixels, places: Places) -> None:
    """Give each pixel the color at its place, in place; ``places`` leads to pixels alone that lead to themselves."""
    if isinstance(pixels, Deep):
        flat = pixels.samples.reshape(-1, 3)
        for top, strip in strips(pixels):
            strip.samples[:] = flat[places[top : top + STRIP]]
        return
    # In strips: NumPy would have Pillow copy the whole picture twice.
    colors = np.empty((pixels.height, pixels.width, 3), np.uint8)
    for top, rows in strips(pixels):
        colors[top : top + STRIP] = np.asarray(rows)
    flat_colors = colors.reshape(-1, 3)
    for top in range(0, pixels.height, STRIP):
        pixels.paste(Image.fromarray(flat_colors[places[top : top + STRIP]]), (0, top))


def nearest(visible: NDArray[np.bool_]) -> Places:
    """For each pixel the place of the nearest one that is visible: the fewest steps up, down, left and right to it.

    In this measure the best of all is the best along the row of what is best in each column, and both are running minima. Of
    two in a column the upper one is taken, of several columns the left one.
    """
    height, width = visible.shape
    places = np.empty((height, width), np.int32)
    for left in range(0, width, COLUMNS):
        places[:, left : left + COLUMNS] = nearest_rows(visible[:, left : left + COLUMNS])
    column = np.arange(width)
    for top in range(0, height, STRIP):
        rows = places[top : top + STRIP].astype(np.int64)
        row = np.arange(top, top + len(rows))[:, None]
        # A column without any is farther away than every other.
        far = np.where(rows < 0, height + width, abs(rows - row))
        # Distance and column in one number, whose minimum is both.
        before = np.minimum.accumulate((far - column) * width + column, axis=1)
        behind = np.minimum.accumulate(((far + column) * width + column)[:, ::-1], axis=1)[:, ::-1]
        found = np.where(before // width + column <= behind // width - column, before, behind) % width
        places[top : top + STRIP] = np.take_along_axis(rows, found, axis=1) * width + found
    return places


def nearest_rows(visible: NDArray[np.bool_]) -> Places:
    """For each pixel the row of the nearest visible one in its column; -1 if there is none."""
    height = len(visible)
    row = np.arange(height, dtype=np.int32)[:, None]
    above = np.maximum.accumulate(np.where(visible, row, -1), axis=0)
    below = np.minimum.accumulate(np.where(visible, row, 2 * height)[::-1], axis=0)[::-1]
    found: Places = np.where((above >= 0) & (row - above <= below - row), above, np.where(below < height, below, -1))
    return found.astype(np.int32)


def mirrored(places: Places) -> Places:
    """For each pixel the place of the one that is as far beyond the nearest visible one, or is nearest to that."""
    height, width = places.shape
    found, column = np.empty_like(places), np.arange(width)
    for top in range(0, height, STRIP):
        near = places[top : top + STRIP]
        row = np.arange(top, top + len(near))[:, None]
        across = (2 * (near // width) - row).clip(0, height - 1), (2 * (near % width) - column).clip(0, width - 1)
        found[top : top + STRIP] = places[across]
    return found
