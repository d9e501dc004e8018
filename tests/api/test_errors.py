from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_asr.api import errors
from airflow_asr.api.errors import (
    AccountError,
    AssemblyAIError,
    AudioUrlError,
    AuthenticationError,
    BalanceError,
    ForbiddenError,
    InputError,
    NoSpeechError,
    PolicyError,
    RateLimitError,
    RedirectError,
    RequestError,
    ServerError,
    SubmitOutcomeUnknownError,
    TranscriptNotFoundError,
    UnclassifiedError,
    UploadRefusedError,
    from_reply,
    from_transcript,
)

SIGNED = "https://bucket.s3.amazonaws.com/calls/a.wav?X-Amz-Credential=CRED123&X-Amz-Signature=SIG456"
UPLOAD = "https://cdn.assemblyai.com/upload/6c1c5b0f-UPLOAD789"

# What a reply says -> what it is. The texts are those that the service's documentation and its users have recorded.
REPLIES = [
    (401, "Authentication error, API token missing/invalid", AuthenticationError, "account", False),
    (401, "Invalid API key", AuthenticationError, "account", False),
    (400, "Your current account balance is negative. Please top up to continue.", BalanceError, "account", False),
    (402, "", BalanceError, "account", False),
    (403, "Cannot access uploaded file", ForbiddenError, "account", False),
    (403, "Forbidden", ForbiddenError, "account", False),
    (400, "The following models are not available in this language: speaker_labels", RequestError, "config", False),
    (400, '"speech_models" must be a non-empty list', RequestError, "config", False),
    (400, 'The "universal-3-pro" speech model(s) have been deprecated.', RequestError, "config", False),
    (400, "`speech_model` parameter is deprecated. Use `speech_models`", RequestError, "config", False),
    (400, "Transcript lookup error, transcript id not found", TranscriptNotFoundError, "config", False),
    (404, "Not found", RequestError, "config", False),
    (302, "redirect to https://elsewhere.example/login", RedirectError, "config", False),
    (422, "Upload failed, please try again", UploadRefusedError, "service", True),
    (429, "Too Many Requests", RateLimitError, "service", True),
    (408, "Request Timeout", ServerError, "service", True),
    (500, "Internal Server Error", ServerError, "service", True),
    (502, "<html><h1>Bad Gateway</h1></html>", ServerError, "service", True),
    (503, "", ServerError, "service", True),
    (504, "upstream timed out", ServerError, "service", True),
]


@pytest.mark.parametrize(("status", "text", "kind_of", "kind", "retryable"), REPLIES)
def test_a_refusal_has_the_class_that_tells_whose_fault_it_is(
    status: int, text: str, kind_of: type[AssemblyAIError], kind: str, retryable: bool
) -> None:
    error = from_reply(status, text, doing="submit the transcript", transcript_id="t-1")
    assert type(error) is kind_of
    assert (error.kind, error.retryable) == (kind, retryable)
    assert str(status) in str(error)
    assert "Could not submit the transcript" in str(error)
    assert error.transcript_id == "t-1"


@pytest.mark.parametrize(
    ("status", "text", "advice"),
    [
        (401, "Invalid API key", "password"),
        (400, "account balance is negative", "Top up"),
        (403, "Cannot access uploaded file", "upload the file again"),
        (400, "models have been deprecated", "`speech_models`"),
        (400, "are not available in this language: x", "`language_code`"),
        (400, "Transcript lookup error, transcript id not found", "another account or region"),
        (301, "redirect to https://elsewhere.example", "base URL"),
        (400, "something new", "sending it again will not help"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, text: str, advice: str) -> None:
    assert advice in str(from_reply(status, text, doing="read"))


def test_a_negative_balance_is_no_matter_of_the_status() -> None:
    for status in (400, 401, 403, 422, 429, 500):
        assert isinstance(from_reply(status, "Current account balance is negative", doing="submit"), BalanceError)


def test_only_a_403_without_a_known_reason_may_be_the_request_limit() -> None:
    known = from_reply(403, "Cannot access uploaded file", doing="submit")
    unknown = from_reply(403, "Forbidden", doing="submit")
    assert isinstance(known, ForbiddenError)
    assert isinstance(unknown, ForbiddenError)
    assert not known.perhaps_throttled
    assert unknown.perhaps_throttled


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_wait_that_the_service_asks_for_is_kept(status: int) -> None:
    assert from_reply(status, "", doing="read", retry_after=7.0).retry_after == 7.0


# The `error` of a transcript that ended in error -> what it is.
ENDINGS = [
    (
        "Internal server error. Please retry your request. If the error persists, please contact "
        "support@assemblyai.com",
        ServerError,
        "service",
    ),
    ("Server error, developers have been alerted", ServerError, "service"),
    ("Download error, unable to download the file", AudioUrlError, "url"),
    (
        f"unable to download {SIGNED}. Please make sure the file exists and is accessible from the internet.",
        AudioUrlError,
        "url",
    ),
    (f"unable to access file at {SIGNED}", AudioUrlError, "url"),
    (f"Download error to {SIGNED}, 403 Client Error: Forbidden", AudioUrlError, "url"),
    (f"Download error to {SIGNED}, 404 Client Error: Not Found", InputError, "input"),
    (
        "File does not appear to contain audio. File type is text/html (HTML document, ASCII text)",
        InputError,
        "input",
    ),
    ("Transcoding failed. File type text/html", InputError, "input"),
    (
        "Transcoding failed. File does not appear to contain audio. File type is application/octet-stream (data)",
        InputError,
        "input",
    ),
    ("Transcoding failed", InputError, "input"),
    ("File type audio/x-foo may be unsupported", InputError, "input"),
    ("Audio duration is too short.", InputError, "input"),
    ("language_detection cannot be performed on files with no spoken audio.", NoSpeechError, "input"),
    (
        "detected language 'en', confidence 0.66, is below the requested confidence threshold value of '0.8'",
        PolicyError,
        "policy",
    ),
    ("Audio speech threshold 0.9461 is below the requested speech threshold value 1.0", PolicyError, "policy"),
]


@pytest.mark.parametrize(("text", "kind_of", "kind"), ENDINGS)
def test_the_reason_of_a_failed_transcript_is_recognised_in_any_case_of_letters(
    text: str, kind_of: type[AssemblyAIError], kind: str
) -> None:
    for said in (text, text.upper()):
        error = from_transcript(said, transcript_id="t-1", audio="/data/a.wav")
        assert type(error) is kind_of
        assert error.kind == kind
        assert error.transcript_id == "t-1"
        assert "t-1 of /data/a.wav" in str(error)
        assert "not charged" in str(error)


@pytest.mark.parametrize(("text", "kind_of", "_"), ENDINGS)
def test_only_what_can_pass_by_itself_is_retryable(text: str, kind_of: type[AssemblyAIError], _: str) -> None:
    assert from_transcript(text, transcript_id="t-1").retryable is (kind_of in (ServerError, AudioUrlError))


def test_a_web_page_behind_the_url_is_told_apart_from_a_bad_file() -> None:
    page = from_transcript("File does not appear to contain audio. File type is text/html", transcript_id="t-1")
    assert "web page" in str(page)


@pytest.mark.parametrize("text", ["The moon is in the wrong house", "x", "…"])
def test_an_unknown_reason_is_kept_and_not_forced_into_a_class(text: str) -> None:
    error = from_transcript(text, transcript_id="t-1")
    assert type(error) is UnclassifiedError
    assert text in str(error)
    assert error.kind == "unknown"
    assert error.retryable


@given(st.text(), st.integers(300, 599), st.none() | st.floats(0, 1e6))
@example("\ud800", 400, None)
@example("https://[", 500, None)
@example("text/html" * 1000, 404, None)
def test_whatever_the_service_says_becomes_an_error_of_ours(text: str, status: int, retry_after: float | None) -> None:
    for error in (
        from_reply(status, text, doing="read", retry_after=retry_after, transcript_id="t-1"),
        from_transcript(text, transcript_id="t-1"),
    ):
        assert isinstance(error, AssemblyAIError)
        assert error.transcript_id == "t-1"
        assert len(str(error)) <= 1500
        assert "\n" not in str(error)


words = st.text(st.sampled_from("abc .,:;!?'()[]{}<>|\\/\"=&%#@\n"), max_size=40)


@given(words, words, st.sampled_from([SIGNED, UPLOAD]), st.sampled_from([text for text, *_ in ENDINGS]))
def test_no_reason_leaks_a_signed_url_or_an_upload(before: str, after: str, url: str, known: str) -> None:
    text = f"{before} {url} {after} {known}"
    shown = str(from_transcript(text, transcript_id="t-1")) + str(from_reply(400, text, doing="read"))
    for secret in ("CRED123", "SIG456", "UPLOAD789"):
        assert secret not in shown


def test_the_name_of_the_audio_goes_before_the_message_without_its_query() -> None:
    error = from_reply(429, "Too Many Requests", doing="submit", retry_after=3.0)
    named = error.concerning("https://bucket.example/a.wav?sig=SECRET")
    assert named is error
    assert re.match(r"https://bucket\.example/a\.wav\?\[hidden\]:? Could not submit", str(named))
    assert named.retry_after == 3.0


def every_error_class() -> list[type[AssemblyAIError]]:
    found: list[type[AssemblyAIError]] = [AssemblyAIError]
    for each in found:
        found += [sub for sub in each.__subclasses__() if sub.__module__ == errors.__name__]
    return found


@pytest.mark.parametrize("error_class", every_error_class())
def test_every_error_survives_a_trip_to_another_process(error_class: type[AssemblyAIError]) -> None:
    error = error_class("What happened.", transcript_id="t-1", retry_after=2.5).concerning("/data/a.wav")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is error_class
    assert str(copy) == str(error) == "/data/a.wav: What happened."
    assert (copy.transcript_id, copy.retry_after) == ("t-1", 2.5)


def test_the_suspicion_of_throttling_survives_a_trip_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(from_reply(403, "Forbidden", doing="read", transcript_id="t-1")))
    assert copy.perhaps_throttled
    assert copy.transcript_id == "t-1"


def test_a_submission_of_unknown_fate_must_not_be_sent_again_by_itself() -> None:
    assert not SubmitOutcomeUnknownError("?").retryable
    assert not issubclass(SubmitOutcomeUnknownError, AccountError)
