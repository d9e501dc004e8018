"""What ``make demo`` and ``make up`` start: the speech service and Airflow, with their data in one directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.processes import Identity, end_sessions, free_ports, is_free, save, saved
from demo.runs import DAG_ID
from demo.service import LocalService
from demo.stack import AirflowStack

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
DAGS = ROOT / "dags"
CALLS = HOME / "calls"  # What the demo makes of the sample recordings.
_UI_PORT = 8080
_URL = HOME / "url"
_SERVICE_RECORD = HOME / "service.json"
_AIRFLOW_HOME = HOME / "airflow"


class Machine:
    """The speech service and Airflow, working together.

    Args:
        say: told about each part that is ready.
        engine: of the speech service.
    """

    def __init__(self, say: Callable[[str], None], engine: str = "whisper") -> None:
        self._say = say
        self.service = LocalService(HOME / "service", engine=engine)
        self.airflow = AirflowStack(
            _AIRFLOW_HOME,
            DAGS,
            connections={"assemblyai_default": self.service.connection},
            api_port=_UI_PORT if is_free(_UI_PORT) else free_ports(1)[0],
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all and wait until it is ready; if that fails, nothing is left running.

        Raises:
            ProcessError: something ended, or was not ready in time.
            AirflowApiError: Airflow cannot read the DAG.
        """
        try:
            self._say("Starting the speech service and Airflow ...")
            self.service.start()
            save(_SERVICE_RECORD, [self.service.process])
            self._say(f"The speech service is ready, with a recogniser of its own: {self.service.url}")
            self.airflow.start()
            self.airflow.api.wait_for_dag(DAG_ID)
            self._say(f"Airflow is ready: {', '.join(process.name for process in self.airflow.processes)}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all."""
        self.airflow.stop()
        self.service.stop()
        _SERVICE_RECORD.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Leave all running after this program, and remember the UI's address."""
        self.airflow.let_go()
        self.service.process.let_go()
        _URL.write_text(self.airflow.url)


def running() -> list[Identity]:
    """Return the processes of an earlier start of which something still lives."""
    return [identity for identity in _recorded() if identity.members()]


def url() -> str | None:
    """Return the UI's address if ``make up`` has left all running."""
    recorded = _recorded()
    whole = bool(recorded) and all(identity.alive for identity in recorded)
    return _URL.read_text() if whole and _URL.exists() else None


def end() -> bool:
    """Stop what an earlier start has left running. Return whether there was anything."""
    left = running()
    end_sessions(left, 10.0)
    for record in (_URL, _SERVICE_RECORD, _AIRFLOW_HOME / "processes.json"):
        record.unlink(missing_ok=True)
    return bool(left)


def _recorded() -> list[Identity]:
    return [*saved(_SERVICE_RECORD).values(), *saved(_AIRFLOW_HOME / "processes.json").values()]


def forget() -> None:
    """Remove the data of earlier starts."""
    shutil.rmtree(HOME, ignore_errors=True)
