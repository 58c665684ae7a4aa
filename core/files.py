"""Output files: checked before a run begins, written whole or not at all, and digests of what was read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from isostyle.errors import InputError


def check_outputs(outputs: Sequence[Path], inputs: Iterable[Path], *, force: bool) -> None:
    """Refuse, before any work is done, what could not be written or would destroy something.

    Raises:
        InputError: an output is an input, exists already (and not ``force``), stands twice, or its folder cannot be written.
    """
    taken = {path.resolve() for path in inputs}
    seen: set[Path] = set()
    for output in outputs:
        place = output.resolve()
        if place in taken or any(output.exists() and output.samefile(path) for path in taken if path.exists()):
            raise InputError(f"{str(output)!r} is an input; it is never overwritten")
        if place in seen:
            raise InputError(f"two outputs would go to {str(output)!r}; name them apart")
        seen.add(place)
        if output.is_dir():
            raise InputError(f"{str(output)!r} is a folder; name a file in it")
        if not output.parent.is_dir():
            raise InputError(f"there is no folder {str(output.parent)!r} to write {output.name!r} to")
        if not os.access(output.parent, os.W_OK):
            raise InputError(f"the folder {str(output.parent)!r} cannot be written to")
        if output.exists() and not force:
            raise InputError(f"{str(output)!r} exists already; use --force to overwrite it")


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``: whoever looks sees the old file or the whole new one, whatever happens meanwhile."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a file that only its owner can read; give it what the umask would have given.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
