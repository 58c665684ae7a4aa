"""The losses of neural style transfer in PaddlePaddle, scalars without their weights; :mod:`isostyle.losses` has the formulas.

backends/torch/losses.py and backends/mxnet/losses.py say the same in the same order.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction, Variation

#: Added to each channel's variance (:data:`isostyle.losses.COVARIANCE_EPSILON`, said again).
COVARIANCE_EPSILON = 1e-4


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


def style_loss(
    feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction, root: Tensor | None = None
) -> Tensor:
    """``root``: of the target's covariance, for the reduction ``wasserstein``."""
    if root is not None:
        return wasserstein_loss(feature, target, root)
    squares = paddle.square(gram(feature, divisor) - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return mean(squares) if reduction == "mean" else mean(squares) / (channels * height * width)


def statistic(feature: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    """What a style loss compares of a map: its Gram matrix (C, C), or its moments (C, C + 1)."""
    return moments(feature).astype(feature.dtype) if reduction == "wasserstein" else gram(feature, divisor)


def moments(feature: Tensor) -> Tensor:
    """Second raw moments and means (C, C + 1) of a map (1, C, H, W), in float64: roots of small eigenvalues need the digits."""
    matrix = feature.reshape([feature.shape[1], -1]).astype("float64")
    return paddle.concat([paddle.matmul(matrix, matrix.T), matrix.sum(axis=1, keepdim=True)], axis=1) / matrix.shape[1]


def covariance(moments: Tensor) -> Tensor:
    mean = moments[:, -1:]
    return moments[:, :-1] - paddle.matmul(mean, mean.T) + COVARIANCE_EPSILON * paddle.eye(len(mean), dtype=mean.dtype)


def covariance_root(target: Tensor) -> Tensor:
    """The symmetric root, float64, of the covariance of moments."""
    values, vectors = paddle.linalg.eigh(covariance(target.astype("float64")))
    return paddle.matmul(vectors * paddle.sqrt(paddle.clip(values, min=COVARIANCE_EPSILON)), vectors.T)


def transport(covariance: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """tr (A C A)^1/2 with A the root, and the map A (A C A)^-1/2 A, twice its derivative by C."""
    values, vectors = paddle.linalg.eigh(paddle.matmul(paddle.matmul(root, covariance), root))
    roots = paddle.sqrt(paddle.clip(values, min=COVARIANCE_EPSILON**2))
    halves = paddle.matmul(root, vectors)
    return roots.sum(), paddle.matmul(halves / roots, halves.T)


def wasserstein_loss(feature: Tensor, target: Tensor, root: Tensor) -> Tensor:
    found = moments(feature)
    mine = covariance(found)
    # No gradient through eigh: it divides by differences of eigenvalues. The trace is tr(T C), too, whose gradient is T if T
    # has none, twice that of the trace: so one of two traces is taken from C.
    trace, across = transport(mine.detach(), root)
    traces = paddle.square(root).sum() + paddle.diagonal(mine).sum() - (across * mine).sum() - trace
    means = paddle.square(found[:, -1] - target[:, -1].astype("float64")).sum()
    return ((means + traces) / len(found)).astype(feature.dtype)


def tv_loss(image: Tensor, variation: Variation = "absolute") -> Tensor:
    if variation == "squared":
        return squared_variation(image)
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    if variation == "half-sum":
        return 0.5 * (paddle.square(down[:, :, :, :-1]).sum() + paddle.square(right[:, :, :-1, :]).sum())
    return 0.5 * (mean(paddle.abs(down)) + mean(paddle.abs(right)))


def squared_variation(image: Tensor) -> Tensor:
    padded = F.pad(image, [1, 1, 1, 1], mode="replicate")
    right = padded[:, :, 1:-1, 2:] - image
    down = padded[:, :, 2:, 1:-1] - image
    falling = padded[:, :, 1:, 1:] - padded[:, :, :-1, :-1]
    rising = padded[:, :, 1:, :-1] - padded[:, :, :-1, 1:]
    straight, diagonal = (
        mean(paddle.square(right)) + mean(paddle.square(down)),
        mean(paddle.square(falling)) + mean(paddle.square(rising)),
    )
    return 2 * (straight / 3 + diagonal / 12)
