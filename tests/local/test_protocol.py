"""The service's protocol over HTTP, with the traps that it documents."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
import requests

from airflow_asr.local.testing import scripted_audio
from tests.local.http import Http

NULL = type(None)
WRONG_KEY = {"error": "Authentication error, API token missing/invalid"}

# The service's own schema of a transcript: what it requires, and which types it allows (August 2026).
REQUIRED = [
    "id",
    "speech_model",
    "language_model",
    "acoustic_model",
    "status",
    "audio_url",
    "webhook_auth",
    "auto_highlights",
    "redact_pii",
    "summarization",
    "language_confidence_threshold",
    "language_confidence",
]
NOT_NULL = {
    **dict.fromkeys(("audio_channels",), int),
    **dict.fromkeys(("auto_highlights", "redact_pii", "summarization", "webhook_auth"), bool),
    **dict.fromkeys(
        (
            "audio_url",
            "error",
            "id",
            "language_code",
            "prompt",
            "speech_model_used",
            "acoustic_model",
            "language_model",
        ),
        str,
    ),
    **dict.fromkeys(("keyterms_prompt", "topics"), list),
}


def check_shape(body: dict[str, Any]) -> None:
    assert not [name for name in REQUIRED if name not in body]
    for name, kind in NOT_NULL.items():
        assert name not in body or type(body[name]) is kind, name


class TestTranscript:
    def test_journey(self, http: Http) -> None:
        audio_url = http.upload(scripted_audio("Good morning. How are you?", seconds=12.4, process_s=0.3))
        assert re.fullmatch(rf"{http.server.url}/upload/[0-9a-f-]{{36}}", audio_url)
        created = http.create(audio_url=audio_url).json()
        check_shape(created)
        assert (created["status"], created["text"], created["throttled"]) == ("processing", None, False)
        done = http.wait(created["id"])
        check_shape(done)
        assert done["status"] == "completed"
        assert done["text"] == "Good morning. How are you?"
        assert done["audio_duration"] == 12
        assert done["speech_model_used"] == "echo"
        assert done["language_code"] == "en_us"
        assert done["audio_url"] == audio_url
        assert done["confidence"] == 0.9
        assert [word["text"] for word in done["words"]] == ["Good", "morning.", "How", "are", "you?"]
        assert done["words"][1]["start"] == 2480
        assert done["utterances"] is None
        assert "error" not in done
        assert "audio_channels" not in done

    def test_failure_is_a_200(self, http: Http) -> None:
        body = http.heard(error="Audio duration is too short")
        check_shape(body)
        assert (body["status"], body["error"], body["text"]) == ("error", "Audio duration is too short", None)

    def test_silence_is_a_result(self, http: Http) -> None:
        body = http.heard("")
        assert (body["status"], body["text"], body["words"], body["confidence"]) == ("completed", "", [], 0.0)
        for part in ("sentences", "paragraphs"):
            assert http.json(f"/v2/transcript/{body['id']}/{part}")[part] == []
        assert http.get(f"/v2/transcript/{body['id']}/srt").text == ""
        assert http.get(f"/v2/transcript/{body['id']}/vtt").text == "WEBVTT\n"

    def test_any_other_audio_gets_an_answer_too(self, http: Http) -> None:
        body = http.wait(http.submit(b"\x00\x01" * 64_000)["id"])
        assert body["text"] == "This recording of 128000 bytes says nothing."
        assert body["audio_duration"] == 4

    def test_multichannel(self, http: Http) -> None:
        body = http.heard(channels=["one two", "three"], seconds=4, config={"multichannel": True})
        check_shape(body)
        assert body["audio_channels"] == 2
        assert body["text"] == "one three two"
        turns = [(turn["text"], turn["speaker"], turn["channel"], turn["start"]) for turn in body["utterances"]]
        assert turns == [("one", "1", "1", 0), ("three", "2", "2", 0), ("two", "1", "1", 2000)]
        assert [word["channel"] for word in body["words"]] == ["1", "2", "1"]
        sentences = http.json(f"/v2/transcript/{body['id']}/sentences")["sentences"]
        assert [(sentence["text"], sentence["channel"]) for sentence in sentences] == [("one two", "1"), ("three", "2")]

    def test_channels_are_mixed_unless_asked_for(self, http: Http) -> None:
        body = http.heard(channels=["one", "two"])
        assert (body["text"], body["utterances"]) == ("one two", None)

    def test_part_of_the_audio(self, http: Http) -> None:
        config = {"audio_start_from": 1000, "audio_end_at": 3000}
        body = http.heard("a b c d", seconds=4, config=config)
        assert [(word["text"], word["start"]) for word in body["words"]] == [("b", 1000), ("c", 2000)]
        assert {name: body[name] for name in config} == config

    @pytest.mark.parametrize(
        ("config", "text"),
        [
            ({"punctuate": False}, "Well I don't know 3.5 Maybe"),
            ({"format_text": False}, "well, i don't know - 3.5. maybe!"),
            ({"punctuate": False, "format_text": False}, "well i don't know 3.5 maybe"),
        ],
    )
    def test_plain_text(self, http: Http, config: dict[str, bool], text: str) -> None:
        body = http.heard("Well, I don't know - 3.5. Maybe!", config=config)
        assert body["text"] == text
        assert " ".join(word["text"] for word in body["words"]) == text

    def test_language(self, http: Http) -> None:
        assert http.heard(config={"language_code": "es"})["language_code"] == "es"
        detected = http.heard(language_code="fr", language_confidence=0.75, config={"language_detection": True})
        assert (detected["language_code"], detected["language_confidence"]) == ("fr", 0.75)

    def test_any_model_name(self, http: Http) -> None:
        models = ["universal-3-pro", "assemblyai-stt-3-7", "nano", "whatever-comes-next"]
        body = http.heard(config={"speech_models": models})
        assert (body["speech_models"], body["speech_model_used"]) == (models, "echo")


class TestDelete:
    def test_row_stays(self, http: Http) -> None:
        audio_url = http.upload(scripted_audio("secret"))
        transcript_id = http.submit(audio_url)["id"]
        http.wait(transcript_id)
        reply = http.call("DELETE", f"/v2/transcript/{transcript_id}")
        assert reply.status_code == 200
        for body in (reply.json(), http.transcript(transcript_id)):
            check_shape(body)
            assert body["status"] == "completed"
            assert body["text"] == "Deleted by user."
            assert body["audio_url"] == "http://deleted_by_user"
            assert body["words"] is None
        row = next(row for row in http.json("/v2/transcript", limit=200)["transcripts"] if row["id"] == transcript_id)
        assert (row["status"], row["audio_url"]) == ("completed", "http://deleted_by_user")
        assert http.call("DELETE", f"/v2/transcript/{transcript_id}").status_code == 200
        assert "deleted" in http.get(f"/v2/transcript/{transcript_id}/srt").json()["error"]

    def test_upload_goes_with_it(self, http: Http) -> None:
        audio_url = http.upload(scripted_audio("secret"))
        transcript_id = http.submit(audio_url)["id"]
        http.wait(transcript_id)
        http.call("DELETE", f"/v2/transcript/{transcript_id}")
        assert http.failure(audio_url) == f"Download error to {audio_url}, 404 Client Error: Not Found"
        assert not (http.server.data_dir / "uploads" / audio_url.rpartition("/")[2]).exists()

    def test_of_a_failure_keeps_the_status(self, http: Http) -> None:
        transcript_id = http.heard(error="no")["id"]
        body = http.call("DELETE", f"/v2/transcript/{transcript_id}").json()
        assert (body["status"], body["error"], body["audio_url"]) == ("error", "no", "http://deleted_by_user")


class TestErrors:
    @pytest.mark.parametrize("key", [None, "", "wrong", "Bearer local", "locäl"])
    @pytest.mark.parametrize("path", ["/v2/transcript", "/v2/transcript/x", "/v2/transcript/x/srt", "/_requests"])
    def test_key(self, http: Http, key: str | None, path: str) -> None:
        headers = {} if key is None else {"Authorization": key.encode("latin-1")}
        response = requests.get(http.server.url + path, headers=headers, timeout=30)
        assert (response.status_code, response.json()) == (401, WRONG_KEY)

    def test_key_for_writing(self, http: Http) -> None:
        for method, path in (("POST", "/v2/upload"), ("POST", "/v2/transcript"), ("DELETE", "/v2/transcript/x")):
            response = requests.request(method, http.server.url + path, data=b"{}", timeout=30)
            assert (response.status_code, response.json()) == (401, WRONG_KEY)

    @pytest.mark.parametrize("part", ["", "/sentences", "/paragraphs", "/srt", "/vtt", "/word-search?words=a"])
    def test_unknown_id(self, http: Http, part: str) -> None:
        for transcript_id in (str(uuid.uuid4()), "nonsense"):
            response = http.get(f"/v2/transcript/{transcript_id}{part}")
            assert response.status_code == 400
            assert response.json() == {"error": "Transcript lookup error, transcript id not found"}

    def test_delete_of_unknown_id(self, http: Http) -> None:
        response = http.call("DELETE", f"/v2/transcript/{uuid.uuid4()}")
        assert (response.status_code, response.json()["error"]) == (
            400,
            "Transcript lookup error, transcript id not found",
        )

    @pytest.mark.parametrize("path", ["/", "/v2", "/v3/transcript", "/v2/transcript/x/srt/y", "/docs", "/openapi.json"])
    def test_unknown_path(self, http: Http, path: str) -> None:
        response = http.get(path)
        assert (response.status_code, response.json()) == (404, {"error": "Not found"})

    def test_unknown_subtitle_format(self, http: Http) -> None:
        response = http.get(f"/v2/transcript/{http.heard()['id']}/sub")
        assert (response.status_code, response.text) == (404, "404: Not Found")
        assert response.headers["Content-Type"].startswith("text/html")

    def test_wrong_method(self, http: Http) -> None:
        response = http.call("PUT", "/v2/transcript")
        assert (response.status_code, response.json()) == (405, {"error": "Method not allowed"})

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'"text"', b"null", b"\xff", b"[" * 100_000, b'{"a": "\\ud800"}']
    )
    def test_body_is_no_json_object(self, http: Http, body: bytes) -> None:
        response = http.call("POST", "/v2/transcript", data=body)
        assert response.status_code == 400
        assert "JSON" in response.json()["error"]

    def test_body_is_huge(self, http: Http) -> None:
        response = http.call("POST", "/v2/transcript", data=b" " * 1_000_001)
        assert (response.status_code, response.json()) == (
            400,
            {"error": "The request body is larger than 1000000 bytes"},
        )

    def test_a_parameter_that_is_not_served(self, http: Http) -> None:
        # The rest of them are in test_params.py.
        response = http.create(audio_url="https://a.example/b.mp3", speaker_labels=True)
        assert response.status_code == 400
        assert "speaker_labels" in response.json()["error"]

    def test_parts_before_the_end(self, http: Http) -> None:
        transcript_id = http.say(process_s=3)["id"]
        for part in ("sentences", "paragraphs", "srt", "vtt", "word-search?words=a"):
            response = http.get(f"/v2/transcript/{transcript_id}/{part}")
            assert response.status_code == 400
            assert response.json()["error"].startswith('This transcript has a status of "processing".')

    def test_parts_of_a_failure(self, http: Http) -> None:
        error = http.get(f"/v2/transcript/{http.heard(error='no')['id']}/vtt").json()["error"]
        assert error.startswith('This transcript has a status of "error".')

    def test_redacted_audio(self, http: Http) -> None:
        response = http.get(f"/v2/transcript/{http.heard()['id']}/redacted-audio")
        assert response.status_code == 400
        assert response.json()["error"].startswith("Redacted audio is not available")


class TestText:
    TEXT = "Mr. Smith is 3.5 years old. Is he? He is! So he says"

    @pytest.fixture
    def path(self, http: Http) -> str:
        return f"/v2/transcript/{http.heard(self.TEXT, seconds=13)['id']}"

    def test_sentences(self, http: Http, path: str) -> None:
        body = http.json(f"{path}/sentences")
        texts = [sentence["text"] for sentence in body["sentences"]]
        assert texts == ["Mr. Smith is 3.5 years old.", "Is he?", "He is!", "So he says"]
        assert body["id"] == path.rpartition("/")[2]
        assert (body["confidence"], body["audio_duration"]) == (0.9, 13)
        first = body["sentences"][0]
        assert (first["start"], first["end"], first["speaker"]) == (0, 5800, None)
        assert len(first["words"]) == 6

    def test_paragraphs(self, http: Http, path: str) -> None:
        body = http.json(f"{path}/paragraphs")
        assert [paragraph["text"] for paragraph in body["paragraphs"]] == [self.TEXT]
        assert set(body["paragraphs"][0]) == {"text", "start", "end", "confidence", "words"}

    def test_captions(self, http: Http, path: str) -> None:
        response = http.get(f"{path}/srt", chars_per_caption=20)
        assert response.headers["Content-Type"].startswith("text/plain")
        assert response.text.startswith("1\n00:00:00,000 --> 00:00:03,800\nMr. Smith is 3.5\n\n2\n00:00:04,000 --> ")
        response = http.get(f"{path}/vtt")
        assert response.text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:05.800\nMr. Smith is 3.5 years old.\n\n")

    @pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", ""])
    def test_caption_length_that_is_none(self, http: Http, path: str, value: str) -> None:
        response = http.get(f"{path}/srt?chars_per_caption={value}")
        assert response.status_code == 400
        assert "chars_per_caption" in response.json()["error"]

    def test_word_search(self, http: Http, path: str) -> None:
        body = http.json(f"{path}/word-search", words="HE,is he,3.5,years old,nobody")
        assert body["total_count"] == 6
        assert [(match["text"], match["count"], match["indexes"]) for match in body["matches"]] == [
            ("HE", 3, [7, 8, 11]),
            ("is he", 1, [6]),
            ("3.5", 1, [3]),
            ("years old", 1, [4]),
        ]
        assert body["matches"][1]["timestamps"] == [[6000, 7800]]

    @pytest.mark.parametrize("words", ["", ",", "one two three four five six", "..."])
    def test_word_search_for_nothing(self, http: Http, path: str, words: str) -> None:
        response = http.get(f"{path}/word-search", words=words)
        assert response.status_code == 400
        assert response.json()["error"].startswith("Word search error")
