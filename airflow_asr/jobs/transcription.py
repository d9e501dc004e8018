"""One recording, from audio to outputs: submit it once, see how it is, write what it gave.

Each call of :meth:`Transcription.advance` goes as far as it can without waiting, and can be repeated at any time: by a
retry, after Clear, by the task when its trigger has fired, or after a worker died in the middle of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    AssemblyAIError,
    AudioChangedError,
    AudioUrlError,
    InputError,
    ResubmitsError,
    ServerError,
    TranscriptDeletedError,
    from_transcript,
)
from airflow_asr.api.redaction import redact_url
from airflow_asr.api.transcript import Transcript, TranscriptStatus
from airflow_asr.jobs.fingerprint import checked_config, fingerprint
from airflow_asr.jobs.open_jobs import OpenJobs
from airflow_asr.jobs.outputs import Outputs
from airflow_asr.jobs.records import SubmissionRecord, TryRecords
from airflow_asr.jobs.results import INLINE_TEXT_BYTES, TranscriptSummary, summarise
from airflow_asr.jobs.source import AudioSource
from airflow_asr.jobs.submission import Submission

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """The transcript has not ended.

    Attributes:
        transcript_id: the transcript.
        audio: the name of the audio, to be shown.
        fingerprint: finds its record again, also when the audio is gone by then.
        since: when the first job of this input was submitted, in seconds since the epoch, if that is known.
    """

    transcript_id: str
    audio: str
    fingerprint: str
    since: float | None


@dataclass(frozen=True)
class Order:
    """What the user wants.

    Attributes:
        find: looks for the audio.
        audio: how the user named it.
        config: the service's own parameters.
        outputs: makes the place of the outputs from the beginning of their names; None if there are none.
        max_resubmits: how often a transcript that the service failed is submitted again.
        inline_text_bytes: bytes of encoded JSON that the summary may have with its text in it.
    """

    find: Callable[[], AudioSource]
    audio: str
    config: Mapping[str, Any]
    outputs: Callable[[str], Outputs] | None = None
    max_resubmits: int = 2
    inline_text_bytes: int = INLINE_TEXT_BYTES


class Transcription:
    """Carries one order of one task instance.

    Args:
        client: talks to the service.
        records: survives the try.
        order: what is wanted.
        submission: sends jobs; by default as :class:`Submission` does.
    """

    def __init__(
        self, client: AssemblyAIClient, records: TryRecords, order: Order, *, submission: Submission | None = None
    ) -> None:
        self._client = client
        self._records = records
        self._order = order
        self._submission = submission or Submission(client, records)
        self._source: AudioSource | None = None
        self._record: SubmissionRecord | None = None

    def advance(self, fp: str | None = None) -> TranscriptSummary | Waiting:
        """Go as far as it can go without waiting.

        Args:
            fp: the fingerprint that an earlier call gave; without it the audio is looked at.

        Raises:
            SubmitOutcomeUnknownError: a job may exist, and cannot be found now; nothing was sent a second time.
            OutputError: the transcript is there, and its outputs could not be written.
            AssemblyAIError: there is no transcript, and why.
        """
        try:
            return self._advance(fp)
        except AssemblyAIError:
            log.error("%s", self._standing())  # What the error says of the money is not always all.
            raise

    def _advance(self, fp: str | None) -> TranscriptSummary | Waiting:
        record = self._record = self._open(fp)
        outputs = self._order.outputs(record["base"]) if self._order.outputs else None
        done = self._done(record, outputs)
        if done is not None:
            return done
        self._submission.settle(record, self._order.config)
        while True:
            transcript_id = record.get("id")
            if transcript_id is None:
                transcript_id = self._obtain(record, outputs)
                return self._waiting(record, transcript_id)
            transcript = self._submission.read(record, transcript_id)
            if transcript is None and self._submission.is_new(record):
                return self._waiting(record, transcript_id)
            if transcript is not None and not transcript.ended:
                log.info("Transcript %s of %s is %s.", transcript_id, record["audio"], transcript.status)
                return self._waiting(record, transcript_id)
            if transcript is not None and transcript.status == TranscriptStatus.COMPLETED and not transcript.deleted:
                return self._collect(record, outputs, transcript)
            self._resubmit_or_fail(record, transcript, transcript_id)

    def _standing(self) -> str:
        """Return what became of the audio and the money so far, in a line for whoever reads the log of a failure."""
        audio, record = redact_url(self._order.audio), self._record
        if record is None:
            return f"{audio}: this try submitted nothing."
        if record["state"] == "intent":
            return f"{audio}: a transcript may have been made. A retry looks for it before it submits anything."
        if record.get("id"):
            return (
                f"{audio}: transcript {record['id']} was submitted. A retry goes on with it and pays nothing; "
                "AssemblyAIFetchTranscriptOperator gets its text by that id."
            )
        failed = (
            f" Transcripts that failed, and are not charged: {', '.join(record['prior'])}." if record["prior"] else ""
        )
        return f"{audio}: nothing is paid for.{failed}"

    def _obtain(self, record: SubmissionRecord, outputs: Outputs | None) -> str:
        if self._used(record) > self._order.max_resubmits:
            raise ResubmitsError(
                f"{record['audio']} was submitted {self._used(record)} times, and each transcript ended without a "
                f"result: {', '.join(record['prior'][record['forgiven'] :])}. Clear the task to submit it again."
            )
        if outputs is not None:
            outputs.check_writable()
        open_jobs = outputs.open_jobs if outputs is not None else OpenJobs(None)
        return self._submission.obtain(record, self._audio(), self._order.config, open_jobs)

    @staticmethod
    def _used(record: SubmissionRecord) -> int:
        """Return how many jobs of the recorded input failed, since somebody last allowed it as many as there may be."""
        return len(record["prior"]) - record["forgiven"]

    def _open(self, fp: str | None) -> SubmissionRecord:
        record = self._records.read(fp) if fp else None
        if record is not None:
            return record
        request = _hash(self._client.base_url, self._order.audio, dict(self._order.config))
        try:
            source = self._audio()
        except InputError:
            # The audio was moved after it was submitted? What was paid for is still there.
            record = self._records.latest(request)
            if record is None or (record.get("id") is None and record["state"] != "intent"):
                raise
            log.warning("%s can no longer be read; going on with what was submitted.", record["audio"])
            return record
        return self._submission.open(source, self._order.config, request=request)

    def _audio(self) -> AudioSource:
        if self._source is None:
            self._source = self._order.find()
        return self._source

    def _done(self, record: SubmissionRecord, outputs: Outputs | None) -> TranscriptSummary | None:
        """Return the summary if nothing is left to do; take over the transcript of outputs that are there in part."""
        if outputs is None:
            summary = record.get("summary")
            return summary if record["state"] == "finished" else None
        receipt = outputs.receipt(record["fp"])
        if receipt is None:
            return None
        done = outputs.complete(receipt)
        if done is not None:
            log.info("%s was transcribed before, and its outputs are there: nothing is asked again.", record["audio"])
            # Whoever wrote them may have died before it could.
            outputs.open_jobs.end({**record, "id": done["transcript_id"]})
        elif record.get("id") is None:
            record["id"] = receipt["summary"]["transcript_id"]
            record["state"] = "submitted"
            log.info("%s was transcribed before (transcript %s).", record["audio"], record["id"])
        return done

    def _waiting(self, record: SubmissionRecord, transcript_id: str) -> Waiting:
        return Waiting(transcript_id, record["audio"], record["fp"], record.get("first_submit_at"))

    def _collect(self, record: SubmissionRecord, outputs: Outputs | None, transcript: Transcript) -> TranscriptSummary:
        self._check_same(record, transcript.id)
        summary = summarise(
            transcript,
            audio=record["audio"],
            fingerprint=record["fp"],
            outputs=outputs.uris() if outputs is not None else None,
            inline_text_bytes=self._order.inline_text_bytes,
        )
        if outputs is not None:
            outputs.write(self._client, transcript, summary, fp=record["fp"])
            log.info("Wrote %s.", ", ".join(summary["outputs"].values()))
        record["state"] = "finished"
        record["summary"] = summary
        self._submission.close(record)
        if outputs is not None:
            outputs.open_jobs.end(record)
        return summary

    def _check_same(self, record: SubmissionRecord, transcript_id: str) -> None:
        """Raise if the service may have fetched other content than that which the outputs would be filed under.

        An upload is what was read; an object that the service fetched by a signed URL may have been replaced meanwhile.
        """
        if record.get("upload_url") or record["shared_url"]:
            return
        try:
            source = self._order.find()
        except AssemblyAIError:
            return  # Gone by now: there is no newer content that this could be mistaken for.
        if fingerprint(self._client.base_url, source.identity, checked_config(self._order.config)) != record["fp"]:
            raise AudioChangedError(
                f"{record['audio']} was replaced while it was being transcribed, so transcript {transcript_id} may be "
                "of either content. A retry transcribes what is there now.",
                transcript_id=transcript_id,
            )

    def _resubmit_or_fail(self, record: SubmissionRecord, transcript: Transcript | None, transcript_id: str) -> None:
        error = _why(record, transcript, transcript_id)
        reused = isinstance(error, AudioUrlError) and record.pop("reused_upload", False)
        again = isinstance(error, ServerError | TranscriptDeletedError) or (
            isinstance(error, AudioUrlError) and not record["shared_url"]
        )
        self._submission.give_up(record)
        if reused:
            record["forgiven"] += 1  # The service had deleted the upload, or nearly: that was our doing.
        if again and self._used(record) <= self._order.max_resubmits:
            log.warning("%s Submitting it again (%d of %d).", error, self._used(record), self._order.max_resubmits)
            return
        self._submission.close(record)
        if again:
            times = "once" if self._used(record) == 1 else f"{self._used(record)} times"
            raise ResubmitsError(
                f"{error} It was submitted {times}. Clear the task to submit it again.", transcript_id=transcript_id
            )
        raise error


def _why(record: SubmissionRecord, transcript: Transcript | None, transcript_id: str) -> AssemblyAIError:
    """Return why there is no result."""
    if transcript is not None and not transcript.deleted:
        return from_transcript(
            transcript.error or "no reason given", transcript_id=transcript_id, audio=record["audio"]
        )
    what = "is no longer known to the service" if transcript is None else "was deleted at the service"
    return TranscriptDeletedError(
        f"Transcript {transcript_id} of {record['audio']} {what}, and its text with it; it costs a new transcript.",
        transcript_id=transcript_id,
    )


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
