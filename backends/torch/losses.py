"""The losses of neural style transfer in PyTorch, scalars without their weights; :mod:`isostyle.losses` has the formulas.

backends/mxnet/losses.py and backends/paddle/losses.py say the same in the same order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction, Variation

#: Added to each channel's variance (:data:`isostyle.losses.COVARIANCE_EPSILON`, said again).
COVARIANCE_EPSILON = 1e-4


def gram(feature: Tensor, divisor: GramDivisor) -> Tensor:
    """Gram matrix (C, C) of a map (1, C, H, W)."""
    _, channels, height, width = feature.shape
    matrix = feature.reshape(channels, height * width)
    return matrix @ matrix.T / {"chw": channels * height * width, "hw": height * width, "1": 1}[divisor]


def squared_norm(target: Tensor) -> Tensor:
    """What a relative loss is divided by: 1 if the target is 0 everywhere."""
    total = torch.square(target).sum()
    return torch.where(total > 0, total, torch.ones_like(total))


def content_loss(feature: Tensor, target: Tensor, reduction: ContentReduction) -> Tensor:
    squares = torch.square(feature - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    return squares.mean() if reduction == "mean" else 0.5 * squares.sum()


def style_loss(
    feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction, root: Tensor | None = None
) -> Tensor:
    """``root``: of the target's covariance, for the reduction ``wasserstein``."""
    if root is not None:
        return wasserstein_loss(feature, target, root)
    squares = torch.square(gram(feature, divisor) - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)


def statistic(feature: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    """What a style loss compares of a map: its Gram matrix (C, C), or its moments (C, C + 1)."""
    return moments(feature).to(feature.dtype) if reduction == "wasserstein" else gram(feature, divisor)


def moments(feature: Tensor) -> Tensor:
    """Second raw moments and means (C, C + 1) of a map (1, C, H, W), in float64: roots of small eigenvalues need the digits."""
    matrix = feature.reshape(feature.shape[1], -1).to(torch.float64)
    return torch.cat([matrix @ matrix.T, matrix.sum(dim=1, keepdim=True)], dim=1) / matrix.shape[1]


def covariance(moments: Tensor) -> Tensor:
    mean = moments[:, -1:]
    return moments[:, :-1] - mean @ mean.T + COVARIANCE_EPSILON * torch.eye(len(mean), dtype=mean.dtype, device=mean.device)


def covariance_root(target: Tensor) -> Tensor:
    """The symmetric root, float64, of the covariance of moments."""
    values, vectors = torch.linalg.eigh(covariance(target.to(torch.float64)))
    return vectors * torch.sqrt(torch.clamp(values, min=COVARIANCE_EPSILON)) @ vectors.T


def transport(covariance: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """tr (A C A)^1/2 with A the root, and the map A (A C A)^-1/2 A, twice its derivative by C."""
    values, vectors = torch.linalg.eigh(root @ covariance @ root)
    roots = torch.sqrt(torch.clamp(values, min=COVARIANCE_EPSILON**2))
    halves = root @ vectors
    return roots.sum(), halves / roots @ halves.T


def wasserstein_loss(feature: Tensor, target: Tensor, root: Tensor) -> Tensor:
    found = moments(feature)
    mine = covariance(found)
    # No gradient through eigh: it divides by differences of eigenvalues. The trace is tr(T C), too, whose gradient is T if T
    # has none, twice that of the trace: so one of two traces is taken from C.
    trace, across = transport(mine.detach(), root)
    traces = torch.square(root).sum() + torch.diagonal(mine).sum() - (across * mine).sum() - trace
    means = torch.square(found[:, -1] - target[:, -1]).sum()
    return ((means + traces) / len(found)).to(feature.dtype)


def tv_loss(image: Tensor, variation: Variation = "absolute") -> Tensor:
    if variation == "squared":
        return squared_variation(image)
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    if variation == "half-sum":
        return 0.5 * (torch.square(down[:, :, :, :-1]).sum() + torch.square(right[:, :, :-1, :]).sum())
    return 0.5 * (torch.abs(down).mean() + torch.abs(right).mean())


def squared_variation(image: Tensor) -> Tensor:
    padded = F.pad(image, [1, 1, 1, 1], mode="replicate")
    right = padded[:, :, 1:-1, 2:] - image
    down = padded[:, :, 2:, 1:-1] - image
    falling = padded[:, :, 1:, 1:] - padded[:, :, :-1, :-1]
    rising = padded[:, :, 1:, :-1] - padded[:, :, :-1, 1:]
    straight, diagonal = (
        torch.square(right).mean() + torch.square(down).mean(),
        torch.square(falling).mean() + torch.square(rising).mean(),
    )
    return 2 * (straight / 3 + diagonal / 12)
