"""``styles``: the targets of two style images together, each with its weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import STYLE_WEIGHTS, Case
from isostyle.conformance.kinds.features import FEATURES
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, recipe_of
from isostyle.conformance.kinds.targets import TARGET, choose, notes

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    content, style, other = subject.scene(case)
    styles = list(zip((style, other), STYLE_WEIGHTS, strict=True))
    found = subject.targets_of_styles(engine_of(subject, case, dtype), recipe_of(case), content, styles)
    contents = {f"content/{tap}": np.asarray(x) for tap, x in found.content.items()}
    return contents | {f"style/{tap}": np.asarray(x) for tap, x in found.style.items()}


# An average of matrices is no further off than they are.
STYLES = Kind("styles", probe, (FEATURES, TARGET), choose, notes, parts=(ENGINE,))
