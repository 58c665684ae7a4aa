"""Files behind a server, read by place: only the parts that are asked for, retried, and resumed by a later process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import responses
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from isostyle._version import __version__
from isostyle.errors import InputError, IsostyleError
from isostyle.system.files import MAX_BYTES, reason
from isostyle.weights.sources import Source, Span, merged

OFFLINE = "ISOSTYLE_OFFLINE"
#: Seconds until a server has to answer, and between two pieces of its answer.
TIMEOUTS = (10.0, 30.0)
#: Attempts in a row that bring nothing; then it is given up. Seconds between them double.
ATTEMPTS = 5
PAUSE = 0.5
REDIRECTS = 10
#: Not the request's fault: too early, too many requests, timeouts, server errors.
TRANSIENT_CODES = (408, 425, 429, 500, 502, 503, 504)
#: A small read brings so much, so that a header of many fields is one request.
BLOCK = 2**16
#: Of an answer, before it is written.
CHUNK = 2**18

#: Told of bytes fetched so far, and how many it will be.
Progress = Callable[[int, int], None]


class DownloadFailed(IsostyleError):
    """The file could not be had; the message says why."""


def offline() -> bool:
    """Whether the environment forbids downloads."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no", "off")


def session_for(url: str) -> requests.Session:
    """A session that repeats what failed on the way, and never goes from https to anything else."""
    session = requests.Session()
    session.max_redirects = REDIRECTS
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": f"isostyle/{__version__}"})
    retry = Retry(ATTEMPTS - 1, backoff_factor=PAUSE, status_forcelist=TRANSIENT_CODES)
    session.adapters.clear()
    for scheme in {"https", urlsplit(url).scheme}:
        session.mount(f"{scheme}://", HTTPAdapter(max_retries=retry))
    return session


def require_address(url: str) -> str:
    """``url``. Raises InputError unless a file can be asked for there."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InputError(f"{url!r} is no address that begins with https:// or http://")
    return url


class RemoteFile(Source):
    """A file behind ``url``; use it as a context.

    Each span that is fetched becomes a part file in ``folder``. Its length says how far a process came, its name of which
    version of the file it is. A server that knows no ranges sends the whole file.

    Raises (on entering, and from every method that fetches):
        DownloadFailed: the server has no such file, answers nonsense, or breaks off again and again.
    """

    def __init__(self, url: str, folder: Path, progress: Progress | None = None) -> None:
        self.url, self.name, self.folder, self.progress = require_address(url), repr(url), folder, progress
        self.file = urlsplit(url).path.rpartition("/")[2]
        self.stem = digest(url)
        self.lock = FileLock(folder / f"{self.stem}.lock", timeout=0)
        self.session = session_for(url)
        self.size = 0
        #: Size, ETag and Last-Modified of the file on the server.
        self.version: tuple[int, str | None, str | None] = 0, None, None
        self.ranges = self.complete = False
        self.parts: dict[Span, Path] = {}
        #: Bytes that are here of what was announced, and what they will be.
        self.done = self.goal = 0

    def __enter__(self) -> Self:
        try:
            self.lock.acquire()
        except Timeout:
            raise DownloadFailed(f"another isostyle is fetching {self.name} just now; wait for it") from None
        try:
            with self._answer(0, 1) as answer:
                self.ranges = answer.status_code == requests.codes.partial_content
            # Without an ETag and a date, nobody knows whether the rest belongs to a part.
            self.discard(but=self._prefix if any(self.version[1:]) else None)
            if not self.ranges:
                self.fetch([])
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        self.session.close()
        Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()

    def read(self, start: int, length: int) -> bytes:
        self.require(start, length)
        end = start + length
        if (span := self._span_around(start, end)) is None:
            first = min(start, max(0, self.size - BLOCK))
            span = first, min(self.size, max(end, first + BLOCK))
            self._receive(*span)
        with self.parts[span].open("rb") as part:
            part.seek(start - span[0])
            return part.read(length)

    def fetch(self, spans: Sequence[Span]) -> None:
        missing = [span for span in (merged(spans) if self.ranges else [(0, self.size)]) if not self._span_around(*span)]
        self.done, self.goal = 0, sum(end - start for start, end in missing)
        for span in missing:
            self._receive(*span)
        self.goal = 0

    def discard(self, but: str | None = None) -> None:
        """Throw away what was fetched, here and by earlier processes, ``but`` for parts whose names begin so."""
        self.parts.clear()
        for path in self.folder.glob(f"{self.stem}-*.part"):
            if but is None or not path.name.startswith(but):
                path.unlink()

    @property
    def _prefix(self) -> str:
        """What the names of this version's parts begin with."""
        return f"{self.stem}-{digest(repr(self.version))}-"

    def _span_around(self, start: int, end: int) -> Span | None:
        """The span of a part that holds these bytes."""
        return next((span for span in self.parts if span[0] <= start and end <= span[1]), None)

    def _receive(self, start: int, end: int) -> None:
        """Make the part of these bytes whole; an attempt that fails is repeated from where it broke off."""
        path = self.folder / f"{self._prefix}{start}-{end}.part"
        try:
            with path.open("ab") as part:
                self._append(part, start + part.tell(), end)
        except OSError as error:
            raise DownloadFailed(f"{str(path)!r} cannot be written: {reason(error)}") from None
        self.parts[start, end] = path
        self.complete = (0, self.size) in self.parts

    def _append(self, part: IO[bytes], start: int, end: int) -> None:
        self.done += part.tell()
        failed = 0
        while start < end:
            came = 0
            with self._answer(start, end) as answer:
                skip = 0 if answer.status_code == requests.codes.partial_content else start
                for data in body(answer, skip, end - start):
                    came += part.write(data)
                    self.done += len(data)
                    if self.progress and self.goal:
                        self.progress(self.done, self.goal)
            start += came
            if start < end:
                failed = 1 if came else failed + 1
                if failed == ATTEMPTS:
                    raise DownloadFailed(f"{self.name}: the connection ended early, after {failed} attempts")
                time.sleep(PAUSE * 2 ** (failed - 1))

    @contextlib.contextmanager
    def _answer(self, start: int, end: int) -> Iterator[Any]:
        """The answer to a request of these bytes: with them, or with the whole file, and of the same version as before."""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        try:
            answer = self.session.get(self.url, headers=headers, stream=True, timeout=TIMEOUTS)
        except (requests.RequestException, ValueError) as error:
            raise DownloadFailed(f"{self.name}: {short(error)}") from None
        with answer:
            self._check(answer, start, end)
            yield answer

    def _check(self, answer: Any, start: int, end: int) -> None:
        code, headers = answer.status_code, answer.headers
        if code == requests.codes.ok:
            given, pattern = headers.get("Content-Length", ""), r"(\d{1,15})"
        elif code == requests.codes.partial_content:
            given, pattern = headers.get("Content-Range", ""), rf"bytes {start}-{end - 1}/(\d{{1,15}})"
        else:
            raise DownloadFailed(f"{self.name}: the server answers {code} {responses.get(code, '')}".strip())
        if (found := re.fullmatch(pattern, given)) is None:
            raise DownloadFailed(f"{self.name}: asked for the bytes {start}-{end - 1}, the server answers {given[:80]!r}")
        version = int(found[1]), headers.get("ETag"), headers.get("Last-Modified")
        if self.size and version != self.version:
            raise DownloadFailed(f"{self.name} changed while it was fetched; fetch it again")
        self.size, self.version = version[0], version
        if not 0 < self.size <= MAX_BYTES:
            raise DownloadFailed(f"{self.name} has {self.size} bytes, which no network of isostyle's has")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def body(answer: Any, skip: int, length: int) -> Iterator[bytes]:
    """The pieces of an answer from ``skip`` on, ``length`` bytes or up to where the connection ends."""
    with contextlib.suppress(HTTPError, OSError):
        for data in answer.raw.stream(CHUNK, decode_content=False):
            yield data[skip : skip + length]
            length -= len(data[skip : skip + length])
            skip = max(0, skip - len(data))


def short(error: Exception) -> str:
    """A library's error without the errors around it and the addresses of objects."""
    around = r""".*(Caused by \w+\(['"]?|(object at \w+>|Connection\([^)]*\)): )|['"]?\)+$"""
    return re.sub(around, "", " ".join(str(error).split()))[:160]
