"""The vendor's own client, pointed at the local server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_asr.local.testing import LocalServer, scripted_audio

# The vendor's client calls methods that pydantic has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]

TEXT = "Mr. Smith is 3.5 years old. Is he? He is! So he says."


@pytest.fixture
def aai(shared_server: LocalServer) -> Iterator[Any]:
    import assemblyai

    before = assemblyai.settings.copy()
    assemblyai.settings.base_url = shared_server.url
    assemblyai.settings.api_key = shared_server.api_key
    assemblyai.settings.polling_interval = 0.05
    yield assemblyai
    if assemblyai.Client._default is not None:
        assemblyai.Client._default.http_client.close()
        assemblyai.Client._default = None
    for name in ("base_url", "api_key", "polling_interval"):
        setattr(assemblyai.settings, name, getattr(before, name))


@pytest.fixture
def audio(tmp_path: Path) -> Callable[..., str]:
    def write(text: str, **script: Any) -> str:
        path = tmp_path / f"{len(os.listdir(tmp_path))}.wav"
        path.write_bytes(scripted_audio(text, **script))
        return str(path)

    return write


def test_file_and_everything_that_is_made_of_it(aai: Any, audio: Callable[..., str]) -> None:
    transcript = aai.Transcriber().transcribe(audio(TEXT, seconds=11))
    assert transcript.status == aai.TranscriptStatus.completed
    assert (transcript.text, transcript.audio_duration, transcript.confidence) == (TEXT, 11, 0.9)
    assert transcript.error is None
    assert transcript.speech_model_used == "echo"
    assert [word.text for word in transcript.words] == TEXT.split()
    assert [one.text for one in transcript.get_sentences()] == [
        "Mr. Smith is 3.5 years old.",
        "Is he?",
        "He is!",
        "So he says.",
    ]
    assert [one.text for one in transcript.get_paragraphs()] == [TEXT]
    assert transcript.export_subtitles_srt().startswith("1\n00:00:00,000 --> ")
    assert transcript.export_subtitles_vtt(chars_per_caption=10).startswith("WEBVTT\n")
    matches = transcript.word_search(["he", "is he", "nobody"])
    assert [(match.text, match.count) for match in matches] == [("he", 3), ("is he", 1)]


def test_config(aai: Any, audio: Callable[..., str]) -> None:
    config = aai.TranscriptionConfig(
        speech_models=["universal-3-pro", "universal-2"],
        language_detection=True,
        punctuate=True,
        format_text=True,
        multichannel=True,
        audio_start_from=0,
        audio_end_at=10_000,
    )
    transcript = aai.Transcriber(config=config).transcribe(audio("", channels=["Hello.", "Hi."], language_code="fr"))
    assert [(turn.speaker, turn.text) for turn in transcript.utterances] == [("1", "Hello."), ("2", "Hi.")]
    assert transcript.config.multichannel


def test_group(aai: Any, audio: Callable[..., str]) -> None:
    texts = {f"Recording number {number}." for number in range(6)}
    group = aai.Transcriber().transcribe_group([audio(text) for text in sorted(texts)])
    assert group.status == aai.TranscriptStatus.completed
    assert {transcript.text for transcript in group} == texts


def test_list(aai: Any, audio: Callable[..., str]) -> None:
    transcriber = aai.Transcriber()
    submitted = [transcriber.submit(audio("x")).id for _ in range(7)]
    params = aai.ListTranscriptParameters(limit=3)
    page = transcriber.list_transcripts(params)
    walked = [row.id for row in page.transcripts]
    while page.page_details.before_id_of_prev_url is not None:
        params.before_id = page.page_details.before_id_of_prev_url
        page = transcriber.list_transcripts(params)
        walked += [row.id for row in page.transcripts]
    assert walked[:7] == submitted[::-1]
    assert len(walked) == len(set(walked))
    assert transcriber.list_transcripts().page_details.limit == 10


def test_errors_are_errors(aai: Any, audio: Callable[..., str], tmp_path: Path) -> None:
    transcriber = aai.Transcriber()
    failed = transcriber.transcribe(audio("", error="Audio duration is too short"))
    assert (failed.status, failed.error) == (aai.TranscriptStatus.error, "Audio duration is too short")
    (tmp_path / "page.mp3").write_text("not audio")
    assert "File type is text/plain" in transcriber.transcribe(str(tmp_path / "page.mp3")).error
    with pytest.raises(aai.TranscriptError, match="speaker_labels"):
        transcriber.transcribe(audio("x"), config=aai.TranscriptionConfig(speaker_labels=True))
    with pytest.raises(aai.TranscriptError, match="transcript id not found") as caught:
        aai.Transcript.get_by_id("00000000-0000-4000-8000-000000000000")
    assert caught.value.status_code == 400
    with pytest.raises(aai.TranscriptError, match="Upload failed"):
        transcriber.upload_file(b"")
    stranger = aai.Client(api_key="wrong")
    with pytest.raises(aai.TranscriptError, match="token missing/invalid"):
        aai.Transcriber(client=stranger).submit("https://audio.example/a.mp3")
    stranger.http_client.close()


def test_delete(aai: Any, audio: Callable[..., str]) -> None:
    transcript = aai.Transcriber().transcribe(audio("secret"))
    deleted = aai.Transcript.delete_by_id(transcript.id)
    assert (deleted.text, deleted.audio_url) == ("Deleted by user.", "http://deleted_by_user")
    assert aai.Transcript.get_by_id(transcript.id).text == "Deleted by user."


def test_redaction(aai: Any, audio: Callable[..., str]) -> None:
    config = aai.TranscriptionConfig(filter_profanity=True, keyterms_prompt=["Northgate"])
    config.set_redact_pii(
        policies=[aai.PIIRedactionPolicy.phone_number, aai.PIIRedactionPolicy.email_address],
        substitution=aai.PIISubstitutionPolicy.entity_name,
        redact_audio=True,
    )
    transcript = aai.Transcriber().transcribe(audio("Damn. Call 555-0134.", seconds=2), config)
    assert transcript.error is None
    assert transcript.text == "D***. Call [PHONE_NUMBER]."
    assert "/redacted-audio/" in transcript.get_redacted_audio_url()


def test_custom_spelling(aai: Any, audio: Callable[..., str]) -> None:
    config = aai.TranscriptionConfig(disfluencies=True).set_custom_spelling({"SQL": ["sequel", "s q l"]})
    assert aai.Transcriber().transcribe(audio("Um, Sequel. S Q L?"), config).text == "Um, SQL. SQL?"
