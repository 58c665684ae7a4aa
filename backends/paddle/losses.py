"""The losses of neural style transfer in PaddlePaddle, scalars without their weights; :mod:`isostyle.losses` has the formulas.

backends/torch/losses.py and backends/mxnet/losses.py say the same in the same order.
"""

from __future__ import annotations

import paddle
from paddle import Tensor

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction


def mean(x: Tensor) -> Tensor:
    # Paddle 3.3's float32 mean() adds up one after another: off by 174 eps at a million elements, 5e-4 at 8.6 million.
    return x.sum() / x.size


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    # Sizes as Python numbers: numel() // C is an int64 tensor of shape [1], and dividing a float32 by it is refused.
    _, channels, height, width = feature.shape
    matrix = feature.reshape([channels, height * width])
    return paddle.matmul(matrix, matrix.T) / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def squared_norm(target: Tensor) -> Tensor:
    """What a relative loss is divided by: 1 if the target is 0 everywhere."""
    total = paddle.square(target).sum()
    return paddle.where(total > 0, total, paddle.ones_like(total))


def content_loss(feature: Tensor, target: Tensor, reduction: ContentReduction) -> Tensor:
    squares = paddle.square(feature - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    return mean(squares) if reduction == "mean" else 0.5 * squares.sum()


def style_loss(feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    squares = paddle.square(gram(feature, divisor) - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return mean(squares) if reduction == "mean" else mean(squares) / (channels * height * width)


def tv_loss(image: Tensor) -> Tensor:
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return 0.5 * (mean(paddle.abs(down)) + mean(paddle.abs(right)))
