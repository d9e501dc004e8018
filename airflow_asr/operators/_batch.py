"""The operator for many recordings. Import it from :mod:`airflow_asr.operators.assemblyai`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_asr._airflow import BaseOperator, deferrable_by_default
from airflow_asr.exceptions import AssemblyAIWaitTimeout, airflow_errors
from airflow_asr.operators._task import DEFAULT_FORMATS, hand_over_batch, owner_of, task_store

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_asr.jobs.batch.limits import Limits
    from airflow_asr.jobs.batch.run import Batch, BatchSummary, BatchWaiting

# Our trigger tells of its time itself; Airflow's own cut comes after it, as a safety net.
_AIRFLOW_CUT_AFTER = timedelta(seconds=300)


class AssemblyAITranscribeBatchOperator(BaseOperator):
    """Turns an archive of recordings into text with one task: submits many at a time, waits for all without a slot.

    Each recording is paid for once: a retry, Clear, another run over the same folder, or a worker that died goes on
    with what is under way, and outputs of the same audio and parameters that are there already cost nothing. A manifest
    beside the outputs has a row for each recording. A recording that fails does not stop the others; an account or a
    request that is refused stops them all at once.

    Args:
        audio: the archive: a folder, a pattern such as ``s3://conn_id@bucket/calls/2026-09-01/*.mp3``, a list of URIs
            or paths, or a manifest: a ``.jsonl`` file whose lines have ``audio`` (or ``uri``, as that of an earlier
            batch has), and where wanted ``config`` and ``seconds``. URIs in it without a Connection of their own are
            read with the manifest's, if they are in the same kind of storage. Templated.
        output_path: the folder for the outputs: a local path that all workers share, or an object storage URI. A
            partitioned run writes into a folder of its partition's key in it. Templated.
        formats: which outputs, as for :class:`AssemblyAITranscribeOperator`. Templated.
        config: the service's own parameters; a value of ``None`` leaves the parameter out. Templated.
        assemblyai_conn_id: the Connection. Templated.
        upload: ``auto`` gives the service a signed URL where the storage can sign, and uploads otherwise; ``always``
            uploads; ``never`` does not. Templated.
        limits: how much at a time: a dict with any of ``max_in_flight`` (1,000 jobs), ``refill_at`` (the share, or the
            count, of them that must have ended for the task to go on: 0.5), ``max_round`` (1,800 s), ``concurrency``
            (16 uploads, submissions or downloads), ``ramp`` (the vendor's advice, ``{"first": 25, "window": 15,
            "growth": 0.085}``; ``None`` for none), ``max_resubmits`` (2), ``first_poll`` (10 s) and ``poll_interval``
            (60 s at most). Templated.
        budget: how much in all: a dict with any of ``max_audio_hours``, ``max_cost`` and ``prices`` (money for an hour
            of audio, by model and by feature). It is checked before anything is sent, as far as lengths are known,
            and all the time. Templated.
        max_failures: how many recordings may fail without failing the task: a count (``int``) or a share (``float``).
            Templated.
        dry_run: say how many recordings, hours and what money it takes, and do nothing. Templated.
        wait_timeout: how long the whole may take from the first submission on, over all tries, in seconds or as a
            ``timedelta``. When it runs out the jobs are left alone; a retry goes on with them.
        deferrable: wait in the triggerer, without a worker slot; default: ``[operators] default_deferrable``.

    Raises:
        AssemblyAIFailException: the account, the request or the budget must change first, or more recordings failed
            than ``max_failures`` allows, through their own fault.
        BatchFailuresError: more failed than that, and a retry may do better.
        AssemblyAIWaitTimeout: the batch did not end in ``wait_timeout``.
    """

    template_fields: Sequence[str] = (
        "audio",
        "output_path",
        "formats",
        "config",
        "assemblyai_conn_id",
        "upload",
        "limits",
        "budget",
        "max_failures",
        "is_dry_run",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json", "limits": "json", "budget": "json"}
    ui_color = "#cfe0f5"

    def __init__(
        self,
        *,
        audio: str | ObjectStoragePath | Sequence[str | Mapping[str, Any]] | XComArg,
        output_path: str | ObjectStoragePath | XComArg,
        formats: Sequence[str] | XComArg = DEFAULT_FORMATS,
        config: Mapping[str, Any] | XComArg | None = None,
        assemblyai_conn_id: str = "assemblyai_default",
        upload: str = "auto",
        limits: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
        max_failures: float | str = 0,
        dry_run: bool | str = False,
        wait_timeout: float | timedelta = timedelta(days=7),
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audio: Any = audio
        self.output_path: Any = output_path
        self.formats: Any = formats
        self.config: Any = config
        self.assemblyai_conn_id = assemblyai_conn_id
        self.upload = upload
        self.limits = limits
        self.budget = budget
        self.max_failures = max_failures
        self.is_dry_run = dry_run  # BaseOperator has a method of the shorter name.
        self.wait_timeout_s = wait_timeout.total_seconds() if isinstance(wait_timeout, timedelta) else wait_timeout
        self.deferrable = deferrable_by_default() if deferrable is None else deferrable

    def execute(self, context: Context) -> BatchSummary:
        """Return the summary of the batch, or defer."""
        with airflow_errors():
            batch = self._batch(context)
            return self._finish(context, batch, batch.begin())

    def execute_complete(self, context: Context, event: dict[str, Any]) -> BatchSummary:
        """Go on on the worker after the trigger has fired."""
        self.log.info("The trigger says: %d ended, %s under way.", len(event["ended"]), event.get("remaining"))
        with airflow_errors():
            batch = self._batch(context)
            batch.resume()
            return self._finish(context, batch, batch.go_on(event["ended"]))

    def _finish(self, context: Context, batch: Batch, outcome: BatchSummary | BatchWaiting) -> BatchSummary:
        from airflow_asr.jobs.batch.limits import Limits
        from airflow_asr.jobs.batch.run import BatchWaiting

        limits = Limits.of(self.limits)
        while isinstance(outcome, BatchWaiting):
            outcome = batch.go_on(self._wait(outcome, limits))
        hand_over_batch(self, context, outcome)
        return outcome

    def _wait(self, waiting: BatchWaiting, limits: Limits) -> list[str]:
        """Defer, or wait here; return what has ended then."""
        if waiting.left_s <= 0:
            raise AssemblyAIWaitTimeout(
                f"The batch has not ended in the time that it was given; {len(waiting.transcript_ids)} jobs go on at "
                "the service and are paid for when they complete. A retry, or Clear, goes on with them and pays for "
                "nothing twice; with a larger `wait_timeout` it also waits and sends the rest."
            )
        from airflow_asr.triggers.assemblyai import AssemblyAIBatchTrigger

        trigger = AssemblyAIBatchTrigger(
            transcript_ids=waiting.transcript_ids,
            assemblyai_conn_id=self.assemblyai_conn_id,
            first_poll_s=limits.first_poll_s,
            poll_interval_s=limits.poll_interval_s,
            refill_at=waiting.refill_at,
            wake_at=waiting.wake_at,
        )
        if self.deferrable:
            self.defer(
                trigger=trigger,
                method_name="execute_complete",
                timeout=timedelta(seconds=max(waiting.wake_at - time.time(), 0.0)) + _AIRFLOW_CUT_AFTER,
            )
        return self._wait_here(waiting, limits)

    def _wait_here(self, waiting: BatchWaiting, limits: Limits) -> list[str]:
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.batch.waiting import wait_for_some

        self.log.info("Waiting in a worker slot; deferrable=True would wait without one.")
        with AssemblyAIHook(self.assemblyai_conn_id).client as client:
            return wait_for_some(
                client,
                waiting.transcript_ids,
                refill_at=waiting.refill_at,
                limit_s=max(waiting.wake_at - time.time(), 0.0),
                most_s=limits.poll_interval_s,
            )

    def _batch(self, context: Context) -> Batch:
        from airflow_asr._airflow import open_path
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.archive import Archive
        from airflow_asr.jobs.batch.budget import Budget
        from airflow_asr.jobs.batch.desk import BatchOrder, Desk
        from airflow_asr.jobs.batch.ledger import Ledger
        from airflow_asr.jobs.batch.limits import Limits, checked_failures, checked_flag
        from airflow_asr.jobs.batch.run import Batch
        from airflow_asr.jobs.batch.state import BatchRecord
        from airflow_asr.jobs.fingerprint import checked_config
        from airflow_asr.jobs.names import safe_name
        from airflow_asr.jobs.outputs import Outputs, checked_formats, output_folder
        from airflow_asr.jobs.sending import awake_s

        ti = context["ti"]
        formats = checked_formats(self.formats)
        folder = output_folder(self.output_path, open_path, partition=context.get("partition_key"))
        owner = owner_of(context)
        place = Outputs(folder, "", formats, owner)
        mapped = f".{ti.map_index}" if ti.map_index is not None and ti.map_index >= 0 else ""
        order = BatchOrder(
            archive=Archive(self.audio, open_path=open_path, upload=self.upload),
            config=checked_config(self.config or {}),
            folder=folder,
            outputs=lambda base: Outputs(folder, base, formats, owner),
            manifest=f"manifest.{safe_name(ti.dag_id)}.{safe_name(ti.task_id)}{mapped}",
            limits=Limits.of(self.limits),
            budget=Budget.of(self.budget),
            max_failures=checked_failures(self.max_failures),
            dry_run=checked_flag("dry_run", self.is_dry_run),
            wait_timeout_s=self.wait_timeout_s,
        )
        make_client = AssemblyAIHook(self.assemblyai_conn_id).client_maker()
        record = BatchRecord(task_store(context), ti.try_number, ti.max_tries, awake_s)
        desk = Desk(make_client, order, Ledger(place.own_folder, owner), record)
        return Batch(desk, formats, place.open_jobs)
