"""Sends one job: tells other runs, writes the intent, sends the request once, writes the id.

Only the current try of a task instance can write its record, so the intent is also a fence: a worker that was taken for
dead and wakes up again stops there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    AssemblyAIError,
    ConcurrentRunError,
    RateLimitError,
    RecordError,
    ServerError,
    SubmitOutcomeUnknownError,
    UnreachableError,
)
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.jobs.open_jobs import OpenJobs
from airflow_asr.jobs.records import SubmissionRecord, TryRecords
from airflow_asr.jobs.search import JobSearch, url_hash

log = logging.getLogger(__name__)

FENCE_S = 10.0
"""Seconds that writing the intent may take. Later it no longer proves that this try is the current one."""

FENCES = 3
_STORE_TRIES = 3
_UNCLEAR_SENDS = 2  # Each takes up to the horizon. After them the task's own retries go on.


def awake_s() -> float:
    """Return seconds that also pass while the machine is suspended, where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Sender:
    """Sends jobs.

    Args:
        client: talks to the service.
        records: survives the try.
        search: finds a job whose reply was lost.
        clock: seconds since the epoch.
        elapsed: seconds that only grow, as :func:`awake_s`.
        sleep: how to wait between tries that surely submitted nothing.
        retry: when to try again what surely submitted nothing.
    """

    def __init__(
        self,
        client: AssemblyAIClient,
        records: TryRecords,
        search: JobSearch,
        *,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        sleep: Callable[[float], None],
        retry: RetryPolicy,
    ) -> None:
        self._client = client
        self._records = records
        self._search = search
        self._clock = clock
        self._elapsed = elapsed
        self._sleep = sleep
        self._retry = retry

    def send(
        self,
        record: SubmissionRecord,
        url: str,
        config: Mapping[str, Any],
        open_jobs: OpenJobs,
        known: Collection[str],
    ) -> str:
        """Return the id of a job for this URL. This is where money is spent.

        Args:
            record: the record of the input. It is changed, and written.
            url: the audio.
            config: the parameters.
            open_jobs: tells other runs.
            known: the other runs' submissions that were looked into.

        Raises:
            SubmitOutcomeUnknownError: a job may exist; nothing was sent a second time.
            RecordError: no job was sent; or there is one, and its id, which the message names, could not be kept.
            AssemblyAIError: no job was made.
        """
        record["url_sha256"] = url_hash(url)
        record["account"] = self._client.account
        self._records.remember(record["fp"])
        attempt, unclear = 1, 0
        while True:
            name = self._announce(record, open_jobs, known)
            found: str | None = None
            try:
                self._fence(record)
                found = self._post(record, url, config)
            except SubmitOutcomeUnknownError as error:
                log.warning("%s", error)
                found = self._search.find(record, config)
                failure: AssemblyAIError = _not_accepted(error)
                unclear += 1
                wait_s = 0.0 if unclear < _UNCLEAR_SENDS else None
            except RecordError:
                open_jobs.drop(name)
                raise
            except AssemblyAIError as error:
                failure = error
                nothing_sent = isinstance(error, RateLimitError | UnreachableError)
                wait_s = self._retry.wait_s(error, attempt) if nothing_sent else None
            if found is not None:
                self.keep(record, found)
                open_jobs.keep(name, record)
                return found
            record["state"] = "rejected"
            self._records.write(record)
            open_jobs.drop(name)
            if wait_s is None:
                raise failure
            log.warning("%s No job was made; trying again in %.1f s.", failure, wait_s)
            self._sleep(wait_s)
            attempt += 1

    def keep(self, record: SubmissionRecord, transcript_id: str) -> None:
        """Write the id. This fails if this try is no longer the current one.

        Raises:
            RecordError: it could not be written.
        """
        record["state"] = "submitted"
        record["id"] = transcript_id
        record.setdefault("first_submit_at", self._clock())
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
            "be kept in the task state store. The next try finds it in the service's list; "
            "AssemblyAIFetchTranscriptOperator gets its text, too.",
            transcript_id=transcript_id,
        ) from failure

    def _announce(self, record: SubmissionRecord, open_jobs: OpenJobs, known: Collection[str]) -> str:
        """Tell other runs; raise if one of them does the same at this moment.

        Each run writes before it looks, so of two that meet, one at least sees the other.
        """
        record["intent_at"] = self._client.service_time(self._clock())
        name = open_jobs.announce(record)
        others = {job.name for job in open_jobs.of(record["fp"]) if not job.ours} - {name, *known}
        if others:
            open_jobs.drop(name)
            raise ConcurrentRunError(
                f"{record['audio']}: another run is submitting it to the same output folder now. Nothing was "
                "submitted by this one; a retry finds the other one's job."
            )
        return name

    def _fence(self, record: SubmissionRecord) -> None:
        """Write the intent. It fails if this try is no longer the current one, so nothing may pass before the POST."""
        record["state"] = "intent"
        for _ in range(FENCES):
            began = self._elapsed()
            record["intent_at"] = self._client.service_time(self._clock())
            record.setdefault("first_submit_at", self._clock())
            try:
                self._records.write(record)
                kept = self._records.holds(record)
            except Exception as error:
                raise RecordError(
                    f"{record['audio']}: the task state store does not take a record of this try ({error}). Nothing "
                    "was submitted. If the task was tried again meanwhile, that is as it should be."
                ) from error
            if kept and self._elapsed() - began <= FENCE_S:
                return
        raise RecordError(
            f"{record['audio']}: the task state store was too slow, or did not keep what was written to it, three "
            "times. Nothing was submitted: a job that cannot be recorded could be paid for twice."
        )

    def _post(self, record: SubmissionRecord, url: str, config: Mapping[str, Any]) -> str:
        transcript = self._client.submit(url, config)
        log.info("Submitted %s: transcript %s.", record["audio"], transcript.id)
        if transcript.audio_url not in (None, url):
            record["unmatched"] = True
        return transcript.id


def _not_accepted(error: SubmitOutcomeUnknownError) -> ServerError:
    return ServerError(
        f"{error} It was looked for until it could no longer appear, and there is none.", retry_after=error.retry_after
    )
