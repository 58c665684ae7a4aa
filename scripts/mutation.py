"""Can the proof fail? The tables of docs/mutation-testing.md: mutants by the kind that catches them, and false alarms.

    python scripts/mutation.py [--write docs/mutation-testing.md]

The mutants are those of tests/mutants.py. The smallest of each kind goes to conformance/data/mutants.json, from which `isostyle
conform` prints how far above its tolerance a mistake lies.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path

import click
from tables import markdown, publish

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mutants import FRAMEWORKS, MUTANTS, Mutant, applications  # noqa: E402
from mutation import Outcome, Workshop  # noqa: E402
from test_mutants import NIGHTLY_SEEDS, SMALL  # noqa: E402

from isostyle.conformance import compare  # noqa: E402

MARGINS = ROOT / "conformance" / "data" / "mutants.json"
#: By the name of a mutant and a backend.
Outcomes = dict[tuple[str, str], Outcome]


@click.command()
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the tables between the marks in this file.")
@click.option("--seeds", default=NIGHTLY_SEEDS, show_default=True, help="Seeds that are searched for false alarms.")
@click.option("--only", default="", help="Only mutants whose name contains this; for trying.")
@click.option("--each", is_flag=True, help="Also print every mutant, with what became of it.")
def main(write: Path | None, seeds: int, only: str, each: bool) -> None:
    """Run every mutant in every backend, and print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        try:
            outcomes = run_all(workshop, only)
            if each:
                click.echo(mutant_table(outcomes))
            publish(f"{summary(outcomes)}\n\n{kind_table(outcomes)}", "mutants", write)
            if write and not only:
                write_margins(outcomes)
            publish(alarm_table(workshop, Path(folder), seeds), "alarms", write)
        finally:
            workshop.close()


def run_all(workshop: Workshop, only: str) -> Outcomes:
    outcomes = {}
    for mutant, backend in applications(FRAMEWORKS):
        if only in mutant.name:
            outcomes[mutant.name, backend] = workshop.run(mutant, backend)
            click.echo(f"{mutant.name} in {backend}", err=True)
    return outcomes


def caught(outcome: Outcome, kind: str | None = None) -> bool:
    """Whether all patterns caught the mutant, or all that are cases of ``kind``."""
    return all(verdict is not None for pattern, verdict in outcome.caught.items() if kind is None or kind_of(pattern) == kind)


def kind_of(pattern: str) -> str:
    return pattern.partition(":")[0].partition("/")[0]


def summary(outcomes: Outcomes) -> str:
    some = {name: outcome for (name, _), outcome in reversed(outcomes.items())}
    survivors = sum(not caught(outcome) for outcome in outcomes.values())
    small = sum(outcome.small(SMALL) for outcome in some.values())
    return (
        f"{len(some)} mutants, run {len(outcomes)} times: {len(outcomes) - survivors} caught, {survivors} survived. "
        f"{small} of them change the total by less than {SMALL:.1%}, at the start and after ten steps alike."
    )


def kind_table(outcomes: Outcomes) -> str:
    """By kind of case: in how many runs of mutants that name it, it caught them; and the smallest one that it caught."""
    rows = []
    for kind in dict.fromkeys(kind_of(pattern) for mutant in MUTANTS for pattern in mutant.caught_by):
        cells = []
        for backend in FRAMEWORKS:
            mine = [outcomes.get((mutant.name, backend)) for mutant in MUTANTS if names_kind(mutant, kind)]
            found = [caught(outcome, kind) for outcome in mine if outcome]
            cells.append(f"{sum(found)} of {len(found)}" if found else "")
        sizes = smallest(outcomes).get(kind, {})
        least = min(sizes.items(), key=lambda item: item[1], default=None)
        size, which = (f"{least[1][0]:.2g} ({least[0]})", least[1][1]) if least else ("", "")
        rows.append([f"`{kind}`", *cells, size, which])
    return markdown(["kind", *FRAMEWORKS, "smallest, in tolerances", "which"], rows)


def names_kind(mutant: Mutant, kind: str) -> bool:
    return any(kind_of(pattern) == kind for pattern in mutant.caught_by)


def smallest(outcomes: Outcomes) -> dict[str, dict[str, tuple[float, str]]]:
    """By kind and dtype: the smallest mutant among those that the kind has to catch and catches, and its name."""
    least: dict[str, dict[str, tuple[float, str]]] = {}
    for (name, backend), outcome in outcomes.items():
        for (kind, dtype), ratio in outcome.errors.items():
            mine = least.setdefault(kind, {})
            mine[dtype] = min(mine.get(dtype, (math.inf, "")), (ratio, f"{name}, {backend}"))
    return least


def write_margins(outcomes: Outcomes) -> None:
    numbers = {
        kind: {dtype: float(f"{ratio:.3g}") for dtype, (ratio, _) in mine.items()} for kind, mine in smallest(outcomes).items()
    }
    MARGINS.write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")


def mutant_table(outcomes: Outcomes) -> str:
    """Every mutant: the least error, in tolerances, that caught it in each backend, and how much it changes the total."""
    rows = []
    for mutant in MUTANTS:
        mine = {backend: outcomes.get((mutant.name, backend)) for backend in FRAMEWORKS}
        some = next((outcome for outcome in mine.values() if outcome), None)
        if some is not None:
            patterns = ", ".join(f"`{pattern}`" for pattern in mutant.caught_by)
            rows.append([mutant.name, patterns, *(size(mine[backend]) for backend in FRAMEWORKS), change(some)])
    return markdown(["mutant", "caught by", *FRAMEWORKS, "change of the total: first / after ten steps"], rows)


def size(outcome: Outcome | None) -> str:
    """The least of what its patterns caught, in tolerances: ``3e+05``, ``error`` if it cannot be measured, ``SURVIVED``."""
    if outcome is None:
        return ""
    if not caught(outcome):
        return "**SURVIVED**"
    ratios = [verdict.ratio for verdict in outcome.caught.values() if verdict and not math.isnan(verdict.ratio)]
    return f"{min(ratios):.1e}" if ratios else "error"


def change(outcome: Outcome) -> str:
    """Of the first total, and after ten steps."""
    return " / ".join("-" if math.isnan(value) else f"{value:.1e}" if value else "0" for value in outcome.change)


def alarm_table(workshop: Workshop, folder: Path, seeds: int) -> str:
    found: dict[str, list[compare.Verdict]] = {backend: [] for backend in FRAMEWORKS}
    for seed in range(seeds):
        for backend, verdicts in workshop.judge_seed(seed, FRAMEWORKS, folder).items():
            found[backend] += verdicts
        click.echo(f"seed {seed + 1} of {seeds}", err=True)
    rows = []
    for backend, verdicts in found.items():
        alarms = sum(verdict.verdict != "PASS" for verdict in verdicts)
        worst = max(verdicts, key=lambda verdict: verdict.ratio)
        rows.append([backend, str(seeds), str(len(verdicts)), str(alarms), f"{worst.ratio:.2g}", f"`{worst.place}`"])
    return markdown(["backend", "seeds", "points", "false alarms", "largest error, in tolerances", "at"], rows)


if __name__ == "__main__":
    main()
