"""One trigger for many transcripts, against the local server."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string  # type: ignore[attr-defined]

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.jobs import sweeps
from airflow_asr.jobs.schedule import PollSchedule
from airflow_asr.local.testing import LocalServer, scripted_audio
from airflow_asr.triggers import assemblyai as trigger_module
from airflow_asr.triggers.assemblyai import AssemblyAIBatchTrigger

Submit = Callable[..., list[str]]


@pytest.fixture(scope="module")
def running() -> Iterator[LocalServer]:
    with LocalServer(concurrency=200) as server:
        yield server


@pytest.fixture
def server(running: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    connection = {"conn_type": "assemblyai", "password": running.api_key, "extra": {"base_url": running.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(trigger_module, "PollSchedule", partial(PollSchedule, least_s=0.1))
    monkeypatch.setattr(sweeps, "_LEAST_INTERVAL_S", 0.2)
    yield running
    running.clear_faults()


@pytest.fixture
def submit(server: LocalServer) -> Submit:
    """Submit transcripts that take so long, and return their ids."""

    def submitted(count: int, process_s: float, **script: Any) -> list[str]:
        with AssemblyAIClient(server.api_key, base_url=server.url) as client:
            url = client.upload([scripted_audio("Hello.", process_s=process_s, **script)])
            return [client.submit(url).id for _ in range(count)]

    return submitted


def event_of(ids: list[str], **arguments: Any) -> Any:
    made = AssemblyAIBatchTrigger(ids, **{"first_poll_s": 0.3, "poll_interval_s": 1.0, **arguments})

    async def main() -> Any:
        async with asyncio.timeout(60):
            return (await anext(aiter(made.run()))).payload

    return asyncio.run(main())


def requests(server: LocalServer, route: str) -> int:
    return server.requests().get(f"GET {route}", 0)


def test_it_is_the_same_after_a_trip_through_the_database() -> None:
    made = AssemblyAIBatchTrigger(["a", "b"], "other", 1.5, 20.0, 2, 1_800_000_000.5)
    path, arguments = made.serialize()
    copy = import_string(path)(**json.loads(json.dumps(arguments)))
    assert copy.serialize() == made.serialize()


def test_it_fires_when_enough_have_ended_and_says_which(server: LocalServer, submit: Submit) -> None:
    soon, late = submit(30, 0.5), submit(20, 30)
    event = event_of([*soon, *late], refill_at=30)
    assert event == {"ended": sorted(soon), "remaining": 20}


def test_sweeps_answer_for_all_though_strangers_submit_too(server: LocalServer, submit: Submit) -> None:
    ours = submit(60, 1.0)
    submit(250, 0.0)  # They fill more than a page.
    asked = requests(server, "/v2/transcript/{id}")
    event = event_of(ours, refill_at=60)
    assert set(event["ended"]) == set(ours)
    # Each would be asked for several times otherwise. A busy machine may make a sweep late.
    assert requests(server, "/v2/transcript/{id}") - asked < 20


def test_one_that_failed_or_was_deleted_has_ended(server: LocalServer, submit: Submit) -> None:
    good, bad = submit(10, 0.2), submit(2, 0.2, error="File does not appear to contain audio")
    with AssemblyAIClient(server.api_key, base_url=server.url) as client:
        while not client.get(good[0]).ended:
            time.sleep(0.1)
        client.delete(good[0])
    assert set(event_of([*good, *bad], refill_at=12)["ended"]) == {*good, *bad}


def test_one_that_nobody_knows_is_left_to_the_worker(
    server: LocalServer, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_asr.jobs.watcher.NOT_FOUND_PATIENCE_S", 0.1)
    ids = [*submit(15, 0.2), "00000000-0000-0000-0000-000000000000"]
    assert event_of(ids, refill_at=16) == {"ended": sorted(ids), "remaining": 0}


def test_it_fires_when_the_time_has_come_with_what_it_knows(server: LocalServer, submit: Submit) -> None:
    soon, late = submit(12, 0.2), submit(12, 60)
    event = event_of([*soon, *late], refill_at=24, wake_at=time.time() + 3)
    assert event == {"ended": sorted(soon), "remaining": 12}


@pytest.mark.parametrize("arguments", [{"wake_at": 1.0}, {"refill_at": 0}, {"assemblyai_conn_id": "nowhere"}])
def test_it_never_fires_before_its_first_look(server: LocalServer, submit: Submit, arguments: dict[str, Any]) -> None:
    ids, began = submit(2, 60), time.monotonic()
    assert event_of(ids, first_poll_s=1.0, **arguments) == {"ended": [], "remaining": 2}
    assert time.monotonic() - began >= 1.0


def test_the_log_says_now_and_then_how_many_have_ended(
    server: LocalServer, submit: Submit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("airflow_asr.jobs.watcher._TOLD_EVERY_S", 0.5)
    ids = [*submit(12, 0.2), *submit(12, 60)]
    with caplog.at_level(logging.INFO):
        event_of(ids, refill_at=24, wake_at=time.time() + 3)
    assert "12 of 24 transcripts have ended." in caplog.messages


def test_without_transcripts_it_only_waits_for_its_time(server: LocalServer) -> None:
    wake_at = time.time() + 1
    assert event_of([], wake_at=wake_at) == {"ended": [], "remaining": 0}
    assert time.time() >= wake_at
    assert event_of([]) == {"ended": [], "remaining": 0}


def test_a_transcript_that_is_named_twice_counts_once(server: LocalServer, submit: Submit) -> None:
    one, other = submit(2, 0.1)
    assert event_of([one, one, other], refill_at=3) == {"ended": sorted([one, other]), "remaining": 0}


def test_a_key_that_may_not_read_the_list_asks_for_each(server: LocalServer, submit: Submit) -> None:
    ids = submit(20, 0.5)
    forbidden = {"error": "This key may not list transcripts"}
    server.faults(
        {
            "method": "GET",
            "route": "/v2/transcript",
            "action": "answer",
            "status": 403,
            "times": None,
            "body": forbidden,
        }
    )
    assert set(event_of(ids, refill_at=20)["ended"]) == set(ids)


def test_it_outlasts_a_service_that_dies(server: LocalServer, submit: Submit) -> None:
    ids = submit(20, 2)

    async def main() -> Any:
        made = AssemblyAIBatchTrigger(ids, first_poll_s=0.3, poll_interval_s=1.0, refill_at=20)
        async with asyncio.timeout(60):
            fired = asyncio.ensure_future(anext(aiter(made.run())))
            await asyncio.sleep(0.6)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(server.start)
            return (await fired).payload

    assert set(asyncio.run(main())["ended"]) == set(ids)


def test_a_trigger_has_a_limit_that_every_database_can_hold() -> None:
    with pytest.raises(ValueError, match="1001 transcripts are too many for one trigger: at most 1000"):
        AssemblyAIBatchTrigger([f"t-{number}" for number in range(1001)])
