"""Which webhooks may be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_asr.local.errors import ApiError
from airflow_asr.local.params import TranscriptRequest, parse

AUDIO = "https://a.example/b.mp3"
HOOK = "https://hook.example/done?customer=7"


def refusal(**body: Any) -> str:
    with pytest.raises(ApiError) as caught:
        parse({"audio_url": AUDIO, **body})
    assert caught.value.status == 400
    return caught.value.message


def test_accepted() -> None:
    name, value = "A-z_9" * 200, "ä " * 500
    _, request = parse(
        {
            "audio_url": AUDIO,
            "webhook_url": HOOK,
            "webhook_auth_header_name": name,
            "webhook_auth_header_value": value,
        }
    )
    assert (request.webhook_url, request.webhook_auth_header_name) == (HOOK, name)
    assert request.webhook_auth_header_value == value
    assert TranscriptRequest.from_json(request.to_json()) == request


@pytest.mark.parametrize(
    "url", ["", "hook", "/hook", "ftp://a.example/", "file:///etc/passwd", "http://", "http://a:b/", "http://[a/"]
)
def test_url(url: str) -> None:
    assert "webhook_url must be an http:// or https:// URL" in refusal(webhook_url=url)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "ä", "a" * 1001])
def test_header_name(name: str) -> None:
    message = refusal(webhook_url=HOOK, webhook_auth_header_name=name, webhook_auth_header_value="s")
    assert "webhook_auth_header_name must be" in message


@pytest.mark.parametrize("value", ["", "a\r\nb", "a\n", "\r", "a" * 1001])
def test_header_value(value: str) -> None:
    message = refusal(webhook_url=HOOK, webhook_auth_header_name="X", webhook_auth_header_value=value)
    assert "webhook_auth_header_value must be" in message


def test_what_needs_what() -> None:
    assert "need each other" in refusal(webhook_url=HOOK, webhook_auth_header_name="X")
    assert "need each other" in refusal(webhook_url=HOOK, webhook_auth_header_value="s")
    assert "need webhook_url" in refusal(webhook_auth_header_name="X", webhook_auth_header_value="s")


@pytest.mark.parametrize("name", ["webhook_url", "webhook_auth_header_name", "webhook_auth_header_value"])
def test_type(name: str) -> None:
    assert f"{name} must be a string" in refusal(**{name: 1})
    assert parse({"audio_url": AUDIO, name: None}) == (AUDIO, TranscriptRequest())
