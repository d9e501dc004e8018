"""Outputs of a transcript that exists, whoever submitted it."""

from __future__ import annotations

import logging

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import TranscriptDeletedError, TranscriptNotReadyError, from_transcript
from airflow_asr.api.transcript import TranscriptStatus
from airflow_asr.jobs.outputs import Outputs
from airflow_asr.jobs.results import INLINE_TEXT_BYTES, TranscriptSummary, summarise

log = logging.getLogger(__name__)


def fetch(
    client: AssemblyAIClient,
    transcript_id: str,
    outputs: Outputs | None,
    *,
    inline_text_bytes: int = INLINE_TEXT_BYTES,
) -> TranscriptSummary:
    """Write the outputs of a transcript that exists, whoever submitted it.

    Raises:
        TranscriptNotReadyError: it has not ended.
        TranscriptDeletedError: its content was deleted.
        OutputError: its outputs could not be written.
        AssemblyAIError: it ended in error, or cannot be read.
    """
    transcript = client.get(transcript_id)
    if not transcript.ended:
        raise TranscriptNotReadyError(
            f"Transcript {transcript_id} is {transcript.status}. Wait for it with AssemblyAITranscriptSensor first.",
            transcript_id=transcript_id,
        )
    if transcript.deleted:
        raise TranscriptDeletedError(
            f"Transcript {transcript_id} was deleted at the service, and its text with it.", transcript_id=transcript_id
        )
    if transcript.error or transcript.status == TranscriptStatus.ERROR:
        raise from_transcript(transcript.error or "no reason given", transcript_id=transcript_id)
    uris = outputs.uris() if outputs is not None else None
    summary = summarise(transcript, outputs=uris, inline_text_bytes=inline_text_bytes)
    if outputs is not None:
        outputs.write(client, transcript, summary, fp=None)
        log.info("Wrote %s.", ", ".join(summary["outputs"].values()))
    return summary
