"""``schedule``: learning rates on both sides of each boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.kind import Kind, Points, recipe_of
from isostyle.conformance.tolerances import EPS, Tolerance, constant, largest_relative
from isostyle.recipe import StepDecay

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject

RATES = Tolerance(
    "learning rate",
    largest_relative,
    constant(32 * EPS["float64"]),  # rates are Python's floats, whatever the dtype of the case
    "relative",
    "32 eps: a product of some ten factors, added to none",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    """The rates of the updates on both sides of every boundary, and of the last one."""
    recipe = recipe_of(case)
    # (A run's last event has a rate too: of the update that would follow.)
    every = recipe.schedule.every if isinstance(recipe.schedule, StepDecay) else recipe.steps
    boundaries = range(every, recipe.steps, every)
    updates = [1, *(update for boundary in boundaries for update in (boundary, boundary + 1)), recipe.steps]
    return {"rates": np.array(subject.rates(recipe, updates))}


SCHEDULE = Kind("schedule", probe, (RATES,))
