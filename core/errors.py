"""What isostyle raises on purpose. The command line turns each into one sentence on stderr and an exit code."""

from __future__ import annotations


class IsostyleError(Exception):
    """Base of every error that isostyle raises on purpose; ``exit_code`` is the command line's."""

    exit_code = 1


class InputError(IsostyleError, ValueError):
    """A file, a name or a number given by the caller cannot be used."""

    exit_code = 2
