"""An archive laid out by day, the DAGs of ``transcribe_archive`` over it, and what they leave behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.pages import TranscriptListItem
from demo.service import API_KEY, LocalService
from tests.e2e.world import Run, World, wait_until

DAGS = DAG, DAY_DAG, WEEK_DAG = "transcribe_archive", "archive_day", "archive_week"
_MANIFEST = f"manifest.{DAG}.transcribe.jsonl"
_PAGE = 100


def days(first: str, count: int) -> list[str]:
    """Return the keys of so many days."""
    return [str(date.fromisoformat(first) + timedelta(days=each)) for each in range(count)]


def monday(day: str) -> str:
    """Return the key of the week of a day."""
    there = date.fromisoformat(day)
    return str(there - timedelta(days=there.weekday()))


def transcripts(service: LocalService) -> list[TranscriptListItem]:
    """Return all that was ever submitted to a service."""
    with AssemblyAIClient(API_KEY, base_url=service.url) as client:
        return list(client.walk())


@dataclass
class Archive:
    """The DAGs over one archive at a time.

    Args:
        world: where they run.
        folder: of the archive.
        text: the output folder.
    """

    world: World
    folder: Path
    text: Path

    # What a user does ----------------------------------------------------------------------------------------------

    def configure(self, **settings: Any) -> None:
        """Set the Variable, and let all DAGs run."""
        value = json.dumps({"archive": str(self.folder), "output_path": str(self.text), **settings})
        self.world.airflow.command("variables", "set", DAG, value)
        for dag_id in DAGS:
            self.world.airflow.api.wait_for_dag(dag_id)
            self.world.airflow.api.request("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def backfill(self, first: str, last: str, reprocess: str = "none", timeout_s: float = 300.0) -> list[Run]:
        """Backfill some days on the command line, wait until everything that follows has ended, and return its runs."""
        # Airflow calls one active until it has looked whether it still is.
        wait_until(lambda: not self._active_backfills(), "the backfill before is over", 90)
        known = {run["dag_run_id"] for run in self._runs(DAG)}
        self.world.airflow.command(
            *("backfill", "create", "--dag-id", DAG, "--from-date", first, "--to-date", last),
            *("--max-active-runs", "10", "--reprocess-behavior", reprocess),
        )
        self.settle(timeout_s)
        made = [run for run in self._runs(DAG) if run["run_type"] == "backfill" and run["dag_run_id"] not in known]
        return [self.run(DAG, run["dag_run_id"]) for run in made]

    def start(self, dag_id: str, key: str | None) -> Run:
        """Start a run as a person does, and wait until it has ended."""
        run = self.run(dag_id, self.world.airflow.api.trigger(dag_id, partition=key))
        run.finish()
        return run

    def settle(self, timeout_s: float = 120.0) -> None:
        """Wait until all runs have ended, and the runs that they lead to."""
        wait_until(self._settled, "the archive's runs have ended", timeout_s)

    # What there is then --------------------------------------------------------------------------------------------

    def texts(self, day: str) -> list[str]:
        """Return the texts of a day, by the names of its recordings."""
        return [path.read_text().strip() for path in sorted((self.text / day).glob("*.txt"))]

    def manifest(self, day: str) -> list[dict[str, Any]]:
        """Return the rows of a day's manifest."""
        lines = (self.text / day / _MANIFEST).read_text().splitlines()
        return [json.loads(line) for line in lines]

    def day(self, day: str) -> dict[str, Any]:
        """Return what was made of a day."""
        made: dict[str, Any] = json.loads((self.text / day / "day.json").read_bytes())
        return made

    def week(self, key: str) -> dict[str, Any]:
        """Return what was made of a week."""
        made: dict[str, Any] = json.loads((self.text / "weeks" / f"{key}.json").read_bytes())
        return made

    def files(self) -> dict[str, bytes]:
        """Return all that was made, but for the manifests, which say what the last run did."""
        return {
            str(path.relative_to(self.text)): path.read_bytes()
            for path in self.text.rglob("*")
            if path.is_file() and not path.name.startswith("manifest.")
        }

    def run(self, dag_id: str, run_id: str) -> Run:
        """Return a run by its id."""
        return Run(self.world.airflow.api, dag_id, run_id, self.world.airflow.logs / "scheduler.log")

    # Airflow -------------------------------------------------------------------------------------------------------

    def _settled(self) -> bool:
        """Say whether no run is left, and every file is newer than those that it is made of.

        What runs were started by tells less: Airflow now and then adds an event to a run that is just being made.
        """
        active = {"state": ["queued", "running"], "limit": 1}
        if any(self.world.airflow.api.get(f"dags/{dag_id}/dagRuns", **active)["dag_runs"] for dag_id in DAGS):
            return False
        days_made = [path.parent / "day.json" for path in self.text.glob(f"*/{_MANIFEST}")]
        return all(
            _is_newer(file, file.with_name(_MANIFEST))
            and _is_newer(self.text / "weeks" / f"{monday(file.parent.name)}.json", file)
            for file in days_made
        )

    def _runs(self, dag_id: str) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = []
        while True:
            path = f"dags/{dag_id}/dagRuns"
            page = self.world.airflow.api.get(path, limit=_PAGE, offset=len(runs), order_by="id")["dag_runs"]
            if not page:
                return runs
            runs += page

    def _active_backfills(self) -> bool:
        found = self.world.airflow.api.get("backfills", dag_id=DAG, limit=_PAGE)["backfills"]
        return any(backfill["completed_at"] is None for backfill in found)


def _is_newer(file: Path, source: Path) -> bool:
    return file.exists() and file.stat().st_mtime_ns >= source.stat().st_mtime_ns
