"""Ctrl-C and SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from isostyle.cli.progress import fail
from isostyle.errors import (
    EXIT_TERMINATED,
)

if TYPE_CHECKING:
    pass


class Interrupt:
    """Ctrl-C, once: the first raises KeyboardInterrupt, those after it do nothing while the picture is saved.

    SIGTERM, which batch systems send, is the same with an exit code of its own, where a command asks for it. One that comes
    while an object with a destructor is made, or its destructor runs, as of MXNet's many arrays, only makes ``seen`` true.
    """

    def __init__(self, alike: bool) -> None:
        """``alike``: SIGTERM raises KeyboardInterrupt, too, and only ``terminated`` tells."""
        self.seen = False
        self.ignored = False
        self.raised = False
        self.waits = False
        self.alike = alike
        self.terminated = False
        #: What to raise once it is ``seen``.
        self.error: BaseException = KeyboardInterrupt()

    def ignore(self) -> None:
        self.ignored = True

    def leave_if_terminated(self) -> None:
        """The end of a run that SIGTERM stopped before there was a picture."""
        if self.terminated:
            fail("terminated before there was a picture", EXIT_TERMINATED)

    def later(self) -> None:
        """From here on the first one is only ``seen``; whoever looks ends when it suits him. The second one raises."""
        self.waits = True

    def heed(self) -> None:
        """Raises, where it suits, if one was ``seen``; those after it do nothing."""
        if self.seen:
            self.raised = True
            raise self.error

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.ignored or self.raised:
            return
        now = self.seen or not self.waits
        self.seen = True
        if signum == signal.SIGTERM:
            self.terminated = True
            if not self.alike:
                self.error = SystemExit(EXIT_TERMINATED)
        # Else the next one raises, or whoever looks at ``seen``.
        if now and not makes_or_destroys(frame):
            self.raised = True
            raise self.error


def makes_or_destroys(frame: FrameType | None) -> bool:
    """Whether an object that has a destructor is being made, or one is being destroyed, where the program stands.

    An exception in a destructor is printed and lost, and one that leaves an object half-made has its destructor fail later:
    that of MXNet's arrays looks for the handle that they were to get.
    """
    if frame is not None and frame.f_code.co_name == "__init__" and hasattr(type(frame.f_locals.get("self")), "__del__"):
        return True
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def interruptible(*, terminable: bool = False, alike: bool = False) -> Iterator[Interrupt]:
    """Handle SIGINT, and SIGTERM, as long as this lasts (in the main thread; Python allows it nowhere else)."""
    interrupt = Interrupt(alike)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    signals = [signal.SIGINT, *([signal.SIGTERM] if terminable else [])]
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield interrupt
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
