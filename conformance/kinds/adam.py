"""``adam`` and ``native-adam``: ten steps of Adam with given gradients, by isostyle's and by the framework's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import GRADIENT_SCALES, Case, short
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, recipe_of
from isostyle.conformance.tolerances import Tolerance, constant, in_rates
from isostyle.interface import Array
from isostyle.published import D2L
from isostyle.recipe import Constant

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

ADAM = (
    Tolerance(
        "Adam alone",
        in_rates,
        constant(1e-12),
        "learning rates, largest",
        "1e-12 after ten steps: 3e-15 were seen",
        "float64",
    ),
    Tolerance(
        "Adam alone",
        in_rates,
        constant(1e-5),
        "learning rates, largest",
        "1e-5 after ten steps: 3e-6 were seen; powers of beta kept in float32, as Paddle's own, give 2e-5",
        "float32",
    ),
)
#: The recipe of ``native-adam``, whose cases have none: d2l at a constant rate.
STEADY = dataclasses.replace(D2L, schedule=Constant())


def given_gradients(subject: Subject, case: Case) -> Array:
    return subject.inputs.arrays["gradients"] * np.float32(GRADIENT_SCALES[case.variant or ""])


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    engine = subject.engine("narrow", dtype)
    return {"image": subject.adam(engine, short(recipe_of(case)), given_gradients(subject, case))}


def probe_native(subject: Subject, case: Case, dtype: str) -> Points:
    engine = subject.engine("narrow", dtype)
    return {"image": subject.native_adam(engine, STEADY, given_gradients(subject, case))}


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``rate``: the learning rate."""
    return {"~rate": (case.recipe or STEADY).optimizer.learning_rate}


ISOSTYLES_ADAM = Kind("adam", probe, ADAM, notes=notes, parts=(ENGINE,))
NATIVE_ADAM = Kind("native-adam", probe_native, ADAM, notes=notes, parts=(ENGINE,))
