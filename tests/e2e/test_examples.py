"""What a new user runs first: the example DAGs and the README's DAG, on real speech."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
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
    readme_bucket: Run


@pytest.fixture(scope="module")
def runs(world: World) -> Runs:
    """The runs, ended."""
    started = Runs(
        call=world.start("transcribe_recording", audio=str(RECORDINGS / CALL), multichannel=True),
        broken=world.start("transcribe_recording", audio=str(RECORDINGS / "broken-recording.mp3")),
        readme=world.start(readme.DAG_ID),
        readme_bucket=world.start(f"{readme.DAG_ID}_in_a_bucket"),
    )
    for run in (started.call, started.broken, started.readme, started.readme_bucket):
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
    summary = runs.readme.result("transcribe", 0)
    assert summary["text"] in Path(summary["outputs"]["txt"].removeprefix("file://")).read_text()
    assert "technical support" in summary["text"].lower()


def test_the_dag_of_the_readme_works_with_a_bucket(world: World, runs: Runs) -> None:
    assert set(runs.readme_bucket.states().values()) == {"success"}
    [key] = [key for key in world.storage.keys("readme/") if key.endswith(".txt")]
    assert b"technical support" in world.storage.get(key).lower()


def _script(file: str) -> str:
    calls: list[dict[str, Any]] = json.loads((RECORDINGS / "scripts.json").read_text())["calls"]
    (call,) = (call for call in calls if call["file"] == file)
    return " ".join(text for _, text in call["turns"])


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
