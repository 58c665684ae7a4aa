"""Settings of a library that are others for a while: what a call needs, and what its caller finds again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A value that a library keeps for the whole process."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    #: The value that we need.
    wanted: Any


def attribute(owner: Any, name: str, wanted: Any) -> Setting:
    """A setting that is an attribute."""
    return Setting(partial(getattr, owner, name), partial(setattr, owner, name), wanted)


@contextlib.contextmanager
def as_wanted(*settings: Setting) -> Iterator[None]:
    """While this lasts, each of ``settings`` has the value that we need. What has it already is not touched: two threads that
    compute at a time find nothing to quarrel about, unless their caller has other values."""
    with contextlib.ExitStack() as before:
        for setting in settings:
            found = setting.read()
            if found != setting.wanted:
                before.callback(setting.write, found)
                setting.write(setting.wanted)
        yield
