"""Whatever the service answers: a value, or an error of ours that is short and shows no secret."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, InvalidReplyError, RequestError, SubmitOutcomeUnknownError
from airflow_asr.api.pages import TranscriptListItem, TranscriptPage
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.look import look
from airflow_asr.jobs.results import summarise
from tests.hostile import replies
from tests.scripted_service import Reply, ScriptedService

KEY = "key-0123456789abcdef"
MESSAGE_LENGTH = 1500

CALLS: dict[str, Callable[[AssemblyAIClient], object]] = {
    "upload": lambda client: client.upload(iter([b"RIFF"])),
    "submit": lambda client: client.submit("https://h.example/a.wav", {"speaker_labels": True}),
    "get": lambda client: client.get("t-1"),
    "list": lambda client: client.list(),
    "walk": lambda client: next(client.walk(), None),
    "delete": lambda client: client.delete("t-1"),
    "sentences": lambda client: client.sentences("t-1"),
    "paragraphs": lambda client: client.paragraphs("t-1"),
    "subtitles": lambda client: client.subtitles("t-1", "srt"),
    "word_search": lambda client: client.word_search("t-1", ["yes"]),
    "redacted_audio": lambda client: client.redacted_audio("t-1"),
    "service_time": lambda client: client.service_time(0.0),
    "look": lambda client: look(client, "t-1", waited_s=0.0),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[ScriptedService]:
    with ScriptedService() as running:
        yield running


@contextlib.contextmanager
def client_of(service: ScriptedService) -> Iterator[AssemblyAIClient]:
    retry = RetryPolicy(tries=2)
    with AssemblyAIClient(KEY, base_url=service.url, retry=retry, sleep=lambda _: None) as client:
        yield client


def check_error(error: AssemblyAIError) -> None:
    shown = f"{error} {error!r} {''.join(traceback.format_exception(error))}"
    assert len(str(error)) <= MESSAGE_LENGTH
    assert not set(str(error)) & set("\n\r\x1b\0\u2028\u202e\ud800")
    assert KEY not in shown
    assert "X-Amz-Signature=abc" not in shown
    assert pickle.loads(pickle.dumps(error)).args == error.args


def read_everything(transcript: Transcript) -> None:
    """Ask a transcript all that it can be asked."""
    for view in ("id", "status", "error", "audio_url", "shown_audio_url", "text", "language_code", "speech_model_used"):
        assert isinstance(getattr(transcript, view), str | None)
    assert isinstance(transcript.deleted, bool)
    in_turns = [word for turn in transcript.turns(500) for word in turn.words]
    for span in (*transcript.turns(), *transcript.chunks(20, overlap=1), transcript.between(0, 10_000)):
        assert isinstance(span.text, str)
        assert span.duration_ms >= 0
        assert repr(span)
        assert all(isinstance(name, str) for name in span.speakers)
        assert span.confidence is None or isinstance(span.confidence, float | int)
    assert [word for chunk in transcript.chunks(20) for word in chunk.words] == in_turns
    for said in transcript.utterances:
        assert said.duration_ms >= 0
        assert isinstance(said.text, str)
    summary = summarise(transcript)
    encoded = json.dumps(summary, allow_nan=False)
    assert len(encoded) < 16 * 1024
    assert "X-Amz-Signature=abc" not in encoded
    assert "\\u0000" not in encoded
    json.dumps(summary, ensure_ascii=False).encode()  # No half of a character.


def read_row(row: TranscriptListItem) -> None:
    assert row.id
    assert row.status
    assert "X-Amz" not in repr(row)
    for view in ("error", "audio_url", "created", "completed"):
        try:
            getattr(row, view)
        except AssemblyAIError as error:
            check_error(error)


@pytest.mark.parametrize("call", CALLS)
@given(reply=replies.any_reply)
def test_any_json_is_a_value_or_an_error_of_ours(shared: ScriptedService, call: str, reply: object) -> None:
    shared.forget()
    shared.json(reply).json({})
    with client_of(shared) as client:
        try:
            value = CALLS[call](client)
        except AssemblyAIError as error:
            check_error(error)
            return
    if isinstance(value, Transcript):
        read_everything(value)
    if isinstance(value, TranscriptPage):
        for row in value:
            read_row(row)


@pytest.mark.parametrize("call", ["submit", "get", "list", "subtitles", "redacted_audio"])
@given(status=replies.statuses, body=st.binary(max_size=60) | replies.any_reply, headers=replies.headers)
@example(200, b"<html>", {"Content-Type": "text/html; charset=idna"})
@example(302, b"", {"Location": "http://[::1"})
@example(307, b"", {"Location": "http://evil.example/\xff"})
@example(200, b"{}", {"Date": "Mon, 1 Jan 2026 00:00:00 +99999999999999999999"})
def test_any_status_body_and_headers_are_a_value_or_an_error_of_ours(
    shared: ScriptedService, call: str, status: int, body: bytes | object, headers: dict[str, str]
) -> None:
    shared.forget()
    shared.add(Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers))
    with client_of(shared) as client:
        try:
            CALLS[call](client)
        except AssemblyAIError as error:
            check_error(error)


@given(reply=replies.transcripts)
def test_any_field_of_a_transcript_can_be_asked_for(reply: dict[str, Any]) -> None:
    read_everything(Transcript({**reply, "id": "t-1", "status": "completed"}))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("opening", ["[", '{"error":', '{"id":'])
def test_json_that_is_too_deep_to_be_read_is_no_json(
    shared: ScriptedService, call: str, status: int, opening: str
) -> None:
    shared.forget()
    shared.add(Reply(status, opening.encode() * 100_000))
    with client_of(shared) as client:
        if (call, status) == ("subtitles", 200):
            return  # Captions are any text.
        if (call, status) == ("look", 500) or (call == "look" and status == 200):
            assert look(client, "t-1", waited_s=0) is None  # A hiccup.
            return
        with pytest.raises(AssemblyAIError) as raised:
            CALLS[call](client)
    check_error(raised.value)


# Texts that are huge -------------------------------------------------------------------------------------------------

LETTERS = ("a", "a.", "http://", "/upload/", "authorization: basic ", "token=", " ", "\n", "é", '"', "\x1b[31m")


@pytest.mark.parametrize("letter", LETTERS)
def test_a_huge_reason_makes_a_short_message_and_a_short_log(
    shared: ScriptedService, letter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The text of a megabyte used to take hours."""
    huge = letter * (1_000_000 // len(letter))
    shared.forget()
    shared.json({"error": huge}, 500).json({"error": huge}, 500)
    shared.json({"id": "t-1", "status": "error", "error": huge, "audio_url": "https://h.example/" + huge})
    with client_of(shared) as client, caplog.at_level(logging.DEBUG, "airflow_asr"):
        with pytest.raises(AssemblyAIError) as raised:
            client.get("t-1")
        check_error(raised.value)
        read_everything(client.get("t-1"))
        assert all(len(record.getMessage()) <= MESSAGE_LENGTH + 100 for record in caplog.records)
    assert caplog.records


# Names ---------------------------------------------------------------------------------------------------------------

NO_NAMES = ["", " ", ".", "..", "a\nb", "a\r\nX: y", "\0", "\ud800", "\u2028", "a\x1b[31m", "x" * 201]
STRANGE_NAMES = ["a/b", "../x", "a?b=c#d", "%2e%2e", "a b", "ü", "👩", "a\\b", "~", "*", ";", "..."]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_cannot_be_an_id_is_never_taken_for_one(shared: ScriptedService, name: str) -> None:
    shared.forget()
    shared.json({"id": name, "status": "completed"})
    with client_of(shared) as client:
        for call in ("get", "delete", "submit"):
            with pytest.raises((InvalidReplyError, SubmitOutcomeUnknownError)) as raised:
                CALLS[call](client)
            check_error(raised.value)
        made = len(shared.requests)
        for method in (client.get, client.delete, client.sentences, client.redacted_audio):
            with pytest.raises(RequestError, match="no transcript id") as refused:
                method(name)
            check_error(refused.value)
        assert len(shared.requests) == made


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_strange_id_stays_one_segment_of_the_path(shared: ScriptedService, name: str) -> None:
    shared.forget()
    shared.json({"id": name, "status": "completed"})
    with client_of(shared) as client:
        assert client.get(name).id == name
    path = shared.requests[0].path
    assert path.startswith("/v2/transcript/")
    assert path.count("/") == 3
    assert shared.requests[0].query == {}


@pytest.mark.parametrize("cursor", NO_NAMES)
def test_a_page_link_with_no_id_is_an_error(shared: ScriptedService, cursor: str) -> None:
    row = {"id": "t-1", "status": "completed", "created": "2026-06-10T15:38:19"}
    link = f"{shared.url}/v2/transcript?before_id={cursor}"
    shared.forget()
    shared.json({"transcripts": [row], "page_details": {"prev_url": link}})
    with client_of(shared) as client, pytest.raises(InvalidReplyError):
        list(client.walk())
    assert len(shared.requests) <= 2
