"""Triggers to measure beside ours, in a real triggerer. Those that wait take the arguments that ours takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_asr.hooks.assemblyai import AssemblyAIHook, client_of
from airflow_asr.triggers.assemblyai import AssemblyAITranscriptTrigger
from benchmarks.peers import poll
from benchmarks.stand_in import API_KEY

if TYPE_CHECKING:
    import aiohttp

LAG_STEP_S = 0.1


class SleepingTrigger(AssemblyAITranscriptTrigger):
    """The floor: it does nothing, until it is cancelled."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(86_400)
        yield TriggerEvent({"transcript_id": self.transcript_id, "status": "never"})


class PollingTrigger(AssemblyAITranscriptTrigger):
    """Polls its transcript every 3 seconds, in an HTTP session that all share."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        connection = await AssemblyAIHook.aget_connection(self.assemblyai_conn_id)
        await poll(_session(), client_of(connection).base_url, self.transcript_id)
        yield TriggerEvent({"transcript_id": self.transcript_id, "status": "completed"})


class LagTrigger(BaseTrigger):
    """Writes down how late the event loop gets to what is due, in seconds, a line each.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        loop = asyncio.get_running_loop()
        with open(self.path, "a", buffering=1) as file:
            while True:
                due = loop.time() + LAG_STEP_S
                await asyncio.sleep(LAG_STEP_S)
                file.write(f"{loop.time() - due:.6f}\n")
        yield TriggerEvent({})  # Never; it makes this a generator.


class ToldTrigger(BaseTrigger):
    """Fires at a moment that it was told beforehand, in epoch seconds."""

    def __init__(self, moment: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"moment": self.moment}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.moment - time.time())
        yield TriggerEvent({"moment": self.moment})


@lru_cache(maxsize=1)
def _session() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(headers={"Authorization": API_KEY})
