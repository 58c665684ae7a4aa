"""Files: inputs read once and whole, outputs checked before a run begins and written whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from isostyle.errors import InputError

#: A larger input is no picture and no network that isostyle could use.
MAX_BYTES = 2**30
#: Of a file's mode: that somebody may write it.
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
#: How the name of a file begins that is still written, ...
UNFINISHED = ".isostyle-"
#: ... and what follows: what it is to become, on which machine, by which process, and what makes it unique.
UNFINISHED_NAME = re.compile(re.escape(UNFINISHED) + "([0-9a-f]{12})-([0-9a-f]{12})-([0-9]{1,9})-[0-9a-f]{16}")


def read_input(path: Path) -> bytes:
    """The bytes of an input file.

    Raises:
        InputError: it is not there, cannot be read, is no regular file (a pipe or a device would block, or never end), or is
            larger than :data:`MAX_BYTES`.
    """
    name = repr(str(path))
    try:
        require_regular(path.stat(), name)
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {name}") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read: {reason(error)}") from None


def require_regular(status: os.stat_result, name: str, most: int | None = MAX_BYTES) -> None:
    """Raises InputError unless a status is that of a regular file of at most so many bytes."""
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name} is not a regular file")
    if most is not None and status.st_size > most:
        raise InputError(f"{name} is larger than {most // 2**30} GiB")


def check_outputs(
    outputs: Sequence[Path], inputs: Iterable[Path], *, force: bool, instead: str = "use --force to overwrite it"
) -> None:
    """Refuse, before any work is done, what could not be written or would destroy something. ``instead``: what can be done
    about an output that is there already.

    Raises:
        InputError: an output is an input, exists already (and not ``force``), stands twice, or its folder cannot be written.
    """
    kept = [path for path in inputs if path.exists()]
    # Sets, for there may be thousands. Two names may lead to one file: by symbolic links, or as hard links.
    places = {path.resolve() for path in kept}
    identities = {identity(path) for path in kept}
    seen: set[Path] = set()
    for output in outputs:
        name = repr(str(output))
        try:
            place = output.resolve()
            if place in places or (output.exists() and identity(output) in identities):
                raise InputError(f"{name} is an input; it is never overwritten")
            if place in seen:
                raise InputError(f"two outputs would go to {name}; name them apart")
            seen.add(place)
            if output.is_dir():
                raise InputError(f"{name} is a folder; name a file in it")
            require_folder(output)
            if os.path.lexists(output) and not force:
                raise InputError(f"{name} exists already; {instead}")
            if output.exists():
                # It would be replaced by a new file, which asks for no permission of the old one, nor for what it is.
                status = output.stat()
                if not stat.S_ISREG(status.st_mode):
                    raise InputError(f"{name} is not a regular file, and cannot be replaced; -o - writes to standard output")
                if not status.st_mode & WRITABLE or not os.access(output, os.W_OK):
                    raise InputError(f"{name} is write-protected; it is not overwritten")
            with fresh_file(place) as probe:
                probe.unlink()
        except InputError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            # RuntimeError: pathlib's word for a loop of symbolic links.
            raise InputError(f"{name} cannot be written: {reason(error)}") from None
    remove_left_behind(seen)


def require_folder(output: Path) -> None:
    """Raises InputError if the folder of an output is not there."""
    if not Path(os.path.realpath(output)).parent.is_dir():
        raise InputError(f"there is no folder {str(output.parent)!r} to write {output.name!r} to")


def identity(path: Path) -> tuple[int, int]:
    """What two names of one file have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path``: whoever looks sees the old file or the whole new one, whatever happens meanwhile.

    A symbolic link stays one; the file that it leads to is written. What processes that were killed while they wrote it have
    left goes.
    """
    place = Path(os.path.realpath(path))
    remove_left_behind([place])
    with fresh_file(place) as file:
        with file.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(file, place)


@contextlib.contextmanager
def fresh_file(place: Path) -> Iterator[Path]:
    """A new, empty file that is to become ``place``: beside it, with the permissions that the umask gives; gone afterwards if
    an error ended its use. A process that is killed leaves it behind: see :func:`remove_left_behind`.
    """
    name = f"{UNFINISHED}{short(place.name)}-{machine()}-{os.getpid()}-{secrets.token_hex(8)}"
    file = place.parent / name
    try:
        file.open("xb").close()
        yield file
    except BaseException:
        # What ended its use is to be told, and not that it could not be removed.
        with contextlib.suppress(OSError):
            file.unlink()
        raise


def remove_left_behind(places: Iterable[Path]) -> None:
    """Remove what processes of this machine that were killed while they wrote these files have left beside them.

    What a process still writes stays, and so does what another machine has left: nobody here knows its processes. On Windows,
    where a process cannot be asked after without harm, all stays.
    """
    if os.name == "nt":
        return
    known: dict[Path, set[str]] = {}
    for place in map(Path, map(os.path.realpath, places)):
        known.setdefault(place.parent, set()).add(short(place.name))
    for folder, wanted in known.items():
        # What cannot be looked at or removed does no harm.
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                found = UNFINISHED_NAME.fullmatch(entry.name)
                if found and found[1] in wanted and found[2] == machine() and not is_alive(int(found[3])):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)


def short(name: str) -> str:
    """For a name of any length a text of one: a file's name has at most 255 bytes."""
    return sha256(os.fsencode(name))[:12]


@functools.cache
def machine() -> str:
    """Among whose processes a process number tells one: a computer's, or a container's, which has numbers of its own."""
    known = [platform.node()]
    with contextlib.suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(errors="replace"))
    with contextlib.suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return short("\n".join(known))


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # another user's, or no number that a process can have
    return True


def lock(stream: IO[bytes], *, wait: bool) -> None:
    """Keep an open file to this process until it is closed. Without fcntl (Windows), nothing is locked.

    Raises:
        OSError: another process has it, and not ``wait``.
    """
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(stream.fileno(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def reason(error: Exception) -> str:
    """What went wrong, in one line and without the names of temporary files."""
    if isinstance(error, KeyError):
        return f"it has no {error}"  # the key alone says nothing to a reader
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file that may be large."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
