"""One look at a transcript: has it ended, is it worth waiting on, or is it lost? Every mode of waiting decides here."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Protocol

from airflow_asr.api.errors import (
    AssemblyAIError,
    RequestError,
    TranscriptDeletedError,
    TranscriptNotFoundError,
)
from airflow_asr.api.ids import is_id
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.schedule import PollSchedule

log = logging.getLogger(__name__)

# A new id may be unknown for a while. After this many seconds it is taken to be wrong.
NOT_FOUND_PATIENCE_S = 130.0


class Client(Protocol):
    """What a look needs of a client."""

    def get(self, transcript_id: str) -> Transcript:
        """Return the transcript."""
        ...


def checked_id(transcript_id: object) -> str:
    """Return the id.

    Raises:
        RequestError: it is none. A task that did not run leaves ``None``.
    """
    if is_id(transcript_id) and transcript_id != "None":
        return transcript_id
    raise RequestError(f"`transcript_id` is {transcript_id!r}. Give the id that the submit task returned; did it run?")


def look(client: Client, transcript_id: str, *, waited_s: float) -> Transcript | None:
    """Return the transcript if it has ended, completed or in error; None if it is worth looking again later.

    Args:
        client: its own retries are over when it raises.
        transcript_id: the transcript.
        waited_s: seconds since the wait began.

    Raises:
        TranscriptDeletedError: its content was deleted at the service.
        AssemblyAIError: it cannot be read, and waiting will not change that.
    """
    try:
        transcript = client.get(transcript_id)
    except TranscriptNotFoundError as error:
        if waited_s >= NOT_FOUND_PATIENCE_S:
            raise
        log.warning("%s It may be new; looking again later.", error)
        return None
    except AssemblyAIError as error:
        if not error.retryable:
            raise
        log.warning("%s Looking again later.", error)
        return None
    if transcript.deleted:
        raise TranscriptDeletedError(
            f"Transcript {transcript_id} was deleted at the service, and its text with it. Submit the audio again if "
            "the text is wanted; that costs a new transcript.",
            transcript_id=transcript_id,
        )
    return transcript if transcript.ended else None


def wait_here(
    client: Client,
    transcript_id: str,
    *,
    most_s: float,
    limit_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when the transcript has ended, ``limit_s`` seconds have passed, or it can no longer be read.

    Args:
        client: its own retries are over when it raises.
        transcript_id: the transcript.
        most_s: the longest time between two looks, in seconds.
        limit_s: the longest wait, in seconds.
        sleep: waits.
        clock: seconds that only grow.
    """
    schedule = PollSchedule(most_s=most_s)
    began = clock()
    while (waited_s := clock() - began) < limit_s:
        sleep(min(schedule.after(waited_s, random.uniform), limit_s - waited_s))
        try:
            if look(client, transcript_id, waited_s=clock() - began) is not None:
                return
        except AssemblyAIError as error:
            log.warning("%s", error)  # Whoever waits looks into it, with the whole record at hand.
            return
