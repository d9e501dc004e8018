"""The parameters of ``POST /v2/transcript`` about the text: spelling, key terms and redaction. What they may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_asr.local import pii
from airflow_asr.local.errors import ApiError
from airflow_asr.local.words import parts

REDACTION = "redact_pii"
POLICIES = "redact_pii_policies"
SUBSTITUTION = "redact_pii_sub"
UNREDACTED = "redact_pii_return_unredacted"
STATIC = "redact_static_entities"
AUDIO = "redact_pii_audio"
AUDIO_QUALITY = "redact_pii_audio_quality"
AUDIO_OPTIONS = "redact_pii_audio_options"
AUDIO_QUALITIES = ("mp3", "wav")

_SUBSTITUTIONS = ("hash", "entity_name")
_LONGEST_SPELLED = 5  # Words.
_LONGEST_KEYTERM = 6  # Words.
_MOST_KEYTERMS = 1000
_MOST_KEYTERMS_OF_UNIVERSAL_2 = 200
_MOST_LABELS, _LONGEST_LABEL = 100, 80
_MOST_TERMS, _LONGEST_TERM = 200, 200
_LABEL = re.compile(rf"[A-Za-z0-9 _-]{{1,{_LONGEST_LABEL}}}")


def check(sent: Mapping[str, Any]) -> None:
    """Refuse what the service documents as wrong, and what cannot be served.

    Args:
        sent: the parameters that are neither null nor their default, of the right types.

    Raises:
        ApiError: 400, naming the parameter.
    """
    _check_spelling(sent.get("custom_spelling", []))
    _check_keyterms(sent)
    _check_english(sent)
    _check_needs(sent)
    if REDACTION in sent:
        _check_redaction(sent)
    _check_static(sent.get(STATIC, {}))
    if AUDIO_OPTIONS in sent:
        _check_audio_options(sent[AUDIO_OPTIONS])


def _check_spelling(spellings: list[Any]) -> None:
    for rule in spellings:
        if not isinstance(rule, dict) or rule.keys() != {"from", "to"}:
            raise _wrong('custom_spelling must be a list of objects like {"from": ["sequel"], "to": "SQL"}')
        phrases, to = rule["from"], rule["to"]
        if not isinstance(to, str) or len(to.split()) != 1:
            raise _wrong("custom_spelling: to must be a single word")
        if not isinstance(phrases, list) or not phrases or not all(_is_phrase(phrase) for phrase in phrases):
            raise _wrong("custom_spelling: from must be a list of words and phrases")
        if any(len(phrase.split()) > _LONGEST_SPELLED for phrase in phrases):
            raise _wrong(f"custom_spelling: each phrase in from can have at most {_LONGEST_SPELLED} words")


def _is_phrase(phrase: object) -> bool:
    return isinstance(phrase, str) and bool(phrase.split()) and all(parts(word)[1] for word in phrase.split())


def _check_keyterms(sent: Mapping[str, Any]) -> None:
    terms = sent.get("keyterms_prompt", [])
    if any(not term.strip() for term in terms):
        raise _wrong("keyterms_prompt must not have empty terms")
    if any(len(term.split()) > _LONGEST_KEYTERM for term in terms):
        raise _wrong(f"each phrase of keyterms_prompt can have at most {_LONGEST_KEYTERM} words")
    only_universal_2 = sent.get("speech_models") == ["universal-2"]
    most = _MOST_KEYTERMS_OF_UNIVERSAL_2 if only_universal_2 else _MOST_KEYTERMS
    if len(terms) > most:
        raise _wrong(f"keyterms_prompt can have at most {most} terms, not {len(terms)}")


def _check_english(sent: Mapping[str, Any]) -> None:
    code = sent.get("language_code", "en")
    if code.partition("_")[0] == "en":
        return
    for name in (REDACTION, "filter_profanity"):
        if name in sent:
            # The service's words for a feature that does not speak a language.
            raise ApiError(
                f"The following models are not available in this language: {name}. The local server serves it for "
                "English only."
            )


def _check_needs(sent: Mapping[str, Any]) -> None:
    for name in (POLICIES, SUBSTITUTION, UNREDACTED, STATIC, AUDIO):
        if name in sent and REDACTION not in sent:
            raise _wrong(f"{name} requires {REDACTION} to be true")
    for name in (AUDIO_QUALITY, AUDIO_OPTIONS):
        if name in sent and AUDIO not in sent:
            raise _wrong(f"{name} requires {AUDIO} to be true")


def _check_redaction(sent: Mapping[str, Any]) -> None:
    policies = sent.get(POLICIES, [])
    if not sent.get("format_text", True):
        raise _wrong(f"{REDACTION} requires format_text to be true")
    if not policies:
        raise _wrong(f"{REDACTION} requires at least one policy in {POLICIES}")
    refused = [policy for policy in dict.fromkeys(policies) if policy not in pii.SERVED]
    if refused:
        raise ApiError(
            f"The local server cannot serve {POLICIES} {', '.join(refused)}: it finds personal data by patterns. It "
            f"serves {', '.join(pii.SERVED)}; names and other terms that you know can be redacted with {STATIC}."
        )
    _check_one_of(sent, SUBSTITUTION, _SUBSTITUTIONS)
    _check_one_of(sent, AUDIO_QUALITY, AUDIO_QUALITIES)


def _check_one_of(sent: Mapping[str, Any], name: str, values: tuple[str, ...]) -> None:
    if sent.get(name, values[0]) not in values:
        raise _wrong(f"{name} must be {' or '.join(values)}, not {sent[name]!r}")


def _check_static(entities: Mapping[str, Any]) -> None:
    if len(entities) > _MOST_LABELS:
        raise _wrong(f"{STATIC} can have at most {_MOST_LABELS} labels")
    for label, terms in entities.items():
        if not _LABEL.fullmatch(label):
            raise _wrong(
                f"{STATIC}: a label must be 1 to {_LONGEST_LABEL} ASCII letters, digits, spaces, underscores and "
                f"hyphens, not {label[:_LONGEST_LABEL]!r}"
            )
        if not isinstance(terms, list) or not all(_is_phrase(term) for term in terms):
            raise _wrong(f"{STATIC}: the terms of {label!r} must be a list of words and phrases")
        if len(terms) > _MOST_TERMS or any(len(term) > _LONGEST_TERM for term in terms):
            raise _wrong(
                f"{STATIC}: {label!r} can have at most {_MOST_TERMS} terms of at most {_LONGEST_TERM} characters"
            )


def _check_audio_options(options: Mapping[str, Any]) -> None:
    known = {"return_redacted_no_speech_audio", "override_audio_redaction_method"}
    unknown = options.keys() - known
    if unknown:
        raise _wrong(f"{AUDIO_OPTIONS} has no option {', '.join(sorted(unknown))}")
    if not isinstance(options.get("return_redacted_no_speech_audio", False), bool):
        raise _wrong(f"{AUDIO_OPTIONS}: return_redacted_no_speech_audio must be a boolean")
    if options.get("override_audio_redaction_method") not in (None, "silence"):
        raise _wrong(f"{AUDIO_OPTIONS}: override_audio_redaction_method must be silence")


def _wrong(message: str) -> ApiError:
    return ApiError(f"Transcript creation error, {message}")
