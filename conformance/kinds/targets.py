"""``targets``: the content's feature maps and the style's Gram matrices, or moments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.features import FEATURES, convolutions
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, network_of, recipe_of
from isostyle.conformance.tolerances import Notes, Tolerance, times
from isostyle.interface import Array

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def gram_error_in_network(found: Array, expected: Array, notes: Notes) -> float:
    """The largest |dG_ij| / sqrt(H_i H_j), H_i the larger of G_ii and the mean of all G_ii. Of moments, the last column has
    means, which are measured by sqrt(H_i).

    A channel that a ReLU all but closes has the rounding errors of the sums before it, and not of its own size.
    """
    roots = np.sqrt(np.diag(expected))
    roots = np.maximum(roots, math.sqrt(float(np.square(roots).mean())))
    sizes = np.outer(roots, np.append(roots, 1)[: expected.shape[1]])
    return float((np.abs(found - expected) / np.maximum(sizes, np.finfo(np.float64).tiny)).max())


TARGET = Tolerance(
    "Gram matrix or moments in the network",
    gram_error_in_network,
    times(128),
    "largest |dG_ij| / sqrt(H_i H_j), H_i the larger of G_ii and the mean of all G_ii",
    "128 eps: the features' own rounding enters twice; 34 eps were seen at conv5_1. A channel that a ReLU all but closes is as "
    "wrong as the sums before the ReLU, so that its own size is no measure",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    content, style, _ = subject.scene(case)
    targets = engine_of(subject, case, dtype).targets(recipe_of(case), content, style)
    return {f"content/{tap}": np.asarray(x) for tap, x in targets.content.items()} | {
        f"style/{tap}": np.asarray(x) for tap, x in targets.style.items()
    }


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    return convolutions(network_of(subject, case), ["content/"])


def choose(point: str, dtype: str, notes: Notes) -> Tolerance:
    return FEATURES if point.startswith("content/") else TARGET


TARGETS = Kind("targets", probe, (FEATURES, TARGET), choose, notes, parts=(ENGINE,))
