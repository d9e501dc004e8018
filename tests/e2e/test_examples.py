"""What a new user runs first: the example DAGs and the README's DAG, on real speech."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import readme
from tests.e2e.world import RECORDINGS, Run, World

pytestmark = [pytest.mark.e2e, pytest.mark.speech]

CALL = "call-06-internet-outage.mp3"


@dataclass(frozen=True)
class Runs:
    """All runs of this file, which take their time at once."""

    call: Run
    broken: Run
    readme: Run


@pytest.fixture(scope="module")
def runs(world: World) -> Runs:
    """The runs, ended."""
    started = Runs(
        call=world.start("transcribe_recording", audio=str(RECORDINGS / CALL), multichannel=True),
        broken=world.start("transcribe_recording", audio=str(RECORDINGS / "broken-recording.mp3")),
        readme=world.start(_dag_of_readme(world)),
    )
    for run in (started.call, started.broken, started.readme):
        run.finish(240)
    return started


def test_a_call_becomes_text(runs: Runs) -> None:
    assert runs.call.states() == dict.fromkeys(["submit", "wait", "read"], "success")
    summary = runs.call.result("wait")
    spoken, heard = set(_words(_script(CALL))), set(_words(summary["text"]))
    assert len(spoken & heard) / len(spoken) > 0.8
    read = runs.call.result("read")
    assert read["words"] == summary["word_count"] > 50
    assert read["key_phrases"]
    assert set(read["speaking_s"]) == {"Speaker 1", "Speaker 2"}


def test_a_broken_recording_fails_at_once_and_says_why(runs: Runs) -> None:
    assert runs.broken.states() == {"submit": "success", "wait": "failed", "read": "upstream_failed"}
    assert runs.broken.tries("wait") == 1
    error = runs.broken.error("wait")
    assert runs.broken.result("submit") in error
    assert "Transcoding failed" in error


def test_the_dag_of_the_readme_works(runs: Runs) -> None:
    assert set(runs.readme.states().values()) == {"success"}


def _dag_of_readme(world: World) -> str:
    assert readme.dag_source(), "README.md has no Python block that submits a transcript"
    files: dict[str, str] = {dag["dag_id"]: dag["fileloc"] for dag in world.airflow.api.get("dags")["dags"]}
    dag_id = next((dag_id for dag_id, file in files.items() if file.endswith(readme.FILE_NAME)), None)
    assert dag_id, world.airflow.api.get("importErrors")
    return dag_id


def _script(file: str) -> str:
    calls: list[dict[str, Any]] = json.loads((RECORDINGS / "scripts.json").read_text())["calls"]
    (call,) = (call for call in calls if call["file"] == file)
    return " ".join(text for _, text in call["turns"])


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
