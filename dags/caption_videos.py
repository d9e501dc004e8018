"""Videos in, captions beside them: `movie.mp4` gets `movie.srt` and `movie.vtt`, once they are good enough.

Captions of which too many words were heard with a low confidence wait for a person (**Required Actions** in Airflow's
menu), who sees the doubtful passages with their times and approves or rejects. The other videos do not wait with it.
Nobody answers for three days: rejected. One video that fails does not stop the others; the last task lists what became
of each, and fails if one failed.

Captions of a video at a web address go to the output folder, for there is no writing beside it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import ObjectStoragePath, Param, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from asr_examples.captions import (
    Answer,
    Outcome,
    Question,
    Video,
    find_videos,
    outcome,
    publish_captions,
    question_about,
    rejected,
    said_by,
)

from airflow_asr.operators.assemblyai import AssemblyAITranscribeOperator
from airflow_asr.retry_policy import AssemblyAIRetryPolicy

FORM = {
    "videos": Param(
        type="array",
        items={"type": "string", "minLength": 1},
        minItems=1,
        title="Videos",
        description="Video or audio files, or folders of them, one a line: absolute paths on the worker, object "
        "storage as s3://connection@bucket/folder, or https addresses.",
    ),
    "output_path": Param(
        type="string",
        minLength=1,
        title="Output folder",
        description="For the transcripts, and for the captions of videos at https addresses.",
    ),
    "unsure_below": Param(
        0.5,
        type="number",
        minimum=0,
        maximum=1,
        title="A word is doubtful under this confidence",
    ),
    "most_unsure": Param(
        0.1,
        type="number",
        minimum=0,
        maximum=1,
        title="A person decides when more than this share of the words is doubtful",
    ),
    "replace": Param(
        False,
        type="boolean",
        title="Replace captions",
        description="Captions that are there already and say something else, perhaps because somebody corrected them.",
    ),
}


@task
def find() -> list[Video]:
    params = get_current_context()["params"]
    return find_videos(params["videos"], params["output_path"])


@task(multiple_outputs=True)
def doubts(summary: dict[str, Any]) -> Question:
    from airflow_asr.api.transcript import Transcript

    words = Transcript.from_json(ObjectStoragePath(summary["outputs"]["json"]).read_bytes()).words
    params = get_current_context()["params"]
    limits = {name: params[name] for name in ("unsure_below", "most_unsure")}
    if question := question_about(summary["audio"], words, **limits):
        return question
    raise AirflowSkipException("The captions are good enough to be published unseen.")


@task(trigger_rule="none_failed")
def publish(summary: dict[str, Any], captions: str, answer: Answer | None) -> list[str]:
    if answer and rejected(answer):
        raise AirflowSkipException(f"Not published: rejected by {said_by(answer)}.")
    try:
        return publish_captions(summary["outputs"], captions, replace=get_current_context()["params"]["replace"])
    except FileExistsError as error:
        raise AirflowFailException(str(error)) from None


@task(trigger_rule="all_done")
def report(videos: list[Video] | None) -> list[Outcome]:
    if videos is None:
        raise AirflowFailException("No videos: see the task `find`.")
    pull, indexes = get_current_context()["ti"].xcom_pull, range(len(videos))
    published = pull(task_ids="video.publish", map_indexes=indexes)
    answers = pull(task_ids="video.approve", map_indexes=indexes)
    outcomes = [outcome(*each) for each in zip(videos, published, answers, strict=True)]
    for each in outcomes:
        print(f"{each['outcome']}: {each['video']} {' '.join(each['captions'])}")
    if failed := [each["video"] for each in outcomes if each["outcome"] == "failed"]:
        raise AirflowFailException(f"{len(failed)} of {len(videos)} videos failed: {', '.join(failed)}")
    return outcomes


@task_group
def video(audio: str, captions: str) -> None:
    """Each video has these tasks to itself: none of them waits for, or fails with, those of another video."""
    transcribe = AssemblyAITranscribeOperator(
        task_id="transcribe",
        audio=audio,
        output_path="{{ params.output_path }}",
        formats=("json", "srt", "vtt"),
        deferrable=True,
        map_index_template="{{ task.audio.partition('?')[0].rpartition('/')[2] }}",
    )
    # If there are no doubts, that task is skipped, and `approve` with it. It is no branch operator, and `publish` reads
    # the answer itself, because in a mapped group neither a branch nor a rejection skips a task (apache/airflow#67265).
    question: Any = doubts(transcribe.output)
    approve = ApprovalOperator(
        task_id="approve",
        subject=question["subject"],
        body=question["body"],
        response_timeout=timedelta(days=3),
        defaults=ApprovalOperator.REJECT,
    )
    publish(transcribe.output, captions, approve.output)


@dag(
    schedule=None,
    params=FORM,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "retry_policy": AssemblyAIRetryPolicy()},
    tags=["speech to text"],
    doc_md=__doc__,
)
def caption_videos() -> None:
    videos = find()
    video.expand_kwargs(videos) >> report(videos)


caption_videos()
