"""``zoo``: the framework's own VGG-19 has the same layer at every index, and the same features from the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.features import FEATURES, convolutions
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, network_of
from isostyle.conformance.tolerances import EXACT, Notes, Tolerance

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    return subject.zoo(engine_of(subject, case, dtype), case)


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    return convolutions(network_of(subject, case), ["features/", "kept/"])


def choose(point: str, dtype: str, notes: Notes) -> Tolerance:
    return EXACT if point == "layers" else FEATURES


ZOO = Kind("zoo", probe, (EXACT, FEATURES), choose, notes, parts=(ENGINE,))
