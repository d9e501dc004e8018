"""A local server for tests, yours included: real HTTP, real processes, and faults on demand.

::

    from airflow_asr.local.testing import LocalServer, scripted_audio

    with LocalServer() as server:
        hook = AssemblyAIHook(...)  # with server.url and server.api_key
        audio = scripted_audio("Hello there.", process_s=2)  # "audio" that says what is to be heard in it
        server.faults({"method": "POST", "route": "/v2/transcript", "action": "drop", "when": "after"})
        ...
        assert server.requests()["POST /v2/transcript"] == 1

The fields of a fault are explained in :mod:`airflow_asr.local.faults`, those of scripted audio in
:mod:`airflow_asr.local.echo`. The server ends with the ``with`` block, and also if the test process is killed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

_START_S = 60.0  # A busy machine takes its time to import a web framework.
_STOP_S = 15.0
_TIMEOUT_S = 30.0
_READY = "airflow-asr serving on "


def scripted_audio(text: str = "", **fields: Any) -> bytes:
    """Audio for the echo engine, in which ``text`` is heard.

    Args:
        text: what is said.
        fields: more of the script: ``seconds``, ``process_s``, ``error``, ``channels``, ``language_code``,
            ``language_confidence``.
    """
    return json.dumps({"echo": {"text": text, **fields}}).encode()


class LocalServer:
    """``airflow-asr serve`` in a process of its own, on a free port of the loopback interface.

    It is a context manager; :meth:`start` and :meth:`stop` do the same by hand. The port stays the same over restarts.

    Args:
        data_dir: where it keeps its data; by default a directory that is removed in the end.
        engine: ``echo`` or ``whisper``.
        concurrency: how many transcripts are processed at once.
        api_key: the key that it lets in.
        faults: whether faults can be demanded, requests counted and the clock moved.
        options: more options of ``airflow-asr serve``.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        engine: str = "echo",
        concurrency: int = 5,
        api_key: str = "local",
        faults: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        self.api_key = api_key
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="airflow-asr-"))
        # Also if nobody says that it is the end.
        self._clean_up = None if data_dir else weakref.finalize(self, shutil.rmtree, self.data_dir, ignore_errors=True)
        self._options = [
            *("--engine", engine, "--concurrency", str(concurrency), "--api-key", api_key),
            *("--data-dir", str(self.data_dir), "--until-stdin-closes"),
            *(("--enable-faults",) if faults else ()),
            *options,
        ]
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL, for example ``http://127.0.0.1:40123``."""
        if not self._port:
            raise RuntimeError("The local server has not been started.")
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None while it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote, over all of its starts."""
        path = self.data_dir / "server.log"
        return path.read_text() if path.exists() else ""

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            if self._clean_up is not None:
                self._clean_up()

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: it runs already, or it ended or was silent for a minute; with its log.
        """
        if self._process is not None:
            raise RuntimeError("The local server runs already.")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        begin = len(self.log)
        command = [sys.executable, "-m", "airflow_asr.local", "serve", "--port", str(self._port), *self._options]
        with (self.data_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)  # noqa: S603
        try:
            self._port = self._wait_until_ready(self._process, begin)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes], begin: int) -> int:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            written = self.log[begin:]
            for line in written.splitlines(keepends=True):
                if line.startswith(_READY) and line.endswith("\n"):
                    return int(line.removeprefix(_READY).split()[0].rpartition(":")[2])
            if process.poll() is not None:
                raise RuntimeError(f"The local server ended with code {process.returncode}:\n{written}")
            time.sleep(0.02)
        raise RuntimeError(f"The local server did not start within {_START_S:.0f} seconds:\n{self.log[begin:]}")

    def stop(self) -> None:
        """Let it finish the requests that are under way and end. Nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End it as ``kill -9`` does. Nothing happens if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Stop it, if it runs, and start it again, with the same data and port."""
        self.stop()
        self.start()

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Demand faults, each for the next request that it matches."""
        for fault in faults:
            self._call("POST", "/_faults", fault)

    def faults_left(self) -> list[dict[str, Any]]:
        """The faults that nothing has run into yet."""
        left: list[dict[str, Any]] = self._call("GET", "/_faults")["faults"]
        return left

    def clear_faults(self) -> None:
        """Take back all faults."""
        self._call("DELETE", "/_faults")

    def requests(self) -> dict[str, int]:
        """How often each method and route was asked for since the start, faults included.

        For example ``{"POST /v2/transcript": 1, "GET /v2/transcript/{id}": 7}``.
        """
        counts: dict[str, int] = self._call("GET", "/_requests")["requests"]
        return counts

    def forward(self, seconds: float) -> None:
        """Move the server's clock forward, restarts included. What expires by that is deleted when this returns."""
        self._call("POST", "/_clock", {"forward_s": seconds})

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = requests.request(
            method, self.url + path, json=body, headers={"Authorization": self.api_key}, timeout=_TIMEOUT_S
        )
        reply: dict[str, Any] = response.json()
        if response.status_code != 200:
            raise ValueError(f"{method} {path}: {reply.get('error', response.status_code)}")
        return reply
