"""What a recogniser is to the local server: one call, from an audio file to timed words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RecognitionRequest:
    """The part of a transcript request that a recogniser needs to know.

    ``language_code`` is written as the service writes it (``en_us``); ``None`` means: find out.
    ``start_ms`` and ``end_ms`` cut the audio; the times of the words stay those of the whole file.
    ``keyterms`` are words and phrases that are likely to be said.
    """

    language_code: str | None = None
    multichannel: bool = False
    start_ms: int | None = None
    end_ms: int | None = None
    keyterms: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecognisedWord:
    """One word, with its times in milliseconds from the start of the file and a confidence from 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class Recognition:
    """What was heard. ``channels`` has one entry, or one for each audio channel if multichannel was asked for."""

    duration_s: float
    language_code: str
    language_confidence: float | None
    channels: tuple[tuple[RecognisedWord, ...], ...]


class AudioError(Exception):
    """The audio cannot be transcribed; the message becomes the ``error`` of the transcript."""


class UnsupportedRequestError(ValueError):
    """The recogniser can never serve this request; the message says why."""


class UnsupportedLanguageError(UnsupportedRequestError):
    """The recogniser does not speak the language that was asked for."""


class Engine(Protocol):
    """A recogniser. ``recognise`` is called from several threads at once."""

    @property
    def name(self) -> str:
        """What ``speech_model_used`` will say, for example ``whisper-tiny.en``."""
        ...

    def check(self, request: RecognitionRequest) -> None:
        """Raise UnsupportedRequestError if the request can never be served, before it is accepted."""
        ...

    def recognise(self, audio: Path, request: RecognitionRequest) -> Recognition:
        """Transcribe a file.

        Raises:
            AudioError: the file holds no audio that can be decoded, or too little of it.
        """
        ...
