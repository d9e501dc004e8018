"""Ways to wait for transcripts, each written out as its authors or today's providers do it.

All but one look every 3 seconds. Each is entered once for a process and gives a function that waits for one
transcript. What a way needs is imported when it is entered, so that nobody's memory holds another's libraries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.stand_in import API_KEY

if TYPE_CHECKING:
    from airflow_asr.jobs.schedule import PollSchedule

INTERVAL_S = 3.0
_ENDED = ("completed", "error")
_HEADERS = {"Authorization": API_KEY}

Wait = Callable[[str], Awaitable[object]]
# Given the URL of the service, and when each transcript ends, which only one who needs not ask may look at.
Way = Callable[[str, Mapping[str, float]], AbstractAsyncContextManager[Wait]]


@asynccontextmanager
async def sleeping(_url: str, ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """The floor: no way to wait can cost less than to be told the time of the end beforehand."""

    async def wait(transcript_id: str) -> None:
        await asyncio.sleep(ends[transcript_id] - time.time())

    yield wait


@asynccontextmanager
async def this_package(url: str, _ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """As the trigger waits: it makes a client to learn the account, and leaves the rest to the process's watcher."""
    from airflow_asr.jobs.schedule import PollSchedule

    yield _watching(url, PollSchedule(first_s=INTERVAL_S, least_s=INTERVAL_S, most_s=INTERVAL_S))


@asynccontextmanager
async def this_package_by_default(url: str, _ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """The same with its own intervals: 10 seconds to the first look, and then a fifth of the age, from 3 to 60."""
    from airflow_asr.jobs.schedule import PollSchedule

    yield _watching(url, PollSchedule())


@asynccontextmanager
async def session_per_job(url: str, _ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """A trigger per job that polls in an HTTP session of its own, as those do that build on ``HttpAsyncHook``."""
    import aiohttp

    async def wait(transcript_id: str) -> None:
        async with aiohttp.ClientSession(headers=_HEADERS) as session:
            await poll(session, url, transcript_id)

    yield wait


@asynccontextmanager
async def shared_session(url: str, _ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """A poll per job again, but with one session for all. Its pool is aiohttp's usual one of 100 connections."""
    import aiohttp

    async with aiohttp.ClientSession(headers=_HEADERS) as session:

        async def wait(transcript_id: str) -> None:
            await poll(session, url, transcript_id)

        yield wait


@asynccontextmanager
async def httpx_per_job(url: str, _ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """A trigger per job with a client of its own, as those do that build on a vendor's package, which use httpx."""
    import httpx

    async def wait(transcript_id: str) -> None:
        async with httpx.AsyncClient(headers=_HEADERS) as client:

            async def ask() -> Mapping[str, Any]:
                reply = await client.get(f"{url}/v2/transcript/{transcript_id}")
                reply.raise_for_status()
                return dict(reply.json())

            await _until_ended(ask)

    yield wait


@asynccontextmanager
async def vendor_group(url: str, _ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """The second half of the vendor's ``Transcriber.transcribe_group``: a thread for each transcript."""
    import assemblyai

    assemblyai.settings.api_key, assemblyai.settings.base_url = API_KEY, url

    async def wait(transcript_id: str) -> None:
        (transcript,) = assemblyai.TranscriptGroup(transcript_ids=[transcript_id]).transcripts
        await asyncio.wrap_future(transcript.wait_for_completion_async())

    yield wait


@asynccontextmanager
async def vendor_async(url: str, _ends: Mapping[str, float]) -> AsyncIterator[Wait]:
    """The vendor's ``AsyncTranscriber``, without the limit of 8 that its ``transcribe_group`` begins with."""
    import assemblyai

    assemblyai.settings.api_key, assemblyai.settings.base_url = API_KEY, url
    async with assemblyai.AsyncTranscriber() as transcriber:
        yield transcriber.get_by_id


def _watching(url: str, schedule: PollSchedule) -> Wait:
    from airflow_asr.api.client import AssemblyAIClient
    from airflow_asr.api.retry import NO_RETRY
    from airflow_asr.jobs.watcher import TranscriptWatcher

    async def wait(transcript_id: str) -> None:
        watcher = TranscriptWatcher.shared(AssemblyAIClient(API_KEY, base_url=url, retry=NO_RETRY))
        await watcher.ended(transcript_id, schedule)

    return wait


async def poll(session: Any, url: str, transcript_id: str) -> None:
    async def ask() -> Mapping[str, Any]:
        async with session.get(f"{url}/v2/transcript/{transcript_id}") as reply:
            reply.raise_for_status()
            return dict(await reply.json())

    await _until_ended(ask)


async def _until_ended(ask: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
    while (await ask())["status"] not in _ENDED:
        await asyncio.sleep(INTERVAL_S)
