"""A trace: what one backend computed, as a folder with two files that can be read in any later year.

``points.npz`` holds the arrays, by ``DTYPE|CASE|POINT``; no pickle is ever written or loaded. ``run.json`` says where they come
from: schema, digests of the specification, of every case and of points.npz, versions, device, threads, and for each case that
raised an error its text. A digest of run.json itself shows whether somebody edited it.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from isostyle.errors import InputError
from isostyle.interface import Array
from isostyle.system.files import read_input, reason, sha256, write_atomically

SCHEMA = "isostyle-trace-3"
OLDER_SCHEMAS = ("isostyle-trace-1", "isostyle-trace-2")
POINTS, RUN = "points.npz", "run.json"
#: Of all arrays together, uncompressed, and of run.json: ten times what a trace has. A file that claims more is refused unread.
MAX_BYTES, MAX_RUN_BYTES = 2**29, 2**24
#: A backend's name stands in reports and chooses a file of deviations.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
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

    @cached_property
    def entries(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """What run.json says of each (dtype, case) that was tried."""
        return {(entry["dtype"], entry["case"]): entry for entry in self.run["cases"]}

    def said(self, dtype: str, case: str, what: Literal["error", "skip", "digest"]) -> str | None:
        """What the backend raised in this case, why it did not try it, or of which inputs it is; None if it does not say."""
        return self.entries.get((dtype, case), {}).get(what)

    def save(self, folder: Path) -> None:
        """Write the two files, each whole or not at all."""
        arrays = {f"{dtype}|{case}|{point}": a for (dtype, case), points in self.points.items() for point, a in points.items()}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        run: dict[str, Any] = {**self.run, "schema": SCHEMA, "points_sha256": sha256(file.getvalue())}
        write_atomically(folder / POINTS, file.getvalue())
        write_atomically(folder / RUN, (json.dumps({**run, "run_sha256": digest(run)}, indent=1) + "\n").encode())


def digest(run: Mapping[str, Any]) -> str:
    """SHA-256 of everything in run.json but the digest itself."""
    rest = {key: value for key, value in run.items() if key != "run_sha256"}
    return sha256(json.dumps(rest, sort_keys=True).encode(errors="replace"))


def printable(text: str) -> str:
    """``text`` with everything that is no plain character (control and escape sequences, marks of direction, halves of
    surrogate pairs) replaced: a framework's or a stranger's words go to terminals and reports."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)


def unprintable(value: Any) -> bool:
    """Whether a text in a tree of JSON values is not :func:`printable`."""
    if isinstance(value, dict):
        return any(unprintable(part) for pair in value.items() for part in pair)
    return any(map(unprintable, value)) if isinstance(value, list) else isinstance(value, str) and printable(value) != value


def no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON's")


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
        text = read_input(folder / RUN)
        if len(text) > MAX_RUN_BYTES:
            raise InputError(f"{str(folder / RUN)!r} is larger than any trace's")
        run = json.loads(text, parse_constant=no_constant)
        require_schema(run, name)
        if run.get("run_sha256") != digest(run):
            raise InputError(f"{str(folder / RUN)!r} was changed after it was recorded: its digest does not fit")
        data = read_input(folder / POINTS)
        if sha256(data) != run.get("points_sha256"):
            raise InputError(f"{str(folder / POINTS)!r} is not what was recorded, or not all of it: its digest does not fit")
        check_run(run, repr(str(folder / RUN)))
        return Trace(run, read_points(data))
    except InputError:
        raise
    # json, zipfile, its decompressors and NumPy's header parser meet a broken file with a dozen kinds of errors.
    except Exception as error:
        raise InputError(f"{name} cannot be read as a trace: {reason(error)}") from None


def require_schema(run: Any, name: str) -> None:
    """Raises InputError unless run.json is of this version's schema."""
    schema = run.get("schema") if isinstance(run, dict) else None
    if schema in OLDER_SCHEMAS:
        raise InputError(f"{name} is a trace of an older isostyle ({schema}, and this one reads {SCHEMA}); record it again")
    if schema != SCHEMA:
        raise InputError(f"{name} is not a trace that this version reads: its schema is not {SCHEMA}")


def check_run(run: Mapping[str, Any], name: str) -> None:
    """Raises InputError unless a run.json has what a comparison looks at, in the right form."""
    for key, kind in (
        ("backend", str),
        ("specification", str),
        ("versions", dict),
        ("cases", list),
        ("expected", list),
        ("parts", list),
    ):
        if not isinstance(run.get(key), kind):
            raise InputError(f"{name} says nothing of {key!r}, or nothing that can be understood")
    if not NAME.fullmatch(run["backend"]):
        raise InputError(f"{name} has no backend's name, but {printable(run['backend'])[:80]!r}")
    if unprintable(run):
        raise InputError(f"{name} has characters that cannot be printed")
    for entry in (*run["cases"], *run["expected"]):
        facts: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        texts = [facts.get(key, "") for key in ("case", "dtype", "kind", "digest", "error", "skip")]
        only = facts.get("only", [])
        listed = isinstance(only, list) and all(isinstance(backend, str) for backend in only)
        if not listed or not all(isinstance(text, str) for text in texts) or not (facts.get("case") and facts.get("dtype")):
            raise InputError(f"{name} has a case that cannot be understood: {str(entry)[:80]}")


def require_whole(file: IO[bytes], size: int) -> None:
    """Raises ValueError unless an array's header claims just the bytes that its file of so many has: NumPy takes memory for all
    that is claimed before it reads."""
    if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
        return  # not an array at all
    file.seek(0)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"it has an array in NumPy's format {version}, which no trace has")
    shape, _, dtype = readers[version](file)
    if math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"it has an array of {size} bytes that claims to be of {dtype}, {shape}"[:200])


def read_points(data: bytes) -> dict[tuple[str, str], dict[str, Array]]:
    """The arrays of a points.npz."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_BYTES:
            raise ValueError(f"it claims to hold more than {MAX_BYTES // 2**20} MiB")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it has two arrays of one name")
        for member in members:
            with archive.open(member) as file:
                require_whole(file, member.file_size)
    found: dict[tuple[str, str], dict[str, Array]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key in arrays.files:
            dtype, case, point = key.split("|")
            array = arrays[key]
            if printable(key) != key:
                raise ValueError("it has a name with characters that cannot be printed")
            if not isinstance(array, np.ndarray) or array.dtype.kind not in KINDS:
                raise ValueError(f"{key} holds neither numbers nor text")
            found.setdefault((dtype, case), {})[point] = array
    return found
