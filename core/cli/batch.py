"""`isostyle batch`: many runs, each in a process of its own, so that none takes another with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
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
from isostyle.cli.outputs import beside, is_unfinished, output_folder, said_in
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import EXIT_TERMINATED, InputError, IsostyleError
from isostyle.images import encode
from isostyle.images.options import options_of
from isostyle.system import memory
from isostyle.system.files import read_input, sha256
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer.manifest import MANIFEST_SCHEMA
from isostyle.weights import store

#: Options of `isostyle run` that a batch does not pass on, each with what to do.
NOT_OF_A_RUN = {
    **dict.fromkeys(("manifest", "checkpoint"), "it is set for each"),
    **dict.fromkeys(("force", "quiet"), "put it before --"),
}
#: Between two looks at the processes.
LOOK_SECONDS = 0.05
DONE, THERE, FAILED, STOPPED = "done", "was there", "failed", "stopped"


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
        runs += batch_plan.read_table(table, place, options)
    batch_plan.require_apart(runs)
    tasks = [Task(run) for run in runs]
    for parent in dict.fromkeys(run.output.parent for run in runs):
        if parent != place and not parent.is_dir():
            raise InputError(f"there is no folder {str(parent)!r} to write to")
    ended: list[Task] = []
    with output_folder(place), interruptible() as interrupt, teller(quiet) as told:
        interrupt.later()
        told.bar(0, len(tasks))
        for task in work(tasks, workers, interrupt, force=force):
            ended.append(task)
            tell(told, task, len(ended), len(tasks))
    count = Counter(task.state for task in ended)
    if not quiet or count[FAILED]:
        click.echo(as_table([task for task in ended if not quiet or task.state == FAILED]))
    if interrupt.seen:
        finished = f"{count[DONE] + count[THERE]} of {len(tasks)} are finished"
        click.echo(f"isostyle: interrupted; {finished}; the same command goes on", err=True)
        raise Exit(interrupt.exit_code)
    if count[FAILED]:
        raise IsostyleError(f"{count[FAILED]} of {len(tasks)} runs failed")


def parse(run: BatchRun) -> dict[str, Any]:
    """The options of a run as `isostyle run` understands them. Raises InputError for what that would refuse."""
    try:
        with run_parser.make_context("run", run.arguments) as context:
            params: dict[str, Any] = context.params
            for name, instead in NOT_OF_A_RUN.items():
                if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
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


class Task:
    """A run of a batch: the `isostyle` that makes its picture, and what becomes of it."""

    process: subprocess.Popen[bytes]
    #: What it says on stderr.
    said: IO[bytes]

    def __init__(self, run: BatchRun) -> None:
        self.run, self.asked = run, parse(run)
        self.state = self.reason = ""
        self.began: float | None = None
        self.seconds = 0.0
        #: The command for when there is nothing to resume, or it cannot be.
        self.anew: list[str] = []
        self.resumes = False

    @property
    def told(self) -> Any:
        """What the manifest says, if there is one."""
        return said_in(beside(self.run.output))

    @property
    def total(self) -> float | None:
        """Of its picture, if there is one."""
        try:
            return float(self.told["losses"]["last"]["total"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def is_finished(self) -> bool:
        """Whether the picture is there, and its manifest says that it is what is asked for. Raises InputError if that cannot
        be."""
        told, asked = self.told, self.asked
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
        pictures = [sha256(read_input(path)) for path in (self.run.content, self.run.style)]
        start = sha256(read_input(Path(asked["init"]))) if settings.start == "image" else None
        network = store.load(asked["network"]).digest
        now = [None, settings.digest, *pictures, start, network, asked["seed"], asked["dtype"], asked["precision"]]
        now.append(taken_from(dict(asked)))
        return self.run.output.exists() and was == now and asked["backend"] in ("auto", backend)

    def can_go_on(self) -> bool:
        """Whether there is a checkpoint of the run that is asked for."""
        try:
            kept = run_checkpoint.load(self.run.checkpoint)
        except InputError:
            return False
        return kept.recipe.digest == settings_of(self.asked).digest and kept.settings["seed"] == self.asked["seed"]

    def flags(self, workers: int, *, force: bool) -> list[str]:
        """What a batch adds to the options of the run."""
        found = ["--quiet", "--checkpoint", str(self.run.checkpoint)]
        if workers > 1 and self.asked["threads"] is None:
            found += ["--threads", str(max(1, registry.default_threads() // workers))]
        if workers > 1 and self.asked["max_memory"] is None:
            found += ["--max-memory", f"{int(memory.SHARE_OF_FREE * memory.available() / workers) // 2**20}MiB"]
        left_behind = self.run.checkpoint.exists() or is_unfinished(self.told, settings_of(self.asked))
        if force or left_behind or (is_manifest(self.told) and not self.run.output.exists()):
            found.append("--force")
        return found

    def begin(self, workers: int, *, force: bool) -> None:
        """Begin the run, or go on with it, unless it is finished, or cannot begin."""
        try:
            if not force and self.is_finished():
                self.state = THERE
                return
            self.anew = ["run", *self.flags(workers, force=force), *self.run.arguments]
            self.resumes = not force and self.can_go_on()
        except IsostyleError as error:
            self.state, self.reason = FAILED, str(error)
            return
        again = ["resume", str(self.run.checkpoint), "-o", str(self.run.output), "--quiet"]
        self.start(again if self.resumes else self.anew)

    def start(self, arguments: list[str]) -> None:
        self.began = time.monotonic()
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        self.process = subprocess.Popen(
            [sys.executable, "-m", "isostyle", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
            # A session of its own: Ctrl-C on the terminal reaches the batch alone, which ends each in good order.
            start_new_session=True,
        )

    def has_ended(self, stopped: bool) -> bool:
        """Whether the run has come to its end, in a ``state`` then; ``stopped`` if it was told to."""
        if self.began is None:
            return True
        if (code := self.process.poll()) is None:
            return False
        self.seconds = time.monotonic() - self.began
        with self.said:
            self.said.seek(0)
            lines = self.said.read().decode(errors="replace").strip().splitlines()
        if self.resumes and code == InputError.exit_code and not stopped:
            self.resumes = False
            self.start(self.anew)
            return False
        if code == 0:
            self.state = DONE
        elif stopped and code in (EXIT_TERMINATED, -signal.SIGTERM):
            self.state = STOPPED
        else:
            ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
            self.state, self.reason = FAILED, lines[-1].removeprefix("isostyle: ") if lines else ended
        return True


def is_manifest(told: Any) -> bool:
    """Whether what a file says is the manifest of a run, and nobody's own."""
    return isinstance(told, dict) and told.get("schema") == MANIFEST_SCHEMA


def work(tasks: Sequence[Task], workers: int, interrupt: Interrupt, *, force: bool) -> Iterator[Task]:
    """Each task, when it has ended. At an interrupt those under way keep picture and checkpoint; no other begins."""
    waiting, running = deque(tasks), list[Task]()
    stopped = False
    try:
        while running or (waiting and not interrupt.seen):
            if interrupt.seen and not stopped:
                stopped = True
                terminate(running)
            while waiting and len(running) < workers and not interrupt.seen:
                running.append(waiting.popleft())
                running[-1].begin(workers, force=force)
            for task in [task for task in running if task.has_ended(stopped)]:
                running.remove(task)
                yield task
            time.sleep(LOOK_SECONDS if running else 0)
    finally:
        terminate(running)


def terminate(running: Sequence[Task]) -> None:
    """Let processes keep picture and checkpoint, and come to an end."""
    for task in running:
        if task.began is not None:
            task.process.send_signal(signal.SIGTERM)


def tell(told: Teller, task: Task, number: int, count: int) -> None:
    """One run more has ended; beside a bar only failures are lines."""
    name = readable(task.run.output)
    if not told.bar(number, count, name) or task.reason:
        why = f": {task.reason}" if task.reason else ""
        told.line(f"{number}/{count}  {name}  {task.state}{why}")


def as_table(tasks: Sequence[Task]) -> str:
    """A line each: picture, what became of it, seconds, total loss or why it failed."""
    rows = [("picture", "", "seconds", "total")]
    for task in tasks:
        total = task.total if task.state in (DONE, THERE) else None
        seconds = f"{task.seconds:.1f}" if task.state != THERE else ""
        rows.append((readable(task.run.output), task.state, seconds, task.reason if total is None else f"{total:.4g}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows)
