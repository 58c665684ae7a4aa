"""Standard input and output as pictures: what `-` means on the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from isostyle.errors import InputError
from isostyle.system.files import MAX_BYTES, reason

#: Stands for standard input or output, and never for a file: :class:`FileOrPipe` makes another path of a file's name ``./-``.
PIPE = Path("-")


class FileOrPipe(click.Path):
    """A file's name as a Path; ``-`` as :data:`PIPE`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        return Path(os.path.abspath(value)) if path == PIPE and value not in ("-", PIPE) else path


def stem(path: Path) -> str:
    """The name, without its suffix, of what is made of an input."""
    return "stdin" if path == PIPE else path.stem


def read_stdin() -> bytes:
    """All of standard input. Raises InputError if it is a terminal, empty, too large, or cannot be read."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("- reads a picture from standard input, and nothing is piped in")
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"standard input cannot be read: {reason(error)}") from None
    if not data:
        raise InputError("- reads a picture from standard input, and that is empty")
    if len(data) > MAX_BYTES:
        raise InputError(f"standard input is larger than {MAX_BYTES // 2**30} GiB")
    return data


def read_piped(options: dict[str, Any]) -> None:
    """Put the bytes of standard input in place of :data:`PIPE`, as content or as style. Raises InputError if it is both."""
    piped = [name for name in ("content", "style") if options[name] == PIPE]
    if len(piped) > 1:
        raise InputError("- is standard input, and that is one picture, not two")
    options.update((name, read_stdin()) for name in piped)


def require_stdout() -> None:
    """Raises InputError if a picture cannot go to standard output."""
    if sys.stdout is None or sys.stdout.isatty():
        what = "closed" if sys.stdout is None else "a terminal; send it to a file or a pipe"
        raise InputError(f"-o - writes the picture to standard output, and that is {what}")


def write_stdout(data: memoryview) -> None:
    """Raises OSError if standard output does not take all of it."""
    sys.stdout.flush()
    # Past Python's own buffer: what a reader that went away left in there would be tried again, and complained of, at the end.
    with open(os.dup(sys.stdout.fileno()), "wb", buffering=0) as stream:
        while data:
            data = data[stream.write(data) :]
