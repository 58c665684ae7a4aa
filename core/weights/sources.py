"""Files read by place: on disk here; behind a server in :mod:`isostyle.weights.download`."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from isostyle.errors import InputError
from isostyle.system.files import accessed, require_regular

#: Spans that are nearer to each other than this are read as one: cheaper than a second request.
MERGE_GAP = 2**16

#: First byte, and the byte after the last.
Span = tuple[int, int]


class Source(ABC):
    """A file of known size, any part of which can be read; use it as a context."""

    #: What errors call it, and its own name, without the folder.
    name: str
    file: str
    size: int
    #: Whether all of it is here.
    complete = True

    @abstractmethod
    def read(self, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``start``. Raises InputError if the file does not have them."""

    @abstractmethod
    def close(self) -> None: ...

    def fetch(self, spans: Sequence[Span]) -> None:
        """Announce what will be read, so that it can come together."""
        return

    def digests(self) -> dict[str, str]:
        """SHA-256 and SHA-1 of the whole file, the two that published names carry."""
        return {name: hashlib.file_digest(Stream(self), name).hexdigest() for name in ("sha256", "sha1")}

    def require(self, start: int, length: int) -> None:
        """Raises InputError unless the file has ``length`` bytes from ``start``."""
        if start < 0 or length < 0 or start + length > self.size:
            raise InputError(f"{self.name} is cut short, or its header lies: it has {self.size} bytes")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalFile(Source):
    """A file on disk. Raises InputError if it cannot be read, is no regular file or is larger than 1 GiB."""

    def __init__(self, path: Path) -> None:
        self.name, self.file = repr(str(path)), path.name
        with accessed(self.name):
            status = path.stat()
            require_regular(status, self.name)
            self.stream = path.open("rb")
        self.size = status.st_size

    def close(self) -> None:
        self.stream.close()

    def read(self, start: int, length: int) -> bytes:
        self.require(start, length)
        self.stream.seek(start)
        return self.stream.read(length)


class Held(Source):
    """A file that was read: its bytes, and its path for errors."""

    def __init__(self, data: bytes, path: str) -> None:
        self.name, self.file = repr(path), Path(path).name
        self.data, self.size = data, len(data)

    def close(self) -> None:
        return

    def read(self, start: int, length: int) -> bytes:
        self.require(start, length)
        return self.data[start : start + length]


class Stream(io.RawIOBase):
    """A source as a stream, for the parsers of Python's library and for h5py.

    It never takes memory for bytes that the file does not have, whatever a header claims. ``most``: no piece is longer.
    """

    def __init__(self, source: Source, most: int | None = None) -> None:
        self.source, self.most, self.place = source, most, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + (0, self.place, self.source.size)[whence]
        if self.place < 0:
            raise ValueError("it points to before the file's beginning")
        return self.place

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), max(0, self.source.size - self.place))
        buffer[:length] = self.take(length)
        return length

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self.source.size - self.place)
        return self.take(rest if size is None or size < 0 else min(size, rest))

    def take(self, length: int) -> bytes:
        """Exactly ``length`` bytes; raises InputError if the file ends before."""
        if self.most is not None and length > self.most:
            raise InputError(f"{self.source.name} claims a header of {length} bytes")
        data = self.source.read(self.place, length)
        self.place += length
        return data

    def number(self, size: int) -> int:
        """The next ``size`` bytes as a little-endian integer."""
        return int.from_bytes(self.take(size), "little")


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes in order, with spans that overlap or stand no further apart than :data:`MERGE_GAP` joined."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + MERGE_GAP:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
