"""Waits until enough of many transcripts have ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AccountError
from airflow_asr.jobs.schedule import PollSchedule
from airflow_asr.jobs.watcher import TranscriptWatcher

log = logging.getLogger(__name__)


def wait_for_some(
    client: AssemblyAIClient, transcript_ids: Iterable[str], *, refill_at: int, limit_s: float, most_s: float
) -> list[str]:
    """Wait here, and return what has ended.

    Args:
        client: belongs to the wait from now on.
        transcript_ids: the transcripts.
        refill_at: how many of them must have ended.
        limit_s: the longest wait, in seconds.
        most_s: the longest time between two looks, in seconds.
    """
    ended: set[str] = set()
    ids = list(transcript_ids)

    async def wait() -> None:
        if not ids:
            await asyncio.sleep(limit_s)
            return
        async with asyncio.timeout(limit_s):
            schedule = PollSchedule(first_s=1.0, most_s=most_s)
            await TranscriptWatcher(client).some_ended(ids, schedule, refill_at, ended)

    try:
        asyncio.run(wait())
    except TimeoutError:
        pass
    except AccountError as error:
        log.warning("%s", error)  # Whoever waits looks into it.
    return sorted(ended)
