"""Make a mutant of the sources, record with it, and see what the comparison says.

Each framework has one worker process (mutation_worker.py), which imports the framework once and isostyle anew for every mutant.
For a mutant of a backend, which the oracle does not use, the oracle runs with the original sources. For a mutant of core it
runs with the mutant, as it would for a developer who makes that mistake.
"""

from __future__ import annotations

import fnmatch
import json
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from mutants import Mutant

import isostyle.backends
import isostyle.conformance
from isostyle.conformance import compare, make_inputs, trace
from isostyle.conformance.cases import all_cases
from isostyle.conformance.inputs import shipped_inputs
from isostyle.published import RECIPES
from isostyle.recipe import Recipe, Term

CASES = all_cases()
#: Of one recording, which takes seconds.
TIMEOUT_S = 300
#: The folder of the copies; the worker tells them from installed packages by this name.
COPIES = "isostyle-mutants"
#: Where a change of the total is measured: in the first picture's, and after the ten steps of the short run, in float64.
FIRST_TOTAL, LAST_TOTAL = "terms/d2l/photo", "run/d2l/photo"
#: The cases in which original sources must raise no false alarm, with every seed; and recipes of which each seed has two.
#: Of style networks only the convolutions: a hundred seeds of the rest take longer than everything else together.
SEEDED_CASES = ("tensor", "gram/*", "features/noise", "step/d2l/photo", "adam/d2l/*", "stages")
SEEDED_RECIPES = ("d2l", "isostyle", "tutorial", "wei", "lookcc", "gatys2016")
SEEDED_KINDS = ("targets/{}/photo", "terms/{}/noise", "terms/{}/odd", "gradient/{}/noise", "gradient/{}/odd", "run/{}/photo")
#: The shipped inputs have a seed below this.
FIRST_SEED = 1000


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant in one backend."""

    #: For each pattern and recipe that should catch it: the worst verdict that fails, or None.
    caught: dict[str, compare.Verdict | None]
    #: Relative change of the total: of the first picture, and after the short run; NaN where there is none to compare.
    change: tuple[float, float]
    #: By kind and dtype, the largest error among the points that should catch it, over the tolerance; only those that did.
    errors: dict[tuple[str, str], float]

    def small(self, bound: float) -> bool:
        """Whether it changes the total by less than ``bound``, both times; False if there is no total to compare."""
        return all(value < bound for value in self.change)


class Worker:
    """A framework in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.process: subprocess.Popen[str] | None = None

    def record(self, root: Path, backend: str, patterns: Sequence[str], folder: Path | None = None) -> trace.Trace:
        """A trace of ``backend`` with the package in ``root``.

        Raises:
            RuntimeError: there is none, as where the package cannot even be imported.
        """
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("mutation_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                # Python would take the bytecode of a copy for that of another one made within the same second.
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        self.count += 1
        out = self.folder / f"{backend}-{self.count}"
        job = {"root": str(root), "backend": backend, "patterns": list(patterns), "out": str(out)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({**job, "inputs": folder and str(folder)}) + "\n")
        self.process.stdin.flush()
        # If no answer comes, the process ends, and with it the wait.
        alarm = threading.Timer(TIMEOUT_S, self.process.kill)
        alarm.start()
        answer = next((line[2:] for line in self.process.stdout if line.startswith("@@")), '"the process died, or hung"')
        alarm.cancel()
        if (problem := json.loads(answer)) is not None:
            raise RuntimeError(problem)
        found = trace.load(out)
        shutil.rmtree(out)
        return found

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


class Workshop:
    """Workers, copies of the sources, and the traces of the original ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / COPIES
        self.folder.mkdir()
        self.workers: dict[str, Worker] = {}
        self.originals: dict[str, trace.Trace] = {}
        self.copies = 0

    def worker(self, backend: str) -> Worker:
        return self.workers.setdefault(backend, Worker(self.folder))

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

    @cached_property
    def original(self) -> Path:
        return self.copy()

    def copy(self) -> Path:
        """A folder with a copy of the package; its data are links."""
        self.copies += 1
        root = self.folder / f"copy-{self.copies}"
        for name, package in (("", isostyle), ("backends", isostyle.backends), ("conformance", isostyle.conformance)):
            copy_package(Path(package.__file__ or "").parent, root / "isostyle" / name)
        return root

    def mutate(self, mutant: Mutant, backend: str) -> Path:
        """A copy with the edit of ``mutant``.

        Raises:
            ValueError: the text that it replaces is not there, or not once.
        """
        file, old, new = mutant.edit(backend) or ("", "", "")
        root = self.copy()
        path = root / "isostyle" / file.removeprefix("core/")
        text = path.read_text()
        if text.count(old) != 1:
            raise ValueError(f"{mutant.name!r} does not apply: {file} has {old!r} {text.count(old)} times")
        path.write_text(text.replace(old, new))
        return root

    def reference(self, root: Path, patterns: Sequence[str], in_core: bool) -> trace.Trace:
        """The oracle's trace. That of the original sources has every case, and is recorded once."""
        if in_core:
            return self.worker("oracle").record(root, "oracle", patterns)
        if "oracle" not in self.originals:
            self.originals["oracle"] = self.worker("oracle").record(self.original, "oracle", [])
        return self.originals["oracle"]

    def totals(self, found: trace.Trace) -> tuple[float, float]:
        """The total of the first picture, and after the short run."""
        first = found.points.get(("float64", FIRST_TOTAL), {}).get("total")
        last = found.points.get(("float64", LAST_TOTAL), {}).get("totals")
        return (math.nan if first is None else float(first), math.nan if last is None else float(last[-1]))

    def baseline(self, backend: str) -> tuple[float, float]:
        if backend not in self.originals:
            self.originals[backend] = self.worker(backend).record(self.original, backend, [FIRST_TOTAL, LAST_TOTAL])
        return self.totals(self.originals[backend])

    def run(self, mutant: Mutant, backend: str) -> Outcome:
        """Record with the mutant, and look at the points that should catch it."""
        root = self.mutate(mutant, backend)
        try:
            expected = [pattern for template in mutant.caught_by for pattern in patterns(template, mutant.recipes)]
            # As in a whole recording, the narrow network comes first (`tensor` uses it).
            cases = sorted({pattern.partition(":")[0] for pattern in expected} | {"tensor", FIRST_TOTAL, LAST_TOTAL})
            found = self.worker(backend).record(root, backend, cases)
            verdicts = list(compare.judge(self.reference(root, cases, mutant.in_core), found, cases))
        finally:
            shutil.rmtree(root)
        caught: dict[str, compare.Verdict | None] = {}
        errors: dict[tuple[str, str], float] = {}
        for pattern in expected:
            failing = [verdict for verdict in verdicts if verdict.verdict in compare.BAD and matches(verdict, pattern)]
            # A number says how far off; where there is none (an error, another shape), that is worse than any.
            failing.sort(key=lambda verdict: math.inf if math.isnan(verdict.ratio) else verdict.ratio)
            caught[pattern] = failing[-1] if failing else None
            for verdict in failing:
                if not math.isnan(verdict.ratio):
                    key = verdict.kind, verdict.dtype
                    errors[key] = max(errors.get(key, 0.0), verdict.ratio)
        before, after = self.baseline(backend), self.totals(found)
        first, last = (abs(now / then - 1) if mutant.in_total else math.nan for then, now in zip(before, after, strict=True))
        return Outcome(caught, (first, last), errors)

    def judge_seed(self, number: int, backends: Sequence[str], folder: Path) -> dict[str, list[compare.Verdict]]:
        """Verdicts on the original sources, with inputs from another seed; the backends work side by side."""
        chosen = [SEEDED_RECIPES[(number + shift) % len(SEEDED_RECIPES)] for shift in (0, 1)]
        cases = [*SEEDED_CASES, *(kind.format(recipe) for kind in SEEDED_KINDS for recipe in chosen)]
        shipped = shipped_inputs()
        place = folder / f"seed-{number}"
        make_inputs.make(place, FIRST_SEED + number, shipped.picture("photo"), shipped.picture("painting"))
        names = ["oracle", *backends]
        root = self.original
        workers = [self.worker(name) for name in names]
        with ThreadPoolExecutor(len(names)) as pool:
            traces = list(pool.map(lambda worker, name: worker.record(root, name, cases, place), workers, names))
        shutil.rmtree(place)
        return {trace.name: list(compare.judge(traces[0], trace, cases)) for trace in traces[1:]}


def copy_package(source: Path, target: Path) -> None:
    """Copy the modules of a package and of its sub-packages; folders that are no packages, as those of data, become links."""
    for folder, folders, files in os.walk(source):
        copied = target / Path(folder).relative_to(source)
        copied.mkdir(parents=True, exist_ok=True)
        for name in files:
            if name.endswith((".py", ".toml")):
                shutil.copy(Path(folder, name), copied)
        for name in [name for name in folders if not Path(folder, name, "__init__.py").exists()]:
            folders.remove(name)
            # An installed package has its sub-packages inside, and their data with them.
            if name != "__pycache__" and not (copied / name).is_symlink():
                (copied / name).symlink_to(Path(folder, name))


def patterns(template: str, recipes: Sequence[str]) -> list[str]:
    """``template`` for each recipe that its ``{recipe}`` stands for: of ``recipes``, or of all, those that have such a case,
    and in which its point is more than zeros."""
    if "{recipe}" not in template:
        return [template]
    found = []
    for recipe in recipes or RECIPES:
        name, _, point = template.format(recipe=recipe).partition(":")
        case = next((case for case in CASES if case.name == name or case.name.startswith(f"{name}/")), None)
        if case is not None and case.recipe is not None and matters(case.kind, case.recipe, point.partition("/")[0]):
            found.append(f"{name}:{point}" if point else name)
    assert found, f"{template} is a case of no recipe"
    return found


def matters(kind: str, recipe: Recipe, term: str) -> bool:
    """Whether the terms ``content``, ``style`` or ``tv`` of a recipe have values, or, where that is asked for, a gradient."""
    if term not in get_args(Term):
        return True
    return getattr(recipe, f"{term}_weight") > 0 and (kind != "gradient" or term not in recipe.without_gradient)


def matches(verdict: compare.Verdict, pattern: str) -> bool:
    """Whether a verdict is at ``CASE:POINT``, or on the whole case, as where the backend raised an error; or at ``CASE``."""
    case, _, point = pattern.partition(":")
    return fnmatch.fnmatchcase(verdict.case, case) and (not verdict.point or fnmatch.fnmatchcase(verdict.point, point or "*"))
