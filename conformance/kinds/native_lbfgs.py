"""``native-lbfgs``: the framework's own L-BFGS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import LBFGS_EVALUATIONS, Case
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, recipe_of
from isostyle.conformance.kinds.run import LBFGS

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    engine, recipe = engine_of(subject, case, dtype), recipe_of(case)
    content, style, start = subject.scene(case)
    objective = engine.objective(recipe, engine.targets(recipe, content, style))
    image, totals = subject.native_lbfgs(engine, objective, start, LBFGS_EVALUATIONS)
    return {"image": image, "totals": np.array(totals)}


NATIVE_LBFGS = Kind("native-lbfgs", probe, (LBFGS,), parts=(ENGINE,))
