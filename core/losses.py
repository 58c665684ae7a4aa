r"""The losses of neural style transfer, normative, in NumPy: open this file first.

Every backend says these formulas again in its own framework, and the tests hold it to the values and gradients here.

A feature map F has shape (1, C, H, W): batch 1, channels, height, width. X is the same numbers as a matrix with C rows and
N = H W columns. Each function returns a number (or matrix) and, where it ends in ``_gradient``, its derivative with respect to
its first argument. All work in the dtype that they are given.

Sources: Gatys, Ecker and Bethge 2016 (equations 1 to 7); Zhang et al., Dive into Deep Learning (`d2l`), for the divisors and
means; where the two differ, the docstring says so.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isostyle.recipe import GramDivisor

Array: TypeAlias = NDArray[np.floating]


def divisor_of(shape: tuple[int, ...], divisor: GramDivisor) -> int:
    """The number that the Gram matrix of a map of ``shape`` (1, C, H, W) is divided by."""
    _, channels, height, width = shape
    return {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def gram(feature: Array, divisor: GramDivisor) -> Array:
    r"""Gram matrix, shape (C, C).

    .. math:: G = X X^\top / d, \quad d \in \{C H W, H W, 1\}

    Gatys et al. 2016, equation 3, has d = 1; d2l has d = C H W.
    """
    matrix = feature.reshape(feature.shape[1], -1)
    return matrix @ matrix.T / divisor_of(feature.shape, divisor)


def content_loss(feature: Array, target: Array) -> float:
    r"""Mean squared difference of two feature maps of one shape (d2l).

    .. math:: L^c = \frac{1}{C H W} \sum_{ij} (F_{ij} - P_{ij})^2

    Gatys et al. 2016, equation 1, has 1/2 and a sum where this has a mean.
    """
    return float(np.square(feature - target).mean())


def content_loss_gradient(feature: Array, target: Array) -> Array:
    r""":math:`\partial L^c / \partial F = 2 (F - P) / (C H W)`, shape (1, C, H, W)."""
    return 2 * (feature - target) / feature.size


def style_loss(feature: Array, target: Array, divisor: GramDivisor) -> float:
    r"""Mean squared difference of a map's Gram matrix and a target of shape (C, C) (d2l).

    .. math:: L^s = \frac{1}{C^2} \sum_{ij} (G_{ij} - A_{ij})^2

    Gatys et al. 2016, equation 4, has :math:`1 / (4 C^2 (H W)^2)` and d = 1.
    """
    return float(np.square(gram(feature, divisor) - target).mean())


def style_loss_gradient(feature: Array, target: Array, divisor: GramDivisor) -> Array:
    r""":math:`\partial L^s / \partial X = \frac{4}{C^2 d} (G - A) X`, as a map of shape (1, C, H, W); A is symmetric."""
    matrix = feature.reshape(feature.shape[1], -1)
    difference = gram(feature, divisor) - target
    slope = 4 * difference @ matrix / (target.size * divisor_of(feature.shape, divisor))
    return slope.reshape(feature.shape)


def tv_loss(image: Array) -> float:
    r"""Anisotropic total variation of an image of shape (1, 3, H, W), as a mean (d2l).

    .. math:: L^{tv} = \tfrac12 \left( \text{mean} |x_{i+1,j} - x_{ij}| + \text{mean} |x_{i,j+1} - x_{ij}| \right)

    d2l's text prints the plain sum; its code has this.
    """
    down, right = _differences(image)
    return float(0.5 * (np.abs(down).mean() + np.abs(right).mean()))


def tv_loss_gradient(image: Array) -> Array:
    """The derivative of :func:`tv_loss`, shape (1, 3, H, W); the kink at equal neighbours counts as slope 0."""
    down, right = _differences(image)
    down, right = 0.5 * np.sign(down) / down.size, 0.5 * np.sign(right) / right.size
    slope = np.zeros_like(image)
    slope[:, :, 1:, :] += down
    slope[:, :, :-1, :] -= down
    slope[:, :, :, 1:] += right
    slope[:, :, :, :-1] -= right
    return slope


def _differences(image: Array) -> tuple[Array, Array]:
    return image[:, :, 1:, :] - image[:, :, :-1, :], image[:, :, :, 1:] - image[:, :, :, :-1]


def first_non_finite(terms: dict[str, float]) -> str | None:
    """The name of the first term that is not finite; the total is named only if no part of it is at fault."""
    parts = [name for name in terms if name != "total"] + ["total"]
    return next((name for name in parts if not math.isfinite(terms[name])), None)
