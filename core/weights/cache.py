"""The cache of weights that were fetched or imported: one safetensors file for each network, and a record beside it.

The folder is ``isostyle/weights`` in the user's cache folder; the environment variable ISOSTYLE_CACHE names another place for
``isostyle``. Only `isostyle weights fetch` and `import` write to it. The record ``vgg19.json`` names the file, whose name
carries the beginning of its own digest; a new record replaces the old one in one step, so that whoever looks sees the old pair
or the new one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from isostyle.errors import InputError, IsostyleError
from isostyle.system.files import read_input, reason, sha256, write_atomically

VARIABLE = "ISOSTYLE_CACHE"
SCHEMA = "isostyle.weights/1"
LOCK = ".lock"
#: Fields of a record that may be None.
OPTIONAL = ("source_sha256", "verified")


@dataclass(frozen=True)
class Record:
    """Where cached weights came from, and what was checked."""

    name: str
    #: The file in the cache folder, and its digest.
    file: str
    sha256: str
    #: Of the numbers alone, in the order of the network's table: equal for equal weights, from whatever file they came.
    parameters_sha256: str
    #: An address or a path.
    source: str
    #: Of the whole source file; None if only parts of it were read.
    source_sha256: str | None
    #: The published name whose digest the whole source file has; None: unverified.
    verified: str | None
    format: str
    preprocessing: str
    isostyle: str
    created: str

    def path(self) -> Path:
        return folder() / self.file

    def state(self) -> str:
        """``verified`` or ``unverified``, with what that means here."""
        if self.verified:
            return f"verified: the source file has the digest of {self.verified}"
        why = (
            "only parts of the file were fetched" if self.source_sha256 is None else "no published digest fits the source file"
        )
        return f"unverified: {why}"


def folder() -> Path:
    """Where the weights lie; it need not exist."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser() / "weights"
    return user_cache_path("isostyle", appauthor=False) / "weights"


def make_folder() -> Path:
    """The folder, made if it is not there.

    Raises:
        InputError: it cannot be made.
    """
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the cache folder {str(place)!r} cannot be made ({reason(error)}); set {VARIABLE}") from None
    return place


def find(name: str) -> Record | None:
    """The record of ``name``; None if there is none.

    Raises:
        InputError: it cannot be read or is damaged.
    """
    path = folder() / f"{name}.json"
    if not os.path.lexists(path):
        return None
    try:
        return checked(json.loads(read_input(path)), name)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"the record {str(path)!r} is damaged ({reason(error)}); `isostyle weights fetch {name} --force` or "
            "`import --force` makes it anew"
        ) from None


def checked(found: dict[str, Any], name: str) -> Record:
    """The record of ``name`` from its JSON. Raises ValueError, TypeError, KeyError or AttributeError if it is none."""
    if found.pop("schema") != SCHEMA:
        raise ValueError("it is of another version of isostyle")
    record = Record(**found)
    if not all(isinstance(value, str) or (value is None and key in OPTIONAL) for key, value in found.items()):
        raise ValueError("it has values of the wrong kind")
    # It stays in the folder, whatever the record says.
    if record.name != name or not re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{8}}\.safetensors", record.file):
        raise ValueError("it is of another file")
    return record


def read(record: Record) -> bytes:
    """The cached file, checked against its record.

    Raises:
        InputError: it is gone or damaged.
    """
    path = record.path()
    again = f"`isostyle weights fetch {record.name} --force` or `import --force` makes it anew"
    if not path.is_file():
        raise InputError(f"the cached file {str(path)!r} is gone; {again}")
    data = read_input(path)
    if sha256(data) != record.sha256:
        raise InputError(f"the cached file {str(path)!r} is damaged: it has another digest than when it was written; {again}")
    return data


def store(record: Record, data: bytes) -> None:
    """Put a file and its record into the cache, in place of what is there.

    Raises:
        IsostyleError: they cannot be written; what was there stays.
    """
    place = make_folder()
    text = json.dumps({"schema": SCHEMA, **dataclasses.asdict(record)}, indent=1) + "\n"
    try:
        # One at a time: else one process could remove as old what another has just written.
        with FileLock(place / LOCK):
            write_atomically(place / record.file, data)
            write_atomically(place / f"{record.name}.json", text.encode())
            for old in place.glob(f"{record.name}-*.safetensors"):
                if old.name != record.file:
                    old.unlink(missing_ok=True)
    except OSError as error:
        raise IsostyleError(f"cannot write to the cache folder {str(place)!r}: {reason(error)}") from None
