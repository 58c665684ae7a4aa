"""``mixture``: the scales and shifts of two styles that are mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.kind import Kind, Points
from isostyle.conformance.tolerances import Tolerance, largest_scaled, times

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

MIXED = Tolerance(
    "styles mixed",
    largest_scaled,
    times(4),
    "largest, over 1 + its size",
    "two products and a sum in float64, then one rounding",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    return {name: array.astype(dtype) for name, array in subject.mixture().items()}


MIXTURE = Kind("mixture", probe, (MIXED,))
