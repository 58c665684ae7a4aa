"""`isostyle batch`: many runs, each in a process of its own, so that none takes another with it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import rich_click as click
from click.core import ParameterSource
from click.exceptions import Exit

from isostyle import registry
from isostyle.cli import batch_plan
from isostyle.cli.batch_plan import BatchRun
from isostyle.cli.help import Command
from isostyle.cli.interrupts import Interrupt, interruptible
from isostyle.cli.options import FORCE, QUIET, run_parser, settings_of, taken_from
from isostyle.cli.outputs import beside, is_unfinished, make_folder, said_in
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import EXIT_TERMINATED, InputError, IsostyleError
from isostyle.images import encode
from isostyle.images.options import options_of
from isostyle.system import memory
from isostyle.system.files import read_input, sha256
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer.manifest import MANIFEST_SCHEMA
from isostyle.weights import store

#: Options of `isostyle run` that the batch sets for each, ...
SET_FOR_EACH = ("manifest", "checkpoint")
#: ... and those that it takes itself.
OPTIONS_OF_BATCH = ("force", "quiet")
#: Between two looks at the processes.
LOOK_SECONDS = 0.05
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


@click.command(cls=Command)
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
@FORCE
@QUIET
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
    Examples:
      isostyle batch --content photos/ --style 'paintings/*.jpg' -o out/
      isostyle batch --content photos/ --style oil.jpg --workers 2 -- --steps 200
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
    if table is not None and str(table).startswith("-"):
        table, options = None, (str(table), *options)
    place = folder or Path()
    runs = batch_plan.every_pair(contents, styles, place, options) if contents or styles or table is None else []
    if table is not None:
        runs = batch_plan.apart([*runs, *batch_plan.read_table(table, place, options)])
    asked = [(run, parse(run)) for run in runs]
    for parent in dict.fromkeys(run.output.parent for run in runs):
        if parent != place and not parent.is_dir():
            raise InputError(f"there is no folder {str(parent)!r} to write to")
    made = make_folder(place)
    outcomes: list[Outcome] = []
    try:
        with interruptible() as interrupt, teller(quiet, width=20) as told:
            interrupt.later()
            told.bar(0, len(runs))
            for outcome in work(asked, workers, interrupt, force=force):
                outcomes.append(outcome)
                tell(told, outcome, len(outcomes), len(runs))
    finally:
        if made and not any(outcome.state in (DONE, STOPPED) for outcome in outcomes):
            with contextlib.suppress(OSError):
                place.rmdir()
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    if not quiet or failed:
        click.echo(as_table(failed if quiet else outcomes))
    if interrupt.seen:
        count = Counter(outcome.state for outcome in outcomes)
        finished = count[DONE] + count[THERE]
        click.echo(f"isostyle: interrupted; {finished} of {len(runs)} are finished; the same command goes on", err=True)
        raise Exit(interrupt.exit_code)
    if failed:
        raise IsostyleError(f"{len(failed)} of {len(runs)} runs failed")


def parse(run: BatchRun) -> dict[str, Any]:
    """The options of a run as `isostyle run` understands them; what it would refuse, a batch refuses before it begins.

    Raises:
        InputError: it would.
    """
    try:
        with run_parser.make_context("run", run.arguments) as context:
            params: dict[str, Any] = context.params
            for name in (*SET_FOR_EACH, *OPTIONS_OF_BATCH):
                if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
                    instead = "put it before --" if name in OPTIONS_OF_BATCH else "it is set for each"
                    raise InputError(f"--{name} is the batch's own, and no option of its runs; {instead}")
            settings_of(params)
            encode.check(run.output, taken_from(dict(params)))
            return params
    except Exit:
        said = "options that end a command are none of a run's"
    except click.UsageError as error:
        said = error.format_message()
    except InputError as error:
        said = str(error)
    raise InputError(f"{str(run.content)!r} with {str(run.style)!r}: {said}")


def is_finished(run: BatchRun, asked: dict[str, Any]) -> bool:
    """Whether a run's picture is there, and its manifest says that it is what is asked for.

    Raises:
        InputError: what is asked for cannot be.
    """
    told = said_in(beside(run.output))
    try:
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
    except (KeyError, TypeError, AttributeError, ValueError):
        return False
    settings = settings_of(asked)
    pictures = [sha256(read_input(path)) for path in (run.content, run.style)]
    start = sha256(read_input(Path(asked["init"]))) if settings.start == "image" else None
    network = store.load(asked["network"]).digest
    now = [None, settings.digest, *pictures, start, network, asked["seed"], asked["dtype"], asked["precision"]]
    now.append(taken_from(dict(asked)))
    return run.output.exists() and was == now and asked["backend"] in ("auto", backend)


@dataclass
class Process:
    """An `isostyle` that makes one picture."""

    run: BatchRun
    asked: dict[str, Any]
    #: Of `isostyle run`, for when there is nothing to resume; or it cannot be.
    arguments: list[str]
    resumes: bool
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        goes_on = ["resume", str(self.run.checkpoint), "-o", str(self.run.output), "--quiet"]
        self.said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        self.process = subprocess.Popen(
            [sys.executable, "-m", "isostyle", *(goes_on if self.resumes else self.arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
            # A session of its own: Ctrl-C on the terminal reaches the batch alone, which ends each in good order.
            start_new_session=True,
        )

    def outcome(self, stopped: bool) -> Outcome:
        """What became of the run, whose process has ended."""
        code, seconds = self.process.returncode, time.monotonic() - self.began
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        self.said.close()
        if code == 0:
            return Outcome(self.run, DONE, seconds, total_of(self.run))
        if stopped and code in (EXIT_TERMINATED, -signal.SIGTERM):
            return Outcome(self.run, STOPPED, seconds)
        ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
        return Outcome(self.run, FAILED, seconds, reason=lines[-1].removeprefix("isostyle: ") if lines else ended)


def work(
    runs: Sequence[tuple[BatchRun, dict[str, Any]]], workers: int, interrupt: Interrupt, *, force: bool
) -> Iterator[Outcome]:
    """What became of each run, as they end. At an interrupt those under way keep picture and checkpoint; no other begins."""
    waiting, running = deque(runs), list[Process]()
    stopped = False
    try:
        while running or (waiting and not interrupt.seen):
            if interrupt.seen and not stopped:
                stopped = True
                terminate(running)
            while waiting and len(running) < workers and not interrupt.seen:
                begun = begin(*waiting.popleft(), workers, force=force)
                if isinstance(begun, Outcome):
                    yield begun
                else:
                    running.append(begun)
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                if each.resumes and each.process.returncode == InputError.exit_code and not stopped:
                    running.append(Process(each.run, each.asked, each.arguments, resumes=False))
                else:
                    yield each.outcome(stopped)
            time.sleep(LOOK_SECONDS if running else 0)
    finally:
        terminate(running)


def terminate(running: Sequence[Process]) -> None:
    """Let processes keep picture and checkpoint, and come to an end."""
    for each in running:
        each.process.send_signal(signal.SIGTERM)


def begin(run: BatchRun, asked: dict[str, Any], workers: int, *, force: bool) -> Process | Outcome:
    """Begin a run, or go on with it; its outcome, if it is finished, or cannot begin."""
    try:
        if not force and is_finished(run, asked):
            return Outcome(run, THERE, total=total_of(run))
        arguments = ["run", *flags(run, asked, workers, force=force), *run.arguments]
        return Process(run, asked, arguments, resumes=not force and can_go_on(run, asked))
    except IsostyleError as error:
        return Outcome(run, FAILED, reason=str(error))


def can_go_on(run: BatchRun, asked: dict[str, Any]) -> bool:
    """Whether there is a checkpoint of the run that is asked for."""
    try:
        kept = run_checkpoint.load(run.checkpoint)
    except InputError:
        return False
    return kept.recipe.digest == settings_of(asked).digest and kept.settings["seed"] == asked["seed"]


def flags(run: BatchRun, asked: dict[str, Any], workers: int, *, force: bool) -> list[str]:
    """What a batch adds to the options of a run."""
    found = ["--quiet", "--checkpoint", str(run.checkpoint)]
    if workers > 1:
        if asked["threads"] is None:
            found += ["--threads", str(max(1, registry.default_threads() // workers))]
        if asked["max_memory"] is None:
            found += ["--max-memory", f"{int(memory.SHARE_OF_FREE * memory.available() / workers) // 2**20}MiB"]
    told = said_in(beside(run.output))
    left_behind = run.checkpoint.exists() or is_unfinished(told, settings_of(asked))
    if force or left_behind or (is_manifest(told) and not run.output.exists()):
        found.append("--force")
    return found


def is_manifest(told: Any) -> bool:
    """Whether what a file says is the manifest of a run, and nobody's own."""
    return isinstance(told, dict) and told.get("schema") == MANIFEST_SCHEMA


def total_of(run: BatchRun) -> float | None:
    try:
        return float(said_in(beside(run.output))["losses"]["last"]["total"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def tell(told: Teller, outcome: Outcome, number: int, count: int) -> None:
    """One run more has ended; beside a bar only failures are lines."""
    name = readable(outcome.run.output)
    if not told.bar(number, count, name) or outcome.reason:
        why = f": {outcome.reason}" if outcome.reason else ""
        told.line(f"{number}/{count}  {name}  {outcome.state}{why}")


def as_table(outcomes: Sequence[Outcome]) -> str:
    """A line each: picture, what became of it, seconds, total loss or why it failed."""
    rows = [("picture", "", "seconds", "total")]
    for each in outcomes:
        total = each.reason or ("" if each.total is None else f"{each.total:.4g}")
        seconds = f"{each.seconds:.1f}" if each.state != THERE else ""
        rows.append((readable(each.run.output), each.state, seconds, total))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows)
