"""`isostyle batch`: many runs, each in a process of its own, so that none takes another with it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isostyle.cli.options import taken_from
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, InputError, IsostyleError
from isostyle.images.options import options_of

if TYPE_CHECKING:
    from rich.progress import Progress

    from isostyle.cli.batch_plan import BatchRun

#: Of a batch's own, which the options of its runs cannot be.
TAKEN = ("output", "manifest", "checkpoint", "force", "quiet")
#: Those of them that the batch takes itself.
OPTIONS_OF_BATCH = ("force", "quiet")
#: Between two looks at whether Ctrl-C was pressed.
LOOK_SECONDS = 0.2
DONE, THERE, FAILED, STOPPED = "done", "was there", "failed", "stopped"


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    run: BatchRun
    state: str
    seconds: float = 0.0
    #: Of its picture, if there is one.
    total: float | None = None
    #: Why it failed.
    reason: str = ""


@click.command(short_help="Make many pictures: tables of runs, or many contents in many styles.")
@click.argument("table", required=False, type=click.Path(path_type=Path))
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS]")
@click.option(
    "--content", "contents", multiple=True, metavar="PICTURES", help="A file, a folder or a pattern; may be repeated."
)
@click.option("--style", "styles", multiple=True, metavar="PICTURES", help="Likewise: every content image in every style.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where pictures go that no table names, as CONTENT-STYLE.png; made if it is not there [default: the current folder].",
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Runs at a time.")
@click.option("--force", is_flag=True, help="Overwrite pictures that are there; without, finished runs are skipped.")
@click.option("--quiet", is_flag=True, help="Print nothing but the table of those that failed.")
def batch(
    table: Path | None,
    options: tuple[str, ...],
    contents: tuple[str, ...],
    styles: tuple[str, ...],
    folder: Path | None,
    workers: int,
    force: bool,
    quiet: bool,
) -> None:
    """Make many pictures, each by an `isostyle run` of its own; what fails is named, and the others go on.

    \b
      isostyle batch --content photos/ --style 'paintings/*.jpg' -o out/
      isostyle batch --content photos/ --style oil.jpg -o out/ --workers 2 -- --recipe painterly --steps 200
      isostyle batch runs.csv
      isostyle batch runs.toml -o out/ -- --backend paddle

    What stands behind -- are options of `isostyle run`, for all. A table has a run a row. In CSV, its columns are content,
    style, and, where you like, output and options by name (recipe, steps, style_weight, ...). In TOML:

    \b
      recipe = "painterly"                    # options for all
      contents = ["photos/*.jpg"]             # every one of these ...
      styles = ["oil.jpg", "ink.jpg"]         # ... in each of those
      [[run]]                                 # and runs one by one
      content = "a.jpg"
      style = "b.jpg"
      output = "c.png"
      steps = 100

    Names in a table are relative to its folder. A second call skips the runs that are finished and goes on with those that
    were interrupted: they leave a checkpoint beside their picture, PICTURE.checkpoint. A run whose pictures, recipe, network,
    seed or backend changed is made anew, with --force.

    Exit codes: 0 all done; 1 some failed; 2 the input cannot be used, and nothing was written; 130 or 143 stopped by Ctrl-C or
    SIGTERM (pictures and checkpoints are kept; the same command goes on).
    """
    from isostyle.cli import batch_plan
    from isostyle.cli.interrupts import interruptible
    from isostyle.cli.outputs import make_folder

    if table is not None and str(table).startswith("-"):
        table, options = None, (str(table), *options)
    place = folder or Path()
    runs = batch_plan.every_pair(contents, styles, place, options) if contents or styles or table is None else []
    if table is not None:
        runs = batch_plan.apart([*runs, *batch_plan.read_table(table, place, options)])
    asked = [parse(run) for run in runs]
    for parent in dict.fromkeys(run.output.parent for run in runs):
        if parent != place and not parent.is_dir():
            raise InputError(f"there is no folder {str(parent)!r} to write to")
    made = make_folder(place)
    outcomes: list[Outcome] = []
    try:
        with interruptible(terminable=True, alike=True) as interrupt, meter(len(runs), quiet) as told:
            crew = Crew(workers, force)
            interrupt.later()
            for outcome in crew.work(list(zip(runs, asked, strict=True)), lambda: interrupt.seen):
                outcomes.append(outcome)
                told.outcome(outcome)
    finally:
        if made and not any(outcome.state in (DONE, STOPPED) for outcome in outcomes):
            with contextlib.suppress(OSError):
                place.rmdir()
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    if not quiet or failed:
        click.echo(as_table(failed if quiet else outcomes))
    if interrupt.seen:
        count = sum(outcome.state in (DONE, THERE) for outcome in outcomes)
        click.echo(f"isostyle: interrupted; {count} of {len(runs)} are finished; the same command goes on", err=True)
        raise click.exceptions.Exit(EXIT_TERMINATED if interrupt.terminated else EXIT_INTERRUPTED)
    if failed:
        raise IsostyleError(f"{len(failed)} of {len(runs)} runs failed")


def parse(run: BatchRun) -> dict[str, Any]:
    """The options of a run as `isostyle run` understands them; what it would refuse, a batch refuses before it begins.

    Raises:
        InputError: it would.
    """
    from isostyle.cli import options
    from isostyle.cli import run as run_cli
    from isostyle.images import encode

    where = f"{str(run.content)!r} with {str(run.style)!r}"
    try:
        with run_cli.run.make_context("run", run.arguments) as context:
            params: dict[str, Any] = context.params
            for name in TAKEN:
                given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
                if name != "output" and given:
                    before = " put it before --" if name in OPTIONS_OF_BATCH else " it is set for each"
                    raise InputError(f"{where}: --{name} is the batch's own, and no option of its runs;{before}")
            options.settings_of(params)
            encode.check(run.output, taken_from(dict(params)))
            return params
    except InputError as error:
        raise error if str(error).startswith(where) else InputError(f"{where}: {error}") from None
    except (click.exceptions.Exit, click.UsageError) as error:
        said = (
            error.format_message() if isinstance(error, click.UsageError) else "options that end a command are none of a run's"
        )
        raise InputError(f"{where}: {said}") from None


def finished(run: BatchRun, asked: dict[str, Any]) -> bool:
    """Whether a run's picture is there, and its manifest says that it is what is asked for.

    Raises:
        InputError: what is asked for cannot be.
    """
    from isostyle.cli.options import settings_of
    from isostyle.cli.outputs import manifest_path
    from isostyle.system.files import read_input, sha256
    from isostyle.weights import store

    try:
        told = json.loads(manifest_path(run.output).read_bytes())
        was = [
            told["stopped_by"],
            told["recipe"]["digest"],
            *(told["inputs"][role]["file_sha256"] for role in ("content", "style")),
            told["inputs"].get("init", {}).get("file_sha256"),
            told["network"]["weights_sha256"],
            told["seed"],
            told["backend"]["dtype"],
            told["backend"]["precision"],
            options_of(told["output"]),
        ]
        backend = told["backend"]["name"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    settings = settings_of(asked)
    pictures = [sha256(read_input(path)) for path in (run.content, run.style)]
    start = sha256(read_input(Path(asked["init"]))) if settings.start == "image" else None
    network = store.load(asked["network"]).digest
    now = [None, settings.digest, *pictures, start, network, asked["seed"], asked["dtype"], asked["precision"]]
    now.append(taken_from(dict(asked)))
    return run.output.exists() and was == now and asked["backend"] in ("auto", backend)


@dataclass
class Crew:
    """So many runs at a time, each a process."""

    workers: int
    force: bool
    #: Those that run.
    processes: set[subprocess.Popen[str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: bool = False

    def work(self, runs: Sequence[tuple[BatchRun, dict[str, Any]]], stop: Any) -> Iterator[Outcome]:
        """What became of each, as they end; if ``stop()`` becomes true, those under way are ended, and no other is begun."""
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: set[Future[Outcome]] = {pool.submit(self.one, run, asked) for run, asked in runs}
            try:
                while waiting:
                    ended, waiting = wait(waiting, LOOK_SECONDS, FIRST_COMPLETED)
                    if stop() and not self.stopping:
                        self.end()
                        waiting -= {future for future in waiting if future.cancel()}
                    yield from (future.result() for future in ended if not future.canceled())
            finally:
                self.end()

    def end(self) -> None:
        """Let those that run keep picture and checkpoint, and come to an end."""
        with self.lock:
            self.stopping = True
            for process in self.processes:
                process.send_signal(signal.SIGTERM)

    def one(self, run: BatchRun, asked: dict[str, Any]) -> Outcome:
        began = time.monotonic()
        try:
            if not self.force and finished(run, asked):
                return Outcome(run, THERE, 0.0, total_of(run))
            code, said = self.go_on(run, asked) if run.checkpoint.exists() and not self.force else (None, "")
            if code is None:
                code, said = self.call(["run", *self.flags(run, asked), *run.arguments])
        except IsostyleError as error:
            return Outcome(run, FAILED, time.monotonic() - began, reason=str(error))
        seconds = time.monotonic() - began
        if code == 0:
            return Outcome(run, DONE, seconds, total_of(run))
        if self.stopping and code in (EXIT_TERMINATED, -signal.SIGTERM):
            return Outcome(run, STOPPED, seconds)
        lines = said.strip().splitlines()
        reason = (
            lines[-1].removeprefix("isostyle: ") if lines else f"ended by signal {-code}" if code < 0 else f"exit code {code}"
        )
        return Outcome(run, FAILED, seconds, reason=reason)

    def go_on(self, run: BatchRun, asked: dict[str, Any]) -> tuple[int | None, str]:
        """Resume a run; None if its checkpoint is of another."""
        from isostyle.cli.options import settings_of
        from isostyle.transfer import checkpoint as run_checkpoint

        try:
            kept = run_checkpoint.load(run.checkpoint)
        except InputError:
            return None, ""
        if kept.recipe.digest != settings_of(asked).digest or kept.settings["seed"] != asked["seed"]:
            return None, ""
        code, said = self.call(["resume", str(run.checkpoint), "-o", str(run.output), "--quiet"])
        return (None if code == InputError.exit_code else code), said

    def flags(self, run: BatchRun, asked: dict[str, Any]) -> list[str]:
        """What a batch adds to each run."""
        from isostyle import registry
        from isostyle.cli.options import settings_of
        from isostyle.cli.outputs import manifest_path
        from isostyle.cli.resume import is_unfinished
        from isostyle.system import memory

        found = ["--quiet", "--checkpoint", str(run.checkpoint)]
        if self.workers > 1:
            if asked["threads"] is None:
                found += ["--threads", str(max(1, registry.default_threads() // self.workers))]
            if asked["max_memory"] is None and (free := memory.available()) is not None:
                found += ["--max-memory", f"{int(memory.SHARE_OF_FREE * free / self.workers) // 2**20}MiB"]
        manifest = manifest_path(run.output)
        left_behind = run.checkpoint.exists() or is_unfinished(manifest, settings_of(asked))
        if self.force or left_behind or (is_manifest(manifest) and not run.output.exists()):
            found.append("--force")
        return found

    def call(self, arguments: list[str]) -> tuple[int, str]:
        """Exit code of an `isostyle`, and what it said on stderr."""
        command = [sys.executable, "-m", "isostyle", *arguments]
        with self.lock:
            if self.stopping:
                return EXIT_TERMINATED, ""
            # A session of its own: Ctrl-C on the terminal reaches the batch alone, which then ends each in good order, once.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self.processes.add(process)
        try:
            _, said = process.communicate()
        finally:
            with self.lock:
                self.processes.discard(process)
        return process.returncode, said


def is_manifest(path: Path) -> bool:
    """Whether a file is the manifest of a run, and nobody's own."""
    from isostyle.transfer.manifest import MANIFEST_SCHEMA

    try:
        return bool(json.loads(path.read_bytes())["schema"] == MANIFEST_SCHEMA)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def total_of(run: BatchRun) -> float | None:
    from isostyle.cli.outputs import manifest_path

    try:
        return float(json.loads(manifest_path(run.output).read_bytes())["losses"]["last"]["total"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def as_table(outcomes: Sequence[Outcome]) -> str:
    """A line each: picture, what became of it, seconds, total loss or why it failed."""
    rows = [("picture", "", "seconds", "total")]
    for each in outcomes:
        total = each.reason or ("" if each.total is None else f"{each.total:.4g}")
        seconds = f"{each.seconds:.1f}" if each.state != THERE else ""
        rows.append((readable(each.run.output), each.state, seconds, total))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows)


class Report:
    """Lines on stderr."""

    def __init__(self, count: int, teller: Teller) -> None:
        self.count, self.number, self.line = count, 0, teller.line

    def outcome(self, outcome: Outcome) -> None:
        self.number += 1
        what = f": {outcome.reason}" if outcome.reason else ""
        self.line(f"{self.number}/{self.count}  {readable(outcome.run.output)}  {outcome.state}{what}")


class Bar(Report):
    """A bar on a terminal; only failures are lines."""

    def __init__(self, count: int, teller: Teller, live: Progress) -> None:
        super().__init__(count, teller)
        self.live = live
        self.task = live.add_task("", total=count, last="")

    def outcome(self, outcome: Outcome) -> None:
        self.live.update(self.task, advance=1, last=readable(outcome.run.output))
        if outcome.reason:
            super().outcome(outcome)


@contextlib.contextmanager
def meter(count: int, quiet: bool) -> Iterator[Report]:
    """The one that fits."""
    with teller(quiet, "last", width=20) as told:
        yield Report(count, told) if told.live is None else Bar(count, told, told.live)
