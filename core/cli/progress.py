"""How a command tells of its progress on stderr: lines, or a bar if that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress


from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def say(text: str) -> None:
    """A line; a reader that went away (`2>&1 | head`) or a full disk must not end the work."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def readable(path: Path | str) -> str:
    """A file's name, which may hold what a terminal would obey, or what is no text."""
    name = str(path)
    return name if name.isprintable() else repr(name)


def on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@dataclass(frozen=True)
class Teller:
    """How a command tells of its work."""

    #: Says a line;
    line: Callable[[str], None]
    #: one that is said with ``--quiet``, too.
    failure: Callable[[str], None]
    #: The bar, if there is one.
    live: Progress | None = None


@contextlib.contextmanager
def teller(quiet: bool, field: str, width: int) -> Iterator[Teller]:
    """The one that fits: silent, lines above a bar on a terminal (see :func:`live_bar`), lines elsewhere."""
    if quiet:
        yield Teller(lambda text: None, say)
    elif not on_terminal():
        yield Teller(say, say)
    else:
        with live_bar(field, width) as live:

            def above(text: str) -> None:
                live.console.print(text, highlight=False, markup=False)

            yield Teller(above, above, live)


@contextlib.contextmanager
def live_bar(field: str, width: int) -> Iterator[Progress]:
    """A bar of so many letters with count, time left, and the task's ``field``."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=width),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        # A file's name may hold what rich would take for markup.
        TextColumn(f"{{task.fields[{field}]}}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as live:
        yield live


def fail(message: str, code: int) -> None:
    click.echo(f"isostyle: {' '.join(message.split())}", err=True)
    sys.exit(code)
