"""A trace: what one backend computed, as a folder with two files that any later year can read.

``points.npz`` holds the arrays, by ``DTYPE|CASE|POINT``; no pickle is ever written or loaded. ``run.json`` says where they come
from: schema, digests of the specification, of every case and of points.npz, versions, device, threads, and for each case that
raised an error its text. A digest of run.json itself shows whether somebody edited it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isostyle.errors import InputError
from isostyle.files import read_input, reason, sha256, write_atomically
from isostyle.interface import Array

SCHEMA = "isostyle-trace-1"
POINTS, RUN = "points.npz", "run.json"
#: Of all arrays together, uncompressed: more than a thousand times what a trace has. A file that claims more is refused unread.
MAX_BYTES = 2**33
#: What arrays may hold: floats, whole numbers, text.
KINDS = "fiuU"


@dataclass(frozen=True)
class Trace:
    """A recorded run. ``points[dtype, case]`` has the arrays of one case by name."""

    run: Mapping[str, Any]
    points: Mapping[tuple[str, str], Mapping[str, Array]]

    @property
    def name(self) -> str:
        """The backend's name."""
        return str(self.run["backend"])

    def said(self, dtype: str, case: str, what: Literal["error", "skip"]) -> str | None:
        """What the backend raised in this case, or why it did not try it; None if it did neither."""
        for entry in self.run["cases"]:
            if (entry["dtype"], entry["case"]) == (dtype, case):
                text: str | None = entry.get(what)
                return text
        return None

    def save(self, folder: Path) -> None:
        """Write the two files, each whole or not at all."""
        arrays = {f"{dtype}|{case}|{point}": a for (dtype, case), points in self.points.items() for point, a in points.items()}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        run = {**self.run, "schema": SCHEMA, "points_sha256": sha256(file.getvalue())}
        write_atomically(folder / POINTS, file.getvalue())
        write_atomically(folder / RUN, (json.dumps({**run, "run_sha256": digest(run)}, indent=1) + "\n").encode())


def digest(run: Mapping[str, Any]) -> str:
    """SHA-256 of everything in run.json but the digest itself."""
    rest = {key: value for key, value in run.items() if key != "run_sha256"}
    return sha256(json.dumps(rest, sort_keys=True).encode())


def load(folder: Path) -> Trace:
    """Read a trace.

    Raises:
        InputError: it is no trace, or not a whole one, or was changed since it was written; the message names the file.
    """
    name = repr(str(folder))
    if not folder.is_dir():
        raise InputError(f"{name} is not a folder, and a trace is one ({RUN} and {POINTS})")
    if not (folder / RUN).is_file():
        raise InputError(f"{name} is not a trace: it has no {RUN}")
    try:
        run = json.loads(read_input(folder / RUN))
        if not isinstance(run, dict) or run.get("schema") != SCHEMA:
            raise InputError(f"{name} is not a trace that this version reads: its schema is not {SCHEMA}")
        if run.get("run_sha256") != digest(run):
            raise InputError(f"{str(folder / RUN)!r} was changed after it was recorded: its digest does not fit")
        data = read_input(folder / POINTS)
        if sha256(data) != run.get("points_sha256"):
            raise InputError(f"{str(folder / POINTS)!r} is not what was recorded, or not all of it: its digest does not fit")
        check_run(run, repr(str(folder / RUN)))
        return Trace(run, read_points(data))
    except InputError:
        raise
    # json, zipfile and NumPy meet a broken file with these; RecursionError is json's for a thousand brackets.
    except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile, MemoryError, RecursionError) as error:
        raise InputError(f"{name} cannot be read as a trace: {reason(error)}") from None


def check_run(run: Mapping[str, Any], name: str) -> None:
    """Raises InputError unless a run.json has what a comparison looks at, in the right form."""
    for key, kind in (("backend", str), ("specification", str), ("versions", dict), ("cases", list), ("expected", list)):
        if not isinstance(run.get(key), kind):
            raise InputError(f"{name} says nothing of {key!r}, or nothing that can be understood")
    for entry in (*run["cases"], *run["expected"]):
        texts = isinstance(entry, dict) and [entry.get(key, "") for key in ("case", "dtype", "kind", "digest", "error", "skip")]
        if not texts or not all(isinstance(text, str) for text in texts) or not (entry.get("case") and entry.get("dtype")):
            raise InputError(f"{name} has a case that cannot be understood: {str(entry)[:80]}")


def read_points(data: bytes) -> dict[tuple[str, str], dict[str, Array]]:
    """The arrays of a points.npz."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError(f"it claims to hold more than {MAX_BYTES // 2**30} GiB")
    found: dict[tuple[str, str], dict[str, Array]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key in arrays.files:
            dtype, case, point = key.split("|")
            array = arrays[key]
            if array.dtype.kind not in KINDS:
                raise ValueError(f"{key} holds neither numbers nor text")
            found.setdefault((dtype, case), {})[point] = array
    return found
