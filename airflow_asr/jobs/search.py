"""Finds the job of a submission whose end nobody saw, in the service's list of transcripts.

The list is the only witness: a job has no key of its own that a caller could give it, but its row repeats the URL of
the audio, and an upload URL, or one that was signed with a nonce, belongs to one submission alone.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AccountError, AssemblyAIError, JobSearchError, SubmitOutcomeUnknownError
from airflow_asr.api.pages import TranscriptListItem
from airflow_asr.api.transcript import TranscriptStatus
from airflow_asr.jobs.echo import Echo, echo_of
from airflow_asr.jobs.records import SubmissionRecord

log = logging.getLogger(__name__)

HORIZON_S = 130.0
"""Seconds after an intent in which its job may still appear: 10 until it is sent, 30 until the reply, 90 for a late
acceptance and for the list to show it. The service promises none of it; it is our assumption, and larger than any delay
that was seen."""

MALFORMED = (ValueError, TypeError, KeyError, RecursionError)
"""What a list raises whose rows are not as documented."""

_LOOKS_S = (2.0, 5.0, 15.0, 45.0, 90.0, HORIZON_S)
_MARGIN_S = 15 * 60.0  # Rows are listed by when the service made them; clocks differ.
_SHARED_MARGIN_S = 60.0  # Of a URL that others send too, older jobs are more likely theirs.
_DAY_S = 86_400.0
# The list reaches back 90 days. By then the service has deleted what it transcribed, unless an account says otherwise.
_FORGOTTEN_S = 89 * _DAY_S


class Sent(Protocol):
    """What is known of a submission: a record of one, or a job of a batch."""

    def __getitem__(self, field: str, /) -> Any:
        """Return a field."""
        ...

    def get(self, field: str, /) -> Any:
        """Return a field, or None."""
        ...


S = TypeVar("S", bound=Sent)


class JobSearch:
    """Looks for jobs.

    Args:
        client: talks to the service.
        clock: seconds since the epoch.
        sleep: how to wait between two looks.
    """

    def __init__(self, client: AssemblyAIClient, *, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._client = client
        self._clock = clock
        self._sleep = sleep

    def find(self, record: SubmissionRecord, config: Mapping[str, Any], *, slack_s: float = 0.0) -> str | None:
        """Return the job of a record's intent; None if there surely is none, for which it waits until the horizon.

        Args:
            record: what was sent, and when by the service's clock.
            config: the parameters that were sent.
            slack_s: seconds by which the intent may have been sent later than it says.

        Raises:
            JobSearchError: the list could not be read to its end. Whether there is a job stays unknown.
            SubmitOutcomeUnknownError: there may be one, and no further look can tell.
            AccountError: the service does not let us look.
        """
        try:
            return self._find(record, config, slack_s)
        except (SubmitOutcomeUnknownError, AccountError) as error:
            raise error.concerning(record["audio"]) from None
        except (AssemblyAIError, *MALFORMED) as error:
            raise JobSearchError(
                f"{record['audio']}: it is unknown whether its submission of {_when(record)} was accepted, because the "
                f"service's list could not be read to the end: {error} Nothing is submitted until it can be; a retry "
                "looks again."
            ) from error

    def look(self, record: SubmissionRecord, config: Mapping[str, Any]) -> str | None:
        """Return a job of the record's URL that it does not know, without waiting for one to appear."""
        try:
            return self._once(record, config)
        except MALFORMED as error:
            raise JobSearchError(f"{record['audio']}: the service's list cannot be read: {error}") from error

    def _find(self, record: SubmissionRecord, config: Mapping[str, Any], slack_s: float) -> str | None:
        horizon_s = HORIZON_S + slack_s
        age_s = max(self._now() - record["intent_at"], 0.0)  # Ahead of now is a clock that was set back: wait it all.
        if age_s > _FORGOTTEN_S:
            log.warning("What was sent for %s at %s is too old to be listed.", record["audio"], _when(record))
            return None
        for look_s in sorted({look_s for look_s in (*_LOOKS_S, horizon_s) if age_s < look_s <= horizon_s}):
            found = self._once(record, config)
            if found is not None:
                return found
            log.info(
                "No job of %s is listed %.0f s after it was sent; looking until %.0f s.",
                record["audio"],
                age_s,
                horizon_s,
            )
            self._sleep(look_s - age_s)
            age_s = look_s
        # Only a look that begins at the horizon can tell that there is none.
        found = self._once(record, config)
        if found is not None:
            return found
        self.check_conclusive(record)
        log.info("No job of %s was made at %s.", record["audio"], _when(record))
        return None

    def check_conclusive(self, record: Sent) -> None:
        """Raise if a list without the job does not mean that there is none.

        Raises:
            SubmitOutcomeUnknownError: there may be one, in another account's list, or under another URL.
        """
        if record["account"] != self._client.account:
            raise SubmitOutcomeUnknownError(
                f"it was sent at {_when(record)} with another key (account {record['account']}), and its job, if there "
                "is one, is not in this account's list. Use that Connection again, or start anew by deleting the "
                "task's state; see the page on reliability."
            )
        if record.get("unmatched"):
            raise SubmitOutcomeUnknownError(
                "the service lists the audio of this source under another URL than was sent, so that a job whose reply "
                "was lost cannot be recognised. Look for it in the list by hand; name the audio by its path or storage "
                "URI in future, because an upload can be recognised."
            )

    def _once(self, record: SubmissionRecord, config: Mapping[str, Any]) -> str | None:
        for _, found in self.look_for([record], lambda _: config):
            if isinstance(found, SubmitOutcomeUnknownError):
                raise found
            return found
        return None

    def look_for(
        self, records: Sequence[S], config_of: Callable[[S], Mapping[str, Any]]
    ) -> Iterator[tuple[S, str | SubmitOutcomeUnknownError]]:
        """Yield those of the submissions that have a job now, each with its id. The list is read once for all.

        Where nobody can tell whether a job that was found is ours, the error that says so stands in its place.

        Args:
            records: what was sent.
            config_of: returns the parameters that it was sent with.

        Raises:
            AssemblyAIError: the list could not be read to the end; what was not yielded is not known.
        """
        by_url: dict[str, list[TranscriptListItem]] = {record["url_sha256"]: [] for record in records}
        for row in self._rows(records) if records else ():
            if row.audio_url is not None and (hashed := url_hash(row.audio_url)) in by_url:
                by_url[hashed].append(row)
        for record in records:
            try:
                found: str | SubmitOutcomeUnknownError | None = self._job_of(
                    record, by_url[record["url_sha256"]], config_of
                )
            except SubmitOutcomeUnknownError as error:
                found = error
            if found is not None:
                yield record, found

    def _job_of(
        self,
        record: S,
        listed: Sequence[TranscriptListItem],
        config_of: Callable[[S], Mapping[str, Any]],
    ) -> str | None:
        oldest = _oldest(record)
        rows = [row for row in listed if row.id not in record["prior"] and row.created.timestamp() >= oldest]
        if record["shared_url"]:
            rows = [row for row in rows if self._is_ours(row, config_of(record))]
        rows.sort(key=lambda row: (row.status == TranscriptStatus.ERROR, row.created, row.id))
        if not rows:
            return None
        if rows[1:]:
            log.warning(
                "%s: more than one job has its URL: %s. Going on with the first.",
                record["audio"],
                ", ".join(row.id for row in rows),
            )
        log.info(
            "Found transcript %s of %s, listed %.0f s after it was sent: nothing is paid again.",
            rows[0].id,
            record["audio"],
            rows[0].created.timestamp() - record["intent_at"],
        )
        return rows[0].id

    def _rows(self, records: Sequence[Sent]) -> Iterator[TranscriptListItem]:
        """Yield all rows that can be one of the jobs, among others, and raise if they cannot all be had."""
        now = self._now()
        old = [record for record in records if now - record["intent_at"] > _DAY_S]
        days = {datetime.fromtimestamp(record["intent_at"], UTC).date() for record in old}
        # The zone of the service's days is not documented.
        for day in sorted({day + timedelta(days=more) for day in days for more in (1, 0, -1)}, reverse=True):
            yield from self._client.walk(created_on=f"{day:%Y-%m-%d}")
        if len(old) == len(records):
            return
        oldest = min(_oldest(record) for record in records if now - record["intent_at"] <= _DAY_S)
        for row in self._client.walk():
            if row.created.timestamp() < oldest:
                return
            yield row

    def _is_ours(self, row: TranscriptListItem, config: Mapping[str, Any]) -> bool:
        """Say whether a job of a URL that anybody may send has our parameters."""
        echo = echo_of(self._client.get(row.id).raw, config)
        if echo is Echo.UNKNOWN:
            raise SubmitOutcomeUnknownError(
                f"transcript {row.id} has the same URL, and the service does not show whether it has the same "
                "parameters. Nothing was submitted. If it is the one, AssemblyAIFetchTranscriptOperator gets its text. "
                "An upload is never mistaken: name the audio by its path or storage URI with upload='always'."
            )
        return echo is Echo.SAME

    def _now(self) -> float:
        return self._client.service_time(self._clock())


def url_hash(url: str) -> str:
    """Return what is kept of a URL, so that it can be recognised and not used."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def _oldest(record: Sent) -> float:
    """Return when the job of a submission can have been made at the earliest, by the service's clock."""
    return float(record["intent_at"]) - (_SHARED_MARGIN_S if record["shared_url"] else _MARGIN_S)


def _when(record: Sent) -> str:
    return f"{datetime.fromtimestamp(record['intent_at'], UTC):%Y-%m-%d %H:%M:%S} UTC"
