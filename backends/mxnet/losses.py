"""The losses of neural style transfer in Apache MXNet, scalars without their weights; :mod:`isostyle.losses` has the formulas.

backends/torch/losses.py and backends/paddle/losses.py say the same in the same order.
"""

from __future__ import annotations

from mxnet import np
from mxnet.numpy import ndarray as Tensor

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    _, channels, height, width = feature.shape
    matrix = feature.reshape(channels, height * width)
    return np.dot(matrix, matrix.T) / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def squared_norm(target: Tensor) -> Tensor:
    """What a relative loss is divided by: 1 if the target is 0 everywhere."""
    total = np.square(target).sum()
    return np.where(total > 0, total, np.ones_like(total))


def content_loss(feature: Tensor, target: Tensor, reduction: ContentReduction) -> Tensor:
    squares = np.square(feature - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    return squares.mean() if reduction == "mean" else 0.5 * squares.sum()


def style_loss(feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    squares = np.square(gram(feature, divisor) - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)


def tv_loss(image: Tensor) -> Tensor:
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return 0.5 * (np.abs(down).mean() + np.abs(right).mean())
