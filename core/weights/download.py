"""Files behind a server, read by place: only the parts that are asked for, checked, retried, and resumed by a later process.

What arrives is written to a part file at its own place; a small record beside it says which spans are there and of which
version of the file (ETag, Last-Modified, length). A server that does not know ranges sends the whole file, and that is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import responses
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

from isostyle._version import __version__
from isostyle.errors import InputError, IsostyleError
from isostyle.system.files import MAX_BYTES, lock, reason, write_atomically
from isostyle.weights.sources import BLOCK, Span, check_span, merged

OFFLINE = "ISOSTYLE_OFFLINE"
#: Seconds until a server has to answer, and between two pieces of its answer.
TIMEOUTS = (10.0, 30.0)
CHUNK = 2**18
#: Attempts in a row that bring less than PROGRESS bytes; then it is given up. Seconds between them double.
ATTEMPTS = 5
PROGRESS = 2**20
PAUSE = 0.5
REDIRECTS = 10
#: How often a file may change on the server under our hands.
CHANGES = 3
#: The part file's record is written after so many bytes.
RECORD_EVERY = 2**23
REDIRECT_CODES = (301, 302, 303, 307, 308)
#: Not the request's fault: too early, too many requests, timeouts, server errors.
TRANSIENT_CODES = (408, 425, 429, 500, 502, 503, 504)
CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")

#: Told of bytes fetched so far, and how many it will be.
Progress = Callable[[int, int], None]


class DownloadFailed(IsostyleError):
    """The file could not be had; the message says why."""


class FileChanged(DownloadFailed):
    """The server has another file now than when the reading began; what was fetched is thrown away."""


class Transient(Exception):
    """An attempt failed that may succeed when it is repeated."""


def offline() -> bool:
    """Whether the environment forbids downloads."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no", "off")


class RemoteFile:
    """A file behind ``url``; use it as a context. ``folder``: where the part file lies.

    Raises (on entering, and from every method that fetches):
        DownloadFailed: the server has no such file, answers nonsense, or breaks off again and again.
    """

    def __init__(
        self, url: str, folder: Path, progress: Progress | None = None, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise InputError(f"{url!r} is no address that begins with https:// or http://")
        self.url, self.name = url, repr(url)
        self.progress, self.pause = progress, pause
        stem = hashlib.sha256(url.encode()).hexdigest()[:16]
        self.part, self.record = folder / f"{stem}.part", folder / f"{stem}.part.json"
        self.size = 0
        self.spans: list[Span] = []
        self.etag: str | None = None
        self.modified: str | None = None
        #: Bytes that came through the line in this process.
        self.fetched = 0
        #: What that will be in the end; 0 while only headers are read, and it is not known.
        self.goal = 0
        self.requests = 0
        self.fresh_bytes = 0

    def __enter__(self) -> RemoteFile:
        import requests

        self.stream = self._open_part()
        try:
            self.session = requests.Session()
            self._recall()
            if not self.size:
                self._ensure([(0, BLOCK)], first=True)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._remember()
        self.session.close()
        self.stream.close()

    # What a Source has

    def read(self, start: int, length: int) -> bytes:
        check_span(self, start, length)
        self._ensure([(start, start + length)])
        self.stream.seek(start)
        data: bytes = self.stream.read(length)
        if len(data) != length:
            raise DownloadFailed(f"the part file of {self.name} became shorter while it was used")
        return data

    def want(self, spans: Sequence[Span]) -> None:
        self.goal = self.fetched + sum(end - start for start, end in self._missing(spans))
        self._ensure(spans)

    def local(self) -> Path:
        self.fetch_all()
        self.stream.flush()
        return self.part

    # More

    def fetch_all(self) -> None:
        self.want([(0, self.size)])

    @property
    def complete(self) -> bool:
        return self.spans == [(0, self.size)]

    def digests(self) -> dict[str, str]:
        """SHA-256 and SHA-1 of the whole file, which is fetched for it."""
        self.fetch_all()
        self.stream.seek(0)
        return digests(iter(lambda: self.stream.read(CHUNK), b""))

    def discard(self) -> None:
        """Throw away what was fetched, here and for later processes."""
        self._reset()
        self.part.unlink(missing_ok=True)

    # The part file

    def _open_part(self) -> Any:
        """The part file, locked: two processes at once would write over each other's records."""
        try:
            while True:
                stream = os.fdopen(os.open(self.part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")
                try:
                    lock(stream, wait=False)
                except OSError:
                    stream.close()
                    raise DownloadFailed(f"another isostyle is fetching {self.name} just now; wait for it") from None
                # Whoever held the lock before may have removed the file when it was done.
                with contextlib.suppress(FileNotFoundError):
                    if os.fstat(stream.fileno()).st_ino == self.part.stat().st_ino:
                        return stream
                stream.close()
        except OSError as error:
            raise DownloadFailed(f"{str(self.part)!r} cannot be written: {reason(error)}") from None

    def _recall(self) -> None:
        """Take up what an earlier process left, if it is known of which version of the file it is."""
        try:
            found = json.loads(self.record.read_bytes())
            size, etag, modified = found["size"], found["etag"], found["modified"]
            spans = [(start, end) for start, end in found["spans"]]
            room = os.fstat(self.stream.fileno()).st_size
            numbers = [size, *(place for span in spans for place in span)]
            if (
                found["url"] == self.url
                and all(type(n) is int for n in numbers)
                and 0 < size <= MAX_BYTES
                and all(0 <= start < end <= min(size, room) for start, end in spans)
                and all(text is None or isinstance(text, str) for text in (etag, modified))
                and (etag or modified)
            ):
                self.size, self.etag, self.modified, self.spans = size, etag, modified, merged(spans, 0)
                return
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass
        self._reset()

    def _remember(self) -> None:
        """Write down what is there; the bytes first, so that the record never says too much."""
        self.fresh_bytes = 0
        if not self.size or not self.spans or not self.part.exists():
            return
        self.stream.flush()
        os.fsync(self.stream.fileno())
        state = {"url": self.url, "size": self.size, "etag": self.etag, "modified": self.modified, "spans": self.spans}
        write_atomically(self.record, json.dumps(state).encode())

    def _reset(self) -> None:
        # The record first: if this process dies here, it must not vouch for what comes next into the part file.
        self.record.unlink(missing_ok=True)
        self.size, self.etag, self.modified, self.spans = 0, None, None, []
        self.stream.truncate(0)

    def _missing(self, spans: Sequence[Span]) -> list[Span]:
        """What of ``spans`` is not there yet, near ones joined."""
        gaps: list[Span] = []
        for first, end in merged(spans):
            start = first
            for had_start, had_end in self.spans:
                if had_end <= start or had_start >= end:
                    continue
                if had_start > start:
                    gaps.append((start, had_start))
                start = had_end
            if start < end:
                gaps.append((start, end))
        return gaps

    # The line

    def _ensure(self, spans: Sequence[Span], *, first: bool = False) -> None:
        """Fetch what is missing; an attempt that fails is repeated from where it broke off."""
        attempts, mark = 0, self.fetched
        while gaps := self._missing(spans if first or not self.size else [(a, min(b, self.size)) for a, b in spans]):
            try:
                self._fetch(*gaps[0])
                if first:
                    return
            except Transient as error:
                attempts = 1 if self.fetched - mark >= PROGRESS else attempts + 1
                mark = self.fetched
                if attempts >= ATTEMPTS:
                    raise DownloadFailed(f"{self.name}: {error} (after {ATTEMPTS} attempts)") from None
                self.pause(PAUSE * 2 ** (attempts - 1))
            except OSError as error:
                raise DownloadFailed(f"{str(self.part)!r} cannot be written: {reason(error)}") from None

    def _fetch(self, start: int, end: int) -> None:
        """One request for the bytes from ``start`` to ``end``, and what comes of it into the part file."""
        with self._answer(start, end) as answer:
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise DownloadFailed(
                    f"{self.name} comes packed ({answer.headers['Content-Encoding']!r}), though it was not asked to"
                )
            if answer.status_code == 206:
                start, end = self._partial(answer, start, end)
            else:
                start, end = 0, self._whole(answer)
                self.goal = self.fetched + end
            place = start
            try:
                while data := receive(answer, min(CHUNK, end - place)) if place < end else b"":
                    self.stream.seek(place)
                    self.stream.write(data)
                    place += len(data)
                    self.fetched += len(data)
                    self.fresh_bytes += len(data)
                    if self.fresh_bytes >= RECORD_EVERY:
                        self._add(start, place)
                        self._remember()
                    if self.progress and self.goal:
                        self.progress(self.fetched, max(self.goal, self.fetched))
            finally:
                self._add(start, place)
            if place < end:
                raise Transient(f"the connection ended after {place - start} of {end - start} bytes")

    def _add(self, start: int, end: int) -> None:
        if end > start:
            self.spans = merged([*self.spans, (start, end)], 0)

    @contextlib.contextmanager
    def _answer(self, start: int, end: int) -> Iterator[Any]:
        """The response, after redirects, with the status 200 or 206."""
        import requests

        headers = {
            "Range": f"bytes={start}-{end - 1}",
            "Accept-Encoding": "identity",
            "User-Agent": f"isostyle/{__version__}",
        }
        # A weak ETag ("W/...") does not promise equal bytes.
        validator = self.etag if self.etag and not self.etag.startswith("W/") else self.modified
        if self.size and validator:
            headers["If-Range"] = validator
        url = self.url
        for _ in range(REDIRECTS + 1):
            self.requests += 1
            try:
                answer = self.session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=TIMEOUTS)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                raise Transient(f"there is no connection ({short(error)})") from None
            except (requests.RequestException, ValueError) as error:
                raise DownloadFailed(f"{self.name}: {short(error)}") from None
            with answer:
                if answer.status_code not in REDIRECT_CODES:
                    self._check_status(answer)
                    yield answer
                    return
                target = urljoin(url, answer.headers.get("Location", ""))
            parts = urlsplit(target)
            if parts.scheme not in ("http", "https") or (parts.scheme == "http" and urlsplit(url).scheme == "https"):
                raise DownloadFailed(f"{self.name} leads to {target[:200]!r}, which is not https; it is not followed")
            url = target
        raise DownloadFailed(f"{self.name} leads from one address to another, more than {REDIRECTS} times")

    def _check_status(self, answer: Any) -> None:
        code = answer.status_code
        if code in TRANSIENT_CODES:
            raise Transient(f"the server answers {code} {responses.get(code, '')}".strip())
        if code == 416 and self.size:
            self._reset()
            raise FileChanged(f"{self.name} changed while it was fetched")
        if code not in (200, 206):
            raise DownloadFailed(f"{self.name}: the server answers {code} {responses.get(code, '')}".strip())

    def _partial(self, answer: Any, start: int, end: int) -> Span:
        """The span of a 206, which has to be the one that was asked for, of the same version of the file."""
        given = answer.headers.get("Content-Range", "")
        found = CONTENT_RANGE.fullmatch(given)
        first, last, size = (int(n) for n in found.groups()) if found else (-1, -1, -1)
        if first != start or last != min(end, size) - 1 or last < first:
            raise DownloadFailed(f"{self.name}: asked for the bytes {start}-{end - 1}, the server answers {given[:80]!r}")
        self._same_version(answer, size)
        return first, last + 1

    def _whole(self, answer: Any) -> int:
        """The length of a 200: the server knows no ranges, or has another version of the file now."""
        length = answer.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,15}", length):
            raise DownloadFailed(f"{self.name}: the server does not say how long the file is")
        self._same_version(answer, int(length))
        return int(length)

    def _same_version(self, answer: Any, size: int) -> None:
        """Raises FileChanged if this is not the file whose parts are here already."""
        etag, modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
        if not 0 < size <= MAX_BYTES:
            raise DownloadFailed(f"{self.name} has {size} bytes, which no network of isostyle's has")
        if self.size and (size, etag, modified) != (self.size, self.etag, self.modified):
            self._reset()
            raise FileChanged(f"{self.name} changed while it was fetched")
        self.size, self.etag, self.modified = size, etag, modified


def receive(answer: Any, length: int) -> bytes:
    """The next bytes of an answer, at most ``length``; none at its end.

    Raises:
        Transient: the connection broke off.
    """
    from urllib3.exceptions import HTTPError

    try:
        data: bytes = answer.raw.read(length, decode_content=False)
    except (HTTPError, OSError) as error:
        raise Transient(f"the connection broke off ({short(error)})") from None
    return data


def short(error: Exception) -> str:
    """A library's error in a few words: the innermost, without addresses of objects."""
    inner = error
    while parts := [part for part in (getattr(inner, "reason", None), *inner.args) if isinstance(part, Exception)]:
        inner = parts[0]
    text = re.sub(r"<[^<>]*>:?\s*|\([^()]*object at 0x[^()]*\)|^\S+\(host=.*?\): ", "", " ".join(str(inner).split()))
    return text[:160] or type(inner).__name__


def digests(pieces: Iterator[bytes]) -> dict[str, str]:
    """SHA-256 and SHA-1, the two that published names carry."""
    found = {name: hashlib.new(name) for name in ("sha256", "sha1")}
    for piece in pieces:
        for one in found.values():
            one.update(piece)
    return {name: one.hexdigest() for name, one in found.items()}
