"""The losses of neural style transfer in Apache MXNet, scalars without their weights; :mod:`isostyle.losses` has the formulas.

backends/torch/losses.py and backends/paddle/losses.py say the same in the same order.
"""

from __future__ import annotations

import mxnet
from mxnet import np
from mxnet.numpy import ndarray as Tensor

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction, Variation

#: Added to each channel's variance (:data:`isostyle.losses.COVARIANCE_EPSILON`, said again).
COVARIANCE_EPSILON = 1e-4


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    _, channels, height, width = feature.shape
    matrix = feature.reshape(channels, height * width)
    return np.dot(matrix, matrix.T) / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def repeat_border(x: Tensor, width: int) -> Tensor:
    """``x``, (1, C, H, W), with its border repeated ``width`` times on every side; np.pad can, too, but has no gradient."""
    widths = (0, 0, 0, 0, width, width, width, width)
    return mxnet.nd.pad(x.as_nd_ndarray(), mode="edge", pad_width=widths).as_np_ndarray()


def squared_norm(target: Tensor) -> Tensor:
    """What a relative loss is divided by: 1 if the target is 0 everywhere."""
    total = np.square(target).sum()
    return np.where(total > 0, total, np.ones_like(total))


def content_loss(feature: Tensor, target: Tensor, reduction: ContentReduction) -> Tensor:
    squares = np.square(feature - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    return squares.mean() if reduction == "mean" else 0.5 * squares.sum()


def style_loss(
    feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction, root: Tensor | None = None
) -> Tensor:
    """``root``: of the target's covariance, for the reduction ``wasserstein``."""
    if root is not None:
        return wasserstein_loss(feature, target, root)
    squares = np.square(gram(feature, divisor) - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)


def statistic(feature: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    """What a style loss compares of a map: its Gram matrix (C, C), or its moments (C, C + 1)."""
    return moments(feature).astype(feature.dtype) if reduction == "wasserstein" else gram(feature, divisor)


def moments(feature: Tensor) -> Tensor:
    """Second raw moments and means (C, C + 1) of a map (1, C, H, W), in float64: roots of small eigenvalues need the digits."""
    matrix = feature.reshape(feature.shape[1], -1).astype("float64")
    return np.concatenate([np.dot(matrix, matrix.T), matrix.sum(axis=1, keepdims=True)], axis=1) / matrix.shape[1]


def covariance(moments: Tensor) -> Tensor:
    mean = moments[:, -1:]
    return moments[:, :-1] - np.dot(mean, mean.T) + COVARIANCE_EPSILON * np.eye(len(mean), dtype=mean.dtype, ctx=mean.ctx)


def covariance_root(target: Tensor) -> Tensor:
    """The symmetric root, float64, of the covariance of moments."""
    values, vectors = np.linalg.eigh(covariance(target.astype("float64")))
    return np.dot(vectors * np.sqrt(np.maximum(values, COVARIANCE_EPSILON)), vectors.T)


def transport(covariance: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """tr (A C A)^1/2 with A the root, and the map A (A C A)^-1/2 A, twice its derivative by C."""
    values, vectors = np.linalg.eigh(np.dot(np.dot(root, covariance), root))
    roots = np.sqrt(np.maximum(values, COVARIANCE_EPSILON**2))
    halves = np.dot(root, vectors)
    return roots.sum(), np.dot(halves / roots, halves.T)


def wasserstein_loss(feature: Tensor, target: Tensor, root: Tensor) -> Tensor:
    found = moments(feature)
    mine = covariance(found)
    # No gradient through eigh: MXNet's is 0, and says nothing. The trace is tr(T C), too, whose gradient is T if T has none,
    # twice that of the trace: so one of two traces is taken from C.
    trace, across = transport(mine.detach(), root)
    trace, across = trace.detach(), across.detach()
    traces = np.square(root).sum() + (mine * np.eye(len(mine), dtype=mine.dtype, ctx=mine.ctx)).sum()
    traces = traces - (across * mine).sum() - trace
    means = np.square(found[:, -1] - target[:, -1].astype("float64")).sum()
    return ((means + traces) / len(found)).astype(feature.dtype)


def tv_loss(image: Tensor, variation: Variation = "absolute") -> Tensor:
    if variation == "squared":
        return squared_variation(image)
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    if variation == "half-sum":
        return 0.5 * (np.square(down[:, :, :, :-1]).sum() + np.square(right[:, :, :-1, :]).sum())
    return 0.5 * (np.abs(down).mean() + np.abs(right).mean())


def squared_variation(image: Tensor) -> Tensor:
    padded = repeat_border(image, 1)
    right = padded[:, :, 1:-1, 2:] - image
    down = padded[:, :, 2:, 1:-1] - image
    falling = padded[:, :, 1:, 1:] - padded[:, :, :-1, :-1]
    rising = padded[:, :, 1:, :-1] - padded[:, :, :-1, 1:]
    straight, diagonal = np.square(right).mean() + np.square(down).mean(), np.square(falling).mean() + np.square(rising).mean()
    return 2 * (straight / 3 + diagonal / 12)
