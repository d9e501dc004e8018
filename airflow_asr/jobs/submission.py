"""Pays for a job once: whatever dies and whenever, the next try finds the job instead of sending it again.

A submission is sent in four steps. The *intent* is written to the task's record; only the current try can write it, so
a worker that was taken for dead and wakes up again stops there. Then the request is *sent*, once. Then its *id* is
written. If the end of the request stays unknown, or the process died before the id was written, the job is *searched*
in the service's list, until it can no longer appear there; only then is it sent again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, TranscriptNotFoundError
from airflow_asr.api.redaction import excerpt
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.api.transcript import Transcript, TranscriptStatus
from airflow_asr.jobs.fingerprint import checked_config, fingerprint
from airflow_asr.jobs.names import output_name
from airflow_asr.jobs.open_jobs import OpenJob, OpenJobs
from airflow_asr.jobs.records import RECORD_VERSION, SubmissionRecord, TryRecords
from airflow_asr.jobs.search import HORIZON_S, JobSearch
from airflow_asr.jobs.sending import FENCE_S, FENCES, Sender, awake_s
from airflow_asr.jobs.source import AudioSource

log = logging.getLogger(__name__)

# The service deletes an upload that nobody transcribed after about 24 hours.
_UPLOAD_LIFE_S = 20 * 3600.0
_ALONE = OpenJobs(None)


class Submission:
    """Sends jobs for one task instance, each fenced by a record that only the current try can write.

    Args:
        client: talks to the service.
        records: survives the try.
        clock: seconds since the epoch.
        elapsed: seconds that only grow.
        sleep: how to wait between tries that surely submitted nothing, and between two looks for a job.
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
        self._search = JobSearch(client, clock=clock, sleep=sleep)
        self._sender = Sender(
            client, records, self._search, clock=clock, elapsed=elapsed, sleep=sleep, retry=retry or RetryPolicy()
        )

    def submit(self, source: AudioSource, config: Mapping[str, Any]) -> str:
        """Return the id of the job for this audio, submitting it only if there is none worth keeping.

        Raises:
            SubmitOutcomeUnknownError: a job may exist; nothing was sent a second time.
            AssemblyAIError: no job was submitted.
        """
        record = self.open(source, config)
        self.settle(record, config)
        transcript_id = record.get("id")
        if transcript_id is not None:
            if self._usable(record, transcript_id):
                return transcript_id
            self.give_up(record)
        return self.obtain(record, source, config)

    def open(self, source: AudioSource, config: Mapping[str, Any], *, request: str = "") -> SubmissionRecord:
        """Return the record of this input, whether or not there is a job for it yet.

        Raises:
            RequestError: the parameters cannot be sent.
        """
        fp = fingerprint(self._client.base_url, source.identity, checked_config(config))
        return self._records.read(fp) or SubmissionRecord(
            v=RECORD_VERSION,
            fp=fp,
            request=request,
            audio=source.shown,
            base=output_name(source.name, source.location),
            state="rejected",
            shared_url=source.shared_url,
            prior=[],
            forgiven=0,
            round=self._records.round,
            account=self._client.account,
        )

    def settle(self, record: SubmissionRecord, config: Mapping[str, Any]) -> None:
        """Find out what became of an intent: the record has the job's id afterwards, or there is surely no job.

        Raises:
            SubmitOutcomeUnknownError: that cannot be told, now or ever.
            RecordError: there is a job, and its id, which the message names, could not be kept.
            AccountError: the service does not let us look.
        """
        if record["state"] != "intent":
            return
        log.info("A try before this one ended while it submitted %s.", record["audio"])
        found = self._search.find(record, checked_config(config))
        if found is None:
            record["state"] = "rejected"
        else:
            self._sender.keep(record, found)

    def obtain(
        self, record: SubmissionRecord, source: AudioSource, config: Mapping[str, Any], open_jobs: OpenJobs = _ALONE
    ) -> str:
        """Return the id of a job: of one that is under way already, or of a new one, for which money is spent.

        Args:
            record: the record of the input, which holds no job.
            source: the audio.
            config: the parameters.
            open_jobs: tells of other runs' jobs.

        Raises:
            SubmitOutcomeUnknownError: a job may exist; nothing was sent a second time.
            RecordError: a job exists, and its id, which the message names, could not be kept.
            ConcurrentRunError: another run is submitting it now; nothing was sent.
            AssemblyAIError: no job was submitted.
        """
        sent = checked_config(config)
        try:
            known = open_jobs.of(record["fp"])
            found = self._under_way(record, sent, known, open_jobs)
            if found is not None:
                self._sender.keep(record, found)
                return found
            url = self._delivered(record, source)
            return self._sender.send(record, url, sent, open_jobs, {job.name for job in known})
        except AssemblyAIError as error:
            named = source.shown in str(error) or record["audio"] in str(error)
            raise (error if named else error.concerning(source.shown)) from None

    def give_up(self, record: SubmissionRecord) -> None:
        """Count the recorded job among those that ended without a result. It is kept with the next intent."""
        record["prior"] = [*record["prior"], record.pop("id")]
        record["state"] = "rejected"
        record.pop("upload_url", None)  # A job that failed may have failed because of it.

    def close(self, record: SubmissionRecord) -> None:
        """Keep the record as it is."""
        self._records.write(record)

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
                    f"{error} It was submitted with another key or base URL (account {record['account']}): use that "
                    "Connection again, or change `config` or the audio to start a new job.",
                    transcript_id=transcript_id,
                ) from None
            log.warning("%s", error)
            return None

    def is_new(self, record: SubmissionRecord) -> bool:
        """Say whether the recorded job is so new that the service may not know it yet."""
        return self._client.service_time(self._clock()) - record.get("intent_at", 0) < HORIZON_S

    def _usable(self, record: SubmissionRecord, transcript_id: str) -> bool:
        """Say whether the recorded job is running or has a result."""
        transcript = self.read(record, transcript_id)
        if transcript is None:
            return self.is_new(record)
        if transcript.deleted or transcript.status == TranscriptStatus.ERROR:
            log.warning(
                "Transcript %s has no result (%s); submitting again.",
                transcript_id,
                excerpt(transcript.error or "deleted"),
            )
            return False
        log.info(
            "Transcript %s was submitted before and is %s: nothing is paid again.", transcript_id, transcript.status
        )
        return True

    def _under_way(
        self, record: SubmissionRecord, config: Mapping[str, Any], known: Collection[OpenJob], open_jobs: OpenJobs
    ) -> str | None:
        """Return a job for this input that the record does not know."""
        if record["prior"] and not record["shared_url"] and "url_sha256" in record:
            found = self._search.look(record, config)
            if found is not None:
                return found
        for job in sorted(known, key=lambda job: "id" not in job.record):
            theirs: SubmissionRecord = {**job.record, "prior": record["prior"]}
            found = theirs.get("id")
            if found in record["prior"]:
                continue
            if found is None:
                if job.ours:
                    continue  # It is in our record as well, and was settled there. A later try may just have made it.
                # It may have been sent some time after it was announced.
                found = self._search.find(theirs, config, slack_s=FENCES * FENCE_S)
            if found is not None:
                log.info("Another run submitted %s: taking over its transcript %s.", record["audio"], found)
                for field in ("account", "intent_at", "url_sha256"):
                    record[field] = theirs[field]
                return found
            open_jobs.drop(job.name)
        return None

    def _delivered(self, record: SubmissionRecord, source: AudioSource) -> str:
        """Return a URL for the audio: an upload of an earlier try, if the service still has it, or a new one."""
        uploaded = record.get("upload_url")
        fresh = self._clock() - record.get("uploaded_at", 0) < _UPLOAD_LIFE_S
        if uploaded and fresh and record["account"] == self._client.account:
            log.info("%s was uploaded before; using that upload.", source.shown)
            record["reused_upload"] = True
            return uploaded
        delivery = source.deliver(self._client)
        record.pop("upload_url", None)
        record.pop("reused_upload", None)
        if delivery.uploaded:
            record["upload_url"] = delivery.url
            record["uploaded_at"] = self._clock()
        return delivery.url
