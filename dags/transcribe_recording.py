"""One recording in, readable text out: submit, wait without a worker slot, hand the text to the next task.

Trigger it with a form: the audio (a path on the worker or an https URL), and what is known about it. It runs against
whatever the Connection ``assemblyai_default`` names: the server on your machine, or AssemblyAI.

No speech model is named unless you pin one in the form: the service then uses its own default, which outlives the names
of models.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_asr.hooks.assemblyai import AssemblyAIHook
from airflow_asr.operators.assemblyai import AssemblyAISubmitTranscriptOperator
from airflow_asr.retry_policy import AssemblyAIRetryPolicy
from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor

FORM = {
    "audio": Param(
        type="string",
        minLength=1,
        title="Audio",
        description="An absolute path on the worker, or an https URL that the service can fetch.",
    ),
    "language_code": Param(
        None,
        type=["null", "string"],
        title="Language",
        description="As en_us. Leave it empty to have the language detected.",
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
    "speech_models": Param(
        None,
        type=["null", "array"],
        items={"type": "string"},
        title="Speech models",
        description="In order of preference. Leave it empty for the service's default.",
    ),
}


@dag(
    schedule=None,
    params=FORM,
    # The form's values reach `config` as they are (true, not "True").
    render_template_as_native_obj=True,
    # A retry finds the job that it submitted before: it costs a request, not a second transcript.
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "retry_policy": AssemblyAIRetryPolicy()},
    tags=["speech to text"],
    doc_md=__doc__,
)
def transcribe_recording() -> None:
    submit = AssemblyAISubmitTranscriptOperator(
        task_id="submit",
        audio="{{ params.audio }}",
        config={
            "language_code": "{{ params.language_code }}",
            "multichannel": "{{ params.multichannel }}",
            "speaker_labels": "{{ params.speaker_labels }}",
            "speech_models": "{{ params.speech_models }}",
        },
    )

    wait = AssemblyAITranscriptSensor(
        task_id="wait",
        transcript_id=submit.output,
        deferrable=True,
        timeout=timedelta(hours=2),
    )

    @task
    def read(summary: dict[str, Any]) -> dict[str, Any]:
        """Say what the recording is about and who speaks for how long, and print it to be read."""
        import yake

        # The summary is small; the words and who said them stay at the service until somebody asks.
        transcript = AssemblyAIHook().get(summary["transcript_id"])
        language = (transcript.language_code or "en")[:2]
        phrases = yake.KeywordExtractor(lan=language, n=3, top=8, dedupLim=0.7).extract_keywords(transcript.text)
        speaking_s: dict[str, float] = {}
        for turn in transcript.utterances:
            speaker = f"Speaker {turn.speaker or turn.channel}"
            speaking_s[speaker] = round(speaking_s.get(speaker, 0.0) + turn.duration_ms / 1000, 1)
            print(f"[{turn.start_ms / 1000:6.1f} s] {speaker}: {turn.text}")
        if not transcript.utterances:
            print(transcript.text)
        return {
            "transcript_id": transcript.id,
            "words": summary["word_count"],
            "seconds": transcript.audio_duration_s,
            "key_phrases": [phrase for phrase, _ in phrases],
            "speaking_s": speaking_s,
        }

    read(wait.output)


transcribe_recording()
