"""``gram``: Gram matrices of given maps, with each divisor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import DIVISORS, Case
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points
from isostyle.conformance.tolerances import Notes, Tolerance
from isostyle.interface import Array

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

#: The arrays whose Gram matrices are computed.
MAPS = ("map", "wide map")


def gram_error(found: Array, expected: Array, notes: Notes) -> float:
    """The largest |dG_ij| / sqrt(G_ii G_jj): off the diagonal sums cancel, so an entry's own size is no measure."""
    roots = np.sqrt(np.diag(expected))
    return float((np.abs(found - expected) / np.maximum(np.outer(roots, roots), np.finfo(np.float64).tiny)).max())


def summed(eps: float, expected: Array, notes: Notes) -> float:
    return (8 + 2 * math.sqrt(notes["pixels"])) * eps


GRAM = Tolerance(
    "Gram matrix alone",
    gram_error,
    summed,
    "largest |dG_ij| / sqrt(G_ii G_jj)",
    "(8 + 2 sqrt(n)) eps for sums over n pixels: n numbers added one after another are off by some sqrt(n) eps, as MKL's "
    "float64 product on AMD does (41 eps at n = 4500); blocked sums are better (2.2 eps at 3e3, 10.9 eps at 1.35e5)",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    engine = subject.engine("narrow", dtype)
    divisor = next(divisor for divisor in DIVISORS if divisor == case.variant)
    arrays = subject.inputs.arrays
    return {name: engine.array(engine.gram(engine.tensor(arrays[name]), divisor)) for name in MAPS}


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``pixels``: how many products each entry adds up."""
    return {f"{name}~pixels": math.prod(subject.inputs.arrays[name].shape[2:]) for name in MAPS}


GRAM_MATRICES = Kind("gram", probe, (GRAM,), notes=notes, parts=(ENGINE,))
