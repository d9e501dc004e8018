"""What must survive a try: the record of a paid job.

A record is kept for each try, and read from the newest try backwards: a worker that was taken for dead and wakes up
again writes beside its successor, not over it. It holds no URL that can be fetched without the account's key, because
it can be read over Airflow's REST API.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Protocol, TypedDict

from airflow_asr.jobs.results import TranscriptSummary

RECORD_VERSION = 1

# intent: about to be sent, or sent with an end that nobody knows. rejected: surely no job that is wanted.
State = Literal["intent", "rejected", "submitted", "finished"]


class RecordStore(Protocol):
    """Where a task instance keeps what must survive its tries. Airflow's task state store is one."""

    def get(self, key: str) -> Any:
        """Return the value, or None."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep the value, for good; raise if this try is no longer the task instance's current one."""
        ...


class MemoryStore:
    """A store that lasts as long as the process, for jobs whose loss is accepted."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """Return the value, or None."""
        return self._values.get(key)

    def set(self, key: str, value: Any) -> None:
        """Keep the value."""
        self._values[key] = value


class SubmissionRecord(TypedDict):
    """What is kept of a job. Times are seconds since the epoch.

    Attributes:
        v: the version of this form.
        fp: the fingerprint of service, audio and parameters.
        request: a hash of what the user wrote, which finds the record when the audio itself can no longer be read.
        audio: the name of the audio, to be shown.
        base: the beginning of the names of its outputs.
        state: see ``State``.
        url_sha256: hash of the URL that was sent.
        upload_url: our upload, which only keys of the same project can use.
        uploaded_at: when it was uploaded; the service keeps an unused upload for about a day.
        shared_url: the user gave the URL, so other tasks may have sent the very same one.
        reused_upload: the job was sent with an upload of an earlier one.
        unmatched: the service repeats another URL than was sent, so that its list cannot show whose job it is.
        intent_at: when the job was sent, by the service's clock.
        id: the transcript.
        prior: transcripts of this input that ended without a result.
        forgiven: how many of ``prior`` no longer count as resubmits.
        round: what tells the tries since the last Clear from those before.
        account: a short hash of base URL and key.
        first_submit_at: when the first job of this input was sent.
        summary: what the task returned.
    """

    v: int
    fp: str
    request: str
    audio: str
    base: str
    state: State
    url_sha256: NotRequired[str]
    upload_url: NotRequired[str]
    uploaded_at: NotRequired[float]
    reused_upload: NotRequired[bool]
    unmatched: NotRequired[bool]
    shared_url: bool
    intent_at: NotRequired[float]
    id: NotRequired[str]
    prior: list[str]
    forgiven: int
    round: int
    account: str
    first_submit_at: NotRequired[float]
    summary: NotRequired[TranscriptSummary]


class TryRecords:
    """The records of one task instance, as one of its tries sees them.

    Args:
        store: survives the try.
        try_number: the number of this try, from 1.
        round: a number that is another one after each Clear, and the same in all retries until then.
    """

    def __init__(self, store: RecordStore, try_number: int, round: int = 0) -> None:
        self._store = store
        self._try = try_number
        self.round = round

    def read(self, fp: str) -> SubmissionRecord | None:
        """Return the newest record of an input. Somebody who cleared the task allows new resubmits, and new time."""
        record = self._newest(_key(fp))
        if record is not None and record["round"] != self.round:
            record["round"] = self.round
            record["forgiven"] = len(record["prior"])
            if "id" not in record:
                record.pop("first_submit_at", None)
        return record

    def latest(self, request: str) -> SubmissionRecord | None:
        """Return the newest record of what the user wrote, whatever its audio was then."""
        for number in range(self._try, 0, -1):
            fp = self._store.get(f"asr.last.{number}")
            record = self.read(fp) if fp else None
            if record is not None and record["request"] == request:
                return record
        return None

    def write(self, record: SubmissionRecord) -> None:
        """Keep a record as this try's. What the store raises is passed on: this try may be over."""
        self._store.set(f"{_key(record['fp'])}.{self._try}", dict(record))

    def remember(self, fp: str) -> None:
        """Keep which input this try works on."""
        self._store.set(f"asr.last.{self._try}", fp)

    def holds(self, record: SubmissionRecord) -> bool:
        """Say whether the store gives back what this try wrote."""
        return bool(self._store.get(f"{_key(record['fp'])}.{self._try}") == record)

    def _newest(self, key: str) -> SubmissionRecord | None:
        for number in range(self._try, 0, -1):
            record: SubmissionRecord | None = self._store.get(f"{key}.{number}")
            if record is not None:
                return record
        return None


def _key(fp: str) -> str:
    return f"asr.{fp[:16]}"
