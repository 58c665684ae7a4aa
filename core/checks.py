"""Checks of what a caller or a file gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isostyle.errors import InputError, shown

#: More steps, or pixels of a side, are a slip of the keyboard.
MOST = 10**9
#: Seeds that NumPy's generator takes.
SEEDS = range(2**32)


def require_count(value: int, what: str, unit: str = "") -> None:
    """Raises InputError unless ``value`` is a whole number of at least 1, and no slip of the keyboard."""
    unit = f" {unit}" if unit else ""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"the {what} must be a whole number of at least 1{unit}, not {shown(value)}")
    if value > MOST:
        raise InputError(f"the {what} must be a whole number of at most {MOST}{unit}, not {shown(value)}")


def require_seed(value: int) -> None:
    """Raises InputError unless NumPy's generator takes ``value`` as a seed."""
    if not isinstance(value, int) or value not in SEEDS:
        raise InputError(f"the seed must be a whole number in 0..{SEEDS[-1]}, not {value!r}")


def parsed(parse: Callable[[Any], Any], text: str | bytes) -> Any:
    """What ``parse`` (of JSON or TOML) makes of a text that anybody may have written; ValueError if it makes nothing of it."""
    try:
        return parse(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
