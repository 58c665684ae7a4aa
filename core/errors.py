"""What isostyle raises on purpose. The command line turns each into one sentence on stderr and an exit code."""

from __future__ import annotations

#: 128 and the number of the signal, SIGINT and SIGTERM, as shells have it.
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143
#: What Ctrl-C is answered with where there is nothing to keep.
INTERRUPTED = "interrupted; nothing was written"
#: Of a value in a message; what a user wrote may be as long as a file.
SHOWN = 60


def shown(value: object) -> str:
    """``value`` as a message quotes it: short, and without what a terminal would obey."""
    try:
        text = repr(value)
    except ValueError:  # Python's limit for whole numbers
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def again(kind: type[BaseException], arguments: tuple[object, ...]) -> BaseException:
    """An error that was made already: as ``kind(*arguments)``, but without what that would make of its arguments."""
    return kind.__new__(kind, *arguments)


class Sent:
    """An error that reaches other processes whole. Python makes one there of the text alone, which fails if it is made of
    something else here; and a multiprocessing.Pool waits forever for what cannot be read."""

    def __reduce__(self) -> tuple[object, ...]:
        assert isinstance(self, BaseException)
        return again, (type(self), self.args), self.__dict__


class IsostyleError(Sent, Exception):
    """Base of every error that isostyle raises on purpose. The command line ends with its ``exit_code``."""

    exit_code = 1


class InputError(IsostyleError, ValueError):
    """A file, a name or a number given by the caller cannot be used."""

    exit_code = 2


class FrameworkFailure(IsostyleError):
    """A framework raised an error of its own, most often because it lacks memory."""
