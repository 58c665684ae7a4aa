"""How a command tells of its progress on stderr: lines, or a bar if that is a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID


def say(text: str) -> None:
    """Print a line. A reader that went away (`2>&1 | head`) or a full disk must not end the work."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def fail(message: str, code: int) -> NoReturn:
    """End the program with one line on stderr."""
    click.echo(f"isostyle: {' '.join(message.split())}", err=True)
    sys.exit(code)


def readable(path: Path | str) -> str:
    """A file's name, quoted if it holds what a terminal would obey, or what is no text."""
    name = str(path)
    return name if name.isprintable() else repr(name)


@dataclass
class Teller:
    """How a command tells of its work."""

    line: Callable[[str], None]
    #: Prints a line, with ``--quiet``, too.
    failure: Callable[[str], None]
    #: The bar, on a terminal.
    live: Progress | None = None
    task: TaskID | None = None
    #: When the time left was first asked for, and how much was done then.
    began: tuple[float, float] | None = None

    def bar(self, done: float, total: float, text: str = "") -> bool:
        """Move the bar. False if there is none: then a line may be due."""
        if self.live is None:
            return False
        if self.task is None:
            self.task = self.live.add_task("", total=total, text=text)
        self.live.update(self.task, completed=done, total=total, text=text)
        return True

    def eta(self, done: float, total: float) -> str:
        """The time left, judged by what was done since this was first asked: of a run that is resumed, others did the rest."""
        now = time.monotonic()
        since, before = self.began = self.began or (now, done)
        left = (now - since) / (done - before) * (total - done) if done > before else 0
        return f"  eta {left:.0f} s" if left > 0 else ""


@contextlib.contextmanager
def teller(quiet: bool, *counts: ProgressColumn) -> Iterator[Teller]:
    """The teller that fits: silent, lines above a bar with these counts on a terminal, lines elsewhere."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield Teller((lambda text: None) if quiet else say, say)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # A file's name may hold what rich would take for markup.
    text = TextColumn("{task.fields[text]}", markup=False)
    counts = counts or (MofNCompleteColumn(),)
    columns = BarColumn(bar_width=12), *counts, TimeRemainingColumn(compact=True), text
    with Progress(*columns, console=Console(stderr=True)) as live:

        def above(line: str) -> None:
            live.console.print(line, highlight=False, markup=False)

        yield Teller(above, above, live)
