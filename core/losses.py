r"""The losses of neural style transfer, normative, in NumPy: open this file first.

Every backend says these formulas again in its own framework, and the tests hold it to the values and gradients here.

A feature map F has shape (1, C, H, W): batch 1, channels, height, width. X is the same numbers as a matrix with C rows and
N = H W columns. Each function returns a number (or matrix) and, where it ends in ``_gradient``, its derivative with respect to
its first argument. All work in the dtype that they are given.

Sources: Gatys, Ecker and Bethge 2016 (equations 1 to 7); Zhang et al., Dive into Deep Learning (`d2l`), for the divisors and
means. Sources differ in what a Gram matrix is divided by (:data:`~isostyle.recipe.GramDivisor`) and in how squared differences
become one number (:data:`~isostyle.recipe.ContentReduction`, :data:`~isostyle.recipe.StyleReduction`): a recipe names both.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction

Array: TypeAlias = NDArray[np.floating[Any]]


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


def squared_norm(target: Array) -> float:
    """What a relative loss is divided by: the sum of the squares of ``target``; 1 if it is 0 everywhere."""
    return float(np.square(target).sum()) or 1.0


def content_scale(target: Array, reduction: ContentReduction) -> float:
    """What the sum of squared differences from ``target``, a map (1, C, H, W), is multiplied by."""
    if reduction == "relative":
        return 1 / squared_norm(target)
    return {"mean": 1 / target.size, "half-sum": 0.5}[reduction]


def content_loss(feature: Array, target: Array, reduction: ContentReduction) -> float:
    r"""Squared difference of two feature maps of one shape: the mean, half of the sum, or relative to the target.

    .. math:: L^c = s \sum_{ij} (F_{ij} - P_{ij})^2, \quad
        s \in \left\{\tfrac{1}{C H W}, \tfrac12, \tfrac{1}{\sum_{ij} P_{ij}^2}\right\}

    d2l, the tutorial, wei and lookcc have the mean; Gatys et al. 2016, equation 1, has half of the sum. The relative loss is
    isostyle's: 1 for a map of zeros, whatever the network and the picture.
    """
    return float(content_scale(target, reduction) * np.square(feature - target).sum())


def content_loss_gradient(feature: Array, target: Array, reduction: ContentReduction) -> Array:
    r""":math:`\partial L^c / \partial F = 2 s (F - P)`, shape (1, C, H, W)."""
    return 2 * content_scale(target, reduction) * (feature - target)


def style_scale(shape: tuple[int, ...], target: Array, reduction: StyleReduction) -> float:
    """What the sum of squared differences of the Gram matrix of a map of ``shape`` (1, C, H, W) from ``target``, (C, C), is
    multiplied by."""
    if reduction == "relative":
        return 1 / squared_norm(target)
    _, channels, height, width = shape
    mean = 1 / channels**2
    return {
        "mean": mean,
        "mean/chw": mean / (channels * height * width),
        "quarter-sum": mean / (4 * (height * width) ** 2),
    }[reduction]


def style_loss(feature: Array, target: Array, divisor: GramDivisor, reduction: StyleReduction) -> float:
    r"""Squared difference of a map's Gram matrix and a target of shape (C, C).

    .. math:: L^s = s \sum_{ij} (G_{ij} - A_{ij})^2,
        \quad s \in \left\{\tfrac{1}{C^2}, \tfrac{1}{C^3 H W}, \tfrac{1}{4 C^2 (H W)^2}, \tfrac{1}{\sum_{ij} A_{ij}^2}\right\}

    d2l and the tutorial have the mean; wei and lookcc divide it by the map's C H W; Gatys et al. 2016, equation 4, has the
    third. H and W are those of the image's own map, whatever the style image's were. The last, relative to the target, is
    isostyle's.
    """
    return float(style_scale(feature.shape, target, reduction) * np.square(gram(feature, divisor) - target).sum())


def style_loss_gradient(feature: Array, target: Array, divisor: GramDivisor, reduction: StyleReduction) -> Array:
    r""":math:`\partial L^s / \partial X = \frac{4 s}{d} (G - A) X`, as a map of shape (1, C, H, W); A is symmetric."""
    matrix = feature.reshape(feature.shape[1], -1)
    difference = gram(feature, divisor) - target
    gradient = 4 * difference @ matrix * (style_scale(feature.shape, target, reduction) / divisor_of(feature.shape, divisor))
    return gradient.reshape(feature.shape)


def tv_loss(image: Array) -> float:
    r"""Anisotropic total variation of an image of shape (1, 3, H, W), as a mean (d2l).

    .. math:: L^{tv} = \tfrac12 \left( \text{mean} |x_{i+1,j} - x_{ij}| + \text{mean} |x_{i,j+1} - x_{ij}| \right)

    d2l's text prints the plain sum; its code has this.
    """
    down, right = _differences(image)
    return float(0.5 * (np.abs(down).mean() + np.abs(right).mean()))


def tv_loss_gradient(image: Array) -> Array:
    """The derivative of :func:`tv_loss`, shape (1, 3, H, W); at the kink, where neighbors are equal, it is 0."""
    down, right = _differences(image)
    down, right = 0.5 * np.sign(down) / down.size, 0.5 * np.sign(right) / right.size
    gradient = np.zeros_like(image)
    gradient[:, :, 1:, :] += down
    gradient[:, :, :-1, :] -= down
    gradient[:, :, :, 1:] += right
    gradient[:, :, :, :-1] -= right
    return gradient


def _differences(image: Array) -> tuple[Array, Array]:
    return image[:, :, 1:, :] - image[:, :, :-1, :], image[:, :, :, 1:] - image[:, :, :, :-1]


def summed(terms: dict[str, float]) -> dict[str, float]:
    """content, style, tv and total: the terms of all taps (``style/conv1_1``, ...) added up."""
    sums = {"content": 0.0, "style": 0.0, "tv": 0.0, "total": terms["total"]}
    for name, value in terms.items():
        if name != "total":
            sums[name.split("/")[0]] += value
    return sums


def first_non_finite(terms: dict[str, float]) -> str | None:
    """The name of the first term that is not finite; the total is named only if no part of it is at fault."""
    parts = [name for name in terms if name != "total"] + ["total"]
    return next((name for name in parts if not math.isfinite(terms[name])), None)
