"""Someone who is called by webhooks."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Receiver:
    """A web server that answers what it is told to, 200 by default, and remembers what came.

    Attributes:
        answers: the statuses of the next answers; ``None`` stands for no answer until :attr:`released`.
        released: set, to let go of those who wait for an answer.
    """

    def __init__(self) -> None:
        self.answers: deque[int | None] = deque()
        self.released = threading.Event()
        self.calls: list[Call] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/done"

    def wait(self, number: int, seconds: float = 30) -> list[Call]:
        """The calls, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(self.calls) < number:
            assert time.monotonic() < deadline, f"{len(self.calls)} calls came instead of {number}"
            time.sleep(0.01)
        return list(self.calls)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.answers.popleft() if receiver.answers else 200
                receiver.calls.append(Call(self.path, dict(self.headers), body))
                if status is None:
                    receiver.released.wait(30)
                    self.close_connection = True
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
