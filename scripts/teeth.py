"""Can the proof fail? The tables in docs/teeth.md: planted defects and where they are caught, and false alarms.

    python scripts/teeth.py [--write docs/teeth.md]

The defects are those of tests/defects.py. The smallest of each kind goes to conformance/data/mutants.json, from which `isostyle
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

from defects import DEFECTS, FRAMEWORKS, Defect  # noqa: E402
from teeth import Outcome, Workshop  # noqa: E402
from test_teeth import SEEDS, SMALL  # noqa: E402

from isostyle.conformance import compare  # noqa: E402

MARGINS = ROOT / "conformance" / "data" / "mutants.json"


@click.command()
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the tables between the marks in this file.")
@click.option("--seeds", default=SEEDS, show_default=True, help="Seeds to look for false alarms with.")
@click.option("--only", default="", help="Only defects whose name has this in it; for trying.")
def main(write: Path | None, seeds: int, only: str) -> None:
    """Plant every defect in every backend, and print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        try:
            outcomes = plant_all(workshop, [defect for defect in DEFECTS if only in defect.name])
            publish(defect_table(outcomes), "defects", write)
            publish(margin_table(outcomes, write is not None and not only), "margins", write)
            publish(alarm_table(workshop, Path(folder), seeds), "alarms", write)
        finally:
            workshop.close()


def plant_all(workshop: Workshop, defects: list[Defect]) -> dict[tuple[str, str], Outcome]:
    outcomes = {}
    for defect in defects:
        for backend in FRAMEWORKS[:1] if defect.in_core else FRAMEWORKS:
            if defect.edit(backend):
                outcomes[defect.name, backend] = workshop.try_out(defect, backend)
                click.echo(f"{defect.name} in {backend}", err=True)
    return outcomes


def size(outcome: Outcome | None) -> str:
    """The least of what its patterns caught, in tolerances: ``3e+05``, ``error`` if it cannot be measured, ``SURVIVED``."""
    if outcome is None:
        return ""
    if any(verdict is None for verdict in outcome.caught.values()):
        return "**SURVIVED**"
    ratios = [verdict.ratio for verdict in outcome.caught.values() if verdict and not math.isnan(verdict.ratio)]
    return f"{min(ratios):.1e}" if ratios else "error"


def change(outcome: Outcome) -> str:
    """Of the first total, and after ten steps."""
    return " / ".join("-" if math.isnan(value) else f"{value:.1e}" if value else "0" for value in outcome.change)


def defect_table(outcomes: dict[tuple[str, str], Outcome]) -> str:
    rows, small = [], 0
    for defect in DEFECTS:
        mine = {backend: outcomes.get((defect.name, backend)) for backend in FRAMEWORKS}
        some = next((outcome for outcome in mine.values() if outcome), None)
        if some is None:
            continue
        small += some.small(SMALL)
        in_core = [file for file in defect.edits if file.startswith("core/")]
        where = in_core[0] if in_core else "backends"
        caught = ", ".join(f"`{pattern}`" for pattern in defect.caught_by)
        rows.append([defect.name, where, caught, *(size(mine[backend]) for backend in FRAMEWORKS), change(some)])
    survived = sum(size(outcome) == "**SURVIVED**" for outcome in outcomes.values())
    header = ["defect", "planted in", "caught by", *FRAMEWORKS, "change of the total: first / after ten steps"]
    summary = (
        f"{len(rows)} defects, planted {len(outcomes)} times: {len(outcomes) - survived} caught, {survived} survived "
        f"({1 - survived / len(outcomes):.0%}). {small} of them change the total by less than {SMALL:.1%}, at the start "
        "and after ten steps alike."
    )
    return f"{summary}\n\n{markdown(header, rows)}"


def margin_table(outcomes: dict[tuple[str, str], Outcome], write: bool) -> str:
    """The smallest defect of each kind and dtype, among those that it is expected to catch, and catches."""
    least: dict[str, dict[str, tuple[float, str]]] = {}
    for (name, backend), outcome in outcomes.items():
        for (kind, dtype), ratio in outcome.errors.items():
            mine = least.setdefault(kind, {})
            mine[dtype] = min(mine.get(dtype, (math.inf, "")), (ratio, f"{name}, {backend}"))
    if write:
        numbers = {kind: {dtype: float(f"{ratio:.3g}") for dtype, (ratio, _) in mine.items()} for kind, mine in least.items()}
        MARGINS.write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")
    rows = [
        [kind, dtype, f"{ratio:.2g}", name] for kind, mine in least.items() for dtype, (ratio, name) in sorted(mine.items())
    ]
    return markdown(["kind", "dtype", "smallest planted defect, in tolerances", "which"], rows)


def alarm_table(workshop: Workshop, folder: Path, seeds: int) -> str:
    found: dict[str, list[compare.Verdict]] = {backend: [] for backend in FRAMEWORKS}
    for seed in range(seeds):
        for backend, verdicts in workshop.look_at_seed(seed, FRAMEWORKS, folder).items():
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
