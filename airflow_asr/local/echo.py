"""A recogniser that hears nothing and answers at once, for tests that are not about speech.

The audio says what to answer, if it is JSON like this::

    {"echo": {"text": "Hello there.", "seconds": 12.5, "process_s": 3}}

``text`` is spread evenly over ``seconds`` of pretended audio. ``channels`` (a list of texts) takes its place where
there are several. ``process_s`` is how long recognition takes, ``error`` what it ends in. ``language_code`` and
``language_confidence`` are reported as heard. All of them may be left out. Any other file that is not text gets a
sentence about its size.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_asr.local.engine import AudioError, RecognisedWord, Recognition, RecognitionRequest
from airflow_asr.local.media import head_of

DEFAULT_PROCESS_S = 0.05

_SCRIPT = re.compile(rb'\s*\{\s*"echo"\s*:')
_LONGEST_SCRIPT_BYTES = 50_000_000
_WORD_S = 0.4  # How long a word lasts where the script does not say how long the audio is.
_BYTES_PER_SECOND = 32_000  # Of 16-bit sound at 16 kHz: what files are taken for.
_LONGEST_S = 10_000_000.0
_CONFIDENCE = 0.9


def is_script(head: bytes) -> bool:
    """Whether a file that begins like this tells the echo what to answer."""
    return _SCRIPT.match(head) is not None


@dataclass(frozen=True)
class _Script:
    channels: tuple[str, ...]
    seconds: float
    process_s: float
    error: str | None = None
    language_code: str | None = None
    language_confidence: float | None = None


class EchoEngine:
    """See the module.

    Args:
        process_s: seconds that recognition takes where the audio does not say.
    """

    def __init__(self, process_s: float = DEFAULT_PROCESS_S) -> None:
        self._process_s = process_s

    @property
    def name(self) -> str:
        """Always ``echo``."""
        return "echo"

    def check(self, request: RecognitionRequest) -> None:
        """Every language is welcome."""

    def recognise(self, audio: Path, request: RecognitionRequest) -> Recognition:
        """Answer what the file says, or something about its size."""
        script = self._script(audio)
        time.sleep(script.process_s)
        if script.error is not None:
            raise AudioError(script.error)
        channels = script.channels if request.multichannel else (" ".join(script.channels),)
        return Recognition(
            duration_s=script.seconds,
            language_code=request.language_code or script.language_code or "en_us",
            language_confidence=None if request.language_code else script.language_confidence,
            channels=tuple(_spoken(text, script.seconds, request) for text in channels),
        )

    def _script(self, audio: Path) -> _Script:
        size = audio.stat().st_size
        if not is_script(head_of(audio)):
            seconds = max(size / _BYTES_PER_SECOND, 1.0)
            return _Script((f"This recording of {size} bytes says nothing.",), seconds, self._process_s)
        if size > _LONGEST_SCRIPT_BYTES:
            raise AudioError(f"The echo script is longer than {_LONGEST_SCRIPT_BYTES} bytes.")
        try:
            script = json.loads(audio.read_bytes())["echo"]
            json.dumps(script, ensure_ascii=False, allow_nan=False).encode()  # What cannot be answered is refused.
            return self._read(script)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise AudioError(f"The echo script cannot be read: {error}") from error

    def _read(self, echo: dict[str, Any]) -> _Script:
        unknown = echo.keys() - {"text", "channels", "seconds", "process_s", "error", "language_code"}
        unknown -= {"language_confidence"}
        if unknown:
            raise ValueError(f"it has no field {', '.join(sorted(unknown))}")
        channels = echo.get("channels") or [echo.get("text", "")]
        if not isinstance(channels, list) or not all(isinstance(text, str) for text in channels):
            raise ValueError("text must be a string, and channels a list of them")
        for name in ("error", "language_code"):
            if not isinstance(echo.get(name), str | None):
                raise ValueError(f"{name} must be a string")
        confidence = echo.get("language_confidence")
        if confidence is not None and (isinstance(confidence, bool) or not isinstance(confidence, int | float)):
            raise ValueError("language_confidence must be a number")
        words = max(len(text.split()) for text in channels)
        return _Script(
            channels=tuple(channels),
            seconds=_duration("seconds", echo.get("seconds", max(words * _WORD_S, 1.0))),
            process_s=_duration("process_s", echo.get("process_s", self._process_s)),
            error=echo.get("error"),
            language_code=echo.get("language_code"),
            language_confidence=echo.get("language_confidence"),
        )


def _duration(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST_S:
        raise ValueError(f"{name} must be a number of seconds from 0, not {value!r}")
    return float(value)


def _spoken(text: str, seconds: float, request: RecognitionRequest) -> tuple[RecognisedWord, ...]:
    """Words spread evenly over the audio, without those outside of the part that was asked for."""
    words = text.split()
    step_ms = seconds * 1000 / max(len(words), 1)
    spoken = (
        RecognisedWord(word, round(number * step_ms), round((number + 0.8) * step_ms), _CONFIDENCE)
        for number, word in enumerate(words)
    )
    first = request.start_ms or 0
    last = float("inf") if request.end_ms is None else request.end_ms
    return tuple(word for word in spoken if word.start_ms >= first and word.end_ms <= last)
