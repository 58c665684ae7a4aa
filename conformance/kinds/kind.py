"""What a kind of case is: how its points are computed, and how far off a correct backend may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isostyle.conformance.cases import Case
from isostyle.conformance.tolerances import Notes, Tolerance
from isostyle.interface import Array, Engine
from isostyle.network import Network
from isostyle.recipe import Recipe

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

#: Arrays by the name of the point.
Points = dict[str, Array]


#: The parts that a backend has; one of the two suffices (:class:`isostyle.interface.Backend`).
ENGINE, STYLE_NETWORKS = BOTH = "prepare", "transform"


class NotHere(Exception):
    """The backend lacks what the case needs, and need not have it."""


def no_notes(subject: Subject, case: Case) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Kind:
    """One kind of case. Its first word in the name of a case: ``gradient/d2l/odd``."""

    name: str
    #: Has a subject (a backend or the oracle) compute a case in a dtype.
    probe: Callable[[Subject, Case, str], Points]
    #: All tolerances of its points.
    tolerances: tuple[Tolerance, ...]
    #: The one of ``tolerances`` that a point has in a dtype; None: the first that is for the dtype.
    choose: Callable[[str, str, Notes], Tolerance] | None = None
    #: What the oracle says of a case for the tolerances: ``POINT~NOTE``, or ``~NOTE`` for all points.
    notes: Callable[[Subject, Case], Mapping[str, float]] = no_notes
    #: What its arrays hold, by NumPy's name, or ``str`` for text; empty: the dtype of the case.
    holds: str = ""
    #: The parts of a backend that it is about; without one of them, a backend that has the other may lack it.
    parts: tuple[str, ...] = ()

    def tolerance(self, point: str, dtype: str, notes: Notes) -> Tolerance:
        """The tolerance of a point."""
        return self.choose(point, dtype, notes) if self.choose else of_dtype(self.tolerances, dtype)


def of_dtype(tolerances: tuple[Tolerance, ...], dtype: str) -> Tolerance:
    """The first of ``tolerances`` that is for ``dtype``.

    Raises:
        LookupError: there is none.
    """
    for tolerance in tolerances:
        if tolerance.dtype in ("", dtype):
            return tolerance
    raise LookupError(f"there is no tolerance for {dtype}")


def engine_of(subject: Subject, case: Case, dtype: str) -> Engine:
    """The subject's engine for the case's network, in tiles if the case says so."""
    assert case.network is not None
    return subject.tiled(subject.engine(case.network, dtype), case)


def network_of(subject: Subject, case: Case) -> Network:
    assert case.network is not None
    return subject.inputs.network(case.network).network


def recipe_of(case: Case) -> Recipe:
    assert case.recipe is not None
    return case.recipe
