"""Compare traces with the oracle's, and with each other. NumPy is all it takes: no framework, no engine, no picture.

Every point that the oracle has must be there, of the right dtype and shape, finite, and within its tolerance. What is missing
fails, and so does comparing nothing.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from isostyle.conformance.declared import Deviation
from isostyle.conformance.kinds import KINDS
from isostyle.conformance.kinds.kind import BOTH
from isostyle.conformance.tolerances import EPS, Tolerance
from isostyle.conformance.trace import Trace
from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.system.files import reason

#: The name under which the oracle is recorded; no backend can have it.
ORACLE = "oracle"
#: PASS: within tolerance. FAIL: not. XFAIL: not, as declared, with a reason. XPASS: declared not to be, and yet within.
#: SKIP: declared as not to be compared, with a reason. MISSING: not in the trace.
Word = Literal["PASS", "FAIL", "XFAIL", "XPASS", "SKIP", "MISSING"]
WORDS: tuple[Word, ...] = ("PASS", "FAIL", "XFAIL", "XPASS", "SKIP", "MISSING")
#: Any of these makes the exit code 1.
BAD: tuple[Word, ...] = ("FAIL", "XPASS", "MISSING")
#: Points that hold Python's own numbers, whatever the case's dtype.
PYTHON_FLOATS, PYTHON_INTEGERS = ("totals", "rates", "losses"), ("steps", "trials")


@dataclass(frozen=True)
class Verdict:
    """The outcome at one point."""

    backend: str
    dtype: str
    kind: str
    case: str
    point: str
    verdict: Word
    #: The error over its tolerance: below 1 is within. NaN where nothing could be measured.
    ratio: float
    #: What was measured, and against what; or why there is no number.
    why: str
    #: Which tolerance; empty where nothing could be measured.
    tolerance: str = ""
    #: Of the declared deviation that covers this point, if one does.
    reason: str = ""
    link: str = ""

    @property
    def text(self) -> str:
        """A sentence that says everything about it."""
        declared = f"{self.reason} {self.link}".strip()
        if self.verdict == "XPASS":
            return f"it was declared to deviate, and does not any more: {declared}"
        return f"{declared} ({self.why})" if declared and self.verdict == "XFAIL" else declared or self.why

    @property
    def place(self) -> str:
        return f"{self.case}:{self.point} {self.dtype}" if self.point else f"{self.case} {self.dtype}"


@dataclass(frozen=True)
class Comparison:
    """All verdicts, the traces that they judge, and problems of the whole."""

    reference: Trace
    traces: tuple[Trace, ...]
    verdicts: tuple[Verdict, ...]
    #: Sentences: unequal digests, nothing compared. Any of them makes the exit code 1.
    problems: tuple[str, ...]
    #: Worst error over tolerance between each two traces, where neither missed it; not a verdict of its own.
    apart: Mapping[tuple[str, str], float]
    #: Sentences that change nothing: a declared deviation that no point met.
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems and not any(verdict.verdict in BAD for verdict in self.verdicts)

    def count(self, word: Word) -> int:
        return sum(verdict.verdict == word for verdict in self.verdicts)


def compare(
    reference: Trace,
    traces: Sequence[Trace],
    declared: Mapping[str, Sequence[Deviation]] | None = None,
    patterns: Sequence[str] = (),
) -> Comparison:
    """Hold ``traces`` to ``reference``, the oracle's.

    Args:
        declared: deviations by backend.
        patterns: shell patterns of the cases to compare; none: all.

    Raises:
        InputError: two traces are of one backend, there is no such case, or the reference lacks what a comparison looks at.
    """
    require_apart(traces)
    try:
        return compared(reference, traces, declared or {}, patterns)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"the oracle's trace cannot be used: {type(error).__name__}: {reason(error)}") from None


def require_apart(traces: Sequence[Trace]) -> None:
    """Raises InputError if two traces are of one backend."""
    names = [trace.name for trace in traces]
    for name in sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"there are two traces of {name!r}; compare them one at a time")


def compared(
    reference: Trace, traces: Sequence[Trace], declared: Mapping[str, Sequence[Deviation]], patterns: Sequence[str]
) -> Comparison:
    """Do what :func:`compare` does, and let errors of a broken reference pass."""
    problems, verdicts, remarks = [], [], []
    known = {entry["case"] for entry in reference.run["expected"]}
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(case, pattern) for case in known):
            raise InputError(f"the oracle's trace has no case {pattern!r}; `isostyle conform cases` lists them")
    for trace in traces:
        if other := other_specification(reference, trace, patterns):
            problems.append(other)
            continue
        mine = declared.get(trace.name, ())
        met = set()
        something = False
        for verdict in judge(reference, trace, patterns):
            cover = next((d for d in mine if d.covers(verdict.dtype, verdict.case, verdict.point)), None)
            if cover:
                met.add(cover)
            # Nothing can be met in a case that was not tried.
            met |= {d for d in mine if verdict.verdict == "SKIP" and fnmatch.fnmatchcase(verdict.case, d.case)}
            verdicts.append(with_deviation(verdict, cover))
            something |= verdicts[-1].verdict in ("PASS", "FAIL", "XFAIL", "XPASS")
        if not something:
            problems.append(f"nothing of {trace.name} was compared")
        if not patterns:
            remarks += [f"{trace.name}: no point meets the declared deviation of {d.case!r}" for d in mine if d not in met]
    if not traces:
        problems.append("nothing was compared")
    return Comparison(
        reference, tuple(traces), tuple(verdicts), tuple(problems), distances(reference, traces, patterns), tuple(remarks)
    )


def other_specification(reference: Trace, trace: Trace, patterns: Sequence[str]) -> str | None:
    """A sentence if the traces recorded a case with different recipes, networks or inputs; else None.

    A trace that was recorded for a part of the cases is not of another specification; what it lacks is missing.
    """
    mine, theirs = ({entry["case"]: entry.get("digest") for entry in each.run["cases"]} for each in (reference, trace))
    asked = {case for case, *_ in wanted(reference, trace.name, patterns)} & theirs.keys() & mine.keys()
    differing = sorted(case for case in asked if mine[case] != theirs[case])
    if not differing:
        return None
    return (
        f"{trace.name} was recorded for another specification ({trace.run['specification'][:12]}, isostyle "
        f"{trace.run['versions'].get('isostyle')}) than the oracle ({reference.run['specification'][:12]}): recipe, network or "
        f"inputs of {len(differing)} of {len(asked)} cases differ, {differing[0]} among them; "
        "record it again with this isostyle"
    )


def judge(reference: Trace, trace: Trace, patterns: Sequence[str] = ()) -> Iterator[Verdict]:
    """Judge every point of every case, without regard to declared deviations."""
    has = set(BOTH).intersection(trace.run["parts"])
    lacks = set(BOTH) - has if has else set()
    for case, kind, dtype, own in wanted(reference, trace.name, patterns):
        expected, notes = split(reference.points.get((first_dtype(reference, case), case), {}))
        if not expected:
            why = f"the oracle has nothing: {reference.said(first_dtype(reference, case), case, 'error')}"
            yield Verdict(trace.name, dtype, kind, case, "", "FAIL", math.nan, why)
            continue
        # A backend cannot excuse itself; only a framework's own zoo (torchvision is another package) may be absent, and one of
        # the two parts of a backend, with what needs both.
        if ((own and kind == "zoo") or lacks.intersection(KINDS[kind].parts)) and (
            excuse := trace.said(dtype, case, "skip")
        ) is not None:
            yield Verdict(trace.name, dtype, kind, case, "", "SKIP", math.nan, excuse)
            continue
        if (error := trace.said(dtype, case, "error")) is not None:
            yield Verdict(trace.name, dtype, kind, case, "", "FAIL", math.nan, f"the backend raised {error}")
            continue
        found = trace.points.get((dtype, case), {})
        if not found or trace.said(dtype, case, "digest") is None:
            yield Verdict(trace.name, dtype, kind, case, "", "MISSING", math.nan, "the trace does not have this case")
            continue
        bounds: dict[str, float] = {}
        for point in sorted(expected.keys() | found.keys(), key=lambda point: (point == "total", point)):
            if point not in found:
                yield Verdict(trace.name, dtype, kind, case, point, "MISSING", math.nan, "the trace does not have this point")
            elif point not in expected:
                yield Verdict(trace.name, dtype, kind, case, point, "FAIL", math.nan, "the oracle does not have this point")
            else:
                of_point = {**notes.get("", {}), **notes.get(point, {}), "terms": math.fsum(bounds.values())}
                chosen = KINDS[kind].tolerance(point, dtype, of_point)
                ratio, bound, why = measure(found[point], expected[point], chosen, of_point, dtype, kind, point)
                bounds[point] = bound * (float(expected[point]) if point == "tv" and kind == "terms" else 1)
                verdict: Word = "PASS" if ratio < 1 else "FAIL"
                yield Verdict(trace.name, dtype, kind, case, point, verdict, ratio, why, chosen.name)


def dtype_of(kind: str, dtype: str, point: str) -> str:
    """What a point's array should hold, by NumPy's name; ``str`` for text."""
    if point == "layers":
        return "str"
    if point in PYTHON_FLOATS:
        return "float64"
    return "int64" if point in PYTHON_INTEGERS else KINDS[kind].holds or dtype


def measure(
    found: Array, expected: Array, chosen: Tolerance, notes: Mapping[str, float], dtype: str, kind: str, point: str
) -> tuple[float, float, str]:
    """Measure a point: (error over bound, bound, why). The ratio is NaN if dtype, shape or finiteness are wrong."""
    eps = EPS.get(dtype, 0.0)
    # Bounds, by which a total's is made, do not depend on what was found.
    bound = chosen.bound(eps, expected, notes)
    wanted_dtype = dtype_of(kind, dtype, point)
    if kind == "recipe":
        # Numbers and words alike.
        if (found.dtype.kind == "U") != (expected.dtype.kind == "U"):
            return math.nan, bound, f"it is {found.dtype}, and should be like {expected.dtype}"
    elif (found.dtype.kind == "U" and wanted_dtype != "str") or (wanted_dtype != "str" and found.dtype != wanted_dtype):
        return math.nan, bound, f"it is {found.dtype}, and should be {wanted_dtype}"
    if found.shape != expected.shape:
        return math.nan, bound, f"its shape is {found.shape}, and should be {expected.shape}"
    if found.dtype.kind == "U":
        ratio = float(np.count_nonzero(found != expected)) / bound
        return ratio, bound, "the same text" if ratio == 0 else first_difference(found, expected)
    if not np.isfinite(found).all():
        count = int(np.count_nonzero(~np.isfinite(found)))
        return math.nan, bound, f"{count} of its {found.size} values are not finite"
    with np.errstate(all="ignore"):
        error = chosen.measure(found.astype(np.float64), expected.astype(np.float64), notes)
    ratio = error / bound if bound else math.inf if error else 0.0
    why = f"{error:.2e} {chosen.unit}, tolerance {bound:.2e}"
    if found.size == 1 and ratio >= 1:
        why = f"{found.item():.9g}, and should be {expected.item():.9g}; " + why
    return ratio, bound, why


def first_difference(found: Array, expected: Array) -> str:
    index = int(np.flatnonzero(found.ravel() != expected.ravel())[0])
    where = f"number {index} " if found.size > 1 else ""
    return f"{where}is {str(found.ravel()[index])!r}, and should be {str(expected.ravel()[index])!r}"


def with_deviation(verdict: Verdict, cover: Deviation | None) -> Verdict:
    """Change the verdict to what a declared deviation makes of it."""
    if cover is None or (verdict.verdict in ("SKIP", "MISSING") and cover.expect == "fail"):
        return verdict
    changed: dict[Word, Word] = {"PASS": "XPASS", "FAIL": "XFAIL"}
    if cover.expect == "skip":
        return dataclasses.replace(verdict, verdict="SKIP", ratio=math.nan, reason=cover.reason, link=cover.link)
    return dataclasses.replace(verdict, verdict=changed[verdict.verdict], reason=cover.reason, link=cover.link)


def wanted(reference: Trace, backend: str, patterns: Sequence[str]) -> Iterator[tuple[str, str, str, bool]]:
    """(case, kind, dtype, whether it is about a framework's own code) of everything that ``backend`` should have."""
    for entry in reference.run["expected"]:
        meant = not entry["only"] or backend in entry["only"]
        if meant and (not patterns or any(fnmatch.fnmatchcase(entry["case"], pattern) for pattern in patterns)):
            yield entry["case"], entry["kind"], entry["dtype"], bool(entry["only"])


def first_dtype(reference: Trace, case: str) -> str:
    """The oracle computes each case once, under the first dtype of those that backends compute it in."""
    return next((dtype for dtype, name in reference.points if name == case), "float64")


def split(points: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, dict[str, float]]]:
    """The oracle's points, and its notes by point; those on the whole case stand under the empty name."""
    notes: dict[str, dict[str, float]] = {}
    for name in points:
        point, tilde, note = name.partition("~")
        if tilde:
            notes.setdefault(point, {})[note] = float(points[name])
    return {name: array for name, array in points.items() if "~" not in name}, notes


def distances(reference: Trace, traces: Sequence[Trace], patterns: Sequence[str]) -> dict[tuple[str, str], float]:
    """The worst error between each two traces, in tolerances of the oracle's. Cases about a framework's own code (its zoo, its
    optimizers) are left out: they say nothing of the backends."""
    found = {}
    comparable = [trace for trace in traces if other_specification(reference, trace, patterns) is None]
    for i, one in enumerate(comparable):
        for other in comparable[i + 1 :]:
            worst = math.nan
            for case, kind, dtype, own in wanted(reference, one.name, patterns):
                expected, notes = split(reference.points.get((first_dtype(reference, case), case), {}))
                mine, theirs = one.points.get((dtype, case), {}), other.points.get((dtype, case), {})
                for point in () if own else expected.keys() & mine.keys() & theirs.keys():
                    arrays = expected[point], mine[point], theirs[point]
                    chosen = KINDS[kind].tolerance(point, dtype, {**notes.get("", {}), **notes.get(point, {})})
                    # A total is no further apart than its terms; text, and what has another shape, is judged elsewhere.
                    if chosen.name == "total" or any(x.dtype.kind == "U" or x.shape != arrays[0].shape for x in arrays):
                        continue
                    ratio = distance(*arrays, chosen, {**notes.get("", {}), **notes.get(point, {})}, dtype)
                    worst = ratio if math.isnan(worst) else max(worst, ratio)
            found[one.name, other.name] = worst
    return found


def distance(expected: Array, mine: Array, theirs: Array, chosen: Tolerance, notes: Mapping[str, float], dtype: str) -> float:
    """The error between two traces over the oracle's tolerance; infinite if either is not finite."""
    if not (np.isfinite(mine).all() and np.isfinite(theirs).all()):
        return math.inf
    # Around the oracle's value, so that what an error is measured against stays the same.
    shifted = expected + (mine.astype(np.float64) - theirs)
    error = chosen.measure(shifted, expected.astype(np.float64), notes)
    bound = chosen.bound(EPS.get(dtype, 0.0), expected, notes)
    return error / bound if bound else math.inf if error else 0.0
