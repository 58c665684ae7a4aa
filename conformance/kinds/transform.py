"""``transform``: the picture that a style network makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isostyle.conformance.cases import Case
from isostyle.conformance.condition import NEAR, conditions, transformed
from isostyle.conformance.kinds.kind import STYLE_NETWORKS, Kind, Points
from isostyle.conformance.oracle.transform import OracleTransform
from isostyle.conformance.tolerances import Notes, Tolerance, relative_norm
from isostyle.interface import Array

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def conditioned(eps: float, expected: Array, notes: Notes) -> float:
    """What rounding makes of numbers that go in, and decisions that are closer than that may go either way."""
    turned = notes.get("turned", 0.0) if notes["margin"] < NEAR * eps else 0.0
    return (8 + 16 * notes["condition"]) * eps + turned


CONDITIONED = Tolerance(
    "style network",
    relative_norm,
    conditioned,
    "relative norm",
    "(8 + 16 c) eps with c the condition: how much further off this is than all that goes in, where that is off by a small "
    "share of itself. Instance normalization magnifies rounding where a channel hardly varies: c is some 10 for usual pictures "
    "and was 8000 in one of 5x5. The errors of correct backends were 0.5 to 1 c eps in the middle and 11 c eps at the most. "
    "Where a decision is closer than 32 eps in conditions, what it changes is added",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    """As a whole, or in tiles."""
    transform, parameters = subject.transform(case, dtype)
    picture = subject.inputs.cut(case.variant or "")[0]
    if case.tile is not None:
        return {"image": subject.transform_in_tiles(case, transform, parameters, picture)}
    return {"image": transform.array(transform.apply(parameters, transform.tensor(picture)))}


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    network, parameters = subject.inputs.style_network(case.variant)
    picture, _ = subject.inputs.cut(case.variant or "")
    return conditions(transformed(OracleTransform(network), parameters, picture))


TRANSFORM = Kind("transform", probe, (CONDITIONED,), notes=notes, parts=(STYLE_NETWORKS,))
