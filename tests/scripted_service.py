"""An HTTP server that gives the replies that a test wrote down, in that order, and remembers what it was asked."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Reply:
    """One scripted answer. ``truncate`` sends half of the body; ``hang`` sends nothing until the test ends."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    truncate: bool = False
    drop: bool = False
    hang: bool = False


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that hangs up: some do, on what they cannot read."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ScriptedService:
    """See the module. The last reply is repeated for whatever comes after it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._replies: list[Reply] = []
        self._ended = threading.Event()
        self.ahead_s = 0.0
        """Seconds that this server's clock is ahead, as its ``Date`` headers show it."""
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # Or each reply waits 40 ms for the acknowledgement of its head.

            def handle_any(self) -> None:
                script._answer(self)

            do_GET = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815  the names that http.server looks for

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(time.time() + script.ahead_s)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ScriptedService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def json(self, value: object, status: int = 200, **headers: str) -> ScriptedService:
        """Add a JSON reply. ``retry_after="1"`` becomes the header ``Retry-After``."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self._replies.append(Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named}))
        return self

    def forget(self) -> None:
        """Forget the replies and the requests so far."""
        self._replies.clear()
        self.requests.clear()

    def add(self, *replies: Reply) -> ScriptedService:
        """Add replies of any kind."""
        self._replies += replies
        return self

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(self._read(handler))
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if reply.hang:
            self._ended.wait(30)
        if reply.drop or reply.hang:
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body[: len(reply.body) // 2] if reply.truncate else reply.body)
        handler.close_connection = handler.close_connection or reply.truncate

    @staticmethod
    def _read(handler: BaseHTTPRequestHandler) -> Request:
        parts = urlsplit(handler.path)
        if handler.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(handler.rfile.readline(), 16):
                body += handler.rfile.read(size)
                handler.rfile.readline()
            handler.rfile.readline()
        else:
            body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        return Request(handler.command, parts.path, parse_qs(parts.query), dict(handler.headers), body)
