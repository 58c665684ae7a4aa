"""The oracle's Wasserstein distance of Gaussians: by singular values, where core has an eigendecomposition.

With the roots R and A of both covariances, R A = U diag(s) V^T: the trace of (A C A)^1/2 is the sum of s, and the map that
transports one Gaussian into the other is A V U^T R^-1 (Peyré and Cuturi 2019, remark 2.31, by the polar decomposition). No root
is taken of a product, so rounding grows with the condition of a covariance, and not with its square.
"""

from __future__ import annotations

import numpy as np

from isostyle.conformance.oracle.pictures import Floats

#: crowsonkb, style-transfer-pytorch at e7e2c71: `StyleLossW2`. Stated a second time on purpose: see :mod:`.engine`.
EPSILON = 1e-4


def moments(feature: Floats) -> Floats:
    """(1, C, H, W) -> (C, C + 1): means of the products of two channels and, last, of each channel."""
    x = feature[0]
    products = np.einsum("chw,dhw->cd", x, x, optimize=True)
    found: Floats = np.column_stack([products, x.sum(axis=(1, 2))]) / x[0].size
    return found


def root_and_inverse(moments: Floats) -> tuple[Floats, Floats]:
    """The symmetric root of a covariance with epsilon, and its inverse. What is negative but for epsilon is rounding's."""
    mean = moments[:, -1]
    values, vectors = np.linalg.eigh(moments[:, :-1] - np.outer(mean, mean))
    roots = np.sqrt(np.clip(values, 0, None) + EPSILON)
    return np.einsum("ik,k,jk->ij", vectors, roots, vectors), np.einsum("ik,k,jk->ij", vectors, 1 / roots, vectors)


def distance(found: Floats, target: Floats) -> tuple[float, Floats]:
    """The squared distance of two Gaussians by their moments, over C, and its derivative by ``found``, (C, C + 1)."""
    channels = len(found)
    (mine, inverse), (theirs, _) = root_and_inverse(found), root_and_inverse(target)
    left, singular, right = np.linalg.svd(mine @ theirs)
    across = theirs @ right.T @ left.T @ inverse
    apart = found[:, -1] - target[:, -1]
    loss = (apart @ apart + (mine**2).sum() + (theirs**2).sum() - 2 * singular.sum()) / channels
    derivative = (np.eye(channels) - (across + across.T) / 2) / channels
    return float(loss), np.column_stack([derivative, 2 * apart / channels - 2 * derivative @ found[:, -1]])


def backward(gradient: Floats, feature: Floats) -> Floats:
    """From the derivative by the moments of a map to that by the map."""
    x = feature[0]
    by_products = np.einsum("cd,dhw->chw", gradient[:, :-1] + gradient[:, :-1].T, x, optimize=True)
    found: Floats = (by_products + gradient[:, -1, None, None])[None] / x[0].size
    return found


def shaken(found: Floats, target: Floats, share: float, seed: int) -> tuple[float, Floats]:
    """:func:`distance` as core computes it, by the eigenvalues of A C A; but that product is changed by a ``share`` of its
    norm, at random: what its rounding does."""
    (mine, _), (theirs, _) = root_and_inverse(found), root_and_inverse(target)
    product = theirs @ mine @ mine @ theirs
    noise = np.random.RandomState(seed).standard_normal(product.shape)
    values, vectors = np.linalg.eigh(product + share * np.linalg.norm(product, 2) * (noise + noise.T) / 2)
    roots = np.sqrt(np.maximum(values, EPSILON**2))
    across = theirs @ vectors / roots @ vectors.T @ theirs
    apart, channels = found[:, -1] - target[:, -1], len(found)
    loss = (apart @ apart + (mine**2).sum() + (theirs**2).sum() - 2 * roots.sum()) / channels
    derivative = (np.eye(channels) - across) / channels
    return float(loss), np.column_stack([derivative, 2 * apart / channels - 2 * derivative @ found[:, -1]])
