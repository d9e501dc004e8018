"""The parameters of ``POST /v2/transcript``: which of them are served, and what is said about the others.

Nothing is ignored. A parameter that has no effect here is refused, unless it asks for what it would do anyway: its
documented default, ``null``, or an empty list.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_asr.local import text_options, webhook_target
from airflow_asr.local.engine import RecognitionRequest
from airflow_asr.local.errors import ApiError


@dataclass(frozen=True)
class TranscriptRequest:
    """What is done for one transcript. Its audio URL is kept apart, because DELETE blanks it.

    ``base_url`` is no parameter: it is how this server was called, for the URLs that it makes later.
    """

    speech_models: tuple[str, ...] | None = None
    language_code: str | None = None
    language_detection: bool | None = None
    punctuate: bool = True
    format_text: bool = True
    multichannel: bool = False
    audio_start_from: int | None = None
    audio_end_at: int | None = None
    webhook_url: str | None = None
    webhook_auth_header_name: str | None = None
    webhook_auth_header_value: str | None = None
    custom_spelling: list[dict[str, Any]] | None = None
    disfluencies: bool = False
    filter_profanity: bool = False
    keyterms_prompt: list[str] | None = None
    redact_pii: bool = False
    redact_pii_policies: list[str] | None = None
    redact_pii_sub: str = "hash"
    redact_pii_return_unredacted: bool = False
    redact_static_entities: dict[str, list[str]] | None = None
    redact_pii_audio: bool = False
    redact_pii_audio_quality: str = "mp3"
    redact_pii_audio_options: dict[str, Any] | None = None
    base_url: str = ""

    def recognition(self) -> RecognitionRequest:
        """The part of it that is the recogniser's business."""
        return RecognitionRequest(
            language_code=self.language_code,
            multichannel=self.multichannel,
            start_ms=self.audio_start_from,
            end_ms=self.audio_end_at,
            keyterms=tuple(self.keyterms_prompt or ()),
        )

    def to_json(self) -> str:
        """For the database."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TranscriptRequest:
        """Read back what :meth:`to_json` wrote."""
        fields = json.loads(text)
        models = fields.pop("speech_models")
        return cls(speech_models=None if models is None else tuple(models), **fields)


@dataclass(frozen=True)
class _Parameter:
    """A documented parameter: its type in words, and the value that stands for leaving it out."""

    kind: str
    default: Any = None


_SERVED: Mapping[str, _Parameter] = {
    "audio_url": _Parameter("a string"),
    "speech_models": _Parameter("a list of strings"),
    "language_code": _Parameter("a string"),
    "language_detection": _Parameter("a boolean"),
    "punctuate": _Parameter("a boolean"),
    "format_text": _Parameter("a boolean"),
    "multichannel": _Parameter("a boolean"),
    "audio_start_from": _Parameter("an integer"),
    "audio_end_at": _Parameter("an integer"),
    "webhook_auth_header_name": _Parameter("a string"),
    "webhook_auth_header_value": _Parameter("a string"),
    "webhook_url": _Parameter("a string"),
    "custom_spelling": _Parameter("a list", []),
    "disfluencies": _Parameter("a boolean", False),
    "filter_profanity": _Parameter("a boolean", False),
    "keyterms_prompt": _Parameter("a list of strings", []),
    "redact_pii": _Parameter("a boolean", False),
    "redact_pii_policies": _Parameter("a list of strings", []),
    "redact_pii_sub": _Parameter("a string", "hash"),
    "redact_pii_return_unredacted": _Parameter("a boolean", False),
    "redact_static_entities": _Parameter("an object", {}),
    "redact_pii_audio": _Parameter("a boolean", False),
    "redact_pii_audio_quality": _Parameter("a string", "mp3"),
    "redact_pii_audio_options": _Parameter("an object", {}),
}

_NOT_SERVED: Mapping[str, _Parameter] = {
    **dict.fromkeys(
        (
            "auto_chapters",
            "auto_highlights",
            "content_safety",
            "custom_topics",
            "entity_detection",
            "iab_categories",
            "sentiment_analysis",
            "speaker_labels",
            "summarization",
        ),
        _Parameter("a boolean", False),
    ),
    "content_safety_confidence": _Parameter("an integer", 50),
    "domain": _Parameter("a string"),
    "keyterms_prompt_options": _Parameter("an object"),
    "language_codes": _Parameter("a list of strings", []),
    "language_confidence_threshold": _Parameter("a number", 0),
    "language_detection_options": _Parameter("an object"),
    "prompt": _Parameter("a string"),
    "remove_audio_tags": _Parameter("a string", "all"),
    "speaker_options": _Parameter("an object"),
    "speakers_expected": _Parameter("an integer"),
    "speech_model": _Parameter("a string"),
    "speech_threshold": _Parameter("a number", 0),
    "speech_understanding": _Parameter("an object"),
    "summary_model": _Parameter("a string", "informative"),
    "summary_type": _Parameter("a string", "bullets"),
    "temperature": _Parameter("a number", 0),
    "topics": _Parameter("a list of strings", []),
}

_DOCUMENTED: Mapping[str, _Parameter] = {**_SERVED, **_NOT_SERVED}

# What the plain "cannot serve it" would leave the reader to find out.
_REASONS: Mapping[str, str] = {
    "speaker_labels": ("it does not tell voices apart. If each speaker has a channel of their own, use multichannel."),
    "speakers_expected": "it does not tell voices apart. Leave it out.",
    "speaker_options": "it does not tell voices apart. Leave it out.",
    "language_codes": "it transcribes one language per file. Use language_code, or leave both out to have it detected.",
}

_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "a boolean": lambda value: isinstance(value, bool),
    "an integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "a number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "a string": lambda value: isinstance(value, str),
    "a list": lambda value: isinstance(value, list),
    "a list of strings": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "an object": lambda value: isinstance(value, dict),
}

_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(_[a-z0-9]+)*")


def parse(body: object) -> tuple[str, TranscriptRequest]:
    """The audio URL and the rest of a create request.

    Raises:
        ApiError: 400, naming the parameter and what to do about it.
    """
    if not isinstance(body, dict):
        raise ApiError("Transcript creation error, the request body must be a JSON object")
    for name in body:
        _check_known(name)
    # The service's SDKs leave null out, others send it: both mean the default.
    sent = {name: value for name, value in body.items() if value is not None}
    if "audio_url" not in sent:
        raise ApiError("Transcript creation error, audio_url not found")
    for name, value in sent.items():
        _check_type(name, value)
        _check_served(name, value)
    audio_url = sent.pop("audio_url")
    _check_audio_url(audio_url)
    _check_speech_models(sent)
    _check_language(sent)
    _check_cut(sent)
    webhook_target.check(sent)
    served = {name: value for name, value in sent.items() if value != _DOCUMENTED[name].default}
    text_options.check(served)
    if "speech_models" in served:
        served["speech_models"] = tuple(served["speech_models"])
    return audio_url, TranscriptRequest(**served)


def _check_known(name: str) -> None:
    if name in _DOCUMENTED:
        return
    similar = difflib.get_close_matches(name, _DOCUMENTED, n=1)
    hint = f" Did you mean {similar[0]!r}?" if similar else " Leave it out."
    raise ApiError(f"Transcript creation error, {name!r} is not a parameter of POST /v2/transcript.{hint}")


def _check_type(name: str, value: object) -> None:
    kind = _DOCUMENTED[name].kind
    if name == "speech_models":
        return  # It has a message of its own.
    if not _CHECKS[kind](value):
        raise ApiError(f"Transcript creation error, {name} must be {kind}, not {_json_type(value)}")


def _check_served(name: str, value: object) -> None:
    if name in _SERVED or value == _NOT_SERVED[name].default:
        return
    if name == "speech_model":
        raise ApiError(
            "`speech_model` parameter is deprecated. Use `speech_models` instead, for example "
            '["universal-3-5-pro", "universal-2"].'
        )
    reason = _REASONS.get(name)
    if reason is None:
        raise ApiError(
            f"The local server cannot serve {name}. Leave it out, or send this request to the service itself."
        )
    raise ApiError(f"The local server cannot serve {name}: {reason}")


def _check_audio_url(url: str) -> None:
    if not webhook_target.is_http_url(url):
        raise ApiError(
            "Transcript creation error, audio_url must be an http:// or https:// URL. The server opens no files by "
            "their path: send the audio to /v2/upload and use the upload_url that it returns."
        )


def _check_speech_models(sent: Mapping[str, Any]) -> None:
    models = sent.get("speech_models", ["any"])
    if not isinstance(models, list) or not models or not all(isinstance(model, str) and model for model in models):
        raise ApiError(
            '"speech_models" must be a non-empty list of model names, for example ["universal-3-5-pro", "universal-2"].'
        )


def _check_language(sent: Mapping[str, Any]) -> None:
    code, detection = sent.get("language_code"), sent.get("language_detection")
    if code is None:
        if detection is False:
            raise ApiError("language_detection is false, so language_code must be set. Set it, or leave both out.")
        return
    if detection:
        raise ApiError("language_code and language_detection cannot be used together. Leave one of them out.")
    if not _LANGUAGE_CODE.fullmatch(code):
        raise ApiError(f"language_code {code!r} is not one: write it in lower case with underscores, like en or en_us.")


def _check_cut(sent: Mapping[str, Any]) -> None:
    start, end = sent.get("audio_start_from"), sent.get("audio_end_at")
    for name, value in (("audio_start_from", start), ("audio_end_at", end)):
        if value is not None and not 0 <= value < 2**53:
            raise ApiError(f"Transcript creation error, {name} must be a number of milliseconds from 0, not {value}")
    if end is not None and end <= (start or 0):
        raise ApiError(
            f"Transcript creation error, audio_end_at ({end} ms) must be after audio_start_from ({start or 0} ms)"
        )


def _json_type(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
