"""Files read by place: on disk here; behind a server in :mod:`isostyle.weights.download`. Nothing is read that was not asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from isostyle.errors import InputError
from isostyle.system.files import reason, require_regular

#: Small reads come from blocks of this size, so that a header of many fields is one read (or one request).
BLOCK = 2**16
#: Spans that are nearer to each other than this are read as one: cheaper than a second request.
MERGE_GAP = 2**16

#: First byte, and the byte after the last.
Span = tuple[int, int]


class Source(Protocol):
    """A file of known size, any part of which can be read."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    @property
    def size(self) -> int: ...

    def read(self, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``start``.

        Raises:
            InputError: the file has no such bytes.
        """
        ...

    def want(self, spans: Sequence[Span]) -> None:
        """Announce what will be read, so that it can be fetched together."""
        ...

    def local(self) -> Path:
        """A path under which the whole file lies on disk."""
        ...


class LocalFile:
    """A file on disk, open for as long as ``with`` lasts.

    Raises:
        InputError: it is not there, cannot be read, is no regular file or is larger than :data:`isostyle.system.files.MAX_BYTES`.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, repr(str(path))
        try:
            # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise InputError(f"there is no file {self.name}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{self.name} cannot be read: {reason(error)}") from None
        status = os.fstat(descriptor)
        try:
            require_regular(status, self.name)
        except InputError:
            os.close(descriptor)
            raise
        self.size = status.st_size
        self.stream = os.fdopen(descriptor, "rb", buffering=0)

    def __enter__(self) -> LocalFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stream.close()

    def read(self, start: int, length: int) -> bytes:
        check_span(self, start, length)
        data = bytearray()
        try:
            self.stream.seek(start)
            while len(data) < length and (part := self.stream.read(length - len(data))):
                data += part
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {reason(error)}") from None
        if len(data) != length:
            raise InputError(f"{self.name} became shorter while it was read")
        return bytes(data)

    def want(self, spans: Sequence[Span]) -> None:
        pass

    def local(self) -> Path:
        return self.path


def check_span(source: Source, start: int, length: int) -> None:
    """Raises InputError unless ``source`` has ``length`` bytes from ``start``."""
    if start < 0 or length < 0 or start + length > source.size:
        raise InputError(f"{source.name} is cut short, or its header lies: it has {source.size} bytes")


def merged(spans: Iterable[Span], gap: int = MERGE_GAP) -> list[Span]:
    """The same bytes in order, with spans that overlap or stand no further apart than ``gap`` joined."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + gap:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


class Cursor:
    """Reads a source from ``place`` on, in small pieces; ``end`` is where it has to stop."""

    def __init__(self, source: Source, place: int = 0, end: int | None = None) -> None:
        self.source, self.place = source, place
        self.end = source.size if end is None else end
        self.block, self.block_start = b"", 0

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes, of which there are few (a larger piece is skipped, and read by its span)."""
        if length < 0 or self.place + length > self.end:
            raise InputError(f"{self.source.name} is cut short, or its header lies: it ends after {self.end} bytes")
        offset = self.place - self.block_start
        if offset < 0 or offset + length > len(self.block):
            self.block = self.source.read(self.place, max(length, min(BLOCK, self.end - self.place)))
            self.block_start, offset = self.place, 0
        self.place += length
        return self.block[offset : offset + length]

    def number(self, size: int, *, signed: bool = False) -> int:
        """The next ``size`` bytes as a little-endian integer."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def skip(self, length: int) -> Span:
        """Pass over ``length`` bytes; the span says where they are."""
        if length < 0 or self.place + length > self.end:
            raise InputError(f"{self.source.name} is cut short, or its header lies: it ends after {self.end} bytes")
        self.place += length
        return self.place - length, self.place

    def line(self, longest: int = 1000) -> bytes:
        """The bytes up to the next line feed, which is passed over."""
        found = bytearray()
        while (byte := self.take(1)) != b"\n":
            found += byte
            if len(found) > longest:
                raise InputError(f"{self.source.name} has a line of more than {longest} bytes in its header")
        return bytes(found)
