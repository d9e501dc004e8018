"""Waits for a transcript in the triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AccountError, AssemblyAIError
from airflow_asr.api.redaction import redact
from airflow_asr.hooks.assemblyai import AssemblyAIHook
from airflow_asr.jobs.batch.limits import MOST_IN_FLIGHT as MOST_IDS
from airflow_asr.jobs.schedule import PollSchedule
from airflow_asr.jobs.watcher import TranscriptWatcher
from airflow_asr.triggers.connections import Reading, reading_of

log = logging.getLogger(__name__)

# Besides the service's own statuses, an event can say:
TIMEOUT = "timeout"  # the deadline has passed
UNAVAILABLE = "unavailable"  # the transcript cannot be read from here; the worker finds out why


class AssemblyAITranscriptTrigger(BaseTrigger):
    """Fires once, when a transcript has ended, the deadline has passed, or the transcript cannot be read.

    It only reads, so a triggerer that restarts, or two that run it at once, do no harm. The event is
    ``{"transcript_id": …, "status": …}`` and no more: events are logged and stored in clear.

    Args:
        transcript_id: the transcript.
        assemblyai_conn_id: the Connection; the key itself never enters a trigger's arguments.
        first_poll_s: seconds before the first look.
        poll_interval_s: the longest time between two looks, in seconds.
        deadline: when to give up, in seconds since the epoch. An absolute time keeps its meaning in another triggerer.
    """

    def __init__(
        self,
        transcript_id: str,
        assemblyai_conn_id: str = AssemblyAIHook.default_conn_name,
        first_poll_s: float = 10.0,
        poll_interval_s: float = 60.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.transcript_id = transcript_id
        self.assemblyai_conn_id = assemblyai_conn_id
        self.first_poll_s = first_poll_s
        self.poll_interval_s = poll_interval_s
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "transcript_id": self.transcript_id,
                "assemblyai_conn_id": self.assemblyai_conn_id,
                "first_poll_s": self.first_poll_s,
                "poll_interval_s": self.poll_interval_s,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        yield TriggerEvent({"transcript_id": self.transcript_id, "status": await self._status()})

    async def _status(self) -> str:
        left_s = None if self.deadline is None else self.deadline - time.time()
        log.info(
            "Waiting for transcript %s; first look in about %.0f s%s.",
            self.transcript_id,
            self.first_poll_s,
            "" if left_s is None else f", giving up in {left_s:.0f} s",
        )
        try:
            async with asyncio.timeout(left_s):
                status = await self._ended()
        except TimeoutError:
            status = TIMEOUT
        log.info("Transcript %s: %s.", self.transcript_id, status)
        return status

    async def _ended(self) -> str:
        schedule = PollSchedule(first_s=self.first_poll_s, most_s=self.poll_interval_s)
        status = await watch(
            self.assemblyai_conn_id,
            lambda watcher: watcher.ended(self.transcript_id, schedule),
            pause_s=max(self.first_poll_s, self.poll_interval_s),
        )
        return status or UNAVAILABLE


class AssemblyAIBatchTrigger(BaseTrigger):
    """Fires once, when enough of many transcripts have ended, or a time has come.

    Like :class:`AssemblyAITranscriptTrigger` it only reads. The event is ``{"ended": [ids], "remaining": n}``. A
    transcript that cannot be read counts as ended: the worker looks into it.

    Args:
        transcript_ids: at most 1,000.
        assemblyai_conn_id: the Connection.
        first_poll_s: seconds before the first look.
        poll_interval_s: the longest time between two looks, in seconds.
        refill_at: how many must have ended.
        wake_at: when to fire in any case, in seconds since the epoch.

    Raises:
        ValueError: there are more.
    """

    def __init__(
        self,
        transcript_ids: list[str],
        assemblyai_conn_id: str = AssemblyAIHook.default_conn_name,
        first_poll_s: float = 10.0,
        poll_interval_s: float = 60.0,
        refill_at: int = 1,
        wake_at: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if len(transcript_ids) > MOST_IDS:
            raise ValueError(f"{len(transcript_ids)} transcripts are too many for one trigger: at most {MOST_IDS}.")
        self.transcript_ids = list(dict.fromkeys(transcript_ids))
        self.assemblyai_conn_id = assemblyai_conn_id
        self.first_poll_s = first_poll_s
        self.poll_interval_s = poll_interval_s
        self.refill_at = refill_at
        self.wake_at = wake_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("transcript_ids", "assemblyai_conn_id", "first_poll_s", "poll_interval_s", "refill_at", "wake_at")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        ended: set[str] = set()
        earliest = time.monotonic() + self.first_poll_s
        log.info("Waiting for %d of %d transcripts.", self.refill_at, len(self.transcript_ids))
        left_s = None if self.wake_at is None else self.wake_at - time.time()
        try:
            async with asyncio.timeout(left_s):
                await self._wait(ended)
        except TimeoutError:
            pass
        # Airflow 3.3.2 fails a task whose trigger fires before the scheduler has handled its deferral.
        await asyncio.sleep(max(earliest - time.monotonic(), 0.0))
        remaining = len(self.transcript_ids) - len(ended)
        log.info("%d transcripts have ended; %d have not.", len(ended), remaining)
        yield TriggerEvent({"ended": sorted(ended), "remaining": remaining})

    async def _wait(self, ended: set[str]) -> None:
        if not self.transcript_ids:
            if self.wake_at is not None:
                await asyncio.Event().wait()  # Until the time has come.
            return
        schedule = PollSchedule(first_s=self.first_poll_s, most_s=self.poll_interval_s)

        async def some(watcher: TranscriptWatcher) -> str:
            await watcher.some_ended(self.transcript_ids, schedule, self.refill_at, ended)
            return "ended"

        await watch(self.assemblyai_conn_id, some, pause_s=max(self.first_poll_s, self.poll_interval_s))


async def watch(conn_id: str, wait: Callable[[TranscriptWatcher], Awaitable[str]], *, pause_s: float) -> str | None:
    """Return what a wait by the process's watcher returns; None if nothing can be read from here.

    After a refusal the Connection is read once more: the key may have changed.

    Args:
        conn_id: the Connection.
        wait: waits, by the watcher that it is given.
        pause_s: seconds before giving up where the Connection cannot be had. The worker had it when it deferred, and
            will defer again: firing now would start a worker each time, and before the scheduler has handled the
            deferral.
    """
    refused: str | None = None
    reading: Reading | None = None
    while True:
        reading = reading_of(conn_id, but=reading)
        client = await _client(conn_id, reading)
        if client is None:
            await asyncio.sleep(pause_s)
            return None
        account, watcher = client.account, TranscriptWatcher.shared(client)
        if account == refused:
            return None
        try:
            return await wait(watcher)
        except AccountError as error:
            log.warning("%s Reading the Connection again.", error)
            refused = account
        except Exception as error:  # A bug included: raising would fail the task and not name its transcript.
            log.warning("%s", error, exc_info=not isinstance(error, AssemblyAIError))
            return None


async def _client(conn_id: str, reading: Reading) -> AssemblyAIClient | None:
    """Return a client that does not retry by itself; None if the Connection cannot be had or used.

    Raising would fail the task without a word about its transcripts. The worker meets the same trouble and names it.
    """
    try:
        return await reading.client()
    except Exception as error:
        log.warning("Connection %r cannot be used here: %s", conn_id, redact(str(error)))
        return None
