"""``training-gradient`` and ``training``: the losses of a transformed photograph by parameter, and three steps of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isostyle.conformance.cases import BATCH, STYLE_IMAGES, TRAINING_OPTIMIZER, Case
from isostyle.conformance.condition import conditions, trained
from isostyle.conformance.kinds.kind import BOTH, Kind, Points, engine_of, of_dtype, recipe_of
from isostyle.conformance.kinds.schedule import RATES
from isostyle.conformance.kinds.transform import CONDITIONED
from isostyle.conformance.oracle.transform import OracleTransform, painting
from isostyle.conformance.tolerances import EXACT, Notes, Tolerance, constant, in_rates, largest_share, times
from isostyle.interface import Array

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def root_mean_square_in_rates(found: Array, expected: Array, notes: Notes) -> float:
    return math.sqrt(float(np.square(found - expected).mean())) / notes["rate"]


TRAINING_CURVE = (
    Tolerance(
        "losses of three training steps",
        largest_share,
        times(512),
        "shares of the total",
        "512 eps: 52 were seen in 60 seeds",
        "float64",
    ),
    Tolerance(
        "losses of three training steps",
        largest_share,
        constant(1e-2),
        "shares of the total",
        "1e-2: a decision that rounding turned in the first step made 4e-4 of the total by the third; 60 seeds. Float64 judges",
        "float32",
    ),
)
TRAINED = (
    Tolerance(
        "three training steps",
        in_rates,
        constant(1e-9),
        "learning rates, largest",
        "1e-9: 2e-12 were seen, most of it the rounding of the parameter itself, which is 1000 rates",
        "float64",
    ),
    Tolerance(
        "three training steps",
        root_mean_square_in_rates,
        constant(1.0),
        "learning rates, root mean square",
        "one step of the three: where a gradient is near 0, what rounding leaves of it moves the parameter, and a decision "
        "that rounding turns changes all gradients behind it. 9e-5 is usual, the rounding of the parameter itself; 0.2 was "
        "seen in 60 seeds, where a decision turned. Float64 judges",
        "float32",
    ),
)


def probe_gradient(subject: Subject, case: Case, dtype: str) -> Points:
    terms, gradient = subject.losses_by_parameter(case, dtype)
    return {name: np.asarray(float(value), dtype=dtype) for name, value in terms.items()} | gradient


def notes_of_gradient(subject: Subject, case: Case) -> Mapping[str, float]:
    engine: Any = engine_of(subject, case, "float64")
    network, variant = subject.inputs.style_network(case.variant)[0], case.variant or ""
    parameters = painting(subject.inputs.styles(), np.eye(len(STYLE_IMAGES))[BATCH[variant]])
    style, picture = subject.inputs.arrays[STYLE_IMAGES[BATCH[variant]]], subject.inputs.cut(variant)[0]
    return conditions(trained(engine, OracleTransform(network), parameters, recipe_of(case), style, picture))


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    return subject.train(case, dtype)


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``rate``: the learning rate."""
    return {"~rate": TRAINING_OPTIMIZER[0].learning_rate}


def choose(point: str, dtype: str, notes: Notes) -> Tolerance:
    if point == "rates":
        return RATES
    if point == "steps":
        return EXACT
    return of_dtype(TRAINING_CURVE if point in ("totals", "losses") else TRAINED, dtype)


TRAINING_GRADIENT = Kind("training-gradient", probe_gradient, (CONDITIONED,), notes=notes_of_gradient, parts=BOTH)
TRAINING = Kind("training", probe, (EXACT, RATES, *TRAINING_CURVE, *TRAINED), choose, notes, parts=BOTH)
