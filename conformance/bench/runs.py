"""What `isostyle bench` runs: one process after the other, each in its own environment."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import isostyle
from isostyle import registry
from isostyle.conformance import session
from isostyle.conformance.bench.published_way import WAYS
from isostyle.conformance.bench.report import SCHEMA, operations, rows
from isostyle.conformance.bench.worker import OURS, PUBLISHED, WAY_NAMES, Job, WayName
from isostyle.conformance.inputs import shipped_inputs
from isostyle.conformance.trace import printable
from isostyle.demo import inputs as demo
from isostyle.errors import InputError
from isostyle.images import decode
from isostyle.published import D2L
from isostyle.system import cpu
from isostyle.system.files import check_outputs, sha256, write_atomically
from isostyle.weights import cache, store

#: A process that is still at it after this has hung: 500 published steps of VGG-19 on one core take two hours.
TIMEOUT_S = 6 * 3600
#: What says how many threads there are; the published way with a framework's own choice is to find none of them.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_THREAD_LIMIT")
#: d2l's.
PUBLISHED_STEPS = D2L.steps

Size = tuple[int, int]
Answer = dict[str, Any]
#: What a process found, or ``{"problem": sentence}``.
Run = Callable[[Job], Answer]


@dataclasses.dataclass(frozen=True)
class Request:
    """What `isostyle bench` is asked for: its options, by their names."""

    content: Path | None
    style: Path | None
    backends: Sequence[str]
    #: Of networks, with commas.
    names: str
    size: Sequence[Size]
    sizes: Sequence[Size]
    steps: int
    rounds: int
    threads: int | None
    loss: bool
    published_steps: int | None
    extrapolate: bool
    target: float | None
    json_file: Path | None
    force: bool

    @property
    def thread_count(self) -> int:
        return registry.default_threads() if self.threads is None else self.threads

    def check(self) -> None:
        """Raises InputError if options do not go together, or cannot be used here."""
        if len(self.size) != 1:
            raise InputError("--size takes one size; --sizes takes several")
        if not self.loss and (self.extrapolate or self.target is not None or self.published_steps is not None):
            raise InputError("--published-steps, --extrapolate and --target belong to --loss")
        if self.extrapolate != (self.target is not None):
            raise InputError("--extrapolate and --target go together: steps that are not run reach no loss")
        if self.extrapolate and (self.published_steps is None or not 2 <= self.published_steps < PUBLISHED_STEPS):
            raise InputError(f"--extrapolate takes --published-steps from 2 to {PUBLISHED_STEPS - 1}")
        if self.target is not None and not 0 < self.target < float("inf"):
            raise InputError(f"the target must be a number above 0, not {self.target}")
        registry.require_threads(self.thread_count)
        session.check_backends(self.backends, {})
        if registry.APPLIES_ONLY in self.backends:
            raise InputError(registry.NO_ENGINE.format(registry.APPLIES_ONLY))
        if not self.chosen_backends:
            raise InputError("no backend is installed: pip install 'isostyle[torch]' (or [paddle], or [mxnet])")
        if self.json_file:
            inputs = [path for path in (self.content, self.style, *map(Path, self.names.split(","))) if path]
            check_outputs([self.json_file], inputs, force=self.force)

    @property
    def chosen_backends(self) -> list[str]:
        """Those that were named, or all that are installed and have an engine."""
        return list(dict.fromkeys(self.backends)) or [name for name in session.installed() if name != registry.APPLIES_ONLY]

    def plan(self, folder: Path) -> Plan:
        """Plan the measurements; inputs that are no files yet are written to ``folder``."""
        weights, places = networks(folder, self.names, [*self.size, *self.sizes])
        content, style = pictures(folder, self.content, self.style)
        return Plan(
            folder=folder,
            content=content,
            style=style,
            networks=weights,
            places=places,
            backends=self.chosen_backends,
            size=self.size[0],
            sizes=self.sizes,
            steps=self.steps,
            rounds=self.rounds,
            threads=self.thread_count,
            published_steps=PUBLISHED_STEPS if self.extrapolate else self.published_steps or PUBLISHED_STEPS,
            extrapolated_from=self.published_steps if self.extrapolate else None,
            target=self.target,
        )


def bench(request: Request, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure what is asked for; returns the report, and writes it to the JSON file. ``say`` is told what runs."""
    with tempfile.TemporaryDirectory() as temporary:
        plan = request.plan(Path(temporary))
        found = measure(plan, say)
        if request.loss:
            found["losses"] = list(losses(plan, found, say))
    # Before anything is printed: a reader that goes away must not take the file with it.
    if request.json_file:
        write_atomically(request.json_file, (json.dumps(found, indent=1) + "\n").encode())
    return found


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured. ``networks`` are their weights by the name that the user gave."""

    folder: Path
    content: str
    style: str
    networks: dict[str, store.Weights]
    #: Where a process finds the weights.
    places: dict[str, str]
    backends: Sequence[str]
    size: Size
    sizes: Sequence[Size]
    steps: int
    rounds: int
    threads: int
    published_steps: int
    #: For an extrapolated published time: the steps that are run, and the total to reach.
    extrapolated_from: int | None = None
    target: float | None = None

    def job(self, way: WayName, backend: str, network: str, size: Size, **options: Any) -> Job:
        return Job(
            backend=backend,
            way=way,
            network=self.places[network],
            content=self.content,
            style=self.style,
            height=size[0],
            width=size[1],
            threads=None if way == "published" else self.threads,
            **options,
        )


def pictures(folder: Path, content: Path | None, style: Path | None) -> tuple[str, str]:
    """Paths of both pictures; the demo's are written to ``folder``, once, for the painting takes seconds to draw.

    Raises:
        InputError: one cannot be read, or only one is named.
    """
    if (content is None) != (style is None):
        raise InputError("name two pictures, CONTENT and STYLE, or none")
    if content is None or style is None:
        content, style = folder / "content.png", folder / "style.png"
        demo.photograph().save(content)
        demo.painting().save(style)
    for path in (content, style):
        decode.read_rgb(path)
    return str(content), str(style)


def networks(folder: Path, names: str, sizes: Sequence[Size]) -> tuple[dict[str, store.Weights], dict[str, str]]:
    """Weights by name, and where they are; vgg19, unless it was fetched, is written to ``folder`` with random weights.

    Raises:
        InputError: there is no such network, it has other layers than `d2l` taps, or a size does not fit.
    """
    found, places = {}, {}
    for name in dict.fromkeys(part.strip() for part in names.split(",")):
        places[name] = name
        if name == "vgg19" and cache.find(name) is None:
            made = shipped_inputs().network(name)
            places[name] = str(folder / "vgg19.safetensors")
            Path(places[name]).write_bytes(store.dump(made.network, made.parameters, {}))
        found[name] = store.load(places[name])
        least = found[name].network.least_side(D2L.taps)
        for height, width in sizes:
            if min(height, width) < least:
                raise InputError(f"the size {height}x{width} is too small: the network {name!r} needs at least {least}x{least}")
            if height * width > decode.MAX_PIXELS:
                limit = decode.MAX_PIXELS / 1e6
                raise InputError(f"the size {height}x{width} is more than {limit:.0f} megapixels; choose a smaller one")
    return found, places


def report(plan: Plan) -> dict[str, Any]:
    """What is known before anything is measured."""
    return {
        "schema": SCHEMA,
        "isostyle": isostyle.__version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "threads": plan.threads,
        "recipe": D2L.name,
        "inputs": {
            role: {"name": Path(path).name, "sha256": sha256(Path(path).read_bytes())}
            for role, path in (("content", plan.content), ("style", plan.style))
        },
        "networks": {
            name: {"random": name == "vgg19" != plan.places[name], "weights_sha256": found.digest}
            for name, found in plan.networks.items()
        },
        "backends": list(plan.backends),
        "ways": list(WAY_NAMES),
        "size": list(plan.size),
        "sizes": [list(size) for size in plan.sizes],
        "steps": plan.steps,
        "rounds": plan.rounds,
        "published_steps": plan.published_steps,
        "operations": {
            name: {f"{h}x{w}": operations(found.network, D2L, h, w) for h, w in (plan.size, *plan.sizes)}
            for name, found in plan.networks.items()
        },
        "cells": [],
        "losses": [],
        "problems": [],
    }


def machine() -> str:
    """The processor's name and the widest arithmetic that it has, as far as Linux tells."""
    name = cpu.name() or platform.machine()
    widest = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in cpu.flags()), None)
    return f"{name}, {widest}" if widest else name


def measure(plan: Plan, say: Callable[[str], None], run: Run | None = None) -> dict[str, Any]:
    """Time steps of every way, in turn, for several rounds. ``say`` is told what runs; ``run`` runs it."""
    run = run or elsewhere(plan.folder)
    found = report(plan)
    cells: list[dict[str, Any]] = [
        {"network": network, "backend": backend, "way": way, "height": size[0], "width": size[1], "round": number}
        for number in range(1, plan.rounds + 1)
        for network in plan.networks
        for size in dict.fromkeys([plan.size, *plan.sizes])
        for backend in plan.backends
        for way in WAY_NAMES
        # Nobody has said how a third party's framework is used in tutorials.
        if way in OURS or backend in WAYS
    ]
    clock = Estimate([kind_of(cell) for cell in cells])
    for number, cell in enumerate(cells, start=1):
        size = cell["height"], cell["width"]
        place = f"{cell['network']}, {cell['backend']}, {cell['way']}, {size[0]}x{size[1]}, round {cell['round']}"
        say(f"{number:>{len(str(len(cells)))}}/{len(cells)}  {place}{clock.eta()}")
        job = plan.job(cell["way"], cell["backend"], cell["network"], size, task="time", steps=plan.steps)
        answer = run(job)
        clock.done()
        if "problem" in answer:
            found["problems"].append(f"{place}: {answer['problem']}")
        found["cells"].append({**cell, "threads": job.threads, **answer})
    return found


def kind_of(cell: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(value for key, value in cell.items() if key != "round")


class Estimate:
    """The time that is left, from that of the same kinds of processes before."""

    def __init__(self, kinds: Sequence[tuple[Any, ...]]) -> None:
        self.left = list(kinds)
        self.seen: dict[tuple[Any, ...], float] = {}
        self.began = time.monotonic()

    def done(self) -> None:
        now = time.monotonic()
        self.seen[self.left.pop(0)] = now - self.began
        self.began = now

    def eta(self) -> str:
        if not self.seen:
            return ""
        usual = statistics.mean(self.seen.values())
        return f"  eta {duration(sum(self.seen.get(kind, usual) for kind in self.left))}"


def duration(seconds: float) -> str:
    """``45 s``, ``7 min``."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def losses(
    plan: Plan, measured: dict[str, Any], say: Callable[[str], None], run: Run | None = None
) -> Iterator[dict[str, Any]]:
    """Time to the published loss, by network and backend; what went wrong is its ``problem``.

    ``measured`` is what :func:`measure` found; it says how long the steps will take.
    """
    run = run or elsewhere(plan.folder)
    usual = {(row.network, row.backend, row.way): row.median for row in rows(measured) if (row.height, row.width) == plan.size}
    for network in plan.networks:
        for backend in plan.backends:
            if backend not in WAYS:
                continue
            found: dict[str, Any] = {"network": network, "backend": backend}
            try:
                found |= to_loss(plan, network, backend, usual, say, run)
            except Failed as error:
                found["problem"] = str(error)
            yield found


class Failed(Exception):
    """A process that others depend on failed."""


def to_loss(
    plan: Plan,
    network: str,
    backend: str,
    usual: Mapping[tuple[str, str, str], float],
    say: Callable[[str], None],
    run: Run,
) -> dict[str, Any]:
    """Both published runs, the total that both reach, and ours until it is there. ``usual``: seconds a step, as measured.

    Raises:
        Failed: a process did.
    """
    race = Race(plan, network, backend, run, tempfile.mkdtemp(dir=plan.folder))
    steps = plan.extrapolated_from or plan.published_steps
    runs: dict[WayName, Answer] = {}
    for way in PUBLISHED:
        seconds = usual.get((network, backend, way))
        say(f"{network}, {backend}, {way}: {steps} steps{f', {duration(seconds * steps)}' if seconds else ''}")
        runs[way] = race.ask(way, task="to-loss", steps=steps)
    reached = race.totals([runs[way]["picture"] for way in PUBLISHED])
    # The lower of the two, so that ours is as good as either.
    target = min(reached) if plan.target is None else plan.target
    say(f"{network}, {backend}, ours: to a total of {target:.4f}")
    published: dict[str, Any] = {
        way: race.published(runs[way], steps, total) for way, total in zip(PUBLISHED, reached, strict=True)
    }
    return {"target": target, **published, "ours": race.ours(target)}


@dataclasses.dataclass(frozen=True)
class Race:
    """The processes of one backend and network that run to a loss, and what became of them."""

    plan: Plan
    network: str
    backend: str
    run: Run
    #: Where they keep pictures.
    folder: str

    def ask(self, way: WayName, **options: Any) -> Answer:
        answer = self.run(self.plan.job(way, self.backend, self.network, self.plan.size, folder=self.folder, **options))
        if "problem" in answer:
            raise Failed(f"{way}: {answer['problem']}")
        return answer

    def totals(self, paths: list[str]) -> list[float]:
        """The exact total of each picture."""
        found: list[float] = self.ask("exact", task="totals", steps=0, pictures=paths)["totals"] if paths else []
        return found

    def published(self, answer: Answer, steps: int, total: float) -> dict[str, Any]:
        """A published run of ``steps`` steps that came to ``total``."""
        first, last = answer["first_s"], answer["last_s"]
        seconds = last
        if self.plan.extrapolated_from is not None:
            # What is done once (imports, compilation) is not multiplied.
            seconds = first + (last - first) / (steps - 1) * (self.plan.published_steps - 1)
        return {
            "seconds": seconds,
            "first_step_s": first,
            "last_step_s": last,
            "steps": steps,
            "total": total,
            "extrapolated_from": self.plan.extrapolated_from,
        }

    def ours(self, target: float) -> dict[str, Any]:
        """Our run to ``target``: it arrives with the first kept picture whose exact total is at or below that."""
        mine = self.ask("fast", task="to-loss", steps=0, target=target)
        for candidate, exact in zip(mine["candidates"], self.totals([c["picture"] for c in mine["candidates"]]), strict=True):
            candidate["exact_total"] = exact
            del candidate["picture"]
        there = next((c for c in mine["candidates"] if c["exact_total"] <= target), None)
        return {
            "seconds": there and there["seconds"],
            "total": there["exact_total"] if there else mine["total"],
            "evaluations": there["evaluations"] if there else mine["evaluations"],
            "candidates": mine["candidates"],
        }


def elsewhere(folder: Path) -> Run:
    """A function that runs a job in a process of its own, started afresh, and returns its answer."""

    def run(job: Job) -> Answer:
        request, answer = folder / "job.json", folder / "answer.json"
        answer.unlink(missing_ok=True)
        # Files of the current folder are no modules of ours.
        environment = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
        environment["PYTHONSAFEPATH"] = "1"
        if job.threads is not None:
            environment["OMP_NUM_THREADS"] = str(job.threads)
        request.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(job, started=time.monotonic()))))
        command = [sys.executable, "-m", "isostyle.conformance.bench.worker", str(request), str(answer)]
        try:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return {"problem": f"took more than {TIMEOUT_S // 3600} hours, and was stopped"}
        if result.returncode == 0 and answer.is_file():
            found: Answer = json.loads(answer.read_text())
            return found
        said = [line for line in result.stderr.splitlines() if line.strip()]
        how = f"signal {-result.returncode}" if result.returncode < 0 else f"exit code {result.returncode}"
        return {"problem": f"ended with {how}: {printable(said[-1]) if said else 'it said nothing'}"}

    return run
