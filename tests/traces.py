"""Traces for tests of the comparison: the oracle's on a few cases, and that of a backend which makes no mistake."""

import copy
import dataclasses

import numpy as np

from isostyle.conformance.cases import all_cases, select
from isostyle.conformance.compare import ORACLE, dtype_of
from isostyle.conformance.inputs import shipped_inputs
from isostyle.conformance.record import record
from isostyle.conformance.trace import Trace

#: One case of each sort of number: floats of both dtypes, whole numbers, text, curves.
PATTERNS = ("terms/d2l/minimal", "gradient/d2l/minimal", "run/d2l/photo", "recipe/d2l", "resize/half", "native-adam/1")


def recorded_oracle(patterns=PATTERNS):
    return record(ORACLE, select(all_cases(), patterns), shipped_inputs())


def flawless(reference, name="torch"):
    """What a backend without any rounding would record."""
    points, entries = {}, []
    digests = {entry["case"]: entry["digest"] for entry in reference.run["cases"]}
    for entry in reference.run["expected"]:
        case, dtype = entry["case"], entry["dtype"]
        source = next(points for (_, other), points in reference.points.items() if other == case)
        entries.append({"case": case, "dtype": dtype, "kind": entry["kind"], "digest": digests[case]})
        points[dtype, case] = {
            point: as_dtype(array, dtype_of(entry["kind"], dtype, point)) for point, array in source.items() if "~" not in point
        }
    run = copy.deepcopy({**reference.run, "backend": name, "backend_version": "1.0", "cases": entries})
    return Trace(run, points)


def as_dtype(array, name):
    """``array`` in the dtype that a backend should hand out; numbers that are to be whole are rounded."""
    return np.array(array) if name == "str" else (np.rint(array) if name == "uint8" else array).astype(name)


def changed(trace, case, point, change, dtype="float64"):
    """``trace`` with one array replaced by ``change(array)``; None takes it out."""
    points = {key: dict(arrays) for key, arrays in trace.points.items()}
    new = change(points[dtype, case].pop(point))
    if new is not None:
        points[dtype, case][point] = new
    return dataclasses.replace(trace, points=points)
