"""The page: a comparison as one HTML file that loads nothing, with tables, loss curves and pictures.

A trace is a stranger's file. Its texts reach the page through Jinja2's escaping alone; :mod:`.drawings` draws its arrays.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from isostyle.conformance import drawings, report
from isostyle.conformance.compare import WORDS, Comparison, Verdict
from isostyle.conformance.kinds import all_tolerances
from isostyle.conformance.trace import Trace
from isostyle.errors import InputError

#: Ratios whose colors are shown above the matrix.
SCALE = (0, 0.001, 0.01, 0.1, 0.3, 0.6, 0.9)
#: Rows of the table of verdicts that stand open; the others unfold.
ROWS_OPEN = 30


# What the template is given: texts, unescaped, and styles and drawings that hold nothing of a trace's texts.


@dataclass(frozen=True)
class Fact:
    """The oracle's value and each trace's."""

    label: str
    values: tuple[str, ...]
    #: Traces of two specifications cannot be compared, so that this row is worth a warning.
    warn: bool = False

    @property
    def shared(self) -> bool:
        return len(self.values) > 1 and len(set(self.values)) == 1


@dataclass(frozen=True)
class Cell:
    """A number with its color, the verdict if it is not PASS, and where it was found."""

    number: str
    word: str = ""
    title: str = ""
    style: str = ""


@dataclass(frozen=True)
class Line:
    """A row of the matrix."""

    dtype: str
    cells: tuple[Cell, ...]
    mutant: str
    place: str


@dataclass(frozen=True)
class Declared:
    """A declared deviation, as the verdicts tell it."""

    backend: str
    reason: str
    link: str
    points: int


@dataclass(frozen=True)
class Rule:
    """A tolerance, and what it was used for."""

    name: str
    dtype: str
    unit: str
    reason: str
    kinds: str
    counts: tuple[int, ...]


def check() -> None:
    """Raises InputError unless jinja2 and matplotlib are installed."""
    if any(importlib.util.find_spec(name) is None for name in ("jinja2", "matplotlib")):
        raise InputError("the page needs jinja2 and matplotlib: pip install 'isostyle[html]'")


def as_html(comparison: Comparison) -> bytes:
    """Make the page.

    Raises:
        InputError: jinja2 or matplotlib is not installed.
    """
    check()
    import jinja2

    template = resources.files("isostyle.conformance").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    others = sorted((v for v in comparison.verdicts if v.verdict != "PASS"), key=report.severity, reverse=True)
    present = [kind for kind in WORDS if comparison.count(kind)]
    page = environment.from_string(template).render(
        comparison=comparison,
        names=[trace.name for trace in comparison.traces],
        line=report.verdict_line(comparison),
        counts=[(comparison.count(kind), kind) for kind in present],
        facts=list(facts(comparison)),
        matrix=list(matrix(comparison)),
        scale=[(f"{ratio:g}", shade(ratio)) for ratio in SCALE],
        agreement=agreement(comparison),
        keys=[drawings.key(i, len(comparison.traces)) for i in range(len(comparison.traces))],
        oracle_key=drawings.key(-1, 1),
        runs=list(drawings.runs(comparison)),
        floors=drawings.FLOORS,
        share=drawings.AMPLIFIED_SHARE,
        picture_dtype=drawings.PICTURE_DTYPE,
        verdicts=others,
        rows_open=ROWS_OPEN,
        declared=declared(others),
        rules=list(rules(comparison, present)),
        kinds=present,
    )
    # JSON can hold half a surrogate pair, which UTF-8 cannot.
    return page.encode("utf-8", errors="replace")


# Tables


def facts(comparison: Comparison) -> Iterator[Fact]:
    """What run.json says of each trace, one row a fact."""
    traces = (comparison.reference, *comparison.traces)
    all_versions = [trace.run.get("versions") for trace in traces]
    versions = [found if isinstance(found, Mapping) else {} for found in all_versions]

    def row(label: str, values: Sequence[object], warn: bool = False) -> Fact:
        return Fact(label, tuple("-" if value is None else str(value) for value in values), warn)

    digests = [str(trace.run.get("specification"))[:12] for trace in traces]
    yield row("backend", [trace.run.get("backend_version") for trace in traces])
    yield row("verdicts", [None, *(counted(comparison, trace) for trace in comparison.traces)])
    yield row("specification", digests, warn=len(set(digests)) > 1)
    yield row("recorded", [str(trace.run.get("created", "-")).replace("T", " ") for trace in traces])
    yield row("took, in seconds", [trace.run.get("seconds") for trace in traces])
    for name in ("device", "threads"):
        yield row(name, [trace.run.get(name) for trace in traces])
    for name in dict.fromkeys(itertools.chain.from_iterable(versions)):
        yield row(str(name), [found.get(name) for found in versions])


def counted(comparison: Comparison, trace: Trace) -> str:
    """``1614 PASS, 3 XFAIL``."""
    mine = [verdict.verdict for verdict in comparison.verdicts if verdict.backend == trace.name]
    return ", ".join(f"{mine.count(kind)} {kind}" for kind in WORDS if kind in mine) or "none"


def matrix(comparison: Comparison) -> Iterator[tuple[str, list[Line]]]:
    """The rows of report.matrix, those of one kind together."""
    names = [trace.name for trace in comparison.traces]
    for kind, rows in itertools.groupby(report.matrix(comparison), key=lambda row: row.kind):
        lines = []
        for row in rows:
            lines.append(
                Line(
                    row.dtype,
                    tuple(cell(row.worst.get(name)) for name in names),
                    "" if row.mutant is None else f"{row.mutant:.2g}",
                    row.place.removesuffix(f" {row.dtype}"),
                )
            )
        yield kind, lines


def cell(verdict: Verdict | None) -> Cell:
    text = report.cell(verdict)
    if verdict is None:
        return Cell(text)
    title = f"{verdict.verdict} {verdict.place}: {verdict.text}"
    if verdict.verdict == "PASS":
        return Cell(text, title=title, style=shade(verdict.ratio))
    return Cell(text.removesuffix(verdict.verdict).strip(), verdict.verdict, title)


def shade(ratio: float) -> str:
    """A ratio's color as CSS variables: green where it is well below 1, amber near 1, red above.

    Only hue (in degrees) and strength; the style sheet makes it light or dark.
    """
    if math.isnan(ratio):
        return ""
    decades = math.log10(ratio) if ratio > 0 else -math.inf
    hue = 4.0 if ratio >= 1 else float(np.interp(decades, [-3, -1, -0.15, 0], [158, 118, 48, 36]))
    return f"--hue:{hue:.0f};--strength:{float(np.interp(decades, [-4, 0], [0, 1])):.2f}"


def agreement(comparison: Comparison) -> list[tuple[str, list[Cell]]]:
    """The distance of each two, in tolerances, the oracle among them."""
    names = [comparison.reference.name, *(trace.name for trace in comparison.traces)]
    apart = {frozenset(pair): distance for pair, distance in comparison.apart.items()}
    for trace in comparison.traces:
        passed = [v.ratio for v in comparison.verdicts if v.backend == trace.name and v.verdict == "PASS"]
        apart[frozenset((names[0], trace.name))] = max(passed, default=math.nan)

    def one(row: str, column: str) -> Cell:
        distance = apart.get(frozenset((row, column)), math.nan)
        title = f"{row} and {column}: "
        if row == column or math.isnan(distance):
            return Cell("-", title="" if row == column else title + "nothing was compared")
        return Cell(f"{distance:.2g}", title=title + f"{distance:.3g} tolerances", style=shade(distance))

    return [(row, [one(row, column) for column in names]) for row in names]


def declared(verdicts: Sequence[Verdict]) -> list[Declared]:
    """Each declared deviation that was met."""
    found: dict[tuple[str, str, str], int] = {}
    for verdict in verdicts:
        if verdict.verdict in ("XFAIL", "XPASS", "SKIP"):
            # Only a link that cannot run anything: a file of deviations is a stranger's.
            link = verdict.link if verdict.link.startswith("https://") else ""
            what = (verdict.backend, verdict.reason or verdict.why, link)
            found[what] = found.get(what, 0) + 1
    return [Declared(*what, points) for what, points in found.items()]


def rules(comparison: Comparison, kinds: Sequence[str]) -> Iterator[Rule]:
    """Every tolerance, and last the points where there was nothing to measure."""
    for tolerance in all_tolerances():
        used = [v for v in comparison.verdicts if v.tolerance == tolerance.name and tolerance.dtype in ("", v.dtype)]
        yield rule(tolerance.name, tolerance.dtype, tolerance.unit, tolerance.reason, used, kinds)
    if rest := [verdict for verdict in comparison.verdicts if not verdict.tolerance]:
        yield rule("none", "", "", "nothing could be measured: it is missing, or raised an error", rest, kinds)


def rule(name: str, dtype: str, unit: str, reason: str, used: Sequence[Verdict], kinds: Sequence[str]) -> Rule:
    counts = tuple(sum(verdict.verdict == kind for verdict in used) for kind in kinds)
    return Rule(name, dtype, unit, reason, ", ".join(dict.fromkeys(verdict.kind for verdict in used)), counts)
