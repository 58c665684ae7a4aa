"""What a tolerance is, and the measures and bounds that several kinds of points share.

The tolerances themselves stand in :mod:`.kinds`, each with its reason. A tolerance is measured in machine epsilons (eps: 1.2e-7
in float32, 2.2e-16 in float64) and grows with the size of the problem as the rounding errors do. The figures behind the reasons
were measured with torch 2.13, mxnet 1.9.1 and paddle 3.3 on CPUs with AVX2 and AVX-512.

A tolerance is honest if a correct backend stays well below it and the smallest mutant lies above it. `isostyle conform` prints
both margins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from isostyle.interface import Array

#: What the oracle says of a point beside its value, by name; the kind that uses a note says what it means.
Notes = Mapping[str, float]
Measure = Callable[[Array, Array, Notes], float]
Bound = Callable[[float, Array, Notes], float]

#: Epsilon of the dtype that a case is computed in; whole numbers and text are compared exactly or in units of their own.
EPS = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}


@dataclass(frozen=True)
class Tolerance:
    """``measure(found, expected, notes)`` must be below ``bound(eps, expected, notes)``."""

    name: str
    measure: Measure
    bound: Bound
    #: What the error is measured in.
    unit: str
    reason: str
    #: The dtype that it is for; empty: every dtype.
    dtype: str = ""


# Measures


def relative_norm(found: Array, expected: Array, notes: Notes) -> float:
    """|found - expected| / |expected|, Euclidean; 0 if both are nothing but zeros."""
    difference = float(np.linalg.norm((found - expected).ravel()))
    size = float(np.linalg.norm(expected.ravel()))
    return difference / size if size else math.inf if difference else 0.0


def largest(found: Array, expected: Array, notes: Notes) -> float:
    return float(np.abs(found - expected).max())


def largest_relative(found: Array, expected: Array, notes: Notes) -> float:
    difference, size = np.abs(found - expected), np.abs(expected)
    return float(np.where(difference > 0, difference / np.maximum(size, np.finfo(np.float64).tiny), 0).max())


def largest_scaled(found: Array, expected: Array, notes: Notes) -> float:
    """The largest |difference| / (1 + |expected|)."""
    return float((np.abs(found - expected) / (1 + np.abs(expected))).max())


def largest_share(found: Array, expected: Array, notes: Notes) -> float:
    """The largest difference of a loss, over the sum of the same picture's losses: a small one may be nothing but rounding."""
    return float((np.abs(found - expected) / expected.sum(axis=-1, keepdims=True)).max())


def in_rates(found: Array, expected: Array, notes: Notes) -> float:
    """The largest difference, in learning rates (the note ``rate``)."""
    return largest(found, expected, notes) / notes["rate"]


def how_many_differ(found: Array, expected: Array, notes: Notes) -> float:
    return float(np.count_nonzero(found != expected))


# Bounds


def times(factor: float) -> Bound:
    """So many epsilons."""
    return lambda eps, expected, notes: factor * eps


def constant(value: float) -> Bound:
    return lambda eps, expected, notes: value


EXACT = Tolerance("exact", how_many_differ, constant(0.5), "values that differ", "nothing is rounded here: not one may differ")
