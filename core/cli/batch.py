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
from pathlib import Path
from typing import IO, Any

import rich_click as click
from click.exceptions import Exit

from isostyle import registry
from isostyle.checks import at
from isostyle.cli import batch_plan
from isostyle.cli.batch_plan import BatchRun
from isostyle.cli.help import Command
from isostyle.cli.interrupts import Interrupt, interruptible
from isostyle.cli.options import (
    FORCE,
    INPUTS,
    OUTPUT,
    QUIET,
    SPEED,
    file_option,
    option,
    recursive_option,
    taken_from,
)
from isostyle.cli.outputs import beside, is_unfinished, output_folder, require_use, said_in
from isostyle.cli.progress import Teller, readable, teller
from isostyle.cli.run_options import run_parser, settings_of
from isostyle.errors import EXIT_TERMINATED, InputError, IsostyleError
from isostyle.images import decode, encode
from isostyle.system import memory
from isostyle.system.files import read_input, sha256
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer.manifest import MANIFEST_SCHEMA
from isostyle.transfer.styles import by_role, weights_of
from isostyle.weights import store

#: Between two looks at the processes.
LOOK_SECONDS = 0.05
DONE, THERE, FAILED, STOPPED = "done", "was there", "failed", "stopped"


@click.command(cls=Command)
@click.argument("table", required=False, type=click.Path(path_type=Path))
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS]")
@option(INPUTS, "--content contents", "PICTURES", "A file, a folder or a pattern; may be repeated.", multiple=True)
@option(INPUTS, "--style styles", "PICTURES", "Likewise: every content image in every style.", multiple=True)
@recursive_option(INPUTS)
@file_option(OUTPUT, "-o --output folder", "Where pictures go that no table names; made if need be.", "FOLDER", default=".")
@option(SPEED, "--workers", "N", "Runs at a time.", type=click.IntRange(1), default=1)
@FORCE
@QUIET
def batch(
    table: Path | None,
    options: tuple[str, ...],
    recursive: bool,
    folder: Path,
    workers: int,
    force: bool,
    quiet: bool,
    **pairs: tuple[str, ...],
) -> None:
    """Make many pictures, each by an `isostyle run` of its own; what fails is named, and the others go on.

    \b
    Examples:
      isostyle batch --content photos/ --style 'paintings/*.jpg' -o out/
      isostyle batch --content photos/ --style oil.jpg --workers 2 -- --steps 200
      isostyle batch --content photos/ --style oil.jpg -o out/ --recursive
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

    With --recursive, photos/2019/a.jpg becomes out/2019/a-oil.png. Pictures that differ in their suffix only keep it in the
    names of their outputs: a.jpg-oil.png and a.png-oil.png.
    Names in a table are relative to its folder. A second call skips the runs that are finished and goes on with those that
    were interrupted: they leave a checkpoint beside their picture, PICTURE.checkpoint. A run whose pictures, recipe, network,
    seed, kept colors or backend changed is made anew, with --force.

    Exit codes: 0 all done; 1 some failed; 2 the input cannot be used, and nothing was written; 130 or 143 stopped by Ctrl-C or
    SIGTERM (pictures and checkpoints are kept; the same command goes on).
    """
    if table is not None and str(table).startswith("-"):
        table, options = None, (str(table), *options)
    lines: list[str] = []
    how: dict[str, Any] = {"folder": folder, "options": options, "recursive": recursive, "tell": lines.append}
    runs = batch_plan.every_pair(pairs["contents"], pairs["styles"], **how) if any(pairs.values()) or table is None else []
    if table is not None:
        runs += batch_plan.read_table(table, **how)
    runs = batch_plan.settle(runs)
    tasks = [Task(run) for run in runs]
    for parent in dict.fromkeys(run.output.parent for run in runs if run.is_named):
        if parent != folder and not parent.is_dir():
            raise InputError(f"there is no folder {str(parent)!r} to write to")
    lines += which_pictures(runs)
    places = {run.output.parent for run in runs if not run.is_named}
    ended: list[Task] = []
    with output_folder(folder, places), interruptible() as interrupt, teller(quiet) as told:
        interrupt.waits = True
        for line in lines:
            told.line(line)
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


def which_pictures(runs: Sequence[BatchRun]) -> list[str]:
    """A line for each file that holds several pictures: which one is taken. The runs are quiet."""
    lines = []
    for path in dict.fromkeys(path for run in runs for path in (run.content, run.style)):
        # What cannot be read is said by its run.
        with contextlib.suppress(InputError):
            if which := decode.header(path).which:
                lines.append(f"{str(path)!r}: {which} was taken")
    return lines


def parse(run: BatchRun) -> dict[str, Any]:
    """The options of a run as `isostyle run` understands them. Raises InputError for what that would refuse."""
    try:
        params: dict[str, Any] = run_parser.make_context("run", run.arguments).params
        written = taken_from(dict(params))
        encode.check(run.output, written)
        require_use(written, [run.output.suffix])
        settings_of(params)
        return params
    except click.UsageError as error:
        said = error.format_message()
    except InputError as error:
        said = str(error)
    raise InputError(f"{str(run.content)!r} with {str(run.style)!r}: {said}")


class Task:
    """A run of a batch: the `isostyle` that makes its picture, and what becomes of it."""

    process: subprocess.Popen[bytes]
    #: What that says on stderr.
    said: IO[bytes]

    def __init__(self, run: BatchRun) -> None:
        self.run, self.asked = run, parse(run)
        self.settings = settings_of(self.asked)
        self.state = self.reason = ""
        self.began = self.seconds = 0.0

    @property
    def told(self) -> Any:
        """What the manifest says, if there is one."""
        return said_in(beside(self.run.output))

    @property
    def total(self) -> float | None:
        """Of its picture, if there is one."""
        total = at(self.told, ("losses", "last", "total"))
        return total if isinstance(total, float) else None

    @property
    def weights(self) -> dict[str, float]:
        """Of the style images, by role."""
        return by_role([self.run.style, *self.asked["more_styles"]])[1]

    def is_finished(self) -> bool:
        """Whether there are a picture and a manifest of what is asked for. Raises InputError if that cannot be."""
        told, asked = self.told, self.asked
        if not is_manifest(told) or not self.run.output.exists():
            return False
        weights, styles = self.weights, [self.run.style, *(path for path, _ in asked["more_styles"])]
        pictures = {"content": self.run.content, **dict(zip(weights, styles, strict=True))}
        if self.settings.start == "image":
            pictures["init"] = Path(asked["init"])
        now: dict[tuple[str, ...], Any] = {
            ("stopped_by",): None,
            ("recipe", "digest"): self.settings.digest,
            **{("inputs", role, "file_sha256"): sha256(read_input(path)) for role, path in pictures.items()},
            **{("inputs", role, "weight"): weight for role, weight in weights.items() if len(weights) > 1},
            ("network", "weights_sha256"): store.load(asked["network"]).digest,
            **{(name,): asked[name] for name in ("seed", "keep_colors")},
            **{("backend", name): asked[name] for name in ("dtype", "precision")},
            **{("output", name): value for name, value in taken_from(dict(asked)).as_dict().items()},
        }
        is_same = all(at(told, place) == value for place, value in now.items())
        return is_same and asked["backend"] in ("auto", at(told, ("backend", "name")))

    def can_go_on(self) -> bool:
        """Whether there is a checkpoint of the run that is asked for."""
        try:
            kept = run_checkpoint.load(self.run.checkpoint)
        except InputError:
            return False
        is_same = all(kept.settings[name] == self.asked[name] for name in ("seed", "keep_colors"))
        return is_same and kept.recipe.digest == self.settings.digest and weights_of(kept.inputs) == self.weights

    def command(self, workers: int, *, force: bool) -> list[str]:
        """The arguments of the `isostyle` that makes the picture, or goes on with it."""
        if not force and self.can_go_on():
            return ["resume", str(self.run.checkpoint), "-o", str(self.run.output), "--quiet"]
        flags = ["--quiet", "--checkpoint", str(self.run.checkpoint)]
        if workers > 1 and self.asked["threads"] is None:
            flags += ["--threads", str(max(1, registry.default_threads() // workers))]
        if workers > 1 and self.asked["max_memory"] is None:
            flags += ["--max-memory", f"{int(memory.SHARE_OF_FREE * memory.available() / workers) // 2**20}MiB"]
        left_behind = self.run.checkpoint.exists() or is_unfinished(self.told, self.settings)
        if force or left_behind or (is_manifest(self.told) and not self.run.output.exists()):
            flags.append("--force")
        return ["run", *flags, *self.run.arguments]

    def begin(self, workers: int, *, force: bool) -> None:
        """Begin the run, or go on with it, unless it is finished, or cannot begin: it is in a ``state`` then."""
        try:
            if not force and self.is_finished():
                self.state = THERE
                return
            command = self.command(workers, force=force)
        except IsostyleError as error:
            self.state, self.reason = FAILED, str(error)
            return
        self.began = time.monotonic()
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        self.process = subprocess.Popen(
            [sys.executable, "-m", "isostyle", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
            # A session of its own: Ctrl-C on the terminal reaches the batch alone, which ends each in good order.
            start_new_session=True,
        )

    def has_ended(self, stopped: bool) -> bool:
        """Whether the run has come to its end, and is in a ``state``; ``stopped``: whether it was told to."""
        if self.state:
            return True
        if (code := self.process.poll()) is None:
            return False
        self.seconds = time.monotonic() - self.began
        with self.said:
            self.said.seek(0)
            lines = self.said.read().decode(errors="replace").strip().splitlines()
        if code == 0:
            self.state = DONE
        elif stopped and code in (EXIT_TERMINATED, -signal.SIGTERM):
            self.state = STOPPED
        else:
            self.state, self.reason = FAILED, lines[-1].removeprefix("isostyle: ") if lines else f"exit code {code}"
        return True


def is_manifest(told: Any) -> bool:
    """Whether what a file says is the manifest of a run, and nobody's own."""
    return bool(at(told, ("schema",)) == MANIFEST_SCHEMA)


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
        if not task.state:
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
