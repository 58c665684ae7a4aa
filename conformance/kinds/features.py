"""``features``: every layer's map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from isostyle.conformance.cases import Case
from isostyle.conformance.kinds.kind import ENGINE, Kind, Points, engine_of, network_of
from isostyle.conformance.oracle.engine import layers
from isostyle.conformance.tolerances import EXACT, Notes, Tolerance, relative_norm
from isostyle.interface import Array
from isostyle.network import Network

if TYPE_CHECKING:
    from isostyle.conformance.subjects import Subject


#: A network with more channels than this in a block is wide: comparing the maps of all its layers would take minutes.
MOST_CHANNELS = 16


def convolved(eps: float, expected: Array, notes: Notes) -> float:
    return 4 * (1 + notes["convolutions"]) * eps


FEATURES = Tolerance(
    "features",
    relative_norm,
    convolved,
    "relative norm",
    "4 (1 + d) eps after d convolutions: rounding adds up from layer to layer; 7.2 eps were seen after 12, whatever the width",
)


def probe(subject: Subject, case: Case, dtype: str) -> Points:
    """The maps of all layers; of wide networks, only those that d2l taps."""
    engine, image = engine_of(subject, case, dtype), subject.scene(case)[2]
    # Frameworks refuse to pool a map of one pixel; only oracles divide it into none.
    side = min(image.shape[2:])
    taps = [layer.name for layer in network_of(subject, case).layers if side >> layer.halvings]
    if max(network_of(subject, case).widths) > MOST_CHANNELS:
        taps = [name for name in taps if name.endswith("_1") or name == "conv4_4"]
    found = engine.features(engine.tensor(image), taps)
    return {tap: engine.array(x) for tap, x in found.items()}


def notes(subject: Subject, case: Case) -> Mapping[str, float]:
    """``convolutions``: passed so far. ``exact``: 1 if nothing is rounded."""
    return {**convolutions(network_of(subject, case), [""]), "~exact": case.network == "exact"}


def convolutions(network: Network, prefixes: Iterable[str]) -> dict[str, float]:
    """The note ``convolutions`` on every layer: how many were passed so far."""
    found = {}
    passed = 0
    for name, kind in layers(network):
        passed += kind == "conv"
        found.update({f"{prefix}{name}~convolutions": float(passed) for prefix in prefixes})
    return found


def choose(point: str, dtype: str, notes: Notes) -> Tolerance:
    return EXACT if notes.get("exact") else FEATURES


FEATURE_MAPS = Kind("features", probe, (EXACT, FEATURES), choose, notes, parts=(ENGINE,))
