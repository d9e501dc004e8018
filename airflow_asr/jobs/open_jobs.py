"""What is under way in an output folder, for runs that share nothing else.

A backfill that processes a day again makes a new DAG run, whose task state store is empty. The folder that both runs
write to is the one place where the second can learn of the first one's job. Beside the outputs, in ``_asr/open``, lies
an object for each submission before it is sent, and one more with its id after it. Each is written once, under a name
of its own, and both go when the job has ended.
"""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from airflow_asr.api.errors import AssemblyAIError, OutputError
from airflow_asr.api.fields import number
from airflow_asr.api.ids import is_id
from airflow_asr.jobs.batch.ledger import windows_in
from airflow_asr.jobs.files import names_in, read_json, remove, write_file
from airflow_asr.jobs.records import RECORD_VERSION, SubmissionRecord

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

_FOLDER = "open"
_INTENT = ".intent.json"
_JOB = ".job.json"
# An upload URL is for the run that made it, and the rest of what is left out says nothing about the job.
_KEPT = ("v", "fp", "audio", "url_sha256", "shared_url", "intent_at", "id", "account", "unmatched")


@dataclass(frozen=True)
class OpenJob:
    """A submission of this or another run, whose outputs are not there yet.

    Attributes:
        name: what its objects are called.
        record: what is known of it; without an ``id`` nobody knows whether there is a job.
        ours: this task instance made it, in this or an earlier try.
    """

    name: str
    record: SubmissionRecord
    ours: bool


class OpenJobs:
    """The submissions of one output folder that have not come to their outputs.

    Args:
        folder: the output folder's own sub-folder for what is no output; None if a job has no outputs, and nothing
            can be known of other runs.
        owner: names the task instance.
    """

    def __init__(self, folder: UPath | None, owner: str = "") -> None:
        self._folder = folder / _FOLDER if folder is not None else None
        self._owner = owner

    def of(self, fp: str, *, windows: bool = True) -> list[OpenJob]:
        """Return the submissions of an input, the oldest first.

        Args:
            fp: the fingerprint of the input.
            windows: whether those of batches count.

        Raises:
            OutputError: the folder cannot be read.
        """
        listed = self._names()
        names = [name for name in listed if name.startswith(f"{fp[:16]}-") and name.endswith((_INTENT, _JOB))]
        found = self._in_windows(fp, listed) if windows else []
        for name in {each.removesuffix(_INTENT).removesuffix(_JOB) for each in names}:
            record = self._read(name + _JOB) or self._read(name + _INTENT)
            if record is not None and record["fp"] == fp:
                found.append(OpenJob(name, record, ours=bool(self._owner) and name.split("-")[1] == self._owner))
        return sorted(found, key=lambda job: (job.record["intent_at"], job.name))

    def announce(self, record: SubmissionRecord) -> str:
        """Say that a submission is about to be sent, and return its name.

        Raises:
            OutputError: it could not be written.
        """
        name = f"{record['fp'][:16]}-{self._owner}-{secrets.token_hex(8)}"
        self._write(name + _INTENT, record)
        return name

    def keep(self, name: str, record: SubmissionRecord) -> None:
        """Add the id. Without it another run finds the job in the service's list, so a failure is no reason to stop."""
        try:
            self._write(name + _JOB, record)
        except OutputError as error:
            log.warning("%s", error)

    def drop(self, name: str) -> None:
        """Forget a submission that made no job, or whose job has ended. A later run looks into one that stays."""
        if self._folder is None:
            return
        for suffix in (_JOB, _INTENT):
            remove(self._folder / (name + suffix))

    def end(self, record: SubmissionRecord) -> None:
        """Forget the submissions of an input whose job has ended: our own, and whatever led to a job of the record."""
        ended = {record.get("id"), *record["prior"]}
        try:
            for job in self.of(record["fp"]):
                same_url = job.record.get("url_sha256") == record.get("url_sha256")
                if job.ours or same_url or job.record.get("id") in ended:
                    self.drop(job.name)
        except AssemblyAIError as error:
            log.warning("%s", error)

    def _names(self) -> list[str]:
        return [] if self._folder is None else names_in(self._folder)

    def _in_windows(self, fp: str, names: list[str]) -> list[OpenJob]:
        """Return what batches have under way of an input."""
        if self._folder is None:
            return []
        found = []
        for window in windows_in(self._folder, names):
            for job in window.jobs:
                if job["fp"] == fp and fp not in window.rejected:
                    record = cast(SubmissionRecord, {**job, "v": RECORD_VERSION, "prior": []})
                    if fp in window.ids:
                        record["id"] = window.ids[fp]
                    found.append(OpenJob(window.name, record, ours=False))
        return found

    def _read(self, name: str) -> SubmissionRecord | None:
        if self._folder is None:
            return None
        path = self._folder / name
        try:
            found = read_json(path)
        except FileNotFoundError:
            return None
        if not _is_record(found):
            # It may stand for a job that is paid for.
            raise OutputError(
                f"{path} is no record of this version, so nobody can tell whether a job is under way. Nothing was "
                "submitted. If you are sure that none is, delete it."
            )
        return cast(SubmissionRecord, {**found, "prior": []})

    def _write(self, name: str, record: SubmissionRecord) -> None:
        if self._folder is not None:
            kept = {field: value for field, value in record.items() if field in _KEPT}
            write_file(self._folder / name, json.dumps(kept, separators=(",", ":"), sort_keys=True).encode())


def _is_record(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and found.get("v") == RECORD_VERSION
        and all(isinstance(found.get(field), str) for field in ("fp", "audio", "account", "url_sha256"))
        and isinstance(found.get("shared_url"), bool)
        and number(found.get("intent_at")) is not None
        and ("id" not in found or is_id(found["id"]))
    )
