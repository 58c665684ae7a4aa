"""The losses of neural style transfer in PyTorch, scalars without their weights; :mod:`isostyle.losses` has the formulas.

backends/mxnet/losses.py and backends/paddle/losses.py say the same in the same order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isostyle.recipe import ContentReduction, GramDivisor, StyleReduction


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


def style_loss(feature: Tensor, target: Tensor, divisor: GramDivisor, reduction: StyleReduction) -> Tensor:
    squares = torch.square(gram(feature, divisor) - target)
    if reduction == "relative":
        return squares.sum() / squared_norm(target)
    _, channels, height, width = feature.shape
    if reduction == "quarter-sum":
        return squares.sum() / float(4 * channels**2 * (height * width) ** 2)
    return squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)


def tv_loss(image: Tensor) -> Tensor:
    down = image[:, :, 1:, :] - image[:, :, :-1, :]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return 0.5 * (torch.abs(down).mean() + torch.abs(right).mean())
