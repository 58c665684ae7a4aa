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

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction, Variation

Array: TypeAlias = NDArray[np.floating[Any]]

#: What is added to each channel's variance, so that covariances have roots and inverses (crowsonkb's style-transfer-pytorch
#: at e7e2c71, `StyleLossW2`). No eigenvalue of a covariance is smaller: one that is, is rounding's.
COVARIANCE_EPSILON = 1e-4
#: A pixel on every side of an image (1, 3, H, W).
BORDER = ((0, 0), (0, 0), (1, 1), (1, 1))
#: Of an image with such a border: the weight of squared differences, where they lead to, and where they begin. In turn to the
#: right, down, and along both diagonals.
NINE_POINTS = (
    (1 / 3, np.s_[:, :, 1:-1, 2:], np.s_[:, :, 1:-1, 1:-1]),
    (1 / 3, np.s_[:, :, 2:, 1:-1], np.s_[:, :, 1:-1, 1:-1]),
    (1 / 12, np.s_[:, :, 1:, 1:], np.s_[:, :, :-1, :-1]),
    (1 / 12, np.s_[:, :, 1:, :-1], np.s_[:, :, :-1, 1:]),
)


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

    The reduction ``wasserstein`` is another loss, of moments: :func:`wasserstein_loss`.
    """
    if reduction == "wasserstein":
        return wasserstein_loss(moments(feature), target)
    return float(style_scale(feature.shape, target, reduction) * np.square(gram(feature, divisor) - target).sum())


def style_loss_gradient(feature: Array, target: Array, divisor: GramDivisor, reduction: StyleReduction) -> Array:
    r""":math:`\partial L^s / \partial X = \frac{4 s}{d} (G - A) X`, as a map of shape (1, C, H, W); A is symmetric."""
    if reduction == "wasserstein":
        return moments_gradient(feature, wasserstein_loss_gradient(moments(feature), target))
    matrix = feature.reshape(feature.shape[1], -1)
    difference = gram(feature, divisor) - target
    gradient = 4 * difference @ matrix * (style_scale(feature.shape, target, reduction) / divisor_of(feature.shape, divisor))
    return gradient.reshape(feature.shape)


def statistic(feature: Array, divisor: GramDivisor, reduction: StyleReduction) -> Array:
    """What a style loss compares of a map: its Gram matrix (C, C), or its moments (C, C + 1)."""
    return moments(feature) if reduction == "wasserstein" else gram(feature, divisor)


def moments(feature: Array) -> Array:
    r"""Second raw moments and means over the pixels of a map, side by side: shape (C, C + 1).

    .. math:: \left[\, \tfrac{1}{H W} X X^\top \;\middle|\; \tfrac{1}{H W} X \mathbf 1 \,\right]

    They are what a Gaussian is known by, and, unlike covariances, may be mixed and added up.
    """
    matrix = feature.reshape(feature.shape[1], -1)
    ones = np.ones((matrix.shape[1], 1), matrix.dtype)
    found: Array = matrix @ np.concatenate([matrix.T, ones], axis=1) / matrix.shape[1]
    return found


def moments_gradient(feature: Array, gradient: Array) -> Array:
    r"""From the derivative [D | g] of a loss by moments, D symmetric, to that by the map: :math:`(2 D X + g) / (H W)`."""
    matrix = feature.reshape(feature.shape[1], -1)
    return ((2 * gradient[:, :-1] @ matrix + gradient[:, -1:]) / matrix.shape[1]).reshape(feature.shape)


def covariance(moments: Array) -> Array:
    r"""Covariance matrix :math:`S - m m^\top + \epsilon I`, shape (C, C), of moments [S | m]."""
    mean = moments[:, -1:]
    return moments[:, :-1] - mean @ mean.T + COVARIANCE_EPSILON * np.eye(len(moments), dtype=moments.dtype)


def covariance_root(moments: Array) -> Array:
    """The symmetric square root of :func:`covariance`."""
    values, vectors = np.linalg.eigh(covariance(moments))
    root: Array = vectors * np.sqrt(np.maximum(values, COVARIANCE_EPSILON)) @ vectors.T
    return root


def transport(covariance: Array, root: Array) -> tuple[float, Array]:
    r"""What a Gaussian with ``covariance`` C and one with the root A of its own have to do with each other.

    Returns:
        :math:`\operatorname{tr} (A C A)^{1/2}` and :math:`T = A (A C A)^{-1/2} A`, shape (C, C), the map that transports the
        first into the second. T is twice the derivative of the trace by C, and tr(T C) is the trace itself.
    """
    values, vectors = np.linalg.eigh(root @ covariance @ root)
    roots = np.sqrt(np.maximum(values, COVARIANCE_EPSILON**2))
    halves = root @ vectors
    return float(roots.sum()), halves / roots @ halves.T


def wasserstein_loss(found: Array, target: Array) -> float:
    r"""Squared 2-Wasserstein distance of two Gaussians, by their moments (C, C + 1), as a mean over channels.

    .. math:: L^s = \tfrac1C \left( |m - m_t|^2 + \operatorname{tr}\left(\Sigma + \Sigma_t
        - 2 (\Sigma_t^{1/2} \Sigma\, \Sigma_t^{1/2})^{1/2}\right) \right)

    Olkin and Pukelsheim 1982 have the distance, crowsonkb's style-transfer-pytorch at e7e2c71 the loss.
    """
    mine, root = covariance(found), covariance_root(target)
    trace, _ = transport(mine, root)
    means = np.square(found[:, -1] - target[:, -1]).sum()
    return float(means + np.trace(mine) + np.square(root).sum() - 2 * trace) / len(found)


def wasserstein_loss_gradient(found: Array, target: Array) -> Array:
    r"""The derivative of :func:`wasserstein_loss` by the moments [S | m] of its first argument, shape (C, C + 1).

    .. math:: D = \tfrac1C (I - T), \quad \left[\, D \;\middle|\; \tfrac2C (m - m_t) - 2 D m \,\right]
    """
    _, across = transport(covariance(found), covariance_root(target))
    by_covariance = (np.eye(len(found)) - across) / len(found)
    by_mean = 2 * (found[:, -1:] - target[:, -1:]) / len(found) - 2 * by_covariance @ found[:, -1:]
    return np.concatenate([by_covariance, by_mean], axis=1)


def tv_loss(image: Array, variation: Variation = "absolute") -> float:
    r"""Total variation of an image of shape (1, 3, H, W): the function of that name below."""
    return {"absolute": absolute_variation, "squared": squared_variation, "half-sum": half_sum_variation}[variation](image)


def tv_loss_gradient(image: Array, variation: Variation = "absolute") -> Array:
    """The derivative of :func:`tv_loss`, shape (1, 3, H, W)."""
    return {
        "absolute": absolute_variation_gradient,
        "squared": squared_variation_gradient,
        "half-sum": half_sum_variation_gradient,
    }[variation](image)


def absolute_variation(image: Array) -> float:
    r"""Anisotropic total variation of an image of shape (1, 3, H, W), as a mean (d2l).

    .. math:: L^{tv} = \tfrac12 \left( \text{mean} |x_{i+1,j} - x_{ij}| + \text{mean} |x_{i,j+1} - x_{ij}| \right)

    d2l's text prints the plain sum; its code has this.
    """
    down, right = _differences(image)
    return float(0.5 * (np.abs(down).mean() + np.abs(right).mean()))


def absolute_variation_gradient(image: Array) -> Array:
    """The derivative of :func:`absolute_variation`, shape (1, 3, H, W); at the kink, where neighbors are equal, it is 0."""
    down, right = _differences(image)
    down, right = 0.5 * np.sign(down) / down.size, 0.5 * np.sign(right) / right.size
    gradient = np.zeros_like(image)
    gradient[:, :, 1:, :] += down
    gradient[:, :, :-1, :] -= down
    gradient[:, :, :, 1:] += right
    gradient[:, :, :, :-1] -= right
    return gradient


def squared_variation(image: Array) -> float:
    r"""Squared differences of all eight neighbors, weighed as a nine-point stencil of the Laplacian weighs them.

    .. math:: L^{tv} = 2 \left( \tfrac13 \text{mean}\, d_1^2 + \tfrac13 \text{mean}\, d_2^2
        + \tfrac1{12} \text{mean}\, d_3^2 + \tfrac1{12} \text{mean}\, d_4^2 \right)

    The image is continued by a pixel on every side, its border repeated. d1 and d2 are the differences to the right and the
    lower neighbor, H W of them; d3 and d4 those along the diagonals, (H + 1) (W + 1) (crowsonkb's style-transfer-pytorch at
    e7e2c71).
    """
    padded = np.pad(image, BORDER, mode="edge")
    return float(sum(2 * weight * np.square(padded[to] - padded[origin]).mean() for weight, to, origin in NINE_POINTS))


def squared_variation_gradient(image: Array) -> Array:
    """The derivative of :func:`squared_variation`, shape (1, 3, H, W)."""
    padded = np.pad(image, BORDER, mode="edge")
    gradient = np.zeros_like(padded)
    for weight, to, origin in NINE_POINTS:
        difference = padded[to] - padded[origin]
        gradient[to] += 4 * weight * difference / difference.size
        gradient[origin] -= 4 * weight * difference / difference.size
    # What a repeated border gets, the border itself gets.
    for axis in (2, 3):
        first, *inner, last = np.split(gradient, [1, 2, gradient.shape[axis] - 2, gradient.shape[axis] - 1], axis=axis)
        inner[0], inner[-1] = inner[0] + first, inner[-1] + last
        gradient = np.concatenate(inner, axis=axis)
    return gradient


def half_sum_variation(image: Array) -> float:
    r"""Half of the sum of squared differences, at pixels that have both neighbors (jcjohnson's neural-style, `TVLoss`).

    .. math:: L^{tv} = \tfrac12 \sum_{i < H, j < W} (x_{i+1,j} - x_{ij})^2 + (x_{i,j+1} - x_{ij})^2
    """
    down, right = _differences(image)
    return float(0.5 * (np.square(down[..., :-1]).sum() + np.square(right[..., :-1, :]).sum()))


def half_sum_variation_gradient(image: Array) -> Array:
    """The derivative of :func:`half_sum_variation`, shape (1, 3, H, W)."""
    down, right = _differences(image)
    down, right = down[..., :-1], right[..., :-1, :]
    gradient = np.zeros_like(image)
    gradient[:, :, 1:, :-1] += down
    gradient[:, :, :-1, :-1] -= down + right
    gradient[:, :, :-1, 1:] += right
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
