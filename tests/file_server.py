"""A web server in a thread, with files in memory, which can misbehave in every way that servers do."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Each connection has a thread of its own, and `+=` is no single step.
COUNTING = threading.Lock()


@dataclass
class Shelf:
    """What the server has and does. ``faults``: one for each of the next requests; an empty one is no fault.

    A fault may have: ``status``; ``location``; ``drop``: bytes of the body after which the connection ends; ``content_range``;
    ``chunked``: no Content-Length; ``before``: called first.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    etag: str | None = '"one"'
    ranges: bool = True
    faults: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: int = 0
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        shelf: Shelf = self.server.shelf  # type: ignore[attr-defined]
        shelf.requests.append((self.path, dict(self.headers)))
        fault = shelf.faults.pop(0) if shelf.faults else {}
        if "before" in fault:
            fault["before"]()
        if (target := fault.get("location") or shelf.redirects.get(self.path)) is not None:
            return self.answer(302, b"", {"Location": target})
        if "status" in fault:
            return self.answer(fault["status"], b"no")
        data = shelf.files.get(self.path)
        if data is None:
            return self.answer(404, b"no")
        headers = {"ETag": shelf.etag} if shelf.etag else {}
        wanted = self.headers.get("Range")
        if not shelf.ranges or wanted is None:
            return self.answer(200, data, headers, fault)
        first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
        if first >= len(data):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        part = data[first : last + 1]
        headers["Content-Range"] = fault.get("content_range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        return self.answer(206, part, headers, fault)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, fault: Any = None) -> None:
        fault = fault or {}
        part = body[: fault["drop"]] if "drop" in fault else body
        # Before anything is sent: the test may have it, and look, before this thread goes on.
        with COUNTING:
            self.server.shelf.sent += len(part)  # type: ignore[attr-defined]
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if not fault.get("chunked"):
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(part)
        if "drop" in fault:
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The other side went away: what half of the tests are about."""


@contextlib.contextmanager
def serve():
    server = Server(("127.0.0.1", 0), Handler)
    server.shelf = shelf = Shelf()
    shelf.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield shelf
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
