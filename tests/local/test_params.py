"""Which parameters are served, and what is said about the others."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.local.errors import ApiError
from airflow_asr.local.params import TranscriptRequest, parse

AUDIO = "https://audio.example/a.mp3"

# Every parameter that the service documented in August 2026 and that needs more than a recogniser.
UNSERVED: dict[str, Any] = {
    **dict.fromkeys(
        [
            "auto_chapters",
            "auto_highlights",
            "content_safety",
            "custom_topics",
            "entity_detection",
            "iab_categories",
            "sentiment_analysis",
            "speaker_labels",
            "summarization",
        ],
        True,
    ),
    "content_safety_confidence": 60,
    "domain": "medical-v1",
    "language_codes": ["en", "es"],
    "language_confidence_threshold": 0.7,
    "language_detection_options": {"expected_languages": ["en"]},
    "prompt": "A call about insurance.",
    "remove_audio_tags": "speaker",
    "speaker_options": {"min_speakers_expected": 2},
    "speakers_expected": 2,
    "speech_model": "best",
    "speech_threshold": 0.5,
    "speech_understanding": {"request": {"translation": {"target_languages": ["es"]}}},
    "summary_model": "catchy",
    "summary_type": "gist",
    "temperature": 0.2,
    "topics": ["news"],
}
DEFAULTS: dict[str, Any] = {
    **{name: False for name, value in UNSERVED.items() if value is True},
    "disfluencies": False,
    "filter_profanity": False,
    "redact_pii": False,
    "redact_pii_audio": False,
    "redact_pii_audio_options": {},
    "redact_pii_policies": [],
    "redact_pii_return_unredacted": False,
    "redact_static_entities": {},
    "content_safety_confidence": 50,
    "custom_spelling": [],
    "keyterms_prompt": [],
    "language_confidence_threshold": 0.0,
    "redact_pii_audio_quality": "mp3",
    "redact_pii_sub": "hash",
    "remove_audio_tags": "all",
    "speech_threshold": 0,
    "summary_model": "informative",
    "summary_type": "bullets",
    "temperature": 0,
    "topics": [],
}


def refusal(**body: Any) -> str:
    with pytest.raises(ApiError) as caught:
        parse({"audio_url": AUDIO, **body})
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize(("name", "value"), UNSERVED.items())
def test_what_is_not_served_is_refused_by_name(name: str, value: object) -> None:
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("name", sorted(UNSERVED | DEFAULTS))
def test_null_is_the_default_of_everything(name: str) -> None:
    assert parse({"audio_url": AUDIO, name: None}) == (AUDIO, TranscriptRequest())


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_defaults_are_no_request(name: str, value: object) -> None:
    assert parse({"audio_url": AUDIO, name: value}) == (AUDIO, TranscriptRequest())


def test_everything_that_is_served() -> None:
    body = {
        "audio_url": AUDIO,
        "speech_models": ["universal-3-pro", "universal-2"],
        "language_code": "en_us",
        "language_detection": False,
        "punctuate": False,
        "format_text": False,
        "multichannel": True,
        "audio_start_from": 0,
        "audio_end_at": 5000,
    }
    audio_url, request = parse(body)
    assert audio_url == AUDIO
    assert request == TranscriptRequest(("universal-3-pro", "universal-2"), "en_us", False, False, False, True, 0, 5000)
    assert TranscriptRequest.from_json(request.to_json()) == request
    assert TranscriptRequest.from_json(TranscriptRequest().to_json()) == TranscriptRequest()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("punctuate", "true", "punctuate must be a boolean, not a string"),
        ("punctuate", 0, "punctuate must be a boolean, not a number"),
        ("sentiment_analysis", 0, "sentiment_analysis must be a boolean, not a number"),
        ("audio_start_from", 1.5, "audio_start_from must be an integer, not a number"),
        ("audio_end_at", True, "audio_end_at must be an integer, not a boolean"),
        ("language_code", 7, "language_code must be a string, not a number"),
        ("audio_url", ["x"], "audio_url must be a string, not a list"),
        ("keyterms_prompt", "a", "keyterms_prompt must be a list of strings, not a string"),
        ("keyterms_prompt", [1], "keyterms_prompt must be a list of strings, not a list"),
        ("temperature", False, "temperature must be a number, not a boolean"),
        ("speaker_options", [], "speaker_options must be an object, not a list"),
    ],
)
def test_types(name: str, value: object, expected: str) -> None:
    assert expected in refusal(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "a.mp3",
        "/etc/passwd",
        "file:///etc/passwd",
        "FILE://localhost/etc/passwd",
        "ftp://host/a.mp3",
        "s3://bucket/a.mp3",
        "data:audio/wav;base64,AAAA",
        "http://",
        "https:///a.mp3",
        "http://[::1/a.mp3",
        "http://host:port/",
    ],
)
def test_audio_url_is_http(url: str) -> None:
    assert "audio_url must be an http:// or https:// URL" in refusal(audio_url=url)


@pytest.mark.parametrize("body", [{}, {"audio_url": None}])
def test_audio_url_is_needed(body: dict[str, None]) -> None:
    with pytest.raises(ApiError, match="audio_url not found"):
        parse(body)


@pytest.mark.parametrize(("name", "hint"), [("speach_models", "'speech_models'"), ("word_boost", ""), ("x", "")])
def test_unknown_parameters(name: str, hint: str) -> None:
    for value in (True, None):
        message = refusal(**{name: value})
        assert f"{name!r} is not a parameter" in message
        assert hint in message


@pytest.mark.parametrize("models", [[], "universal-2", [""], ["a", 1], [None], {}])
def test_speech_models_are_a_list(models: object) -> None:
    assert '"speech_models" must be a non-empty list' in refusal(speech_models=models)


@pytest.mark.parametrize("model", ["best", "nano", "slam-1", "universal"])
def test_speech_model_is_deprecated(model: str) -> None:
    assert refusal(speech_model=model).startswith("`speech_model` parameter is deprecated. Use `speech_models`")


def test_language() -> None:
    assert "must be set" in refusal(language_detection=False)
    assert "together" in refusal(language_detection=True, language_code="en")
    for code in ("en-US", "EN", "english language", ""):
        assert "language_code" in refusal(language_code=code)
    assert parse({"audio_url": AUDIO, "language_detection": True})[1].language_detection


@pytest.mark.parametrize("cut", [(-1, None), (None, -5), (5, 5), (6, 5), (None, 0), (2**60, None)])
def test_cut(cut: tuple[int | None, int | None]) -> None:
    assert "audio_" in refusal(audio_start_from=cut[0], audio_end_at=cut[1])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from([*UNSERVED, "audio_url", "speech_models", "language_code", "audio_end_at"])


@given(body=st.dictionaries(NAMES | st.text(max_size=5), JSON | st.just(AUDIO), max_size=6))
def test_whatever_is_sent_is_served_or_refused(body: dict[str, Any]) -> None:
    with suppress(ApiError):
        audio_url, request = parse(body)
        assert audio_url == body["audio_url"]
        assert TranscriptRequest.from_json(request.to_json()) == request
