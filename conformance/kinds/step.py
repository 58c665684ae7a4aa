"""``step``: one step of a run with Adam."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import Case, short
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, recipe_of
from isostyle.conformance.tolerances import Notes, Tolerance, constant, in_rates
from isostyle.interface import Array

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def nearly_all_in_rates(found: Array, expected: Array, notes: Notes) -> float:
    """The difference that 99.9 % of all pixels stay below, in learning rates (the note ``rate``)."""
    return float(np.quantile(np.abs(found - expected), 0.999)) / notes["rate"]


STEP = (
    Tolerance(
        "one step",
        in_rates,
        constant(1e-9),
        "learning rates, largest",
        "Adam's first step is the gradient's sign where it is not near 0, so that gradients right to 64 eps give 1e-12",
        "float64",
    ),
    Tolerance(
        "one step",
        nearly_all_in_rates,
        constant(1e-3),
        "learning rates, 99.9 % quantile",
        "where the gradient crosses 0, its sign is rounding's: 4e-5 of the pixels were seen to move by more",
        "float32",
    ),
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    recipe = dataclasses.replace(short(recipe_of(case), 1), pyramid=())
    found = subject.descend(engine_of(subject, case, dtype), recipe, *subject.scene(case))
    return {"image": found["image"]}


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``rate``: the learning rate."""
    return {"~rate": recipe_of(case).optimizer.learning_rate}


ONE_STEP = Kind("step", probe, STEP, notes=notes, parts=(ENGINE,))
