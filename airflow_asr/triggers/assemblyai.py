"""Waits for a transcript in the triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AccountError, AssemblyAIError
from airflow_asr.api.redaction import redact
from airflow_asr.api.retry import NO_RETRY
from airflow_asr.hooks.assemblyai import AssemblyAIHook, client_of
from airflow_asr.jobs.schedule import PollSchedule
from airflow_asr.jobs.watcher import TranscriptWatcher

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
        """Wait by the process's watcher. After a refusal the Connection is read once more: the key may have changed."""
        schedule = PollSchedule(first_s=self.first_poll_s, most_s=self.poll_interval_s)
        refused: str | None = None
        while True:
            client = await self._client()
            if client is None:
                # The worker had the Connection when it deferred, and will defer again: firing now would start a worker
                # each time, and before the scheduler has handled the deferral.
                await asyncio.sleep(max(self.first_poll_s, self.poll_interval_s))
                return UNAVAILABLE
            account, watcher = client.account, TranscriptWatcher.shared(client)
            del client  # The watcher has its own, and a thousand waits need no session each.
            if account == refused:
                return UNAVAILABLE
            try:
                return await watcher.ended(self.transcript_id, schedule)
            except AccountError as error:
                log.warning("%s Reading the Connection again.", error)
                refused = account
            except Exception as error:  # A bug included: raising would fail the task and not name its transcript.
                log.warning("%s", error, exc_info=not isinstance(error, AssemblyAIError))
                return UNAVAILABLE

    async def _client(self) -> AssemblyAIClient | None:
        """Return a client that does not retry by itself; None if the Connection cannot be had or used.

        Raising would fail the task without a word about its transcript. The worker meets the same trouble and names it.
        """
        try:
            connection = await AssemblyAIHook.aget_connection(self.assemblyai_conn_id)
            return client_of(connection, retry=NO_RETRY)
        except Exception as error:
            log.warning("Connection %r cannot be used here: %s", self.assemblyai_conn_id, redact(str(error)))
            return None
