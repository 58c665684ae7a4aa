"""The photograph's colors in a result (Gatys, Bethge, Hertzmann, Shechtman: Preserving Color in Neural Artistic Style Transfer,
arXiv 1606.05897, 2016).

Of a *result*: :class:`Photograph` puts the photograph's chrominance, or the histograms of its channels, into what was painted.
Of a *painting*: :func:`recolored` gives it mean and covariance of the photograph's colors, before anything is computed.

All of it is NumPy on samples of 16 bits, a strip of rows at a time: the same for every framework, and no whole picture in
floats. What is hidden by an alpha of 0 is counted nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isostyle.errors import InputError, shown
from isostyle.images import arrays, transparency
from isostyle.images.arrays import Rounded
from isostyle.images.deep import EIGHT_TO_SIXTEEN, MOST, STRIP, Deep, Pixels, Rows, Samples, in_eight_bits
from isostyle.images.gray import LUMINANCE as WEIGHTS
from isostyle.images.gray import grayed, is_gray
from isostyle.interface import Array
from isostyle.recipe import Space

KeepColors: TypeAlias = Literal["luminance", "histogram", "style", "style-cholesky"]
LUMINANCE, HISTOGRAM, STYLE, CHOLESKY = "luminance", "histogram", "style", "style-cholesky"
#: Those that change the result, and those that change the painting.
OF_RESULT, OF_STYLE = (LUMINANCE, HISTOGRAM), (STYLE, CHOLESKY)
KINDS = OF_RESULT + OF_STYLE

#: What makes Cb of B - Y', and Cr of R - Y' (ITU-R BT.709, item 3.3).
CB, CR = 1.8556, 1.5748
#: The share of a picture's chrominance that may go where strokes are darker than its colors can be.
MOST_LOST = 0.015
#: The least variance of a painting's colors in any direction, (1/255)^2: a spread of less than a step of 8 bits is rounding,
#: and would be made the photograph's spread. (The least of eleven paintings that were measured has eight times as much.)
LEAST_VARIANCE = 255.0**-2
#: Likewise of the photograph, for Cholesky's factor alone, which a matrix without an inverse does not have: less than 16 bits
#: show.
CHOLESKY_VARIANCE = 1e-12
#: Samples of 16 bits.
LEVELS = MOST + 1
#: One value a pixel, in 0..1.
Plane: TypeAlias = NDArray[np.float32]


def require_kind(kind: Any) -> None:
    """Raises InputError unless ``kind`` is one of :data:`KINDS`, or None."""
    if kind is not None and kind not in KINDS:
        raise InputError(f"colors are kept by {', '.join(KINDS[:-1])} or {KINDS[-1]}, not by {shown(kind)}")


# The result


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph whose colors a result is to have."""

    #: One of :data:`OF_RESULT`.
    kind: str
    pixels: Pixels
    #: Mode L, as large as the pixels; None if nothing is transparent.
    alpha: Image.Image | None = None

    def in_colors(self, made: Rows, height: int, width: int) -> Rows:
        """What was ``made``, (height, width), in these colors: computed when rows are asked for, from top to bottom. Whoever
        writes them into ``made`` itself does no harm."""
        pixels = self.pixels
        if pixels.size != (width, height):
            pixels = arrays.resize(pixels, height, width)
        alpha = transparency.at_size(self.alpha, height, width)
        if alpha is not None and alpha.getbbox() is None:
            alpha = None  # a frame of a video may be hidden as a whole
        kind = ByLuminance if self.kind == LUMINANCE else ByHistogram
        return kind(made, pixels, alpha)


@dataclass(frozen=True, eq=False)
class InColors:
    """What was made, in the colors of a photograph of the same size."""

    made: Rows
    photograph: Pixels
    alpha: Image.Image | None

    def strips(self) -> Iterator[tuple[Samples, Samples]]:
        """The visible pixels of both, (N, 3), a strip at a time."""
        for top in range(0, self.photograph.height, STRIP):
            both = self.made.rows(top, top + STRIP), samples_of(self.photograph, top, top + STRIP)
            yield seen(both[0], self.alpha, top), seen(both[1], self.alpha, top)


class ByLuminance(InColors):
    """The luminance of what was made, with the photograph's chrominance: the paper's section 3.2, in Y'CbCr.

    Y' = 0.2126 R + 0.7152 G + 0.0722 B on sRGB's samples, and Cb and Cr follow from R - Y' and B - Y' (ITU-R BT.709, whose
    primaries are sRGB's). A color (R, G, B) - Y' exists where Y' is between -min and 1 - max of these three, and for no other
    Y'; so clipping each channel would shift its hue. What is too light becomes as light as its color can be: else it would
    fade to white. What is too dark fades as in the shade: both chrominances shrink by one factor. This may cost
    :data:`MOST_LOST` of the mean chrominance; if it would cost more, all these pixels get lighter, too, until it does not. The
    hue stays the photograph's in any case.
    """

    def rows(self, top: int, bottom: int) -> Samples:
        return self.blended(self.made.rows(top, bottom), samples_of(self.photograph, top, bottom), self.lightened)

    @cached_property
    def lightened(self) -> float:
        """How far pixels that are too dark are lightened: 0 not at all, 1 until they have their whole chrominance."""
        total = lost = 0.0
        for made, photograph in self.strips():
            luma, (red, green, blue) = parted(made, photograph)
            chroma = np.hypot(blue / np.float32(CB), red / np.float32(CR))
            least = -np.minimum(np.minimum(red, green), blue)
            total += float(chroma.sum(dtype=np.float64))
            lost += float((chroma * (1 - share(luma, least))).sum(dtype=np.float64))
        return max(0.0, 1 - MOST_LOST * total / lost) if lost else 0.0

    @staticmethod
    def blended(made: Samples, photograph: Samples, lightened: float) -> Samples:
        """Samples (..., 3) of both as those of the result."""
        luma, (red, green, blue) = parted(made, photograph)
        luma = np.minimum(luma, 1 - np.maximum(np.maximum(red, green), blue))
        least = -np.minimum(np.minimum(red, green), blue)
        kept = share(luma, least)
        moved = np.float32(lightened) * (1 - kept)
        # On the edge of what exists luma = kept * least, wherever the two are moved to.
        luma, kept = luma + moved * least, kept + moved
        found = np.empty(made.shape, np.uint16)
        for channel, color in enumerate((red, green, blue)):
            found[..., channel] = np.rint((luma + kept * color).clip(0, 1) * MOST)
        return found


class ByHistogram(InColors):
    """What was made, each channel with the photograph's histogram: a sample gets the mean of the photograph's samples that have
    its rank. Equal samples stay equal, and each channel's mean is the photograph's. A gray photograph makes a gray result."""

    def rows(self, top: int, bottom: int) -> Samples:
        made = self.shades(self.made.rows(top, bottom))
        return np.stack([self.tables[channel][made[..., channel]] for channel in range(3)], axis=-1)

    @cached_property
    def gray(self) -> bool:
        return is_gray(self.photograph)

    def shades(self, made: Samples) -> Samples:
        if not self.gray:
            return made
        found: Samples = np.rint(grayed(made / MOST) * MOST).astype(np.uint16)
        return found

    @cached_property
    def tables(self) -> list[Samples]:
        """What becomes of each sample, by channel."""
        counts = np.zeros((2, 3, LEVELS), np.int64)
        for made, photograph in self.strips():
            for which, samples in enumerate((self.shades(made), photograph)):
                for channel in range(3):
                    counts[which, channel] += np.bincount(samples[:, channel], minlength=LEVELS)
        return [matched(made, photograph) for made, photograph in zip(*counts, strict=True)]


def matched(made: NDArray[np.int64], photograph: NDArray[np.int64]) -> Samples:
    """What becomes of each sample: from how often each one is in two pictures with as many pixels.

    Samples of one value have the ranks between two cumulative counts. The photograph's samples added up along its own ranks are
    a line with a knot at each of its values, and the difference of two of its points is the sum of those in between.
    """
    ranks = np.concatenate([[0], photograph.cumsum()])
    sums = np.concatenate([[0], (photograph * np.arange(LEVELS)).cumsum()])
    between = np.diff(np.interp(np.concatenate([[0], made.cumsum()]), ranks, sums))
    there = np.flatnonzero(made)
    # Values that only hidden pixels have get what lies between their neighbors.
    means = np.interp(np.arange(LEVELS), there, between[there] / made[there])
    found: Samples = np.rint(means.clip(0, MOST)).astype(np.uint16)
    return found


def parted(made: Samples, photograph: Samples) -> tuple[Plane, list[Plane]]:
    """The luminance of what was made, and the photograph's R - Y', G - Y' and B - Y', for samples (..., 3)."""
    one, other = (
        [samples[..., channel].astype(np.float32) / np.float32(MOST) for channel in range(3)] for samples in (made, photograph)
    )
    theirs = luma(other)
    return luma(one), [channel - theirs for channel in other]


def luma(channels: Sequence[Plane]) -> Plane:
    """Y', added up by hand: a product of matrices may round otherwise elsewhere."""
    red, green, blue = (channel * np.float32(weight) for channel, weight in zip(channels, WEIGHTS, strict=True))
    found: Plane = red + green + blue
    return found


def share(luma: Plane, least: Plane) -> Plane:
    """The share of its chrominance that a color can have at ``luma``, if it exists from ``least`` on."""
    found: Plane = np.divide(luma, least, out=np.ones_like(luma), where=luma < least)
    return found


def shown_in(
    image: Array, space: Space, *, gray: bool = False, photograph: Photograph | None = None
) -> tuple[Image.Image, Rows]:
    """An array of shape (1, 3, H, W) as a picture of 8 bits, and of 16, whose rows are computed when they are asked for; in the
    colors of the ``photograph`` if there is one."""
    made = Rounded(image, space, gray)
    if photograph is None:
        return arrays.to_picture(image, space, gray=gray), made
    height, width = image.shape[2:]
    found = photograph.in_colors(made, height, width)
    return in_eight_bits(found, (width, height)), found


# The painting


@dataclass(frozen=True)
class Spread:
    """How the colors of a picture are spread, in 0..1."""

    #: (3,).
    mean: NDArray[np.float64]
    #: (3, 3).
    covariance: NDArray[np.float64]


def spread(picture: Pixels, alpha: Image.Image | None = None) -> Spread:
    """Of the visible pixels. The sums are whole numbers, and so exact: of the largest picture they are below 2^63."""
    count, total, products = 0, np.zeros(3, np.int64), np.zeros((3, 3), np.int64)
    for top in range(0, picture.height, STRIP):
        pixels = seen(samples_of(picture, top, top + STRIP), alpha, top).astype(np.int64)
        count, total, products = count + len(pixels), total + pixels.sum(axis=0), products + pixels.T @ pixels
    exact = total.astype(object)  # Python's whole numbers have no largest one
    around = products.astype(object) * count - np.outer(exact, exact)
    return Spread((total / count) / MOST, (around / count**2).astype(np.float64) / MOST**2)


def linear_map(painting: Spread, photograph: Spread, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix A (3, 3) and the offset b (3,) with which the colors A x + b of a painting have the photograph's mean and
    covariance, for C = covariance of the photograph and S = that of the painting (the paper's section 3.1).

    ``style``: A = C^1/2 S^-1/2, that of Image Analogies. ``style-cholesky``: A = L_C L_S^-1, which first matches red alone,
    then green by red and green: it depends on the order of the channels, and turns hues that the other one leaves.

    A painting with less than :data:`LEAST_VARIANCE` in a direction of the colors is taken to have that: it gets less of the
    photograph's spread there, and none if it has none.
    """
    ours = at_least(painting.covariance, LEAST_VARIANCE)
    if kind == STYLE:
        matrix = power(photograph.covariance, 1 / 2) @ power(ours, -1 / 2)
    else:
        theirs = at_least(photograph.covariance, CHOLESKY_VARIANCE)
        matrix = np.asarray(np.linalg.cholesky(theirs) @ np.linalg.inv(np.linalg.cholesky(ours)), np.float64)
    return matrix, photograph.mean - matrix @ painting.mean


def recolored(painting: Pixels, photograph: Spread, kind: str) -> Deep:
    """A painting, mapped by :func:`linear_map` and clipped to what can be shown. It has 16 bits whatever it had before: to
    round it to 8 once more would be noise as large as the file's own."""
    matrix, offset = linear_map(spread(painting), photograph, kind)
    made = Deep(np.empty((painting.height, painting.width, 3), np.uint16))
    for top in range(0, painting.height, STRIP):
        pixels = samples_of(painting, top, top + STRIP) / MOST @ matrix.T + offset
        made.samples[top : top + STRIP] = np.rint(pixels.clip(0, 1) * MOST)
    return made


def power(covariance: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """A power of a symmetric matrix without negative eigenvalues; rounding may have left some."""
    values, vectors = np.linalg.eigh(covariance)
    found: NDArray[np.float64] = vectors * values.clip(0) ** exponent @ vectors.T
    return found


def at_least(covariance: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    """The covariance with no less than ``variance`` in any direction; one that has as much stays as it is."""
    values, vectors = np.linalg.eigh(covariance)
    return covariance if values[0] >= variance else vectors * values.clip(variance) @ vectors.T


# Pixels


def samples_of(picture: Pixels, top: int, bottom: int) -> Samples:
    """Rows of a picture as samples of 16 bits, (rows, W, 3)."""
    if isinstance(picture, Deep):
        return picture.rows(top, bottom)
    strip = np.asarray(picture.crop((0, top, picture.width, min(bottom, picture.height))))
    return strip.astype(np.uint16) * np.uint16(EIGHT_TO_SIXTEEN)


def seen(rows: Samples, alpha: Image.Image | None, top: int) -> Samples:
    """The pixels (N, 3) that can be seen, of the rows (rows, W, 3) that begin at ``top``."""
    if alpha is None:
        return rows.reshape(-1, 3)
    return rows[transparency.visible_in(alpha.crop((0, top, alpha.width, top + len(rows))))]
