"""``recipe``: every number of each recipe, against published.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.kind import Kind, Points, recipe_of
from isostyle.conformance.tolerances import EXACT

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    return {name: np.array(value) for name, value in subject.numbers(recipe_of(case)).items()}


RECIPE = Kind("recipe", probe, (EXACT,), holds="str")
