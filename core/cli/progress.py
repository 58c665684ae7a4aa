"""How a command tells of its progress on stderr: lines, or a bar if that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


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


def on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@dataclass
class Teller:
    """How a command tells of its work."""

    #: Prints a line;
    line: Callable[[str], None]
    #: one that is printed with ``--quiet``, too.
    failure: Callable[[str], None]
    #: The bar, on a terminal, ...
    live: Progress | None = None
    #: ... and the field of its text.
    field: str = "text"
    task: TaskID | None = None

    def bar(self, done: float, total: float, text: str = "") -> bool:
        """Move the bar. False if there is none: then a line may be due."""
        if self.live is None:
            return False
        fields: dict[str, Any] = {self.field: text}
        if self.task is None:
            self.task = self.live.add_task("", total=total, **fields)
        self.live.update(self.task, completed=done, total=total, **fields)
        return True


@contextlib.contextmanager
def teller(quiet: bool, field: str = "text", width: int = 12) -> Iterator[Teller]:
    """The teller that fits: silent, lines above a bar of so many letters on a terminal, lines elsewhere."""
    if quiet or not on_terminal():
        yield Teller((lambda text: None) if quiet else say, say)
        return
    with live_bar(field, width) as live:

        def above(text: str) -> None:
            live.console.print(text, highlight=False, markup=False)

        yield Teller(above, above, live, field)


def live_bar(field: str, width: int) -> Progress:
    """A bar of so many letters with count, time left, and the task's ``field``."""
    columns = (
        BarColumn(bar_width=width),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        # A file's name may hold what rich would take for markup.
        TextColumn(f"{{task.fields[{field}]}}", markup=False),
    )
    return Progress(*columns, console=Console(stderr=True))
