"""What the spend-once protocol takes for granted of Airflow's task state store."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import wait_until
from tests.faults.dags.fencing import KEY
from tests.faults.scenarios import Scenes, backfill

# The faults take their time: they begin first, and happen while these tests run.
pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("rows")]

TASK = "outlive"


@pytest.mark.parametrize("end", ["paused", "killed"])
def test_a_try_that_is_over_can_neither_write_nor_read(scenes: Scenes, tmp_path: Path, end: str) -> None:
    """Its supervisor is paused, or killed, until the next try has run; the worker itself lives on."""
    run = scenes.world.start("fencing", folder=str(tmp_path))
    first = _read(tmp_path / "first.json", 120)
    number = signal.SIGSTOP if end == "paused" else signal.SIGKILL
    os.kill(first["supervisor"], number)
    try:
        run.wait_for(TASK, "success", timeout_s=180)
        (tmp_path / "go").touch()
    finally:
        if end == "paused":
            os.kill(first["supervisor"], signal.SIGCONT)
    zombie = _read(tmp_path / "zombie.json", 60)
    print(json.dumps(zombie, indent=1))
    assert zombie["set"]["raised"]
    if end == "paused":
        assert zombie["get"] == zombie["get after set"] == {"gave": "the default", "raised": None}
        assert "404" in zombie["set"]["raised"]
    else:
        assert zombie["get"]["raised"]
    # A record survives the try that wrote it, and the zombie left no trace.
    assert _read(tmp_path / "second.json", 1) == {"found": "of the first try"}
    path = f"dags/fencing/dagRuns/{run.run_id}/taskInstances/{TASK}/state-store/{KEY}"
    assert run.api.get(path)["value"] == "of the second try"


def test_a_day_that_is_processed_again_is_a_new_run_with_an_empty_store(scenes: Scenes) -> None:
    api, dag_id, day = scenes.world.airflow.api, "fencing_days", "2026-10-05"
    api.wait_for_dag(dag_id)
    api.request("PATCH", f"dags/{dag_id}", json={"is_paused": False})
    first = backfill(scenes.world, dag_id, day, "none")
    assert first.finish() == "failed"
    second = backfill(scenes.world, dag_id, day, "failed")
    assert second.finish() == "success"
    assert second.run_id != first.run_id
    assert second.result("remember") == "nothing"
    kept = api.get(f"dags/{dag_id}/dagRuns/{first.run_id}/taskInstances/remember/state-store/{KEY}")["value"]
    assert kept == first.run_id

    second.api.clear(dag_id, second.run_id, ["remember"])
    wait_until(lambda: second.task("remember").try_number == 2, "the task is tried again")
    second.finish()
    assert second.result("remember") == second.run_id


def _read(path: Path, timeout_s: float) -> Any:
    wait_until(path.exists, f"{path.name} is there", timeout_s)
    return json.loads(path.read_text())
