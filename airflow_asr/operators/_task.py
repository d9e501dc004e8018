"""What the operators share: what Airflow knows about the running task, in the terms of the floors below."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from airflow_asr._airflow import NEVER_EXPIRE

DEFAULT_FORMATS = ("json", "txt")
_MOST_INLINE_BYTES = 16 * 1024

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_asr.jobs.batch.run import BatchSummary
    from airflow_asr.jobs.outputs import Outputs
    from airflow_asr.jobs.records import RecordStore, TryRecords
    from airflow_asr.jobs.results import TranscriptSummary


def checked_inline_bytes(inline_text_bytes: int) -> int:
    """Return the bytes that a summary may have with its text.

    Raises:
        ValueError: they are more than an XCom of ours ever has.
    """
    if not 0 <= inline_text_bytes <= _MOST_INLINE_BYTES:
        raise ValueError(f"`inline_text_bytes` is {inline_text_bytes}. Give 0 to {_MOST_INLINE_BYTES}.")
    return inline_text_bytes


def task_records(context: Context) -> TryRecords:
    """Return the records of the running task instance."""
    from airflow_asr.jobs.records import TryRecords

    ti = context["ti"]
    # Clear raises the number of tries that a task may have; a retry does not.
    return TryRecords(task_store(context), ti.try_number, ti.max_tries)


def task_store(context: Context) -> RecordStore:
    """Return what survives the tries of the running task instance."""
    return _TaskState(context)


class _TaskState:
    """The task state store, which survives retries and Clear, with records that do not expire."""

    def __init__(self, context: Context) -> None:
        self._store: Any = context["task_state_store"]  # type: ignore[typeddict-item, unused-ignore]

    def get(self, key: str) -> Any:
        return self._store.get(key)

    def set(self, key: str, value: Any) -> None:
        self._store.set(key, value, retention=NEVER_EXPIRE)


def outputs_in(context: Context, output_path: Any, formats: Any) -> Callable[[str], Outputs] | None:
    """Return what makes the place of outputs from the beginning of their names; None without a folder.

    A partitioned run gets a folder of its own in it, unless the path names the partition already.

    Raises:
        RequestError: the path or a format cannot be used.
        OutputError: the storage cannot be reached with the Connection that the path names.
    """
    from airflow_asr._airflow import open_path
    from airflow_asr.jobs.outputs import Outputs, checked_formats, output_folder

    formats = checked_formats(formats)
    if output_path is None:
        return None
    folder = output_folder(output_path, open_path, partition=context.get("partition_key"))
    return lambda base: Outputs(folder, base, formats, owner_of(context))


def owner_of(context: Context) -> str:
    """Return what tells this task instance from every other one, and is the same in all its tries."""
    ti = context["ti"]
    named = json.dumps([ti.dag_id, ti.run_id, ti.task_id, ti.map_index])
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def hand_over(operator: BaseOperator, context: Context, summary: TranscriptSummary) -> None:
    """Tell Airflow what was read and written: to hook lineage, and with the events of the task's outlets."""
    from airflow.sdk import Asset
    from airflow.sdk.lineage import get_hook_lineage_collector

    collector: Any = get_hook_lineage_collector()  # Any object may be the context; the annotation says less.
    try:
        if summary["audio"]:
            collector.add_input_asset(context=operator, uri=_asset_uri(summary["audio"]))
        for uri in summary["outputs"].values():
            collector.add_output_asset(context=operator, uri=_asset_uri(uri))
    except ValueError as error:  # A name may be longer than an asset's, and the transcript is paid for and written.
        operator.log.warning("Lineage does not take the names of this transcript's files: %s", error)
    for outlet in operator.outlets or ():
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra = {
                "transcript_id": summary["transcript_id"],
                "audio": summary["audio"],
                "outputs": dict(summary["outputs"]),
            }


def hand_over_batch(operator: BaseOperator, context: Context, summary: BatchSummary) -> None:
    """Tell Airflow what a batch has written: to hook lineage, and with the events of the task's outlets."""
    from airflow.sdk import Asset
    from airflow.sdk.lineage import get_hook_lineage_collector

    if summary["manifest"] is None:
        return
    collector: Any = get_hook_lineage_collector()
    try:
        collector.add_output_asset(context=operator, uri=_asset_uri(summary["manifest"]))
    except ValueError as error:
        operator.log.warning("Lineage does not take the name of the manifest: %s", error)
    for outlet in operator.outlets or ():
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra = cast("dict[str, Any]", summary)


def _asset_uri(name: str) -> str:
    """Return a path or URI as the URI of an asset, which must be ASCII."""
    scheme, separator, rest = name.rpartition("://")
    return f"{scheme or 'file'}://{quote(rest if separator else name, safe='/@:?=&%', errors='replace')}"
