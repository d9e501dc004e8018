"""The local speech-to-text service as a process."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from demo.processes import Process, ProcessError, clean_environment, free_ports

# Not the default: it would stand out in a log, where it must not be, and masking it spoils no other word.
API_KEY = "key-of-the-local-service"


class LocalService:
    """``airflow-asr serve`` on a free loopback port.

    Args:
        home: where it keeps its data and its log.
        engine: ``whisper`` recognises speech; ``echo`` is for tests.
        options: more command-line options.
    """

    def __init__(self, home: Path, *, engine: str = "whisper", options: tuple[str, ...] = ()) -> None:
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = home.resolve()
        command = [str(Path(sys.executable).with_name("airflow-asr")), "serve", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data-dir", str(self.home / "data"), "--api-key", API_KEY]
        command += ["--engine", engine, *options]
        self.process = Process(
            "the speech service", command, log=self.home / "service.log", env=clean_environment(), cwd=self.home
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def connection(self) -> str:
        """The Airflow Connection to it, as JSON."""
        return json.dumps({"conn_type": "assemblyai", "password": API_KEY, "extra": {"base_url": self.url}})

    def start(self, timeout_s: float = 60.0) -> None:
        """Start it, or start it again with the data that it had, and wait until it answers.

        Raises:
            ProcessError: it ended, or did not answer in time.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.process.start()
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            self.process.check()
            if time.monotonic() > deadline:
                self.stop()
                raise ProcessError(f"The speech service did not answer in {timeout_s:g} s.\n{self.process.tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it. Can be called again."""
        self.process.stop(within_s=5.0)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def _answers(self) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False
                headers = {"Authorization": API_KEY}
                return session.get(f"{self.url}/v2/transcript", params={"limit": 1}, headers=headers, timeout=5).ok
        except requests.RequestException:
            return False
