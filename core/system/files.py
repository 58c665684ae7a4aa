"""Files: inputs are read once and whole; outputs are checked before a run begins, and written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from isostyle.errors import InputError

#: A larger input is no picture and no network that isostyle could use.
MAX_BYTES = 2**30
#: Of a file's mode: that somebody may write it.
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
#: The name of a file that is still written: this, and 32 hexadecimal digits.
UNFINISHED = ".isostyle-"
#: Seconds without a change after which such a file belongs to a process that was killed.
ABANDONED = 24 * 3600


def read_input(path: Path) -> bytes:
    """The bytes of an input file. Raises InputError if it cannot be read, or :func:`require_regular` refuses it."""
    name = repr(str(path))
    with accessed(name):
        require_regular(path.stat(), name)
        return path.read_bytes()


@contextlib.contextmanager
def accessed(name: str, how: str = "read") -> Iterator[None]:
    """Turn what the system says of a file called ``name`` while this lasts into an InputError of one sentence."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:
        if how == "read" and isinstance(error, FileNotFoundError):
            raise InputError(f"there is no file {name}") from None
        raise InputError(f"{name} cannot be {how}: {reason(error)}") from None


def require_regular(status: os.stat_result, name: str) -> None:
    """Raises InputError unless a status is that of a file of at most MAX_BYTES. A pipe would block; a device may never end."""
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name} is not a regular file")
    if status.st_size > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES // 2**30} GiB")


def check_outputs(
    outputs: Sequence[Path], inputs: Iterable[Path], *, force: bool, instead: str = "use --force to overwrite it"
) -> None:
    """Raises InputError, before any work is done, if an output is an input, stands twice, cannot be written, or exists already
    (and not ``force``; ``instead`` is what can be done about that). Old files that killed processes left beside them go."""
    # Sets, for there may be thousands. Two names may lead to one file: by symbolic links, or as hard links.
    kept = {identity(path) for path in inputs if path.exists()}
    seen: set[Path] = set()
    for output in outputs:
        name = repr(str(output))
        with accessed(name, "written"):
            if output.exists() and identity(output) in kept:
                raise InputError(f"{name} is an input; it is never overwritten")
            place = real(output)
            if place in seen:
                raise InputError(f"two outputs would go to {name}; name them apart")
            seen.add(place)
            require_writable(output, force, instead)
    for folder in {place.parent for place in seen}:
        remove_abandoned(folder)


def require_writable(output: Path, force: bool, instead: str) -> None:
    """Raises InputError, or OSError, if a file cannot be written, or is there and not ``force``."""
    name = repr(str(output))
    if output.is_dir():
        raise InputError(f"{name} is a folder; name a file in it")
    require_folder(output)
    if os.path.lexists(output) and not force:
        raise InputError(f"{name} exists already; {instead}")
    if output.exists():
        # It would be replaced by a new file, which asks for no permission of the old one, nor for what it is.
        status = output.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name} is not a regular file, and cannot be replaced")
        if not status.st_mode & WRITABLE or not os.access(output, os.W_OK):
            raise InputError(f"{name} is write-protected; it is not overwritten")
    with fresh_file(real(output)):
        pass


def require_folder(output: Path) -> None:
    """Raises InputError if the folder of an output is not there."""
    if not real(output).parent.is_dir():
        raise InputError(f"there is no folder {str(output.parent)!r} to write {output.name!r} to")


def real(path: Path) -> Path:
    """The file that a path leads to; a loop of links leads to itself."""
    return Path(os.path.realpath(path))


def identity(path: Path) -> tuple[int, int]:
    """What two names of one file have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path``, or to where that leads as a link: whoever looks sees the old file or the whole new one."""
    place = real(path)
    with fresh_file(place) as file:
        with file.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(file, place)


@contextlib.contextmanager
def fresh_file(place: Path) -> Iterator[Path]:
    """A new, empty file beside ``place``, which it is to become, with the permissions that the umask gives. It goes at
    the end of its use; a process that is killed leaves it to :func:`remove_abandoned`."""
    file = place.parent / f"{UNFINISHED}{secrets.token_hex(16)}"
    try:
        file.open("xb").close()
        yield file
    finally:
        # It has another name now, or there is an error to report, even if it cannot be removed.
        with contextlib.suppress(OSError):
            file.unlink()


def remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files in a folder that nobody has written to for a day."""
    # A file that cannot be looked at or removed does no harm.
    with contextlib.suppress(OSError):
        for file in folder.glob(UNFINISHED + "[0-9a-f]" * 32):
            if time.time() - file.stat().st_mtime > ABANDONED:
                file.unlink()


def reason(error: Exception) -> str:
    """What went wrong, in one line, without the names of temporary files."""
    if isinstance(error, KeyError):
        return f"it has no {error}"  # the key alone says nothing to a reader
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """The digest of a file that may be large."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
