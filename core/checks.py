"""Checks of numbers that a caller gives."""

from __future__ import annotations

from isostyle.errors import InputError, shown

#: More steps, or pixels of a side, are a slip of the keyboard.
MOST = 10**9
#: Seeds that NumPy's generator takes.
SEEDS = range(2**32)


def require_count(value: int, what: str, unit: str = "") -> None:
    unit = f" {unit}" if unit else ""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"the {what} must be a whole number of at least 1{unit}, not {shown(value)}")
    if value > MOST:
        raise InputError(f"the {what} must be a whole number of at most {MOST}{unit}, not {shown(value)}")


def require_seed(value: int) -> None:
    if not isinstance(value, int) or value not in SEEDS:
        raise InputError(f"the seed must be a whole number in 0..{SEEDS[-1]}, not {value!r}")
