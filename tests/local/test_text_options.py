"""The parameters about the text: what is refused, what is echoed, and what the transcript then says."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_asr.local import pii
from airflow_asr.local.errors import ApiError
from airflow_asr.local.params import TranscriptRequest, parse
from tests.local.http import Http

AUDIO = "https://audio.example/a.mp3"
REDACT = {"redact_pii": True, "redact_pii_policies": ["phone_number"]}
SPELLING = {"from": ["sequel"], "to": "SQL"}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"redact_pii": True}, "at least one policy in redact_pii_policies"),
    ({**REDACT, "format_text": False}, "redact_pii requires format_text to be true"),
    ({**REDACT, "redact_pii_sub": "entity_type"}, "redact_pii_sub must be hash or entity_name, not 'entity_type'"),
    ({"redact_pii_policies": ["phone_number"]}, "redact_pii_policies requires redact_pii to be true"),
    ({"redact_pii_sub": "entity_name"}, "redact_pii_sub requires redact_pii to be true"),
    ({"redact_pii_return_unredacted": True}, "redact_pii_return_unredacted requires redact_pii to be true"),
    ({"redact_static_entities": {"a": ["b"]}}, "redact_static_entities requires redact_pii to be true"),
    ({"redact_pii_audio": True}, "redact_pii_audio requires redact_pii to be true"),
    ({**REDACT, "redact_pii_audio_quality": "wav"}, "redact_pii_audio_quality requires redact_pii_audio to be true"),
    ({**REDACT, "redact_pii_audio": True, "redact_pii_audio_quality": "ogg"}, "must be mp3 or wav, not 'ogg'"),
    ({**REDACT, "redact_pii_audio_options": {"a": 1}}, "requires redact_pii_audio to be true"),
    ({**REDACT, "redact_pii_audio": True, "redact_pii_audio_options": {"a": 1}}, "has no option a"),
    (
        {**REDACT, "redact_pii_audio": True, "redact_pii_audio_options": {"override_audio_redaction_method": "beep"}},
        "override_audio_redaction_method must be silence",
    ),
    (
        {**REDACT, "redact_pii_audio": True, "redact_pii_audio_options": {"return_redacted_no_speech_audio": 1}},
        "return_redacted_no_speech_audio must be a boolean",
    ),
    ({**REDACT, "redact_static_entities": {"a,b": ["c"]}}, "a label must be"),
    ({**REDACT, "redact_static_entities": {"a": "c"}}, "the terms of 'a' must be a list"),
    ({**REDACT, "redact_static_entities": {"a": ["c"] * 201}}, "at most 200 terms"),
    ({**REDACT, "redact_static_entities": {str(n): ["c"] for n in range(101)}}, "at most 100 labels"),
    ({**REDACT, "language_code": "es"}, "models are not available in this language: redact_pii."),
    ({"filter_profanity": True, "language_code": "de"}, "models are not available in this language: filter_profanity."),
    ({"custom_spelling": ["sequel"]}, "custom_spelling must be a list of objects"),
    ({"custom_spelling": [{**SPELLING, "case": 1}]}, "custom_spelling must be a list of objects"),
    ({"custom_spelling": [{**SPELLING, "to": "S Q L"}]}, "to must be a single word"),
    ({"custom_spelling": [{**SPELLING, "from": []}]}, "from must be a list of words and phrases"),
    ({"custom_spelling": [{**SPELLING, "from": ["a", "-"]}]}, "from must be a list of words and phrases"),
    ({"custom_spelling": [{**SPELLING, "from": ["a b c d e f"]}]}, "at most 5 words"),
    ({"keyterms_prompt": ["a b c d e f g"]}, "at most 6 words"),
    ({"keyterms_prompt": ["a", " "]}, "must not have empty terms"),
    ({"keyterms_prompt": ["a"] * 1001}, "at most 1000 terms, not 1001"),
    ({"keyterms_prompt": ["a"] * 201, "speech_models": ["universal-2"]}, "at most 200 terms, not 201"),
]


@pytest.mark.parametrize(("config", "expected"), REFUSED)
def test_refused(config: dict[str, Any], expected: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse({"audio_url": AUDIO, **config})
    assert caught.value.status == 400
    assert expected in caught.value.message


def test_policies_that_cannot_be_served_are_named_with_those_that_can() -> None:
    policies = ["person_name", "phone_number", "organization", "person_name"]
    with pytest.raises(ApiError) as caught:
        parse({"audio_url": AUDIO, "redact_pii": True, "redact_pii_policies": policies})
    assert "cannot serve redact_pii_policies person_name, organization:" in caught.value.message
    assert ", ".join(pii.SERVED) in caught.value.message


def test_the_limits_themselves_are_served() -> None:
    config = {
        "keyterms_prompt": ["a b c d e f"] * 1000,
        "custom_spelling": [{"from": ["a b c d e", "x"], "to": "Z"}],
        "redact_pii": True,
        "redact_pii_policies": list(pii.SERVED),
        "redact_static_entities": {"A b_c-1" * 11: ["x" * 200] * 200},
        "language_code": "en_au",
    }
    _, request = parse({"audio_url": AUDIO, **config})
    assert TranscriptRequest.from_json(request.to_json()) == request
    assert len(request.recognition().keyterms) == 1000


def test_parameters_are_echoed(http: Http) -> None:
    plain = http.heard()
    assert {name: plain[name] for name in plain if name.startswith("redact_pii")} == {
        "redact_pii": False,
        "redact_pii_audio": False,
        "redact_pii_audio_quality": None,
        "redact_pii_policies": None,
        "redact_pii_return_unredacted": False,
    }
    assert (plain["disfluencies"], plain["filter_profanity"], plain["custom_spelling"]) == (False, False, None)
    assert not plain.keys() & {"keyterms_prompt", "unredacted_text", "unredacted_words", "base_url"}
    config = {
        **REDACT,
        "redact_pii_sub": "entity_name",
        "redact_pii_audio": True,
        "redact_pii_audio_quality": "wav",
        "redact_pii_audio_options": {"override_audio_redaction_method": "silence"},
        "redact_pii_return_unredacted": True,
        "keyterms_prompt": ["Airflow"],
        "custom_spelling": [SPELLING],
        "disfluencies": True,
        "filter_profanity": True,
    }
    for body in (created := http.say(config=config), http.wait(created["id"])):
        assert {name: body[name] for name in config} == config


def test_everything_that_is_made_of_a_transcript_is_redacted_alike(http: Http) -> None:
    config = {**REDACT, "multichannel": True, "redact_pii_return_unredacted": True}
    channels = ["Which number? I see.", "It is 212 555 0134. Yes."]
    body = http.heard(channels=channels, config=config)
    path = f"/v2/transcript/{body['id']}"
    texts = [
        body["text"],
        " ".join(word["text"] for word in body["words"]),
        " ".join(turn["text"] for turn in body["utterances"]),
        " ".join(word["text"] for turn in body["utterances"] for word in turn["words"]),
        " ".join(one["text"] for one in http.json(f"{path}/sentences")["sentences"]),
        " ".join(one["text"] for one in http.json(f"{path}/paragraphs")["paragraphs"]),
        http.get(f"{path}/srt").text,
        http.get(f"{path}/vtt").text,
    ]
    for text in texts:
        assert "####" in text
        assert not set(text.split()) & {"212", "555", "0134."}
    assert http.json(f"{path}/word-search", words="212,555,0134,number")["matches"][0]["text"] == "number"
    assert "212 555 0134." in " ".join(word["text"] for word in body["unredacted_words"] if word["channel"] == "2")
    assert body["unredacted_text"].split() == [word["text"] for word in body["unredacted_words"]]
    assert [turn["start"] for turn in body["unredacted_utterances"]] == [turn["start"] for turn in body["utterances"]]
    assert [{**word, "text": ""} for word in body["words"]] == [
        {**word, "text": ""} for word in body["unredacted_words"]
    ]


def test_nothing_unredacted_is_kept(http: Http) -> None:
    body = http.heard("Call 212 555 0134 now.", config=REDACT)
    assert body["text"] == "Call ### ### #### now."
    files = [path for path in http.server.data_dir.glob("transcripts.sqlite3*") if b"212 555 0134" in path.read_bytes()]
    assert files == []


def test_transforms_work_together(http: Http) -> None:
    config = {
        **REDACT,
        "redact_pii_sub": "entity_name",
        "redact_static_entities": {"PERSON_NAME": ["Laura Miller"]},
        "custom_spelling": [{"from": ["sequel"], "to": "SQL"}],
        "filter_profanity": True,
    }
    said = "Um, this damn sequel, uh, is Laura Miller's. Call 555-0134."
    body = http.heard(said, config=config)
    assert body["text"] == "This d*** SQL is [PERSON_NAME] [PERSON_NAME]. Call [PHONE_NUMBER]."
    assert http.heard(said, config={"disfluencies": True})["text"] == said
    assert http.heard("Um, er kommt.", language_code="de")["text"] == "Um, er kommt."
    assert http.heard("Uh, $5 for 18%.", config={"punctuate": False})["text"] == "$5 for 18%"
