"""Submits audio and remembers the job, so that a second try finds it instead of paying again."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    AssemblyAIError,
    RateLimitError,
    RecordError,
    RequestError,
    SubmitOutcomeUnknownError,
    TranscriptNotFoundError,
    UnreachableError,
)
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.api.transcript import Transcript, TranscriptStatus
from airflow_asr.jobs.look import NOT_FOUND_PATIENCE_S
from airflow_asr.jobs.names import output_name
from airflow_asr.jobs.records import RECORD_VERSION, SubmissionRecord, TryRecords
from airflow_asr.jobs.source import AudioSource

log = logging.getLogger(__name__)

FENCE_S = 10.0  # A record that took longer to write no longer proves that this try is the current one.
_FENCES = 3
_STORE_TRIES = 3
# The service deletes an upload that nobody transcribed after about 24 hours.
_UPLOAD_LIFE_S = 20 * 3600.0


def fingerprint(base_url: str, audio: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return what tells one job from another: the service, the audio's identity and the parameters.

    The key is not in it, so that changing the key does not make the same job a new one.
    """
    canonical = json.dumps(
        {"base_url": base_url, "audio": audio, "config": config}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def checked_config(config: object) -> dict[str, Any]:
    """Return the parameters to send: those whose value is not ``None``.

    Raises:
        RequestError: it is not a dict, holds what JSON cannot, or names the audio.
    """
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise RequestError(f"`config` must be a dict of parameter names to values; got {type(config).__name__}.")
    sent = {name: value for name, value in config.items() if value is not None}
    try:
        json.dumps(sent, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise RequestError(f"`config` cannot be sent as JSON: {error}.") from None
    return sent


def awake_s() -> float:
    """Return seconds that also pass while the machine is suspended, where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Submission:
    """Sends jobs for one task instance, each fenced by a record that only the current try can write.

    Args:
        client: talks to the service.
        records: survives the try.
        clock: seconds since the epoch.
        elapsed: seconds that only grow, as :func:`awake_s`.
        sleep: how to wait between tries that surely submitted nothing.
        retry: when to try again what surely submitted nothing.
    """

    def __init__(
        self,
        client: AssemblyAIClient,
        records: TryRecords,
        *,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = awake_s,
        sleep: Callable[[float], None] = time.sleep,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._client = client
        self._records = records
        self._clock = clock
        self._elapsed = elapsed
        self._sleep = sleep
        self._retry = retry or RetryPolicy()

    def submit(self, source: AudioSource, config: Mapping[str, Any]) -> str:
        """Return the id of the job for this audio, submitting it only if there is none worth keeping.

        Raises:
            SubmitOutcomeUnknownError: a job may exist; nothing was sent a second time.
            AssemblyAIError: no job was submitted.
        """
        record = self.open(source, config)
        transcript_id = record.get("id")
        if transcript_id is not None:
            if self._usable(record, transcript_id):
                return transcript_id
            self.give_up(record)
        return self.send(record, source, config)

    def open(self, source: AudioSource, config: Mapping[str, Any], *, request: str = "") -> SubmissionRecord:
        """Return the record of this input, whether or not there is a job for it yet.

        Raises:
            RequestError: the parameters cannot be sent.
            SubmitOutcomeUnknownError: an earlier try was cut off while it submitted.
        """
        fp = fingerprint(self._client.base_url, source.identity, checked_config(config))
        record = self._records.read(fp)
        if record is None:
            return SubmissionRecord(
                v=RECORD_VERSION,
                fp=fp,
                request=request,
                audio=source.shown,
                base=output_name(source.name, source.location),
                state="rejected",
                shared_url=source.shared_url,
                prior=[],
                forgiven=0,
                account=self._client.account,
            )
        self.refuse_cut_off(record)
        return record

    def refuse_cut_off(self, record: SubmissionRecord) -> None:
        """Fail if nobody knows whether the recorded job exists; once, so that a person who cleared the task decides.

        Raises:
            SubmitOutcomeUnknownError: nobody knows.
        """
        if record["state"] != "intent":
            return
        record["state"] = "rejected"
        self._records.write(record)
        sent = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.get("intent_at", 0)))
        raise SubmitOutcomeUnknownError(
            f"{record['audio']}: a try before this one was cut off at {sent} while it submitted the audio. The service "
            "may have accepted the job, and will charge for it if so. Look for it in the list of transcripts: if it is "
            "there, AssemblyAIFetchTranscriptOperator gets its text; if not, clear this task, which submits again."
        )

    def send(self, record: SubmissionRecord, source: AudioSource, config: Mapping[str, Any]) -> str:
        """Submit, and return the id. This is where money is spent.

        Raises:
            SubmitOutcomeUnknownError: a job may exist; nothing was sent a second time.
            RecordError: a job exists, and its id, which the message names, could not be kept.
            AssemblyAIError: no job was submitted.
        """
        try:
            transcript_id = self._post(record, self._delivered(record, source), checked_config(config))
        except AssemblyAIError as error:
            raise error.concerning(source.shown) from None
        log.info("Submitted %s: transcript %s.", source.shown, transcript_id)
        record["state"] = "submitted"
        record["id"] = transcript_id
        self._keep(record, transcript_id)
        return transcript_id

    def give_up(self, record: SubmissionRecord, *, forgive: bool = True) -> None:
        """Count the recorded job among those that ended without a result.

        Args:
            record: the record of the job; it is changed, and kept with the next intent or by :meth:`close`.
            forgive: whether the next job is a new beginning, and not a resubmit.
        """
        record["prior"] = [*record["prior"], record.pop("id")]
        record["state"] = "rejected"
        record.pop("upload_url", None)  # A job that failed may have failed because of it.
        if forgive:
            record["forgiven"] = len(record["prior"])
            record.pop("first_submit_at", None)

    def close(self, record: SubmissionRecord) -> None:
        """Keep the record as it is."""
        self._records.write(record)

    def _delivered(self, record: SubmissionRecord, source: AudioSource) -> str:
        """Return a URL for the audio: an upload of an earlier try, if the service still has it, or a new one."""
        uploaded = record.get("upload_url")
        if uploaded and self._clock() - record.get("uploaded_at", 0) < _UPLOAD_LIFE_S:
            log.info("%s was uploaded before; using that upload.", source.shown)
            return uploaded
        delivery = source.deliver(self._client)
        record.pop("upload_url", None)
        if delivery.uploaded:
            record["upload_url"] = delivery.url
            record["uploaded_at"] = self._clock()
        return delivery.url

    def _post(self, record: SubmissionRecord, url: str, config: Mapping[str, Any]) -> str:
        record["url_sha256"] = hashlib.sha256(url.encode()).hexdigest()
        self._records.remember(record["fp"])
        attempt = 1
        while True:
            self._fence(record)
            try:
                return self._client.submit(url, config).id
            except AssemblyAIError as error:
                # After an unclear end too: it fails the task at once, and who clears the task has been told.
                record["state"] = "rejected"
                self._records.write(record)
                nothing_sent = isinstance(error, RateLimitError | UnreachableError)
                wait_s = self._retry.wait_s(error, attempt) if nothing_sent else None
                if wait_s is None:
                    raise
                log.warning("%s No job was made; trying again in %.1f s.", error, wait_s)
            self._sleep(wait_s)
            attempt += 1

    def _fence(self, record: SubmissionRecord) -> None:
        """Write the intent. It fails if this try is no longer the current one, so nothing may pass before the POST."""
        record["state"] = "intent"
        record["account"] = self._client.account
        for _ in range(_FENCES):
            began = self._elapsed()
            record["intent_at"] = self._client.service_time(self._clock())
            record.setdefault("first_submit_at", self._clock())
            self._records.write(record)
            kept = self._records.holds(record)
            if kept and self._elapsed() - began <= FENCE_S:
                return
        raise RecordError(
            "The task state store was too slow, or did not keep what was written to it, three times. Nothing was "
            "submitted: a job that cannot be recorded could be paid for twice."
        )

    def _keep(self, record: SubmissionRecord, transcript_id: str) -> None:
        for attempt in range(1, _STORE_TRIES + 1):
            try:
                self._records.write(record)
                return
            except Exception as error:
                failure = error
                log.warning("Could not keep the id of transcript %s: %s", transcript_id, error)
            if attempt < _STORE_TRIES:
                self._sleep(1.0)
        raise RecordError(
            f"{record['audio']}: transcript {transcript_id} was submitted and will be paid for, but its id could not "
            "be kept in the task state store. AssemblyAIFetchTranscriptOperator gets its text.",
            transcript_id=transcript_id,
        ) from failure

    def _usable(self, record: SubmissionRecord, transcript_id: str) -> bool:
        """Say whether the recorded job is running or has a result."""
        transcript = self.read(record, transcript_id)
        if transcript is None:
            return self.is_new(record)
        if transcript.deleted or transcript.status == TranscriptStatus.ERROR:
            log.warning(
                "Transcript %s has no result (%s); submitting again.", transcript_id, transcript.error or "deleted"
            )
            return False
        log.info(
            "Transcript %s was submitted before and is %s: nothing is paid again.", transcript_id, transcript.status
        )
        return True

    def is_new(self, record: SubmissionRecord) -> bool:
        """Say whether the recorded job is so new that the service may not know it yet."""
        return self._clock() - record.get("intent_at", 0) < NOT_FOUND_PATIENCE_S

    def read(self, record: SubmissionRecord, transcript_id: str) -> Transcript | None:
        """Return the recorded job; None if the service does not know it.

        Raises:
            TranscriptNotFoundError: another account submitted it, and may still be able to read it.
            AssemblyAIError: anything else.
        """
        try:
            return self._client.get(transcript_id)
        except TranscriptNotFoundError as error:
            if self.is_new(record):
                log.info("Transcript %s was submitted a moment ago; keeping it.", transcript_id)
                return None
            if record["account"] != self._client.account:
                # Submitting again would pay twice for a job that another key can still read.
                raise type(error)(
                    f"{error} It was submitted with another key or base URL: use that Connection again, or change "
                    "`config` or the audio to start a new job.",
                    transcript_id=transcript_id,
                ) from None
            log.warning("%s", error)
            return None
