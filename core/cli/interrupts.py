"""Ctrl-C and SIGTERM: the first waits for the next event, so that its picture is kept; the second ends the work at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from isostyle.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


class Terminated(KeyboardInterrupt):
    """SIGTERM, which batch systems send: as Ctrl-C, with an exit code of its own."""


class Interrupt:
    """Handles SIGINT and SIGTERM."""

    def __init__(self) -> None:
        #: Whether a signal has come; and whether the first, which says how the command ends, was SIGTERM.
        self.seen = self.terminated = False
        #: Whether the first waits until :meth:`heed` is called; not before there is something to keep. The second raises.
        self.waits = False
        #: Whether signals do nothing: what was made is being written.
        self.ignored = False

    @property
    def error(self) -> KeyboardInterrupt:
        return Terminated() if self.terminated else KeyboardInterrupt()

    @property
    def exit_code(self) -> int:
        return EXIT_TERMINATED if self.terminated else EXIT_INTERRUPTED

    def heed(self) -> None:
        """Raise if a signal has come; those after it do nothing."""
        if self.seen:
            self.ignored = True
            raise self.error

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.ignored:
            return
        self.ignored = self.seen  # nobody needs a third
        if not self.seen:
            self.seen, self.terminated = True, signum == signal.SIGTERM
            if self.waits:
                return
        raise self.error


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Handle SIGINT and SIGTERM as long as this lasts."""
    interrupt = Interrupt()
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
