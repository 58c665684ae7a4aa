"""One measurement of `isostyle bench`, in a process of its own: ``python -m isostyle.conformance.bench.worker JOB ANSWER``.

JOB is a file with a :class:`Job` as JSON, ANSWER the file that the result goes to, as JSON. Which threads a framework takes is
decided by its environment when it is imported, so the caller sets that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import isostyle
from isostyle import registry
from isostyle.conformance.bench import published_way
from isostyle.conformance.bench.convolutions import CONVOLUTIONS
from isostyle.images import arrays, decode
from isostyle.interface import Array, Precision
from isostyle.network import Network
from isostyle.published import D2L
from isostyle.recipe import Recipe
from isostyle.sizes import ExactSize
from isostyle.system import allocation, memory
from isostyle.transfer.descent import Event
from isostyle.weights import store

#: ``published``: with the framework's default threads; ``published-n``: with those that ours have; ``exact``, ``fast``: ours.
WayName = Literal["published", "published-n", "exact", "fast"]
WAY_NAMES: tuple[WayName, ...] = ("published", "published-n", "exact", "fast")
OURS: tuple[WayName, ...] = ("exact", "fast")
PUBLISHED: tuple[WayName, ...] = ("published", "published-n")
#: Steps after the first that are not counted: memory is still being taken, and caches filled.
WARM_UP = 2
#: Steps are counted until there are as many as were asked for, or until they have taken this long, and then at least three.
LONGEST_S = 15.0
LEAST_STEPS = 3
#: Matrix products, and passes of convolutions, after the first, which is not counted; their median is what a framework can do.
REPEATS = 7
#: `fast` rounds otherwise than `exact` (bfloat16 has 8 bits), so its own totals are off; pictures whose own is within this
#: share of the target are looked at exactly. docs/fast.md has 2 % for whole runs with Adam.
NEAR = 0.05


@dataclass(frozen=True)
class Job:
    """What a process does, as JSON holds it."""

    #: ``time`` some steps, run ``to-loss``, or find the exact ``totals`` of pictures.
    task: Literal["time", "to-loss", "totals"]
    backend: str
    way: WayName
    #: The name of a network, or a file of weights.
    network: str
    content: str
    style: str
    height: int
    width: int
    #: None: the framework's default; nothing sets any.
    threads: int | None
    #: Steps that are timed, or that a published run has.
    steps: int
    #: ``to-loss``: ours ends when its own total is well below this.
    target: float | None = None
    #: A folder for the pictures that ``to-loss`` keeps.
    folder: str = ""
    #: ``totals``: pictures, .npy, normalized, shape (1, 3, H, W).
    pictures: tuple[str, ...] = ()
    #: When the process was started (``time.monotonic``, which all processes of a machine share).
    started: float = 0.0

    @property
    def recipe(self) -> Recipe:
        return dataclasses.replace(D2L, size=ExactSize(self.height, self.width))


class Enough(Exception):
    """Raised by a callback to end a run."""


class Clock:
    """The times at which steps end."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.began = 0.0
        self.ends: list[float] = []
        self.busy = 0.0

    def start(self, line: str = "") -> None:
        """Start, when the framework is imported and the pictures are read."""
        self.began = self.began or time.perf_counter()

    def tick(self, event: Event | None = None) -> None:
        """Note the end of a step.

        Raises:
            Enough: there are enough.
        """
        self.ends.append(time.perf_counter())
        counted = len(self.ends) - 1 - WARM_UP
        if counted == 0:
            self.busy = time.process_time()
        spent = self.ends[-1] - self.ends[-1 - counted] if counted > 0 else 0.0
        if counted >= self.steps or (counted >= LEAST_STEPS and spent > LONGEST_S):
            self.busy = (time.process_time() - self.busy) / spent
            raise Enough

    def answer(self) -> dict[str, Any]:
        """Seconds from the start to the first loss and of each step after the warm-up, and how many cores were busy."""
        ends = self.ends[WARM_UP:]
        return {
            "first_loss_s": self.ends[0] - self.began,
            "steps_s": [later - earlier for earlier, later in itertools.pairwise(ends)],
            "busy_cores": self.busy,
        }


def prepared(job: Job) -> tuple[Network, Any, Array, Array]:
    """The network, its parameters, and both pictures, normalized, (1, 3, H, W): what a published run is given."""
    chosen = store.load(job.network)
    content, style = (
        arrays.to_array(arrays.resize(decode.read_rgb(path), job.height, job.width), "float32")
        for path in (job.content, job.style)
    )
    return chosen.network, chosen.parameters, content, style


def published(job: Job) -> tuple[str, int, Any]:
    """The framework's version, the memory that it takes when imported, and what a published run is given."""
    module = importlib.import_module(job.backend)
    if job.threads is not None:
        set_threads(module, job.threads)
    return str(module.__version__), memory.peak() or 0, prepared(job)


def set_threads(module: Any, threads: int) -> None:
    """Set the threads as a user of that framework does; MXNet took OMP_NUM_THREADS when it was imported."""
    if module.__name__ == "torch":
        module.set_num_threads(threads)
    elif module.__name__ == "paddle":
        module.base.core.set_num_threads(threads)


def ours(job: Job, **options: Any) -> None:
    """Run isostyle."""
    isostyle.stylize(
        job.content,
        job.style,
        backend=job.backend,
        network=job.network,
        device="cpu",
        threads=job.threads,
        **options,
    )


def timed(job: Job) -> dict[str, Any]:
    """Time some steps, their memory, a matrix product, and the convolutions alone."""
    with contextlib.ExitStack() as state:
        return timed_in(job, state)


def timed_in(job: Job, state: contextlib.ExitStack) -> dict[str, Any]:
    """:func:`timed`; ``state`` is that of the framework."""
    clock = Clock(job.steps)
    with contextlib.suppress(Enough):
        if job.way in OURS:
            framework = registry.load(job.backend, job.threads)
            version, imported = framework.version(), memory.peak() or 0
            # Also for the products and convolutions below, which are to be computed as a run is.
            state.enter_context(registry.own_state(framework, "cpu"))
            recipe = dataclasses.replace(job.recipe, steps=job.steps + WARM_UP + 1)
            ours(job, recipe=recipe, precision=job.way, callback=clock.tick, log=clock.start)
        else:
            version, imported, given = published(job)
            clock.start()
            way = published_way.WAYS[job.backend](*given)
            while True:
                way.step()
                clock.tick()
    peak = memory.peak() or 0
    return {
        "version": version,
        "imported_bytes": imported,
        "peak_bytes": peak,
        "product_s": products(job.backend),
        "convolutions_s": convolutions(job),
        **clock.answer(),
    }


def products(backend: str) -> list[float]:
    """Seconds of each matrix product; none where nobody has said how a third party's framework does it."""
    return repeated(published_way.PRODUCTS[backend]()) if backend in published_way.PRODUCTS else []


def convolutions(job: Job) -> list[float]:
    """Seconds that the convolutions of a step of ours take alone; none where nobody has said how."""
    if job.way not in OURS or job.backend not in CONVOLUTIONS:
        return []
    chosen = store.load(job.network)
    precision: Precision = "fast" if job.way == "fast" else "exact"
    return repeated(CONVOLUTIONS[job.backend](chosen.network, chosen.parameters, job.height, job.width, precision))


def repeated(compute: Callable[[], object]) -> list[float]:
    """Seconds of each call but the first."""
    seconds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def published_to_loss(job: Job) -> dict[str, Any]:
    """Run ``job.steps`` published steps; seconds from the start of the process to the end of the first and of the last."""
    version, _, given = published(job)
    way = published_way.WAYS[job.backend](*given)
    ends = []
    for _ in range(job.steps):
        way.step()
        ends.append(time.monotonic() - job.started)
    picture = Path(job.folder) / f"{job.way}.npy"
    np.save(picture, way.image())
    return {"version": version, "first_s": ends[0], "last_s": ends[-1], "picture": str(picture)}


def ours_to_loss(job: Job) -> dict[str, Any]:
    """Run ours, the fastest way, until its own total is below ``job.target`` by more than rounding explains.

    It keeps pictures near the target; another process evaluates them exactly, outside of any clock.
    """
    version = registry.load(job.backend, job.threads).version()
    assert job.target is not None
    near, done = job.target * (1 + NEAR), job.target * (1 - NEAR)
    kept: list[dict[str, Any]] = []
    evaluations: Counter[str] = Counter()
    last: dict[str, float] = {}

    def look(event: Event) -> None:
        seconds = time.monotonic() - job.started
        height, width = event.size
        evaluations[f"{height}x{width}"] += 1
        total = event.terms["total"]
        last.update(seconds=seconds, total=total)
        # A picture that a line search only tried is none that the run would return.
        if (height, width) == (job.height, job.width) and total <= near and not event.trial:
            picture = Path(job.folder) / f"ours-{len(kept):04d}.npy"
            np.save(picture, event.image())
            kept.append({"seconds": seconds, "total": total, "picture": str(picture), "evaluations": dict(evaluations)})
            if total <= done:
                raise Enough

    with contextlib.suppress(Enough):
        ours(job, recipe=job.recipe, precision="fast", pyramid=True, callback=look)
    return {"version": version, "candidates": kept, "evaluations": dict(evaluations), **last}


def totals(job: Job) -> dict[str, Any]:
    """The total of each picture by the exact objective, at full size."""
    assert job.threads is not None
    network, parameters, content, style = prepared(job)
    framework = registry.load(job.backend, job.threads)
    with registry.own_state(framework, "cpu"):
        engine = framework.prepare(network, parameters, device="cpu", dtype="float32", precision="exact")
        objective = engine.objective(job.recipe, engine.targets(job.recipe, content, style))
        return {"totals": [float(objective(engine.tensor(np.load(path))).terms["total"]) for path in job.pictures]}


def main(job_file: str, answer_file: str) -> None:
    job = Job(**json.loads(Path(job_file).read_text()))
    if job.way in OURS:
        allocation.keep_freed_memory()  # as the command line does
    if job.task == "time":
        answer = timed(job)
    elif job.task == "totals":
        answer = totals(job)
    else:
        answer = ours_to_loss(job) if job.way in OURS else published_to_loss(job)
    Path(answer_file).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
