"""A stand-in for the service that is fast enough to measure others with: it recognises nothing, and counts requests.

One process with one event loop, which answers some ten thousand requests a second. Nothing is stored but what a row of
the list needs; a transcript has ended when the clock says so, and all results share one text. There is no limit of
requests or of jobs at once, and any key is taken. What it does not know it refuses, so that no benchmark measures an
error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from email.utils import formatdate
from functools import lru_cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

import requests

from benchmarks.report import ROOT
from benchmarks.stand_in_service import RefusedError, Service, as_json

API_KEY = "key-of-the-stand-in"
SUBMIT, UPLOAD, STATUS, LIST = "POST /v2/transcript", "POST /v2/upload", "GET /v2/transcript/{id}", "GET /v2/transcript"


class StandIn:
    """The stand-in as a process of its own, on a free loopback port. It ends with the block, or with this process.

    Args:
        process_s: how long a transcript takes: each a time between these two, in seconds.
        result_bytes: about how long the JSON of a completed transcript is.
        foreign: which share of the list others submit, meanwhile, to the same project; below 1.
        history: completed transcripts that were in the list before.
        submit_s: how long the replies to an upload and a submission take, in seconds.
    """

    def __init__(
        self,
        process_s: tuple[float, float] = (10.0, 20.0),
        *,
        result_bytes: int = 2000,
        foreign: float = 0.0,
        history: int = 0,
        submit_s: float = 0.0,
    ) -> None:
        options = {"least-s": process_s[0], "most-s": process_s[1], "result-bytes": result_bytes}
        options |= {"foreign": foreign, "history": history, "submit-s": submit_s}
        self._options = [f"--{name}={value}" for name, value in options.items()]
        self._process: subprocess.Popen[str] | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self.url = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", "from benchmarks.stand_in import serve; serve()", *self._options]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise SystemExit(f"The stand-in did not start: exit code {self._process.wait()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._session.close()
        if self._process is not None:
            self._process.communicate()  # It ends when its input does.

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None, "It was not started."
        return self._process.pid

    @property
    def connection(self) -> str:
        """The Airflow Connection to it, as JSON."""
        return json.dumps({"conn_type": "assemblyai", "password": API_KEY, "extra": {"base_url": self.url}})

    def counts(self) -> dict[str, int]:
        """Return the requests of each route since the start, and ``connections`` and ``upload bytes`` with them."""
        return dict(self._call("GET", "/_counts"))

    def make(self, count: int, process_s: tuple[float, float]) -> dict[str, float]:
        """Submit so many transcripts at once, which is not counted, and return when each ends, in epoch seconds."""
        params = {"count": count, "least_s": process_s[0], "most_s": process_s[1]}
        return dict(self._call("POST", "/_transcripts", params=params))

    def ends(self) -> dict[str, float]:
        """Return when each transcript ends that was not submitted by strangers, in epoch seconds."""
        return dict(self._call("GET", "/_transcripts"))

    def _call(self, method: str, path: str, **options: Any) -> Any:
        reply = self._session.request(method, self.url + path, timeout=60, **options)
        reply.raise_for_status()
        return reply.json()


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, as long as each says how long its body is."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = b""
        self._head = b""
        self._body: list[bytes] = []
        self._missing = 0
        """Bytes of the body that are to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.counts["connections"] += 1

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._take(data)
            return
        self._received += data
        self._head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        self._received = b""
        _, length_named, length = self._head.lower().partition(b"\r\ncontent-length:")
        if b"\r\ntransfer-encoding:" in self._head.lower():
            self._reply("411 Length Required", [b'{"error": "Say how long the body is"}'])
            self._transport.close()
            return
        self._missing = int(length.partition(b"\r\n")[0]) if length_named else 0
        self._body = []
        self._take(rest)

    def _take(self, data: bytes) -> None:
        self._missing -= len(data)
        if b" /v2/upload " in self._head[:40]:
            self._service.counts["upload bytes"] += len(data)
        else:
            self._body.append(data)
        if self._missing < 0:
            self._transport.abort()  # A second request before the first has its reply: nobody here sends that.
        elif not self._missing:
            self._answer()

    def _answer(self) -> None:
        method, target, _ = self._head.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
        path, _, query = target.partition("?")
        try:
            body = self._service.answer(method, path, dict(parse_qsl(query)), b"".join(self._body))
        except RefusedError as error:
            self._reply("400 Bad Request", [as_json({"error": str(error)})])
            return
        if method == "POST" and path.startswith("/v2/") and self._service.submit_s:
            asyncio.get_running_loop().call_later(self._service.submit_s, self._reply, "200 OK", body)
        else:
            self._reply("200 OK", body)

    def _reply(self, status: str, body: list[bytes]) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nDate: {_date(int(time.time()))}\r\n"
        head += f"Content-Length: {sum(map(len, body))}\r\n\r\n"
        self._transport.writelines([head.encode(), *body])
        if b"\r\nconnection: close" in self._head.lower():
            self._transport.close()


def serve() -> None:
    """Serve until the standard input ends. Prints the URL once it answers."""
    parser = argparse.ArgumentParser()
    for name in ("least-s", "most-s", "foreign", "submit-s"):
        parser.add_argument(f"--{name}", type=float, required=True)
    for name in ("result-bytes", "history"):
        parser.add_argument(f"--{name}", type=int, required=True)
    asyncio.run(_serve(Service(parser.parse_args())))


async def _serve(service: Service) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=20_000)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(service.url, flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 100) else ended.set())
    await ended.wait()
    os._exit(0)  # Connections that are open need no goodbye.


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
