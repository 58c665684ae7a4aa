"""``vjp``: the transformed picture once more, and a cotangent of it, taken back to every parameter of a style network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isostyle.conformance.cases import FULL_WIDTH, Case
from isostyle.conformance.condition import conditions, taken_back
from isostyle.conformance.kinds.kind import BOTH, ENGINE, Kind, Points
from isostyle.conformance.kinds.transform import CONDITIONED
from isostyle.conformance.oracle.transform import OracleTransform

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    transform, parameters = subject.transform(case, dtype)
    image, cotangent = subject.inputs.cut(case.variant or "")
    subject.require(ENGINE)
    made, vjp = transform.vjp(parameters, transform.tensor(image))
    found = {name: transform.array(tensor) for name, tensor in vjp(transform.tensor(cotangent)).items()}
    if case.variant in FULL_WIDTH:
        # Its kernels take room; those at both ends show what the cotangent is on its way.
        found = {name: x for name, x in found.items() if name in ("down1.weight", "out.weight") or x.ndim == 1}
    return found | {"image": transform.array(made)}


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    network, parameters = subject.inputs.style_network(case.variant)
    picture, cotangent = subject.inputs.cut(case.variant or "")
    return conditions(taken_back(OracleTransform(network), parameters, picture, cotangent))


VJP = Kind("vjp", probe, (CONDITIONED,), notes=notes, parts=BOTH)
