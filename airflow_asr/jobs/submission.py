"""Submits audio and remembers the job, so that a second try finds it instead of paying again.

A record outlives retries and Clear. It holds no URL that grants access: it can be read over Airflow's REST API.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    AssemblyAIError,
    RateLimitError,
    RequestError,
    TranscriptNotFoundError,
    UnreachableError,
)
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.api.transcript import TranscriptStatus
from airflow_asr.jobs.look import NOT_FOUND_PATIENCE_S
from airflow_asr.jobs.source import AudioSource

log = logging.getLogger(__name__)

_RECORD_VERSION = 1


class RecordStore(Protocol):
    """Where a task instance keeps what must survive its tries. Airflow's task state store is one."""

    def get(self, key: str) -> Any:
        """Return the value, or None."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep the value, for good."""
        ...


class SubmissionRecord(TypedDict):
    """What is kept of a submission.

    ``prior`` names the jobs of the same input that ended without a result. ``intent_at`` is when this job was sent and
    ``first_submit_at`` when the first one was, in seconds since the epoch.
    """

    v: int
    fp: str
    state: str
    id: str
    prior: list[str]
    account: str
    intent_at: float
    first_submit_at: float


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


class Submission:
    """One job: this audio with these parameters, for one task instance.

    Args:
        client: talks to the service.
        records: survives the try; None loses that protection.
        clock: seconds since the epoch.
        sleep: how to wait between tries that surely submitted nothing.
        retry: when to try again what surely submitted nothing.
    """

    def __init__(
        self,
        client: AssemblyAIClient,
        records: RecordStore | None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._client = client
        self._records = records
        self._clock = clock
        self._sleep = sleep
        self._retry = retry or RetryPolicy()

    def submit(self, source: AudioSource, config: Mapping[str, Any]) -> str:
        """Return the id of the job for this audio, submitting it only if there is none worth keeping.

        Raises:
            SubmitOutcomeUnknownError: a job may exist; nothing was sent a second time.
            AssemblyAIError: no job was submitted.
        """
        config = checked_config(config)
        fp = fingerprint(self._client.base_url, source.identity, config)
        key = f"asr.{fp[:16]}"
        record: SubmissionRecord | None = self._records.get(key) if self._records is not None else None
        prior: list[str] = []
        if record is not None:
            if self._usable(record):
                return record["id"]
            prior = [*record["prior"], record["id"]]
        now = self._clock()
        transcript_id = self._pay(source, config)
        log.info("Submitted %s: transcript %s.", source.shown, transcript_id)
        if self._records is not None:
            new = SubmissionRecord(
                v=_RECORD_VERSION,
                fp=fp,
                state="submitted",
                id=transcript_id,
                prior=prior,
                account=self._client.account,
                intent_at=now,
                first_submit_at=record["first_submit_at"] if record else now,
            )
            self._records.set(key, new)
        return transcript_id

    def _usable(self, record: SubmissionRecord) -> bool:
        """Say whether the recorded job is running or has a result."""
        transcript_id = record["id"]
        try:
            transcript = self._client.get(transcript_id)
        except TranscriptNotFoundError as error:
            if self._clock() - record["intent_at"] < NOT_FOUND_PATIENCE_S:
                log.info("Transcript %s was submitted a moment ago; keeping it.", transcript_id)
                return True
            if record["account"] != self._client.account:
                # Submitting again would pay twice for a job that another key can still read.
                raise type(error)(
                    f"{error} It was submitted with another key or base URL: use that Connection again, or change "
                    "`config` or the audio to start a new job.",
                    transcript_id=transcript_id,
                ) from None
            log.warning("%s Submitting again.", error)
            return False
        if transcript.deleted or transcript.status == TranscriptStatus.ERROR:
            log.warning(
                "Transcript %s has no result (%s); submitting again.", transcript_id, transcript.error or "deleted"
            )
            return False
        log.info(
            "Transcript %s was submitted before and is %s: nothing is paid again.", transcript_id, transcript.status
        )
        return True

    def _pay(self, source: AudioSource, config: Mapping[str, Any]) -> str:
        try:
            return self._post(source.deliver(self._client), config)
        except AssemblyAIError as error:
            raise error.concerning(source.shown) from None

    def _post(self, audio_url: str, config: Mapping[str, Any]) -> str:
        attempt = 1
        while True:
            try:
                return self._client.submit(audio_url, config).id
            except (RateLimitError, UnreachableError) as error:  # Both are proof that no job was made.
                wait_s = self._retry.wait_s(error, attempt)
                if wait_s is None:
                    raise
                log.warning("%s No job was made; trying again in %.1f s.", error, wait_s)
            self._sleep(wait_s)
            attempt += 1
