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


async def ended_some(
    watcher: TranscriptWatcher, transcript_ids: Iterable[str], schedule: PollSchedule, refill_at: int, ended: set[str]
) -> None:
    """Return when ``refill_at`` transcripts have ended, or cannot be read; the worker finds out why.

    Args:
        watcher: the account's.
        transcript_ids: the transcripts.
        schedule: when to look.
        refill_at: how many must have ended, those of ``ended`` included.
        ended: takes the ids, also when the wait is cancelled.

    Raises:
        AccountError: the key was refused.
    """

    async def one(transcript_id: str) -> None:
        try:
            await watcher.ended(transcript_id, schedule)
        except AccountError:
            raise
        except Exception as error:
            log.warning("%s", error)
        ended.add(transcript_id)
        if len(ended) >= refill_at:
            enough.set()

    enough = asyncio.Event()
    waits = [asyncio.ensure_future(one(each)) for each in transcript_ids if each not in ended]
    done = asyncio.ensure_future(enough.wait())
    try:
        while not done.done() and waits:
            finished, _ = await asyncio.wait([done, *waits], return_when=asyncio.FIRST_COMPLETED)
            for each in finished:
                each.result()
            waits = [each for each in waits if not each.done()]
    finally:
        for each in (done, *waits):
            each.cancel()
        await asyncio.gather(done, *waits, return_exceptions=True)


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
            await ended_some(TranscriptWatcher(client), ids, PollSchedule(first_s=1.0, most_s=most_s), refill_at, ended)

    try:
        asyncio.run(wait())
    except TimeoutError:
        pass
    except AccountError as error:
        log.warning("%s", error)  # Whoever waits looks into it.
    return sorted(ended)
