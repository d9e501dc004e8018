"""Collects what has ended: fetches each transcript and writes its outputs, or finds out what to do without one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from airflow_asr.api.errors import (
    AccountError,
    AssemblyAIError,
    AudioChangedError,
    AudioUrlError,
    OutputError,
    ServerError,
    TranscriptDeletedError,
    TranscriptNotFoundError,
    from_transcript,
)
from airflow_asr.api.transcript import TranscriptStatus
from airflow_asr.jobs.archive import ArchiveItem
from airflow_asr.jobs.batch.desk import Desk, Flight, Todo
from airflow_asr.jobs.batch.plan import Plan
from airflow_asr.jobs.batch.rows import Rows
from airflow_asr.jobs.receipts import Receipt
from airflow_asr.jobs.results import TranscriptSummary, summarise
from airflow_asr.jobs.search import HORIZON_S

log = logging.getLogger(__name__)

_THREADS = 6  # A transcript of an hour is ten megabytes in memory, and as much again while it is written.


class _Written(NamedTuple):
    """The outputs of a transcript. The transcript itself may be megabytes, and is not kept."""

    summary: TranscriptSummary
    receipt: Receipt


class Collecting:
    """Collects jobs.

    Args:
        desk: the means.
        plan: takes what must be sent again.
        rows: takes what has come to its end.
    """

    def __init__(self, desk: Desk, plan: Plan, rows: Rows) -> None:
        self._desk = desk
        self._plan = plan
        self._rows = rows

    def collect(self, transcript_ids: Iterable[str]) -> None:
        """Collect these of the jobs that are under way, as far as they have ended.

        Raises:
            AccountError: the account or the key must change.
            OutputError: outputs could not be written. What was written is kept; the rest is collected by a retry.
        """
        desk = self._desk
        flights = {each: desk.by_id[each] for each in transcript_ids if each in desk.by_id}
        if not flights:
            return
        items = desk.items_of(flight.job for flight in flights.values())
        stop: AssemblyAIError | None = None
        with desk.threads(_THREADS) as pool:
            futures = {
                transcript_id: (flight, item, pool.submit(self._fetch, transcript_id, flight, item))
                for (transcript_id, flight), item in zip(flights.items(), items, strict=True)
            }
            for transcript_id in list(futures):
                flight, item, future = futures.pop(transcript_id)  # So that a transcript is not held until the end.
                try:
                    end = future.result()
                except AssemblyAIError as error:
                    stop = self._unread(flight, transcript_id, error) or stop
                    continue
                if isinstance(end, _Written):
                    desk.land(flight, transcript_id)
                    self._rows.completed(item, flight.job["fp"], *end)
                elif end is not None:
                    self._without_result(flight, item, transcript_id, end)
        self._rows.write()
        desk.fence()
        if stop is not None:
            raise stop

    def _fetch(self, transcript_id: str, flight: Flight, item: ArchiveItem) -> _Written | AssemblyAIError | None:
        """Write the outputs of a transcript. Return why it has no result, or None if it has not ended.

        Raises:
            AssemblyAIError: it cannot be read, or its outputs not be written, now.
        """
        client, job = self._desk.my_client(), flight.job
        try:
            transcript = client.get(transcript_id)
        except TranscriptNotFoundError as error:
            if self._desk.now() - job["intent_at"] < HORIZON_S:
                return None  # So new that the service may not know it yet.
            if job["account"] != client.account:
                raise type(error)(
                    f"{error} It was submitted with another key or base URL (account {job['account']}): use that "
                    "Connection again until the batch has ended.",
                    transcript_id=transcript_id,
                ) from None
            return _lost(job["audio"], transcript_id, "is no longer known to the service")
        if not transcript.ended:
            return None
        if transcript.deleted:
            return _lost(job["audio"], transcript_id, "was deleted at the service")
        if transcript.status == TranscriptStatus.ERROR:
            text = transcript.error or "no reason given"
            return from_transcript(text, transcript_id=transcript_id, audio=job["audio"])
        try:
            self._check_same(item, transcript_id)
        except AudioChangedError as error:
            return error
        outputs = self._desk.order.outputs(job["base"])
        summary = summarise(
            transcript, audio=job["audio"], fingerprint=job["fp"], outputs=outputs.uris(), inline_text_bytes=0
        )
        return _Written(summary, outputs.write(client, transcript, summary, fp=job["fp"]))

    @staticmethod
    def _check_same(item: ArchiveItem, transcript_id: str) -> None:
        """Raise if the service may have fetched other content than that which the outputs would be filed under."""
        if item.source is None or item.source.shared_url:
            return
        try:
            item.source.check_unchanged()
        except AudioChangedError:
            raise AudioChangedError(
                f"{item.location} was replaced while it was being transcribed, so transcript {transcript_id} may be of "
                "either content. The next run transcribes what is there now.",
                transcript_id=transcript_id,
            ) from None
        except AssemblyAIError:
            return  # Gone by now: there is no newer content that this could be mistaken for.

    @staticmethod
    def _unread(flight: Flight, transcript_id: str, error: AssemblyAIError) -> AssemblyAIError | None:
        """Return the error if it ends the try. If not, the transcript is collected later."""
        if error.retryable and not isinstance(error, OutputError):
            log.warning("%s Transcript %s is fetched again later.", error, transcript_id)
            return None
        named = flight.job["audio"] in str(error)
        return error if named or isinstance(error, AccountError) else error.concerning(flight.job["audio"])

    def _without_result(self, flight: Flight, item: ArchiveItem, transcript_id: str, error: AssemblyAIError) -> None:
        """Send a recording again whose transcript the service failed; note all others as failed."""
        self._desk.land(flight, transcript_id)
        job, most = flight.job, self._desk.order.limits.max_resubmits
        prior = (*job["prior"], transcript_id)
        again = isinstance(error, ServerError | TranscriptDeletedError) or (
            isinstance(error, AudioUrlError) and not job["shared_url"]
        )
        if again and item.source is not None and len(prior) <= most:
            log.warning("%s Submitting it again (%d of %d).", error, len(prior), most)
            self._plan.put_back([Todo(item, job["fp"], job["base"], prior)])
        else:
            self._rows.failed(item, job["fp"], error)


def _lost(audio: str, transcript_id: str, what: str) -> TranscriptDeletedError:
    return TranscriptDeletedError(
        f"Transcript {transcript_id} of {audio} {what}, and its text with it; it costs a new transcript.",
        transcript_id=transcript_id,
    )
