"""A folder of recordings in, answers with file and time out: the speech part of retrieval (RAG).

Each recording is transcribed by a task of its own. The transcripts are cut at the ends of sentences into passages with
their times and speakers. A small multilingual model turns each into a vector, on the worker and without a network, and
the vectors go to a table in an SQLite file. Running it again adds nothing twice. The task `answer` asks the table a
question and prints the passages that fit it best, each with its file and time.

A recording that fails does not keep the others out of the index; the task `complete` then fails and names it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import ObjectStoragePath, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from asr_examples.media import files_in

from airflow_asr.operators.assemblyai import AssemblyAITranscribeOperator
from airflow_asr.retry_policy import AssemblyAIRetryPolicy

FORM = {
    "folder": Param(
        type="string",
        minLength=1,
        title="Recordings",
        description="A folder: an absolute path on the worker, or object storage as s3://connection@bucket/folder.",
    ),
    "output_path": Param(
        type="string",
        minLength=1,
        title="Output folder",
        description="For the transcripts.",
    ),
    "index": Param(
        type="string",
        minLength=1,
        title="Index",
        description="An SQLite file on the worker; it is made when it is missing.",
    ),
    "question": Param(
        "When does the next train leave?",
        type="string",
        minLength=1,
        title="Question",
    ),
    "multichannel": Param(
        False,
        type="boolean",
        title="One speaker a channel",
        description="Transcribe each audio channel by itself, as for telephone calls.",
    ),
    "speaker_labels": Param(
        None, type=["null", "boolean"], title="Tell speakers apart", description="Needs a service that offers it."
    ),
}


@task
def find() -> list[str]:
    return files_in(get_current_context()["params"]["folder"])


# One task writes all: SQLite lets in one writer at a time. It takes the transcripts that there are when all have ended.
@task(trigger_rule="all_done_min_one_success", multiple_outputs=True)
def index(recordings: list[str]) -> dict[str, Any]:
    from asr_examples.retrieval import PassageTable, embed, passages_of

    from airflow_asr.api.transcript import Transcript

    context, missing = get_current_context(), []
    summaries = context["ti"].xcom_pull(task_ids="transcribe", map_indexes=range(len(recordings)))
    table = PassageTable(Path(context["params"]["index"]))
    for audio, summary in zip(recordings, summaries, strict=True):
        if summary is None:
            missing.append(audio)
            continue
        transcript = Transcript.from_json(ObjectStoragePath(summary["outputs"]["json"]).read_bytes())
        passages = passages_of(transcript)
        table.put(transcript.id, audio, passages, embed([each.text for each in passages]))
        print(f"{audio}: {len(passages)} passages")
    return {"passages": len(table), "missing": missing}


@task
def answer() -> list[dict[str, Any]]:
    from asr_examples.retrieval import PassageTable, embed

    params = get_current_context()["params"]
    (question,) = embed([params["question"]])
    found = PassageTable(Path(params["index"])).search(question)
    print(params["question"])
    for each in found:
        print(each)
    return [each.as_dict() for each in found]


@task
def complete(missing: list[str]) -> None:
    if missing:
        raise AirflowFailException(f"{len(missing)} recordings are not in the index: {', '.join(missing)}")


@dag(
    schedule=None,
    params=FORM,
    # The form's values reach `config` as they are (true, not "True").
    render_template_as_native_obj=True,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "retry_policy": AssemblyAIRetryPolicy()},
    tags=["speech to text"],
    doc_md=__doc__,
)
def index_for_retrieval() -> None:
    recordings = find()
    transcribe = AssemblyAITranscribeOperator.partial(
        task_id="transcribe",
        output_path="{{ params.output_path }}",
        formats=("json",),
        config={"multichannel": "{{ params.multichannel }}", "speaker_labels": "{{ params.speaker_labels }}"},
        deferrable=True,
        map_index_template="{{ task.audio.rpartition('/')[2] }}",
    ).expand(audio=recordings)
    indexed: Any = index(recordings)
    transcribe >> indexed >> [answer(), complete(indexed["missing"])]


index_for_retrieval()
