"""``stages``: what each stage's convolution of a style network makes of a map that is padded already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.features import FEATURES
from isostyle.conformance.kinds.kind import STYLE_NETWORKS, Kind, Points

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    transform, parameters = subject.transform(case, dtype)
    found = {}
    for stage in subject.inputs.style_network(case.variant)[0].stages:
        window = transform.tensor(subject.inputs.arrays["stage"][:, : stage.in_channels])
        found[stage.name] = transform.array(transform.convolve(parameters, stage, window))
    return found


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    return {"~convolutions": 1}


STAGES = Kind("stages", probe, (FEATURES,), notes=notes, parts=(STYLE_NETWORKS,))
