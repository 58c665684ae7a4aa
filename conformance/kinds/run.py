"""``run``: ten steps of Adam, 20 evaluations of L-BFGS, or 40 with a line search."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import Case, short
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, of_dtype, recipe_of
from isostyle.conformance.kinds.schedule import RATES
from isostyle.conformance.kinds.step import unsteadiness
from isostyle.conformance.tolerances import (
    EXACT,
    Notes,
    Tolerance,
    constant,
    in_rates,
    largest_relative,
    largest_scaled,
    largest_share,
)
from isostyle.interface import Array
from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.recipe import LbfgsSettings

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def in_steps_of_eight_bits(found: Array, expected: Array, notes: Notes) -> float:
    """Root mean square difference of the pictures that would be saved, in steps of 1/255."""
    one, other = ((np.moveaxis(x, 1, -1) * RGB_STD + RGB_MEAN).clip(0, 1) for x in (found, expected))
    return 255 * math.sqrt(float(np.square(one - other).mean()))


def decided_again(eps: float, expected: Array, notes: Notes) -> float:
    return 1e-8 + 160 * eps * notes.get("unsteadiness", 0.0)


IMAGE = (
    Tolerance(
        "ten steps",
        in_rates,
        decided_again,
        "learning rates, largest",
        "1e-8 + 160 u eps: rounding grows with the steps through Adam's signs; 5e-11 were seen. For a Wasserstein distance u "
        "is as for one step",
        "float64",
    ),
    Tolerance(
        "ten steps",
        in_steps_of_eight_bits,
        constant(64),
        "steps of 1/255, root mean square",
        "a quarter of the range: decisions that rounding turns drive correct runs apart (25 steps were seen in 100 seeds): a "
        "smoke test; float64 judges",
        "float32",
    ),
)
CURVE = (
    Tolerance("loss curve", largest_relative, constant(1e-10), "relative", "1e-10 over ten steps: 2e-13 were seen", "float64"),
    Tolerance(
        "loss curve",
        largest_relative,
        constant(1.0),
        "relative",
        "as much as the total itself: one decision that rounding turns at step 6 made 6e-2 of the total by step 10, in all "
        "frameworks alike, and 0.3 was seen in 100 seeds. A smoke test: float64 judges, and the first total is also a case of "
        "`terms`",
        "float32",
    ),
)
SHARES = tuple(
    dataclasses.replace(curve, name="loss curves of each kind", measure=largest_share, unit="shares of the total")
    for curve in CURVE
)
LBFGS = Tolerance(
    "L-BFGS",
    largest_scaled,
    constant(1e-7),
    "largest, over 1 + its size",
    "1e-7 after 20 evaluations, or 40 with a line search: all take the same steps, but each passes on what rounding did to "
    "those before it; 8e-10 were seen. A search that decides otherwise is off by whole steps",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    found = subject.descend(engine_of(subject, case, dtype), short(recipe_of(case)), *subject.scene(case))
    if case.network == "compact":
        del found["images"]  # which take room, and are compared with the small network
    return found


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``rate``: the learning rate. ``lbfgs``: 1 if the optimizer is L-BFGS. ``unsteadiness``: of the first step."""
    settings = recipe_of(case).optimizer
    found = {"~rate": settings.learning_rate, "~lbfgs": float(isinstance(settings, LbfgsSettings))}
    return {**found, "~unsteadiness": unsteadiness(subject, case)}


def choose(point: str, dtype: str, notes: Notes) -> Tolerance:
    if point == "rates":
        return RATES
    if point in ("steps", "trials"):
        return EXACT
    if notes.get("lbfgs"):
        return LBFGS
    return of_dtype({"totals": CURVE, "losses": SHARES}.get(point, IMAGE), dtype)


RUN = Kind("run", probe, (EXACT, RATES, *IMAGE, *CURVE, *SHARES, LBFGS), choose, notes, parts=(ENGINE,))
