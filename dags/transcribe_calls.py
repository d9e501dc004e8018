"""Recorded calls in, tables and a report out: who speaks when, about what, in which mood, and what went wrong.

Each recording is transcribed by a task of its own, each channel by itself. One task then works out the turns of the
speakers, talk time, silence, key phrases, sentiment and the passages that were hardly understood, and writes them to
SQL tables: to the file `calls.sqlite` in the output folder, or to the database of a Connection. The last step is
`report.html` in the output folder, for a browser. A second run over the same recordings costs nothing and leaves the
same rows.

A recording that fails stops no other. It is in the tables and in the report with its reason, and the task `complete`
fails and names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import ObjectStoragePath, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_asr.operators.assemblyai import AssemblyAITranscribeOperator
from airflow_asr.retry_policy import AssemblyAIRetryPolicy

_PLACE = r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)."
FORM = {
    "folder": Param(
        type="string",
        pattern=_PLACE,
        title="Recordings",
        description="A folder, with the folders in it: an absolute path on the worker, or object storage as "
        "s3://connection@bucket/folder.",
    ),
    "endings": Param(
        [".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".amr", ".wma", ".webm", ".mp4"],
        type="array",
        items={"type": "string", "minLength": 1},
        minItems=1,
        title="Endings",
        description="Files whose names end in one of these are recordings.",
    ),
    "channels": Param(
        {"1": "agent", "2": "customer"},
        type="object",
        additionalProperties={"type": "string", "minLength": 1},
        title="Who is on which channel",
    ),
    "output_path": Param(
        type="string",
        pattern=_PLACE,
        title="Output folder",
        description="For the transcripts and the report: an absolute path on the worker, or object storage.",
    ),
    "sql_conn_id": Param(
        None,
        type=["null", "string"],
        title="SQL Connection",
        description="The database of the tables, SQLite or PostgreSQL. Leave it empty for the file calls.sqlite in "
        "the output folder.",
    ),
}
_FAILURE = "failure"
_REASON_CHARS = 1000  # An XCom is in the database of Airflow.


def keep_failure(context: Mapping[str, Any]) -> None:
    """Keep why a recording failed where the next tasks find it: Airflow itself tells them only that it did."""
    error = context.get("exception")
    failure = {"reason": str(error or "")[:_REASON_CHARS], "transcript_id": getattr(error, "transcript_id", None)}
    context["ti"].xcom_push(key=_FAILURE, value=failure)


@task
def find() -> list[str]:
    from asr_examples.call_recordings import find_recordings
    from asr_examples.call_tables import sql_hook

    params = get_current_context()["params"]
    try:
        sql_hook(params["sql_conn_id"], params["output_path"])  # Better known before transcripts are paid for.
        return find_recordings(params["folder"], params["endings"])
    except (FileNotFoundError, ValueError) as error:
        raise AirflowFailException(str(error)) from None


# One task writes: SQLite lets in one writer at a time. `find` counts as the one success, so that the report also comes
# when every recording has failed.
@task(trigger_rule="all_done_min_one_success")
def analyse(recordings: list[str]) -> dict[str, list[str]]:
    from asr_examples.call_analysis import analyse_call, failed_call
    from asr_examples.call_recordings import recording
    from asr_examples.call_tables import sql_hook, write_calls

    from airflow_asr.api.transcript import Transcript

    context = get_current_context()
    params, pull, indexes = context["params"], context["ti"].xcom_pull, range(len(recordings))
    summaries = pull(task_ids="transcribe", map_indexes=indexes)
    # A worker that was killed kept no failure.
    failures = pull(task_ids="transcribe", key=_FAILURE, map_indexes=indexes, default={})
    calls = []
    for audio, summary, failure in zip(recordings, summaries, failures, strict=True):
        if summary:
            transcript = Transcript.from_json(ObjectStoragePath(summary["outputs"]["json"]).read_bytes())
            calls.append(analyse_call(recording(audio), transcript, params["channels"]))
        else:
            calls.append(failed_call(recording(audio), failure.get("reason"), failure.get("transcript_id")))
    write_calls(sql_hook(params["sql_conn_id"], params["output_path"]), calls)
    rows = [each.call for each in calls]
    return {
        "calls": [row.call_id for row in rows],
        "failed": [f"{row.audio}: {row.error}" for row in rows if row.status == "failed"],
    }


@task
def report(analysed: dict[str, list[str]]) -> str:
    from asr_examples.call_report import render_report
    from asr_examples.call_tables import read_tables, sql_hook

    from airflow_asr.jobs.files import write_file

    params = get_current_context()["params"]
    tables = read_tables(sql_hook(params["sql_conn_id"], params["output_path"]), analysed["calls"])
    place: Any = ObjectStoragePath(params["output_path"]) / "report.html"
    write_file(place, render_report(tables, title=f"Calls in {params['folder']}").encode())
    print(f"The report: {place}")
    return str(place)


@task
def complete(analysed: dict[str, list[str]]) -> None:
    if failed := analysed["failed"]:
        raise AirflowFailException(
            "\n".join([f"{len(failed)} of {len(analysed['calls'])} recordings failed:", *failed])
        )


@dag(
    schedule=None,
    params=FORM,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "retry_policy": AssemblyAIRetryPolicy()},
    tags=["speech to text"],
    doc_md=__doc__,
)
def transcribe_calls() -> None:
    recordings = find()
    transcribed = AssemblyAITranscribeOperator.partial(
        task_id="transcribe",
        output_path="{{ params.output_path }}",
        formats=("json", "txt"),
        config={"multichannel": True},
        deferrable=True,
        on_failure_callback=keep_failure,
        map_index_template="{{ task.audio.rpartition('/')[2] }}",
    ).expand(audio=recordings)
    analysed = analyse(recordings)
    transcribed >> analysed
    report(analysed) >> complete(analysed)


transcribe_calls()
