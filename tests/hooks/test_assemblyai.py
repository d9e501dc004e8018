from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import RetryAction

from airflow_asr.api.client import EU, US
from airflow_asr.api.errors import (
    AccountError,
    AssemblyAIError,
    AuthenticationError,
    InputError,
    RequestError,
    ServerError,
    SubmitOutcomeUnknownError,
    TranscriptDeletedError,
    UnclassifiedError,
)
from airflow_asr.hooks.assemblyai import AssemblyAIHook, client_of
from airflow_asr.retry_policy import AssemblyAIRetryPolicy
from tests.scripted_service import Reply, ScriptedService

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets the Connection `assemblyai_default`."""

    def set_connection(extra: object = None, *, password: str | None = KEY, **fields: Any) -> AssemblyAIHook:
        value = {"conn_type": "assemblyai", "password": password, "extra": extra, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(value))
        return AssemblyAIHook()

    return set_connection


@pytest.fixture
def hook(connect: Any, service: ScriptedService) -> AssemblyAIHook:
    made: AssemblyAIHook = connect({"base_url": service.url})
    return made


# The Connection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "base_url"),
    [
        (None, US),
        ({}, US),
        ("", US),
        ("{}", US),
        ({"region": None, "base_url": None}, US),
        ({"region": "us"}, US),
        ({"region": "eu"}, EU),
        ({"region": " EU "}, EU),
        ('{"region": "eu"}', EU),
        ({"base_url": "http://127.0.0.1:8765/"}, "http://127.0.0.1:8765"),
        ({"base_url": "http://127.0.0.1:8765", "region": "eu"}, "http://127.0.0.1:8765"),
        ({"base_url": "", "region": "eu"}, EU),
    ],
)
def test_where_the_service_is(connect: Any, extra: object, base_url: str) -> None:
    assert connect(extra).client.base_url == base_url


def test_get_conn_is_the_client_and_there_is_one(connect: Any) -> None:
    hook = connect()
    assert hook.get_conn() is hook.client is hook.client


def settings_of(hook: AssemblyAIHook) -> tuple[tuple[float, float], bool | str, dict[str, str]]:
    transport = hook.client._http
    return transport._timeout_s, transport._verify, transport._proxies


def test_settings_that_are_left_out_have_safe_values(connect: Any) -> None:
    empty = dict.fromkeys(["connect_timeout_s", "read_timeout_s", "verify_tls", "proxies"])
    for extra in (None, empty, dict.fromkeys(empty, "")):
        assert settings_of(connect(extra)) == ((5.0, 30.0), True, {})


def test_settings_as_a_form_and_as_json_give_them(connect: Any) -> None:
    proxies = {"https": "http://proxy.example:3128"}
    extra = {"connect_timeout_s": 1.5, "read_timeout_s": "90", "verify_tls": False, "proxies": proxies}
    assert settings_of(connect(extra)) == ((1.5, 90.0), False, proxies)
    assert settings_of(connect({**extra, "proxies": json.dumps(proxies)})) == ((1.5, 90.0), False, proxies)


@pytest.mark.parametrize(
    ("text", "verify"), [("true", True), ("True", True), ("1", True), ("yes", True), ("false", False), ("no", False)]
)
def test_a_switch_may_be_written_as_text(connect: Any, text: str, verify: bool) -> None:
    assert settings_of(connect({"verify_tls": text}))[1] is verify


@pytest.mark.parametrize(
    ("extra", "field", "shown"),
    [
        ({"region": "asia"}, "region", "asia"),
        ({"region": 7}, "region", "7"),
        ({"base_url": "api.assemblyai.com"}, "base URL", "api.assemblyai.com"),
        ({"base_url": 7}, "base URL", "7"),
        ({"connect_timeout_s": "soon"}, "connect_timeout_s", "soon"),
        ({"connect_timeout_s": 0}, "connect_timeout_s", "0"),
        ({"read_timeout_s": -1}, "read_timeout_s", "-1"),
        ({"read_timeout_s": "inf"}, "read_timeout_s", "inf"),
        ({"read_timeout_s": "nan"}, "read_timeout_s", "nan"),
        ({"read_timeout_s": [30]}, "read_timeout_s", "30"),
        ({"verify_tls": "maybe"}, "verify_tls", "maybe"),
        ({"verify_tls": 2}, "verify_tls", "2"),
        ({"proxies": "http://proxy:3128"}, "proxies", "JSON object"),
        ({"proxies": ["http://proxy:3128"]}, "proxies", "JSON object"),
        ({"proxies": {"https": 3128}}, "proxies", "JSON object"),
        ("[1]", "extra", "JSON object"),
        ('"eu"', "extra", "JSON object"),
        ("region: eu", "extra", "JSON object"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_connection(
    connect: Any, extra: object, field: str, shown: str
) -> None:
    # Guessing would send audio to another region, or turn the TLS check off.
    with pytest.raises(RequestError) as raised:
        _ = connect(extra).client
    message = str(raised.value)
    assert "'assemblyai_default'" in message
    assert field in message
    assert shown in message
    assert KEY not in message
    assert not raised.value.retryable


def test_a_host_is_refused_because_it_would_be_ignored(connect: Any) -> None:
    with pytest.raises(RequestError, match=r"'assemblyai_default' has a host.*`base_url`"):
        _ = connect(host="api.eu.assemblyai.com").client


@pytest.mark.parametrize("password", [None, "", "   ", "two words", "clé"])
def test_a_missing_or_damaged_key_is_refused_with_the_name_of_its_connection(
    connect: Any, password: str | None
) -> None:
    with pytest.raises(AuthenticationError, match=r"'assemblyai_default'.*key") as raised:
        _ = connect(password=password).client
    assert not (password or "").strip() or str(password) not in str(raised.value)


def test_a_proxy_password_in_junk_is_not_shown(connect: Any) -> None:
    with pytest.raises(RequestError) as raised:
        _ = connect({"proxies": '{"https": "http://user:SECRET@proxy"'}).client
    assert "SECRET" not in str(raised.value)


def test_a_connection_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(AccountError, match=r"no Connection 'not_there'.*type `assemblyai`"):
        _ = AssemblyAIHook("not_there").client
    assert AssemblyAIHook("not_there").test_connection()[0] is False


def test_the_key_is_shown_nowhere(connect: Any) -> None:
    hook = connect({"region": "eu"})
    assert KEY not in repr(hook) + repr(hook.client) + str(vars(hook))


def test_a_client_can_be_made_that_does_not_retry(connect: Any, service: ScriptedService) -> None:
    from airflow_asr.api.retry import NO_RETRY

    connect({"base_url": service.url})
    service.json({"error": "oops"}, 500)
    client = client_of(AssemblyAIHook.get_connection("assemblyai_default"), retry=NO_RETRY)
    with client, pytest.raises(ServerError):
        client.get("t-1")
    assert len(service.requests) == 1


# The button "Test" ---------------------------------------------------------------------------------------------------


def test_a_good_key_is_told_to_be_one_and_costs_nothing(hook: AssemblyAIHook, service: ScriptedService) -> None:
    service.json({"transcripts": [], "page_details": {}})
    assert hook.test_connection() == (True, f"{service.url} accepts the key.")
    [request] = service.requests
    assert (request.method, request.path, request.query) == ("GET", "/v2/transcript", {"limit": ["1"]})
    assert request.headers["Authorization"] == KEY


def test_a_wrong_key_is_told_to_be_one(hook: AssemblyAIHook, service: ScriptedService) -> None:
    service.json({"error": "Authentication error, API token missing/invalid"}, 401)
    ok, message = hook.test_connection()
    assert not ok
    assert "API token missing/invalid" in message
    assert "password" in message
    assert KEY not in message


def test_a_service_that_cannot_be_reached_says_nothing_about_the_key_and_says_it_soon(connect: Any) -> None:
    with ScriptedService() as gone:
        url = gone.url
    began = time.monotonic()
    ok, message = connect({"base_url": url}).test_connection()
    assert not ok
    assert "could not be tried" in message
    assert time.monotonic() - began < 3


def test_a_service_that_is_down_says_nothing_about_the_key(hook: AssemblyAIHook, service: ScriptedService) -> None:
    service.json({"error": "oops"}, 503)
    ok, message = hook.test_connection()
    assert not ok
    assert "could not be tried" in message
    assert len(service.requests) == 1


@pytest.mark.parametrize(("fields", "problem"), [({"password": ""}, "no API key"), ({"host": "x"}, "has a host")])
def test_a_connection_that_cannot_be_used_says_why(connect: Any, fields: dict[str, str], problem: str) -> None:
    ok, message = connect(**fields).test_connection()
    assert not ok
    assert problem in message


# Alone, inside a task ------------------------------------------------------------------------------------------------


def test_a_file_is_submitted_and_waited_for(hook: AssemblyAIHook, service: ScriptedService, tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"RIFF")
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/a"}).json({"id": "t-1", "status": "queued"})
    service.json({"id": "t-1", "status": "completed", "text": "Hello."})
    transcript_id = hook.submit(recording, {"speaker_labels": True, "language_code": None})
    assert transcript_id == "t-1"
    assert hook.wait(transcript_id).text == "Hello."
    assert hook.get(transcript_id).text == "Hello."
    assert json.loads(service.requests[1].body) == {
        "audio_url": "https://cdn.assemblyai.com/upload/a",
        "speaker_labels": True,
    }


def test_a_submission_that_may_have_been_accepted_is_no_reason_to_call_again(
    hook: AssemblyAIHook, service: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's retry looks for the job; one that calls the hook again would pay a second time."""
    monkeypatch.setattr("airflow_asr.api.retry.RetryPolicy.wait_s", lambda *_: None)
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"RIFF")
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/a"}).add(Reply(500))
    with pytest.raises(SubmitOutcomeUnknownError, match=r"a\.wav.*look for the job before you call it again") as raised:
        hook.submit(recording)
    assert not raised.value.retryable
    assert AssemblyAIRetryPolicy().evaluate(raised.value, 1, 5).action is RetryAction.FAIL


def test_audio_that_is_not_there_is_refused(hook: AssemblyAIHook, service: ScriptedService) -> None:
    with pytest.raises(InputError, match="no file"):
        hook.submit("/nowhere/a.wav")
    assert service.requests == []


def test_a_wait_outlasts_running_and_hiccups(
    hook: AssemblyAIHook, service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    service.json({"id": "t-1", "status": "queued"}).json({"error": "Too Many Requests"}, 429, retry_after="0")
    service.json({"id": "t-1", "status": "processing"}).json({"id": "t-1", "status": "completed", "text": "Hello."})
    assert hook.wait("t-1").text == "Hello."
    assert len(naps) == 2
    assert all(nap >= 3 for nap in naps)


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ({"status": "error", "error": "Transcoding failed"}, InputError),
        ({"status": "error", "error": "Internal server error"}, ServerError),
        ({"status": "error", "error": None}, UnclassifiedError),
        ({"status": "completed", "text": "Deleted by user."}, TranscriptDeletedError),
    ],
)
def test_a_wait_for_what_has_no_result_raises(
    hook: AssemblyAIHook, service: ScriptedService, ending: dict[str, str], error: type[AssemblyAIError]
) -> None:
    service.json({"id": "t-1", **ending})
    with pytest.raises(error, match="t-1") as raised:
        hook.wait("t-1")
    assert raised.value.transcript_id == "t-1"


def test_a_wait_that_takes_too_long_names_the_job_and_leaves_it_alone(
    hook: AssemblyAIHook, service: ScriptedService
) -> None:
    service.json({"id": "t-1", "status": "processing"})
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"t-1 has not ended after 0\.2 s.*same id again"):
        hook.wait("t-1", timeout_s=0.2)
    assert time.monotonic() - began >= 0.2
    assert {request.method for request in service.requests} == {"GET"}
    assert len(service.requests) == 2


def test_a_job_that_is_done_is_returned_even_without_time_to_wait(
    hook: AssemblyAIHook, service: ScriptedService
) -> None:
    service.json({"id": "t-1", "status": "completed", "text": "Hello."})
    assert hook.wait("t-1", timeout_s=0).text == "Hello."
