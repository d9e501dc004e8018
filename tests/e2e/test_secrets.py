"""Secrets stay where they belong. Runs after the other files of this folder, over all that they left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.service import API_KEY
from tests.e2e.world import World
from tests.object_storage import BUCKET

# The key of the service, and what makes a URL of object storage grant access.
SECRETS = (API_KEY, "X-Amz-Signature", "X-Amz-Credential")

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Left:
    """What is gone when a task has ended.

    Attributes:
        database: all that was in the database while a task was deferred, its trigger among it.
        open_jobs: what its run told other runs in the output folder.
    """

    database: str
    open_jobs: list[bytes]


@pytest.mark.usefixtures("left")
def test_no_secret_is_in_any_log(world: World) -> None:
    folders = (world.airflow.home / "logs", world.airflow.logs, world.echo.home, world.whisper.home)
    logs = [path for folder in folders for path in folder.rglob("*.log*") if path.is_file()]
    assert len(logs) > 4
    texts = {path: path.read_text(errors="replace") for path in logs}
    assert any("Download error to https://h.example/a.wav?[hidden]" in text for text in texts.values())
    for secret in SECRETS:
        assert [path for path, text in texts.items() if secret in text] == []


@pytest.mark.usefixtures("left")
def test_no_secret_is_anywhere_in_the_database(world: World) -> None:
    """XCom, the task state store, rendered template fields, assets, trigger arguments and events are tables of it."""
    dump = world.dump()
    assert "Nothing to see here." in dump
    assert "asr.last." in dump  # A row of the task state store.
    assert [secret for secret in SECRETS if secret in dump] == []


def test_no_secret_is_in_the_trigger_of_a_waiting_task(left: Left) -> None:
    assert "AssemblyAITranscriptTrigger" in left.database
    assert [secret for secret in SECRETS if secret in left.database] == []


def test_no_secret_is_in_any_output_folder(left: Left, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Outputs, receipts, and the submissions that a run tells to other runs."""
    assert left.open_jobs
    assert [secret for secret in SECRETS if any(secret.encode() in each for each in left.open_jobs)] == []
    files = list(_output_files(tmp_path_factory.getbasetemp()))
    assert any(path.parent.name == "_asr" and "Nothing to see here." in path.read_text() for path in files)
    for secret in SECRETS:
        assert [path for path in files if secret.encode() in path.read_bytes()] == []


@pytest.mark.usefixtures("left")
def test_no_secret_is_in_any_bucket(world: World) -> None:
    keys = world.storage.keys()
    assert [key for key in keys if key.startswith("secret-text/_asr/secret.json.")]
    for secret in SECRETS:
        assert [key for key in keys if secret in key or secret.encode() in world.storage.get(key)] == []


def _output_files(root: Path) -> Iterator[Path]:
    for own in root.rglob("_asr"):
        yield from (path for path in own.parent.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def left(world: World, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Make sure that there is something to look at, if this file is run alone too."""
    said = world.script("secret", text="Nothing to see here.", process_s=5)
    # As the service words it, signature and all.
    reason = f"Download error to https://h.example/a.wav?X-Amz-Signature={'0' * 64}, 403 Client Error"
    failing = world.script("secret-failing", error=reason)
    # This one is signed, and the text goes to the bucket; the others are uploaded, and theirs goes to the disk.
    world.storage.put("calls/secret.json", Path(said).read_bytes())
    output = str(tmp_path_factory.mktemp("secret-text"))
    waiting = world.start("waiting", audio=said)
    stored = world.start(
        "one_recording",
        audio=f"s3://storage@{BUCKET}/calls/secret.json",
        output=f"s3://storage@{BUCKET}/secret-text",
    )
    local = world.start("one_recording", audio=said, output=output)
    failed = world.start("one_recording", audio=failing, output=output)
    stored.wait_for("transcribe", "deferred")
    there = Left(world.dump(), [world.storage.get(key) for key in world.storage.keys("secret-text/_asr/open/")])
    assert [run.finish(300) for run in (waiting, stored, local, failed)] == ["success", "success", "success", "failed"]
    return there
