"""Words as a recogniser's, made from text."""

from __future__ import annotations

from airflow_asr.local.words import Word


def spoken(text: str, channel: str | None = None, start_ms: int = 0) -> list[Word]:
    """The words of a text, two a second."""
    return [
        {
            "text": part,
            "start": start_ms + number * 500,
            "end": start_ms + number * 500 + 400,
            "confidence": 0.9,
            "speaker": channel,
            **({} if channel is None else {"channel": channel}),
        }
        for number, part in enumerate(text.split())
    ]


def text_of(words: list[Word]) -> str:
    return " ".join(word["text"] for word in words)
