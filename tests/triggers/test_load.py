"""Many triggers of one process, while the service fails three requests of ten and dies twice.

``python -m tests.faults.load`` does the same to a thousand, in a real triggerer.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import Any

import pytest

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.jobs import watcher as watcher_module
from airflow_asr.jobs.schedule import PollSchedule, RequestBudget
from airflow_asr.local.testing import LocalServer, scripted_audio
from airflow_asr.triggers import assemblyai as trigger_module
from airflow_asr.triggers.assemblyai import AssemblyAITranscriptTrigger
from tests.faults.meter import RequestMeter
from tests.faults.trouble import bad_replies

NUMBER = 100
SHARE = partial(RequestBudget, per_s=12.0, burst=8.0)  # Such that a hundred triggers would like more.
FIRED_WITHIN_S = 180.0
ROUTES = ("/v2/transcript/{id}", "/v2/transcript")


def test_all_fire_rightly_while_the_service_fails_and_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_module, "PollSchedule", partial(PollSchedule, least_s=0.5))
    monkeypatch.setattr(watcher_module, "RequestBudget", SHARE)
    with LocalServer(concurrency=NUMBER) as server:
        connection = {"conn_type": "assemblyai", "password": server.api_key, "extra": {"base_url": server.url}}
        monkeypatch.setenv("AIRFLOW_CONN_BUSY", json.dumps(connection))
        ends = _submit(server)
        meter = RequestMeter(lambda: sum(server.requests().get(f"GET {route}", 0) for route in ROUTES))
        server.faults(*bad_replies())
        events = asyncio.run(_fired(list(ends), server, meter))
    assert {event["transcript_id"]: event["status"] for event in events} == ends
    assert meter.beyond(SHARE()) == 0


def _submit(server: LocalServer) -> dict[str, str]:
    """Submit transcripts that end one after the other, some in error; return how each will end."""
    ends: dict[str, str] = {}
    with AssemblyAIClient(server.api_key, base_url=server.url) as client:
        for group in range(10):
            error = {"error": "File does not appear to contain audio"} if group == 3 else {}
            url = client.upload([scripted_audio(f"Group {group}.", process_s=0.5 + group / 2, **error)])
            for _ in range(NUMBER // 10):
                ends[client.submit(url).id] = "error" if error else "completed"
    return ends


async def _fired(ids: list[str], server: LocalServer, meter: RequestMeter) -> list[Any]:
    async with asyncio.timeout(FIRED_WITHIN_S):
        fired = asyncio.gather(*(_event(each) for each in ids))
        for _ in range(2):
            await asyncio.to_thread(_live_and_die, server, meter)
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.faults, *bad_replies())
        while not fired.done():
            await asyncio.to_thread(meter.read)
            await asyncio.sleep(0.5)
        return await fired


async def _event(transcript_id: str) -> Any:
    trigger = AssemblyAITranscriptTrigger(transcript_id, "busy", first_poll_s=1.0, poll_interval_s=2.0)
    return (await anext(aiter(trigger.run()))).payload


def _live_and_die(server: LocalServer, meter: RequestMeter) -> None:
    """End the service once it was asked a few times in this life."""
    before = meter.total
    while meter.total < before + 2:
        time.sleep(0.2)
        meter.read()
    meter.ends()
    server.kill()
