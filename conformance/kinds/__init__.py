"""The kinds of cases, each with its probe, its tolerances and their reasons: one module a kind, or a few of one sort.

A *probe* computes the points of a case. It asks a *subject* (:mod:`isostyle.conformance.subjects`): a backend with core's
optimizers and pictures, or the oracle with its own. The oracle also leaves *notes* on its points, which the tolerances need:
how many numbers were added up, for example.
"""

from __future__ import annotations

from isostyle.conformance.kinds.adam import ISOSTYLES_ADAM, NATIVE_ADAM
from isostyle.conformance.kinds.features import FEATURE_MAPS
from isostyle.conformance.kinds.gradient import GRADIENTS
from isostyle.conformance.kinds.gram import GRAM_MATRICES
from isostyle.conformance.kinds.kind import Kind
from isostyle.conformance.kinds.mixture import MIXTURE
from isostyle.conformance.kinds.native_lbfgs import NATIVE_LBFGS
from isostyle.conformance.kinds.pictures import CROP, DENORMALIZE, NOISE_FROM_SEEDS, NORMALIZE, RESIZE, ROUND_TRIP
from isostyle.conformance.kinds.recipe import RECIPE
from isostyle.conformance.kinds.run import RUN
from isostyle.conformance.kinds.schedule import SCHEDULE
from isostyle.conformance.kinds.stages import STAGES
from isostyle.conformance.kinds.step import ONE_STEP
from isostyle.conformance.kinds.styles import STYLES
from isostyle.conformance.kinds.targets import TARGETS
from isostyle.conformance.kinds.tensor import TENSOR
from isostyle.conformance.kinds.terms import TERMS
from isostyle.conformance.kinds.training import TRAINING, TRAINING_GRADIENT
from isostyle.conformance.kinds.transform import TRANSFORM
from isostyle.conformance.kinds.vjp import VJP
from isostyle.conformance.kinds.zoo import ZOO
from isostyle.conformance.tolerances import Tolerance

#: By the first word of a case's name, in the order of the specification.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        TENSOR,
        NORMALIZE,
        DENORMALIZE,
        ROUND_TRIP,
        RESIZE,
        CROP,
        NOISE_FROM_SEEDS,
        FEATURE_MAPS,
        ZOO,
        GRAM_MATRICES,
        TARGETS,
        STYLES,
        TERMS,
        GRADIENTS,
        RECIPE,
        SCHEDULE,
        ISOSTYLES_ADAM,
        ONE_STEP,
        RUN,
        STAGES,
        MIXTURE,
        TRANSFORM,
        VJP,
        TRAINING_GRADIENT,
        TRAINING,
        NATIVE_ADAM,
        NATIVE_LBFGS,
    )
}


def all_tolerances() -> list[Tolerance]:
    """Every tolerance once, in the order of :data:`KINDS`."""
    return list(dict.fromkeys(tolerance for kind in KINDS.values() for tolerance in kind.tolerances))
