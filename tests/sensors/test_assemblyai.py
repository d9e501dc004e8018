from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_asr.api.errors import (
    AssemblyAIError,
    AuthenticationError,
    InputError,
    NoSpeechError,
    ServerError,
    TranscriptDeletedError,
    TranscriptNotFoundError,
    UnclassifiedError,
)
from airflow_asr.exceptions import AssemblyAIFailException
from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor
from airflow_asr.triggers.assemblyai import AssemblyAITranscriptTrigger
from tests.scripted_service import Reply, ScriptedService

KEY = "0123456789abcdef0123456789abcdef"
MODES = ["poke", "reschedule", "deferrable"]
RUNNING = {"id": "t-1", "status": "processing"}
DONE = {"id": "t-1", "status": "completed", "text": "Hello there.", "audio_url": "https://b.example/a.wav?sig=SECRET"}
UNKNOWN = Reply(400, b'{"error": "Transcript lookup error, transcript id not found"}')


class TaskInstance:
    """What the sensor asks of the task instance."""

    def __init__(self, waited_s: float = 0.0) -> None:
        self.start_date = datetime.now(UTC) - timedelta(seconds=waited_s)

    def get_first_reschedule_date(self, context: Context) -> datetime:
        return self.start_date


@dataclass
class Outcome:
    """How a sensor ended, and by how many runs on a worker."""

    result: Any = None
    error: BaseException | None = None
    runs: int = 1


@pytest.fixture(autouse=True)
def _connection(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": service.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no call be repeated by the client, so that hiccups reach the sensor."""
    monkeypatch.setattr("airflow_asr.api.retry.RetryPolicy.wait_s", lambda *_: None)


def sensor(mode: str, **arguments: Any) -> AssemblyAITranscriptSensor:
    how = {"deferrable": True} if mode == "deferrable" else {"deferrable": False, "mode": mode}
    return AssemblyAITranscriptSensor(
        task_id="wait", **{"transcript_id": "t-1", "poke_interval": 0.01, "timeout": 3600, **how, **arguments}
    )


def at(waited_s: float = 0.0) -> Context:
    return cast(Context, {"ti": TaskInstance(waited_s)})


def run_to_the_end(task: AssemblyAITranscriptSensor, context: Context, event: dict[str, Any] | None = None) -> Outcome:
    """Do what Airflow does: run the task, and run it again when it asked for that."""
    resume = False
    for runs in range(1, 20):
        try:
            if resume:
                kwargs = {"event": event or {"transcript_id": "t-1", "status": "completed"}}
                result = task.resume_execution("execute_complete", kwargs, context)
            else:
                result = task.execute(context)
            return Outcome(result=result, runs=runs)
        except AirflowRescheduleException:
            continue
        except TaskDeferred:
            resume = True
        except (Exception, AirflowTaskTimeout) as error:
            return Outcome(error=error, runs=runs)
    raise AssertionError("the sensor never ended")


# One outcome in every mode -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("looks", [1, 2, 4])
def test_a_completed_transcript_gives_its_summary(service: ScriptedService, mode: str, looks: int) -> None:
    for _ in range(looks - 1):
        service.json(RUNNING)
    service.json(DONE)
    outcome = run_to_the_end(sensor(mode), at())
    assert outcome.error is None
    assert outcome.result["transcript_id"] == "t-1"
    assert outcome.result["text"] == "Hello there."
    assert outcome.result["audio"] == "https://b.example/a.wav?[hidden]"
    assert "SECRET" not in json.dumps(outcome.result)
    assert len(service.requests) == looks
    assert {request.method for request in service.requests} == {"GET"}


FINAL: list[tuple[Reply, str, type[AssemblyAIError]]] = [
    (Reply(200, b'{"id": "t-1", "status": "error", "error": "Transcoding failed"}'), "input", InputError),
    (Reply(200, b'{"id": "t-1", "status": "error", "error": "no spoken audio"}'), "input", NoSpeechError),
    (Reply(200, b'{"id": "t-1", "status": "error", "error": "Internal server error"}'), "service", ServerError),
    (Reply(200, b'{"id": "t-1", "status": "error", "error": "a new one"}'), "unknown", UnclassifiedError),
    (Reply(200, b'{"id": "t-1", "status": "error", "error": null}'), "unknown", UnclassifiedError),
    (Reply(200, b'{"id": "t-1", "status": "completed", "text": "Deleted by user."}'), "config", TranscriptDeletedError),
    (UNKNOWN, "config", TranscriptNotFoundError),
    (Reply(401, b'{"error": "Invalid API key"}'), "account", AuthenticationError),
]
names = ["bad-audio", "no-speech", "server-error", "new-reason", "no-reason", "deleted", "unknown-id", "wrong-key"]
finals = pytest.mark.parametrize(("ending", "kind", "cause"), FINAL, ids=names)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("looks", [1, 2])
@finals
def test_a_transcript_without_a_result_fails_the_task_for_good(
    service: ScriptedService, mode: str, looks: int, ending: Reply, kind: str, cause: type[AssemblyAIError]
) -> None:
    for _ in range(looks - 1):
        service.json(RUNNING)
    service.add(ending)
    error = run_to_the_end(sensor(mode), at(waited_s=200)).error
    assert isinstance(error, AssemblyAIFailException)
    assert isinstance(error, AirflowFailException)
    assert error.kind == kind
    assert isinstance(error.__cause__, cause)
    assert KEY not in str(error)
    if kind != "account":
        assert "t-1" in str(error)
        assert error.transcript_id == "t-1"


@pytest.mark.parametrize("mode", MODES)
def test_the_message_of_a_failed_transcript_says_which_task_to_clear(service: ScriptedService, mode: str) -> None:
    service.add(FINAL[0][0])
    assert "Clear the task that submitted it" in str(run_to_the_end(sensor(mode), at()).error)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
@finals
def test_soft_fail_and_never_fail_skip_instead(
    service: ScriptedService, mode: str, looks: int, flag: str, ending: Reply, kind: str, cause: type[AssemblyAIError]
) -> None:
    for _ in range(looks - 1):
        service.json(RUNNING)
    service.add(ending)
    assert isinstance(run_to_the_end(sensor(mode, **{flag: True}), at(waited_s=200)).error, AirflowSkipException)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("flag", "end"), [({}, AssemblyAIFailException), ({"soft_fail": True}, AirflowSkipException)])
def test_a_missing_connection_is_a_matter_for_a_person_in_every_mode(
    mode: str, flag: dict[str, bool], end: type[Exception]
) -> None:
    task = sensor(mode, assemblyai_conn_id="not_there", **flag)
    assert type(run_to_the_end(task, at()).error) is end


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_that_takes_too_long_names_the_transcript(service: ScriptedService, mode: str) -> None:
    service.json(RUNNING)
    context = at(waited_s=0 if mode == "poke" else 200)
    error = run_to_the_end(sensor(mode, timeout=0.05 if mode == "poke" else 100), context).error
    assert isinstance(error, AirflowSensorTimeout)
    assert "t-1 has not ended" in str(error)
    assert "Clear this sensor to wait for the same transcript again, at no cost" in str(error)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_a_wait_that_takes_too_long_is_skipped_where_that_was_asked_for(
    service: ScriptedService, mode: str, flag: str
) -> None:
    service.json(RUNNING)
    context = at(waited_s=0 if mode == "poke" else 200)
    task = sensor(mode, timeout=0.05 if mode == "poke" else 100, **{flag: True})
    assert isinstance(run_to_the_end(task, context).error, AirflowSkipException)


@pytest.mark.parametrize("mode", MODES)
def test_a_transcript_that_ended_is_returned_even_after_the_timeout(service: ScriptedService, mode: str) -> None:
    service.json(DONE)
    assert run_to_the_end(sensor(mode, timeout=100), at(waited_s=200)).result["text"] == "Hello there."


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "hiccup",
    [Reply(500), Reply(429, headers={"Retry-After": "0"}), Reply(drop=True), Reply(200, b"<html>"), UNKNOWN],
    ids=["500", "429", "dropped", "no-json", "not-yet-known"],
)
@pytest.mark.parametrize("flag", [{}, {"soft_fail": True}, {"never_fail": True}])
def test_a_hiccup_neither_fails_nor_skips(
    service: ScriptedService, mode: str, hiccup: Reply, flag: dict[str, bool]
) -> None:
    service.add(hiccup, hiccup).json(DONE)
    outcome = run_to_the_end(sensor(mode, **flag), at())
    assert outcome.error is None
    assert outcome.result["text"] == "Hello there."
    assert len(service.requests) == 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nothing", ["", "None", None])
def test_an_id_that_the_submit_task_never_gave_is_refused(
    service: ScriptedService, mode: str, nothing: str | None
) -> None:
    error = run_to_the_end(sensor(mode, transcript_id=nothing), at()).error
    assert isinstance(error, AssemblyAIFailException)
    assert "`transcript_id` is" in str(error)
    assert service.requests == []


@pytest.mark.parametrize("mode", MODES)
def test_the_first_look_at_a_job_that_is_done_ends_the_task(service: ScriptedService, mode: str) -> None:
    service.json(DONE)
    assert run_to_the_end(sensor(mode), at()).runs == 1


# Deferring -----------------------------------------------------------------------------------------------------------


def deferral(task: AssemblyAITranscriptSensor, context: Context) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    return raised.value


def test_a_job_that_runs_is_waited_for_by_a_trigger(service: ScriptedService) -> None:
    service.json(RUNNING)
    context = at(waited_s=50)
    began = cast(Any, context)["ti"].start_date.timestamp()
    deferred = deferral(sensor("deferrable", poke_interval=30, first_poll_s=12, timeout=600), context)
    assert deferred.method_name == "execute_complete"
    assert isinstance(deferred.trigger, AssemblyAITranscriptTrigger)
    path, arguments = deferred.trigger.serialize()
    assert path == "airflow_asr.triggers.assemblyai.AssemblyAITranscriptTrigger"
    deadline = arguments.pop("deadline")
    assert deadline == pytest.approx(began + 600, abs=1)
    assert arguments == {
        "transcript_id": "t-1",
        "assemblyai_conn_id": "assemblyai_default",
        "first_poll_s": 12,
        "poll_interval_s": 30.0,
    }
    # Airflow's own cut comes after ours, which can say which transcript it is.
    assert isinstance(deferred.timeout, timedelta)
    assert deferred.timeout.total_seconds() > deadline - time.time() + 60


def test_what_is_deferred_is_plain_json_without_the_key(service: ScriptedService) -> None:
    service.json(RUNNING)
    _, arguments = deferral(sensor("deferrable"), at()).trigger.serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    assert KEY not in json.dumps(arguments)


@pytest.mark.parametrize("status", ["completed", "error", "timeout", "unavailable", "of_tomorrow"])
def test_the_event_decides_nothing_and_a_job_that_still_runs_is_deferred_again(
    service: ScriptedService, status: str
) -> None:
    service.json(RUNNING).json(RUNNING).json(DONE)
    context = at()
    task = sensor("deferrable")
    first = deferral(task, context)
    event = {"transcript_id": "t-1", "status": status}
    with pytest.raises(TaskDeferred) as again:
        task.resume_execution("execute_complete", {"event": event}, context)
    assert again.value.trigger.deadline == pytest.approx(first.trigger.deadline, abs=0.01)
    assert task.resume_execution("execute_complete", {"event": event}, context)["text"] == "Hello there."


@pytest.mark.parametrize("flag", [{}, {"soft_fail": True}, {"never_fail": True}])
def test_at_the_deadline_the_worker_says_which_transcript_did_not_end(
    service: ScriptedService, flag: dict[str, bool]
) -> None:
    service.json(RUNNING)
    event = {"transcript_id": "t-1", "status": "timeout"}
    error = AirflowSkipException if flag else AirflowSensorTimeout
    with pytest.raises(error, match="t-1 has not ended after 100 s"):
        sensor("deferrable", timeout=100, **flag).execute_complete(at(101), event)


def test_execution_timeout_counts_while_deferred_where_it_is_shorter(service: ScriptedService) -> None:
    service.json(RUNNING)
    task = sensor("deferrable", execution_timeout=timedelta(seconds=60), timeout=3600)
    context = at(waited_s=20)
    assert deferral(task, context).trigger.deadline == pytest.approx(time.time() + 40, abs=2)
    with pytest.raises(AirflowTaskTimeout, match="t-1 has not ended after 60 s"):
        task.resume_execution("execute_complete", {"event": {}}, at(waited_s=61))


def test_a_longer_execution_timeout_does_not_stretch_the_timeout(service: ScriptedService) -> None:
    service.json(RUNNING)
    task = sensor("deferrable", execution_timeout=timedelta(hours=2), timeout=60)
    assert deferral(task, at()).trigger.deadline == pytest.approx(time.time() + 60, abs=2)


def test_reschedule_counts_from_the_first_run_of_the_try(service: ScriptedService) -> None:
    class Rescheduled(TaskInstance):
        def get_first_reschedule_date(self, context: Context) -> datetime:
            return datetime.now(UTC) - timedelta(seconds=200)

    service.add(UNKNOWN)
    context = cast(Context, {"ti": Rescheduled()})
    assert isinstance(run_to_the_end(sensor("reschedule"), context).error, AssemblyAIFailException)


# How it is written in a DAG --------------------------------------------------------------------------------------


def test_whether_to_defer_is_airflows_setting_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(**arguments: Any) -> bool:
        return AssemblyAITranscriptSensor(task_id="wait", transcript_id="t-1", **arguments).deferrable

    assert made() is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert made() is True
    assert made(deferrable=False) is False


def test_its_arguments_are_templated() -> None:
    task = sensor("poke", transcript_id="{{ id }}", assemblyai_conn_id="{{ connection }}")
    task.render_template_fields(cast(Context, {"id": "t-9", "connection": "other"}))
    assert (task.transcript_id, task.assemblyai_conn_id) == ("t-9", "other")
