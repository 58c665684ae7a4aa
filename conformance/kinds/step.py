"""``step``: one step of a run with Adam."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import Case, short
from isostyle.conformance.kinds.gradient import gradients
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, recipe_of
from isostyle.conformance.tolerances import Notes, Tolerance, constant, in_rates
from isostyle.interface import Array

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def nearly_all_in_rates(found: Array, expected: Array, notes: Notes) -> float:
    """The difference that 99.9 % of all pixels stay below, in learning rates (the note ``rate``)."""
    return float(np.quantile(np.abs(found - expected), 0.999)) / notes["rate"]


def decided(eps: float, expected: Array, notes: Notes) -> float:
    """Adam's first step is the gradient's sign where that is above epsilon."""
    return 1e-9 + 16 * eps * notes["unsteadiness"]


STEP = (
    Tolerance(
        "one step",
        in_rates,
        decided,
        "learning rates, largest",
        "1e-9 + 16 u eps: Adam's first step is the gradient's sign where it is not near 0, so that gradients right to 64 eps "
        "give 1e-12. The gradient of a Wasserstein distance is less steady: u is how much the step changes with its numbers",
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
    """``rate``: the learning rate. ``unsteadiness``: see :meth:`.gradient.Gradients.unsteadiness`."""
    return {"~rate": recipe_of(case).optimizer.learning_rate, "~unsteadiness": unsteadiness(subject, case)}


def unsteadiness(subject: Subject, case: Case) -> float:
    """How unsteady Adam's first step is; 0 but for Wasserstein distances."""
    return gradients(subject, case).unsteadiness() if recipe_of(case).style_reduction == "wasserstein" else 0.0


ONE_STEP = Kind("step", probe, STEP, notes=notes, parts=(ENGINE,))
