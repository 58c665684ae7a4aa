"""Checks of what a caller or a file gives."""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
from collections.abc import Callable, Mapping
from typing import Any

from isostyle.errors import InputError, shown

#: More steps, or pixels of a side, are a slip of the keyboard.
MOST = 10**9
#: Seeds that NumPy's generator takes.
SEEDS = range(2**32)
#: What a number must be, in the words of an error, and whether one is.
WEIGHT, POSITIVE, SHARE = "a finite number of at least 0", "a finite number above 0", "at least 0 and below 1"
STYLE_SCALE = "from 0.25 to 4"
FITS: Mapping[str, Callable[[float], bool]] = {
    WEIGHT: lambda value: 0 <= value < math.inf,
    POSITIVE: lambda value: 0 < value < math.inf,
    SHARE: lambda value: 0 <= value < 1,
    STYLE_SCALE: lambda value: 0.25 <= value <= 4,
}


def plain(value: Any) -> Any:
    """A number of any kind (NumPy's, a fraction, a tensor without dimensions) as Python's own, so that what is written of it,
    and its digest, are those of Python's. Numbers in tuples, lists and tables likewise. Anything else as it is."""
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value)) if type(value) in (tuple, list) else value
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if getattr(value, "shape", None) in ((), []) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    try:
        return float(value) if isinstance(value, numbers.Real) else value
    except OverflowError:
        return value


class PlainNumbers:
    """A dataclass that takes numbers of any kind, and holds Python's own (:func:`plain`)."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))


def require_count(value: int, what: str, unit: str = "") -> None:
    """Raises InputError unless ``value`` is a whole number of at least 1, and no slip of the keyboard."""
    unit = f" {unit}" if unit else ""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"the {what} must be a whole number of at least 1{unit}, not {shown(value)}")
    if value > MOST:
        raise InputError(f"the {what} must be a whole number of at most {MOST}{unit}, not {shown(value)}")


def require_number(value: float, what: str, wanted: str = WEIGHT) -> None:
    """Raises InputError, which calls ``value`` ``what``, unless it is ``wanted``: :data:`WEIGHT`, ..."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the {what} must be a number, not {shown(value)}")
    if not FITS[wanted](value):
        raise InputError(f"the {what} must be {wanted}, not {shown(value)}")


def require_choice(value: str, choices: tuple[str, ...], what: str) -> None:
    if value not in choices:
        raise InputError(f"the {what} must be one of {', '.join(choices)}, not {shown(value)}")


def require_seed(value: int) -> None:
    """Raises InputError unless NumPy's generator takes ``value`` as a seed."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in SEEDS:
        raise InputError(f"the seed must be a whole number in 0..{SEEDS[-1]}, not {shown(value)}")


def parsed(parse: Callable[[Any], Any], text: str | bytes) -> Any:
    """What ``parse`` (of JSON or TOML) makes of a text that anybody may have written; ValueError if it makes nothing of it."""
    try:
        return parse(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def at(table: Any, place: tuple[str, ...]) -> Any:
    """The value at a path of keys; None if there is none."""
    for key in place:
        table = table.get(key) if isinstance(table, dict) else None
    return table
