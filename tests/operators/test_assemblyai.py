from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_asr._airflow import NEVER_EXPIRE
from airflow_asr.api.errors import (
    AssemblyAIError,
    AuthenticationError,
    InputError,
    JobSearchError,
    RequestError,
    ServerError,
)
from airflow_asr.exceptions import AssemblyAIFailException
from airflow_asr.operators.assemblyai import AssemblyAISubmitTranscriptOperator
from tests.operators.running import TaskState
from tests.scripted_service import Reply, Request, ScriptedService

KEY = "0123456789abcdef0123456789abcdef"
URL = "https://bucket.example/a.wav?X-Amz-Signature=SECRET"


@pytest.fixture
def state() -> TaskState:
    return TaskState()


@pytest.fixture
def context(state: TaskState, service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> Context:
    connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": service.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
    service.json({"page_details": {"prev_url": None}, "transcripts": []})  # The service's time is asked for first.
    return cast(Context, {"task_state_store": state, "ti": SimpleNamespace(try_number=1, max_tries=2)})


def posted(service: ScriptedService) -> list[Request]:
    return [request for request in service.requests if request.method == "POST"]


def submit(**arguments: Any) -> AssemblyAISubmitTranscriptOperator:
    return AssemblyAISubmitTranscriptOperator(task_id="submit", **{"audio": URL, **arguments})


def test_it_returns_the_id(service: ScriptedService, context: Context) -> None:
    service.json({"id": "t-1", "status": "queued"})
    assert submit(config={"speaker_labels": True, "language_code": None}).execute(context) == "t-1"
    [request] = posted(service)
    assert json.loads(request.body) == {"audio_url": URL, "speaker_labels": True}
    assert request.headers["Authorization"] == KEY


def test_a_local_file_is_uploaded_first(service: ScriptedService, context: Context, tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"RIFF")
    service.forget()
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/a"}).json({"id": "t-1", "status": "queued"})
    assert submit(audio=str(recording)).execute(context) == "t-1"
    assert [request.path for request in service.requests] == ["/v2/upload", "/v2/transcript"]


def test_a_retry_pays_nothing_and_finds_its_job_in_the_task_state_store(
    service: ScriptedService, context: Context, state: TaskState
) -> None:
    service.json({"id": "t-1", "status": "queued"})
    assert [submit().execute(context) for _ in range(3)] == ["t-1"] * 3
    assert [request.method for request in service.requests] == ["GET", "POST", "GET", "GET"]
    assert set(state.retentions) == {NEVER_EXPIRE}
    assert KEY not in json.dumps(state.kept)
    assert "SECRET" not in json.dumps(state.kept)


def test_its_arguments_are_templated_and_the_config_is_shown_as_json() -> None:
    operator = submit(
        audio="{{ audio }}", config={"language_code": "{{ language }}"}, assemblyai_conn_id="{{ connection }}"
    )
    operator.render_template_fields(cast(Context, {"audio": "/data/a.wav", "language": "en_us", "connection": "other"}))
    assert operator.audio == "/data/a.wav"
    assert operator.config == {"language_code": "en_us"}
    assert operator.assemblyai_conn_id == "other"
    assert operator.template_fields_renderers == {"config": "json"}


def test_another_connection_is_used(
    service: ScriptedService, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"conn_type": "assemblyai", "password": "other-key", "extra": {"base_url": service.url}}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(other))
    service.json({"id": "t-1", "status": "queued"})
    submit(assemblyai_conn_id="other").execute(context)
    assert posted(service)[0].headers["Authorization"] == "other-key"


@pytest.mark.parametrize(
    ("arguments", "reply", "kind", "cause"),
    [
        ({}, Reply(401, b'{"error": "Invalid API key"}'), "account", AuthenticationError),
        ({}, Reply(400, b'{"error": "current account balance is negative"}'), "account", AssemblyAIError),
        ({}, Reply(400, b'{"error": "models have been deprecated"}'), "config", RequestError),
        ({"config": ["x"]}, Reply(500), "config", RequestError),
        ({"config": "x"}, Reply(500), "config", RequestError),
        ({"audio": "/nowhere/a.wav"}, Reply(500), "input", InputError),
        ({"audio": "a.wav"}, Reply(500), "input", InputError),
        ({"audio": None}, Reply(500), "input", InputError),
    ],
)
def test_what_a_retry_cannot_mend_fails_the_task_at_once(
    service: ScriptedService,
    context: Context,
    state: TaskState,
    arguments: dict[str, Any],
    reply: Reply,
    kind: str,
    cause: type[AssemblyAIError],
) -> None:
    service.add(reply)
    with pytest.raises(AssemblyAIFailException) as raised:
        submit(**arguments).execute(context)
    assert isinstance(raised.value, AirflowFailException)
    assert raised.value.kind == kind
    assert isinstance(raised.value.__cause__, cause)
    assert str(raised.value) == str(raised.value.__cause__)
    assert "SECRET" not in str(raised.value)
    assert KEY not in str(raised.value)
    assert not any("id" in record for record in state.kept.values())


def test_a_connection_that_cannot_be_used_fails_the_task_at_once(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps({"conn_type": "assemblyai"}))
    with pytest.raises(AssemblyAIFailException, match="no API key") as raised:
        submit().execute(context)
    assert raised.value.kind == "account"


def test_what_a_retry_may_mend_is_left_to_the_retries_of_the_task(
    service: ScriptedService, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.json({"id": "t-1", "status": "queued"}).json({"error": "oops"}, 503)
    submit().execute(context)
    monkeypatch.setattr("airflow_asr.api.retry.RetryPolicy.wait_s", lambda *_: None)
    with pytest.raises(ServerError) as raised:
        submit().execute(context)
    assert not isinstance(raised.value, AirflowFailException)
    assert raised.value.retryable


@pytest.mark.parametrize("reply", [Reply(502), Reply(drop=True)], ids=["502", "dropped"])
def test_an_end_that_stays_unclear_is_left_to_the_retries_of_the_task(
    service: ScriptedService, context: Context, monkeypatch: pytest.MonkeyPatch, state: TaskState, reply: Reply
) -> None:
    monkeypatch.setattr("airflow_asr.api.retry.RetryPolicy.wait_s", lambda *_: None)
    service.add(reply)
    for _ in range(2):
        with pytest.raises(JobSearchError) as raised:
            submit().execute(context)
        assert "SECRET" not in str(raised.value)
    assert len(posted(service)) == 1
    assert [record["state"] for record in state.kept.values() if isinstance(record, dict)] == ["intent"]
