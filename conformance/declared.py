"""Declared deviations: the points of a backend that are known to differ, each with its reason, as TOML files."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from isostyle import checks
from isostyle.errors import InputError
from isostyle.system.files import read_input, reason

#: What a declaration may leave out.
DEFAULTS = {"points": ["*"], "dtype": "*", "link": ""}
KEYS = {"expect", "case", "points", "dtype", "reason", "link"}


@dataclass(frozen=True)
class Deviation:
    """A declared deviation of one backend: ``case``, ``points`` and ``dtype`` are shell patterns."""

    expect: Literal["fail", "skip"]
    case: str
    points: tuple[str, ...]
    dtype: str
    reason: str
    link: str

    def covers(self, dtype: str, case: str, point: str) -> bool:
        return (
            fnmatch.fnmatchcase(dtype, self.dtype)
            and fnmatch.fnmatchcase(case, self.case)
            and any(fnmatch.fnmatchcase(point, pattern) for pattern in self.points)
        )


def deviations(backend: str, file: Path | None = None) -> tuple[Deviation, ...]:
    """The declared deviations of ``backend``: those in ``file``, or else those that ship with isostyle, if there are any.

    Raises:
        InputError: the file is not what it should be.
    """
    if file is not None:
        text, name = read_input(file).decode(errors="replace"), repr(str(file))
    else:
        # Looked up in the list: a backend's name, which a stranger wrote, is never made part of a path.
        folder = resources.files("isostyle.conformance").joinpath("deviations")
        shipped = next((file for file in folder.iterdir() if file.name == f"{backend}.toml"), None)
        if shipped is None:
            return ()
        text, name = shipped.read_text(encoding="utf-8"), repr(f"{backend}.toml")
    try:
        document = checks.parsed(tomllib.loads, text)
        if unknown := document.keys() - {"deviation"}:
            raise ValueError(f"it has {sorted(unknown)[0]!r}, where [[deviation]] is expected")
        return tuple(map(parsed, document.get("deviation", [])))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{name} is no file of deviations: {reason(error)}") from None


def parsed(entry: Mapping[str, Any]) -> Deviation:
    """One [[deviation]].

    Raises:
        ValueError: it is not what it should be; TypeError, if it is no table.
    """
    entry = {**DEFAULTS, **entry}
    if entry.keys() != KEYS:
        raise ValueError("each deviation has expect, case and reason, and may have points, dtype and link")
    points = entry.pop("points")
    texts = [*entry.values(), *points]
    are_texts = all(isinstance(text, str) for text in texts) and not isinstance(points, str)
    if entry["expect"] not in ("fail", "skip") or not are_texts:
        raise ValueError("expect must be 'fail' or 'skip', points a list of texts, and everything else a text")
    if not entry["reason"].strip():
        raise ValueError("a deviation needs a reason")
    return Deviation(**entry, points=tuple(points))
