"""Reports of a comparison: a table for the terminal, JSON for programs, JUnit XML for CI systems. :mod:`.page` has the page."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any
from xml.etree import ElementTree

from isostyle.conformance.compare import BAD, WORDS, Comparison, Verdict
from isostyle.conformance.kinds import all_tolerances

SCHEMA = "isostyle-conformance-1"
#: Verdicts that are printed one by one: of each kind of case the worst few, for one mistake can fail a thousand points.
SHOWN = ("FAIL", "XPASS", "MISSING", "XFAIL")
SHOWN_AT_MOST = 3
#: Characters that XML 1.0 has no way to say.
NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


@dataclass(frozen=True)
class Row:
    """One kind of case in one dtype: the worst verdict of each backend."""

    kind: str
    dtype: str
    worst: Mapping[str, Verdict]
    #: The smallest mutant that this kind catches, over its tolerance; None if there is none.
    mutant: float | None

    @property
    def place(self) -> str:
        """Where the worst of all is; of errors as declared only if there are no others."""
        rest = [verdict for verdict in self.worst.values() if verdict.verdict not in ("XFAIL", "SKIP")]
        return max(rest or self.worst.values(), key=severity).place


@cache
def mutants() -> Mapping[str, Mapping[str, float]]:
    """The smallest mutant by kind and dtype, over its tolerance; scripts/mutation.py measures it."""
    file = resources.files("isostyle.conformance").joinpath("data", "mutants.json")
    found: dict[str, dict[str, float]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def severity(verdict: Verdict) -> tuple[int, float]:
    """A key that sorts verdicts by severity: failures, then declared deviations, then errors by size."""
    order = ("SKIP", "PASS", "XFAIL", "XPASS", "MISSING", "FAIL")
    return order.index(verdict.verdict), math.inf if math.isnan(verdict.ratio) else verdict.ratio


def matrix(comparison: Comparison) -> list[Row]:
    """A row for each kind of case and dtype, in the order of the specification."""
    rows: dict[tuple[str, str], dict[str, Verdict]] = {}
    for verdict in comparison.verdicts:
        cells = rows.setdefault((verdict.kind, verdict.dtype), {})
        if verdict.backend not in cells or severity(verdict) > severity(cells[verdict.backend]):
            cells[verdict.backend] = verdict
    return [Row(kind, dtype, worst, mutants().get(kind, {}).get(dtype)) for (kind, dtype), worst in rows.items()]


def cell(verdict: Verdict | None) -> str:
    """``0.12``, ``2.3e+05 FAIL``, ``SKIP``, or a dash."""
    if verdict is None:
        return "-"
    number = "" if math.isnan(verdict.ratio) else f"{verdict.ratio:.2g}"
    return number if verdict.verdict == "PASS" else f"{number} {verdict.verdict}".strip()


def table(comparison: Comparison) -> str:
    """The matrix, what does not pass, and the verdict, as plain text."""
    names = [trace.name for trace in comparison.traces]
    header = ["kind", "dtype", *names, "mutant", "worst at"]
    body = [
        [
            row.kind,
            row.dtype,
            *(cell(row.worst.get(name)) for name in names),
            "" if row.mutant is None else f"{row.mutant:.2g}",
            row.place,
        ]
        for row in matrix(comparison)
    ]
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(len(header))]
    lines = [f"oracle  {describe(comparison.reference.run)}"]
    lines += [f"{trace.name:<7} {describe(trace.run)}" for trace in comparison.traces]
    lines += [
        "",
        "The worst error over its tolerance; below 1 passes. mutant: the smallest deliberate mistake that it catches.",
        "",
    ]
    for line in [header, *body]:
        lines.append("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    lines += ["", *details(comparison)]
    for name in names:
        mine = [verdict for verdict in comparison.verdicts if verdict.backend == name]
        counts = [f"{sum(verdict.verdict == kind for verdict in mine)} {kind}" for kind in WORDS]
        lines.append(f"{name}: " + ", ".join(count for count in counts if not count.startswith("0 ")))
    if comparison.apart:
        apart = (f"{one} and {other} {distance:.2g}" for (one, other), distance in comparison.apart.items())
        lines.append("furthest apart, in tolerances: " + ", ".join(apart))
    lines += [*comparison.remarks, *(f"PROBLEM {problem}" for problem in comparison.problems), verdict_line(comparison)]
    return "\n".join(lines)


def details(comparison: Comparison) -> Iterator[str]:
    """A line for each verdict that is not PASS, the worst few of each kind, in the order of the specification: what is built on
    something wrong comes after it. Of what is skipped, a line for each reason."""
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in comparison.verdicts:
        if verdict.verdict in SHOWN:
            groups.setdefault((verdict.verdict, verdict.backend, verdict.kind), []).append(verdict)
    for (word, backend, kind), verdicts in sorted(groups.items(), key=lambda group: SHOWN.index(group[0][0])):
        for verdict in sorted(verdicts, key=severity, reverse=True)[:SHOWN_AT_MOST]:
            yield f"{word:<7} {backend} {verdict.place}: {verdict.text}"
        if len(verdicts) > SHOWN_AT_MOST:
            yield f"{word:<7} {backend} {kind}: {len(verdicts) - SHOWN_AT_MOST} more; --json has them all"
    skipped = Counter((v.backend, v.text) for v in comparison.verdicts if v.verdict == "SKIP")
    for (backend, text), count in skipped.items():
        kinds = dict.fromkeys(v.kind for v in comparison.verdicts if (v.verdict, v.backend, v.text) == ("SKIP", backend, text))
        yield f"SKIP    {backend} {', '.join(kinds)}: {text} ({count})"
    # What they were held to, each once.
    for name in sorted({v.tolerance for group in groups.values() for v in group if v.verdict in BAD and v.tolerance}):
        for tolerance in all_tolerances():
            if tolerance.name == name:
                yield f"tolerance {name!r}{' in ' * bool(tolerance.dtype)}{tolerance.dtype}: {tolerance.reason}"
    if groups or skipped:
        yield ""


def verdict_line(comparison: Comparison) -> str:
    bad = sum(comparison.count(kind) for kind in BAD)
    if comparison.passed:
        declared, skipped = comparison.count("XFAIL"), comparison.count("SKIP")
        but = f", but for {declared} declared deviation{'s' * (declared != 1)}" if declared else ""
        but += f"; {skipped} skipped" if skipped else ""
        return f"CONFORMS: {comparison.count('PASS')} points within tolerance{but}"
    reasons = [*([f"{bad} of {len(comparison.verdicts)} points"] if bad else []), *comparison.problems]
    return "DOES NOT CONFORM: " + "; ".join(reasons)


def describe(run: Mapping[str, Any]) -> str:
    """What computed a trace, and when."""
    versions = run["versions"]
    parts = [str(run.get("backend_version")), f"NumPy {versions.get('numpy')}", f"Python {versions.get('python')}"]
    parts += [
        f"{run.get('device')} x {run.get('threads')}",
        f"specification {run['specification'][:12]}",
        str(run.get("created")),
    ]
    return ", ".join(dict.fromkeys(parts))


def as_json(comparison: Comparison) -> bytes:
    """Everything, for programs; a number that could not be measured is null."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    found = {
        "schema": SCHEMA,
        "conforms": comparison.passed,
        "problems": list(comparison.problems),
        "remarks": list(comparison.remarks),
        "counts": {kind: comparison.count(kind) for kind in WORDS},
        "oracle": run_facts(comparison.reference.run),
        "traces": [run_facts(trace.run) for trace in comparison.traces],
        "apart": [{"backends": list(pair), "tolerances": number(distance)} for pair, distance in comparison.apart.items()],
        "points": [{**vars(verdict), "ratio": number(verdict.ratio)} for verdict in comparison.verdicts],
    }
    return (json.dumps(found, indent=1, allow_nan=False) + "\n").encode()


def run_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """A trace's run.json without its lists of cases."""
    return {key: value for key, value in run.items() if key not in ("cases", "expected")}


def as_junit(comparison: Comparison) -> bytes:
    """A test suite for each backend, a test for each case and dtype; declared deviations count as skipped."""
    root = ElementTree.Element("testsuites", name="isostyle conform")
    for trace in comparison.traces:
        mine: dict[tuple[str, str], list[Verdict]] = {}
        for verdict in comparison.verdicts:
            if verdict.backend == trace.name:
                mine.setdefault((verdict.case, verdict.dtype), []).append(verdict)
        suite = ElementTree.SubElement(root, "testsuite", name=xml_text(trace.name), tests=str(len(mine)), errors="0")
        failures = skipped = 0
        for (case, dtype), verdicts in mine.items():
            where = {"classname": xml_text(f"{trace.name}.{verdicts[0].kind}"), "name": xml_text(f"{case} {dtype}")}
            test = ElementTree.SubElement(suite, "testcase", where)
            bad = [verdict for verdict in verdicts if verdict.verdict in BAD]
            declared = [verdict for verdict in verdicts if verdict.verdict in ("XFAIL", "SKIP")]
            if bad:
                failures += 1
                failure = ElementTree.SubElement(test, "failure", message=xml_text(f"{bad[0].verdict}: {bad[0].place}"))
                failure.text = xml_text("\n".join(f"{verdict.verdict} {verdict.place}: {verdict.text}" for verdict in bad))
            elif declared and not any(verdict.verdict == "PASS" for verdict in verdicts):
                skipped += 1
                ElementTree.SubElement(test, "skipped", message=xml_text(f"{declared[0].verdict}: {declared[0].text}"))
        suite.set("failures", str(failures))
        suite.set("skipped", str(skipped))
    if comparison.problems:
        count = str(len(comparison.problems))
        suite = ElementTree.SubElement(
            root, "testsuite", name="comparison", tests=count, errors=count, failures="0", skipped="0"
        )
        for problem in comparison.problems:
            test = ElementTree.SubElement(suite, "testcase", classname="comparison", name="traces can be compared")
            ElementTree.SubElement(test, "error", message=xml_text(problem))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def xml_text(text: str) -> str:
    return NOT_XML.sub("?", text)
