"""One look at a transcript: has it ended, is it worth waiting on, or is it lost? Every mode of waiting decides here."""

from __future__ import annotations

import logging
from typing import Protocol

from airflow_asr.api.errors import AssemblyAIError, TranscriptDeletedError, TranscriptNotFoundError
from airflow_asr.api.transcript import Transcript

log = logging.getLogger(__name__)

# A new id may be unknown for a while. After this many seconds it is taken to be wrong.
NOT_FOUND_PATIENCE_S = 130.0


class Client(Protocol):
    """What a look needs of a client."""

    def get(self, transcript_id: str) -> Transcript:
        """Return the transcript."""
        ...


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
