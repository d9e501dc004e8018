"""What users get wrong, and what they read when they do. The way through is the user's: a Connection, the hook."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_asr.api.errors import (
    AudioUrlError,
    AuthenticationError,
    InputError,
    InvalidReplyError,
    RateLimitError,
    ReplyLostError,
    RequestError,
    ServerError,
    TranscriptDeletedError,
    TranscriptNotFoundError,
)
from airflow_asr.hooks.assemblyai import AssemblyAIHook
from airflow_asr.jobs import look
from airflow_asr.local.testing import LocalServer, scripted_audio
from tests.scripted_service import Reply, ScriptedService

KEY = "local-key-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(api_key=KEY) as running:
        yield running


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AssemblyAIHook]:
    """Return a hook on a Connection to a server."""

    def hook(url: str, key: str = KEY, **extra: object) -> AssemblyAIHook:
        connection = {"conn_type": "assemblyai", "password": key, "extra": {"base_url": url, **extra}}
        monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
        made = AssemblyAIHook()
        made.client._http._sleep = lambda _: None  # What is waited for between tries is tested elsewhere.
        return made

    return hook


@pytest.fixture
def hook(server: LocalServer, connect: Callable[..., AssemblyAIHook]) -> Iterator[AssemblyAIHook]:
    yield connect(server.url)
    server.clear_faults()


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "call.mp3"
    path.write_bytes(scripted_audio("Hello there.", process_s=0))
    return path


# Files ---------------------------------------------------------------------------------------------------------------


def test_missing_file(hook: AssemblyAIHook) -> None:
    with pytest.raises(InputError, match=r"no file '/nowhere/call\.mp3' on this worker"):
        hook.submit("/nowhere/call.mp3")


def test_directory(hook: AssemblyAIHook, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a directory.*expand"):
        hook.submit(tmp_path)


def test_empty_file(hook: AssemblyAIHook, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(InputError, match=r"empty\.wav.*0 bytes"):
        hook.submit(tmp_path / "empty.wav")


def test_text_named_mp3(hook: AssemblyAIHook, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp3"
    path.write_text("Minutes of the meeting of Monday.\n" * 20)
    transcript_id = hook.submit(path)
    with pytest.raises(InputError, match=r"text/plain.*holds no audio.*not charged") as raised:
        hook.wait(transcript_id, timeout_s=20)
    assert raised.value.transcript_id == transcript_id


# URLs ----------------------------------------------------------------------------------------------------------------


def test_unreachable_url(hook: AssemblyAIHook) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    transcript_id = hook.submit(f"http://127.0.0.1:{port}/call.mp3?signature=secret")
    with pytest.raises(AudioUrlError, match="could not fetch") as raised:
        hook.wait(transcript_id, timeout_s=60)
    assert "secret" not in str(raised.value)


def test_url_with_nothing_behind_it(hook: AssemblyAIHook, service: ScriptedService) -> None:
    service.add(Reply(404, b"gone"))
    transcript_id = hook.submit(f"{service.url}/call.mp3")
    with pytest.raises(InputError, match="nothing at the audio's URL"):
        hook.wait(transcript_id, timeout_s=20)


def test_url_that_is_a_login_page(hook: AssemblyAIHook, service: ScriptedService) -> None:
    service.add(Reply(200, b"<!doctype html><html><title>Log in</title></html>", {"Content-Type": "text/html"}))
    transcript_id = hook.submit(f"{service.url}/share/call.mp3")
    with pytest.raises(InputError, match=r"web page.*login page"):
        hook.wait(transcript_id, timeout_s=20)


# Key, parameters, ids ------------------------------------------------------------------------------------------------


def test_wrong_key(server: LocalServer, connect: Callable[..., AssemblyAIHook], audio: Path) -> None:
    hook = connect(server.url, key="not-the-key")
    with pytest.raises(AuthenticationError, match=r"call\.mp3.*Check the API key") as raised:
        hook.submit(audio)
    assert "not-the-key" not in str(raised.value)
    works, why = hook.test_connection()
    assert not works
    assert "Check the API key" in why


def test_unknown_parameter(hook: AssemblyAIHook, audio: Path) -> None:
    with pytest.raises(RequestError, match="speeker_labels"):
        hook.submit(audio, {"speeker_labels": True})


def test_parameter_that_the_local_server_cannot_serve(hook: AssemblyAIHook, audio: Path) -> None:
    with pytest.raises(RequestError, match=r"cannot serve speaker_labels.*multichannel"):
        hook.submit(audio, {"speaker_labels": True})


def test_id_of_another_account(
    hook: AssemblyAIHook, connect: Callable[..., AssemblyAIHook], audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript_id = hook.submit(audio)
    monkeypatch.setattr(look, "NOT_FOUND_PATIENCE_S", 0.0)
    with LocalServer(api_key="another-account") as elsewhere:
        stranger = connect(elsewhere.url, key="another-account")
        with pytest.raises(TranscriptNotFoundError, match=f"{transcript_id} belongs to another account"):
            stranger.wait(transcript_id, timeout_s=20)


def test_deleted_transcript(hook: AssemblyAIHook, audio: Path) -> None:
    transcript_id = hook.submit(audio)
    hook.wait(transcript_id, timeout_s=20)
    hook.client.delete(transcript_id)
    with pytest.raises(TranscriptDeletedError, match=r"deleted at the service.*costs a new transcript"):
        hook.wait(transcript_id, timeout_s=20)


# Replies -------------------------------------------------------------------------------------------------------------


def test_reply_that_is_not_json(service: ScriptedService, connect: Callable[..., AssemblyAIHook]) -> None:
    service.add(Reply(200, b"<html>Sign in to the company's proxy</html>"))
    with pytest.raises(InvalidReplyError, match=r"not a JSON object but .*company's proxy.*base URL"):
        connect(service.url).get("t-1")


def test_reply_that_breaks_off(service: ScriptedService, connect: Callable[..., AssemblyAIHook]) -> None:
    service.add(Reply(200, b'{"id": "t-1", "status": "completed", "text": "Hello there."}', truncate=True))
    with pytest.raises(ReplyLostError, match="no whole reply came back"):
        connect(service.url).get("t-1")


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}], ids=["with Retry-After", "without"])
def test_429_that_passes_and_429_that_stays(
    server: LocalServer, hook: AssemblyAIHook, audio: Path, headers: dict[str, str]
) -> None:
    refusal = {"method": "GET", "route": "/v2/transcript/{id}", "action": "answer", "status": 429, "headers": headers}
    transcript_id = hook.submit(audio)
    server.faults({**refusal, "times": 3})
    assert hook.wait(transcript_id, timeout_s=20).text == "Hello there."
    server.faults({**refusal, "times": 100})
    with pytest.raises(RateLimitError, match="429"):
        hook.get(transcript_id)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_burst_of_server_errors(server: LocalServer, hook: AssemblyAIHook, audio: Path, status: int) -> None:
    burst = {"method": "GET", "route": "/v2/transcript/{id}", "action": "answer", "status": status}
    transcript_id = hook.submit(audio)
    server.faults({**burst, "times": 4})
    assert hook.wait(transcript_id, timeout_s=20).text == "Hello there."
    server.faults({**burst, "times": 100})
    with pytest.raises(ServerError, match=str(status)):
        hook.get(transcript_id)


def test_server_error_on_submit_is_not_paid_for_twice(server: LocalServer, hook: AssemblyAIHook, audio: Path) -> None:
    before = server.requests().get("POST /v2/transcript", 0)
    server.faults({"method": "POST", "route": "/v2/transcript", "action": "answer", "status": 503, "when": "after"})
    assert hook.get(hook.submit(audio)).id
    assert server.requests()["POST /v2/transcript"] == before + 1


def test_server_that_never_answers(service: ScriptedService, connect: Callable[..., AssemblyAIHook]) -> None:
    service.add(Reply(hang=True))
    with pytest.raises(ReplyLostError, match="Read timed out"):
        connect(service.url, read_timeout_s=0.2).get("t-1")
