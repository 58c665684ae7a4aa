"""``python -m isostyle``, and the program ``isostyle``. Nothing is imported before Ctrl-C is provided for."""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType

from isostyle.errors import EXIT_INTERRUPTED, INTERRUPTED


def end(signum: int, frame: FrameType | None) -> None:
    """Say so and end, without Python's own end: half of a module may be there."""
    os.write(2, f"isostyle: {INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def main() -> None:
    """Run the command line. While its libraries are imported Ctrl-C ends the process; later, what is under way."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a job in the background ignores it
    if is_heard:
        signal.signal(signal.SIGINT, end)
    from isostyle.system import collector

    with collector.paused():
        from isostyle.cli.main import main as command_line

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command_line()
    finally:
        gc.freeze()  # at its end Python would look for garbage in all that is loaded: in torch for more than half a second


if __name__ == "__main__":
    main()
