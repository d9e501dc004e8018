from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.module_loading import import_string  # type: ignore[attr-defined]

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.hooks.assemblyai import AssemblyAIHook
from airflow_asr.jobs.schedule import PollSchedule
from airflow_asr.triggers import assemblyai as trigger_module
from airflow_asr.triggers.assemblyai import AssemblyAITranscriptTrigger
from tests.scripted_service import Reply, ScriptedService

KEY = "0123456789abcdef0123456789abcdef"
NEW_KEY = KEY[::-1]
UNKNOWN = {"error": "Transcript lookup error, transcript id not found"}


@pytest.fixture(autouse=True)
def _connection(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": service.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
    # The shortest interval is seconds long otherwise.
    monkeypatch.setattr(trigger_module, "PollSchedule", partial(PollSchedule, least_s=0.01))
    yield
    deadline = time.monotonic() + 10
    while any(thread.name == "airflow-asr-watcher" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def trigger(**arguments: Any) -> AssemblyAITranscriptTrigger:
    return AssemblyAITranscriptTrigger(
        **{"transcript_id": "t-1", "first_poll_s": 0.01, "poll_interval_s": 0.02, **arguments}
    )


def events_of(fired: AssemblyAITranscriptTrigger) -> list[Any]:
    async def main() -> list[Any]:
        async with asyncio.timeout(20):
            return [event.payload async for event in fired.run()]

    return asyncio.run(main())


def test_it_is_the_same_after_a_trip_through_the_database() -> None:
    made = trigger(assemblyai_conn_id="other", deadline=1_800_000_000.5)
    path, arguments = made.serialize()
    copy = import_string(path)(**json.loads(json.dumps(arguments)))
    assert type(copy) is AssemblyAITranscriptTrigger
    assert copy.serialize() == made.serialize()
    assert set(arguments) == {"transcript_id", "assemblyai_conn_id", "first_poll_s", "poll_interval_s", "deadline"}


def test_an_id_is_all_it_needs() -> None:
    path, arguments = AssemblyAITranscriptTrigger("t-1").serialize()
    assert import_string(path)(**arguments).assemblyai_conn_id == "assemblyai_default"
    assert arguments["first_poll_s"] >= 10


@pytest.mark.parametrize("status", ["completed", "error"])
def test_it_fires_once_with_the_id_and_the_status_and_no_more(service: ScriptedService, status: str) -> None:
    service.json({"id": "t-1", "status": "processing"})
    service.json({"id": "t-1", "status": status, "text": "private", "error": "private", "audio_url": "https://x/?y"})
    assert events_of(trigger()) == [{"transcript_id": "t-1", "status": status}]
    assert {request.method for request in service.requests} == {"GET"}


def test_the_key_is_in_no_argument_event_or_log(service: ScriptedService, caplog: pytest.LogCaptureFixture) -> None:
    service.json({"error": f"oops {KEY}"}, 500).json({"error": f"Invalid API key {KEY}"}, 401)
    made = trigger()
    with caplog.at_level(logging.DEBUG, "airflow_asr"):
        payloads = events_of(made)
    assert "oops" in caplog.text
    assert KEY not in json.dumps([made.serialize(), payloads]) + caplog.text


def test_at_the_deadline_it_fires_and_leaves_the_job_alone(service: ScriptedService) -> None:
    service.json({"id": "t-1", "status": "processing"})
    began = time.time()
    assert events_of(trigger(deadline=began + 2)) == [{"transcript_id": "t-1", "status": "timeout"}]
    assert time.time() - began >= 1.9
    assert {request.method for request in service.requests} == {"GET"}


def test_a_deadline_that_passed_while_no_triggerer_ran_fires_at_once(service: ScriptedService) -> None:
    assert events_of(trigger(deadline=time.time() - 60)) == [{"transcript_id": "t-1", "status": "timeout"}]
    assert service.requests == []


def test_a_hiccup_does_not_fire_it(service: ScriptedService) -> None:
    service.add(Reply(503)).json({"id": "t-1", "status": "completed"})
    assert events_of(trigger()) == [{"transcript_id": "t-1", "status": "completed"}]


def test_a_transcript_that_cannot_be_read_is_left_to_the_worker(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_asr.jobs.watcher.NOT_FOUND_PATIENCE_S", 0.05)
    service.json(UNKNOWN, 400)
    assert events_of(trigger()) == [{"transcript_id": "t-1", "status": "unavailable"}]


@pytest.mark.parametrize("extra", [{}, {"region": "asia"}])
def test_a_connection_that_is_missing_or_unusable_here_is_left_to_the_worker_but_not_at_once(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, extra: dict[str, str]
) -> None:
    # The worker has it and would defer again: a trigger that fires at once would keep workers busy for nothing.
    if extra:
        connection = {"conn_type": "assemblyai", "password": KEY, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
    else:
        monkeypatch.delenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT")
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        payloads = events_of(trigger(first_poll_s=0.1, poll_interval_s=0.3))
    assert payloads == [{"transcript_id": "t-1", "status": "unavailable"}]
    assert time.monotonic() - began >= 0.3
    assert "'assemblyai_default' cannot be used here" in caplog.text
    assert service.requests == []


def test_a_missing_connection_does_not_hold_back_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT")
    payloads = events_of(trigger(poll_interval_s=3600, deadline=time.time() + 0.1))
    assert payloads == [{"transcript_id": "t-1", "status": "timeout"}]


@pytest.fixture
def connections(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of keys that the Connection holds one after the other; the last one stays."""
    keys: list[str] = []

    async def aget_connection(conn_id: str) -> Connection:
        key = keys.pop(0) if len(keys) > 1 else keys[0]
        extra = json.dumps({"base_url": service.url})
        return Connection(conn_id=conn_id, conn_type="assemblyai", password=key, extra=extra)

    monkeypatch.setattr(AssemblyAIHook, "aget_connection", aget_connection)
    return keys


def test_a_key_that_was_rotated_while_waiting_goes_unnoticed(service: ScriptedService, connections: list[str]) -> None:
    connections += [KEY, NEW_KEY]
    service.json({"id": "t-1", "status": "processing"}).json({"error": "Invalid API key"}, 401)
    service.json({"id": "t-1", "status": "completed"})
    assert events_of(trigger()) == [{"transcript_id": "t-1", "status": "completed"}]
    assert [request.headers["Authorization"] for request in service.requests] == [KEY, KEY, NEW_KEY]


def test_a_wrong_key_is_tried_once_and_the_rest_left_to_the_worker(
    service: ScriptedService, connections: list[str]
) -> None:
    connections += [KEY]
    service.json({"error": "Invalid API key"}, 401)
    assert events_of(trigger()) == [{"transcript_id": "t-1", "status": "unavailable"}]
    assert len(service.requests) == 1


def test_triggers_that_begin_together_read_the_connection_once_and_once_more_after_a_refusal(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [KEY, NEW_KEY]
    read: list[str] = []

    async def aget_connection(conn_id: str) -> Connection:
        await asyncio.sleep(0.01)
        read.append(keys[len(read)])
        extra = json.dumps({"base_url": service.url})
        return Connection(conn_id=conn_id, conn_type="assemblyai", password=read[-1], extra=extra)

    monkeypatch.setattr(AssemblyAIHook, "aget_connection", aget_connection)
    service.json({"error": "Invalid API key"}, 401).json({"id": "t-1", "status": "completed"})

    async def main() -> list[Any]:
        async with asyncio.timeout(20):
            first = asyncio.ensure_future(anext(trigger().run()))
            others = [asyncio.ensure_future(anext(trigger().run())) for _ in range(20)]
            await asyncio.sleep(0)
            first.cancel()  # It began the reading, and the others go on with it.
            return [event.payload for event in await asyncio.gather(*others)]

    assert asyncio.run(main()) == [{"transcript_id": "t-1", "status": "completed"}] * 20
    assert read == keys


def test_a_connection_that_could_not_be_read_is_read_again(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.json({"id": "t-1", "status": "completed"})
    connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": service.url}}

    async def main() -> list[Any]:
        missing = trigger(assemblyai_conn_id="made_later")
        before = [event.payload async for event in missing.run()]
        monkeypatch.setenv("AIRFLOW_CONN_MADE_LATER", json.dumps(connection))
        return before + [event.payload async for event in missing.run()]

    assert [payload["status"] for payload in asyncio.run(main())] == ["unavailable", "completed"]


def test_triggers_of_one_account_share_the_requests(service: ScriptedService) -> None:
    service.json({"id": "t-1", "status": "processing"}).json({"id": "t-1", "status": "completed"})

    async def main() -> list[Any]:
        async def payload() -> Any:
            return [event.payload async for event in trigger().run()]

        return await asyncio.gather(*(payload() for _ in range(10)))

    assert asyncio.run(main()) == [[{"transcript_id": "t-1", "status": "completed"}]] * 10
    assert len(service.requests) == 2


def test_many_triggers_of_one_account_keep_one_http_session(service: ScriptedService) -> None:
    for _ in range(20):
        service.json({"id": "t-1", "status": "processing"})
    service.json({"id": "t-1", "status": "completed"})

    def clients() -> int:
        gc.collect()
        # Not isinstance: it asks lazy modules for their class, and they then fail to import.
        return sum(type(each) is AssemblyAIClient for each in gc.get_objects())

    async def main() -> int:
        waits = [asyncio.ensure_future(anext(trigger(first_poll_s=0.3).run())) for _ in range(10)]
        while not service.requests:
            await asyncio.sleep(0.01)
        kept = clients()
        await asyncio.gather(*waits)
        return kept

    before = clients()
    assert asyncio.run(main()) <= before + 1


def test_a_trigger_that_is_cancelled_asks_no_more(service: ScriptedService) -> None:
    service.json({"id": "t-1", "status": "processing"})

    async def main() -> None:
        async def wait() -> None:
            async for _ in trigger().run():
                raise AssertionError("fired")

        task = asyncio.create_task(wait())
        while not service.requests:
            assert not task.done()
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    # The request that was on its way when the trigger was cancelled may still arrive; after it there is silence.
    deadline = time.monotonic() + 5
    asked = -1
    while asked != len(service.requests):
        assert time.monotonic() < deadline, "still asking"
        asked = len(service.requests)
        time.sleep(0.3)
