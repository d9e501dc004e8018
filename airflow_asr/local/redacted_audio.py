"""Recordings with personal data made inaudible: files that live for a day, behind URLs that sign for themselves.

The service's URLs are signed ones of an object storage: whoever has one needs no key, and a request that sends a key
all the same is refused. A file is there before its transcript is completed, so a killed server leaves no transcript
whose file will never come.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from airflow_asr.local import bleep
from airflow_asr.local.clock import Clock
from airflow_asr.local.engine import Recognition
from airflow_asr.local.errors import ApiError
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.text_options import AUDIO_QUALITIES
from airflow_asr.local.transcribed import Transcribed

LIFE = timedelta(hours=24)

_PART = ".part"


class RedactedAudio:
    """The files.

    Args:
        directory: theirs alone; made if it is not there.
        clock: says how old they are.
        key: what their URLs are signed with.
    """

    def __init__(self, directory: Path, clock: Clock, key: str) -> None:
        self._directory = directory
        self._clock = clock
        self._key = key.encode()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for unfinished in directory.glob(f"*{_PART}"):
            unfinished.unlink()

    def make(
        self, transcript_id: str, audio: Path, heard: Recognition, said: Transcribed, request: TranscriptRequest
    ) -> None:
        """Make the file of a transcript, if it wants one and there is one to be."""
        options = request.redact_pii_audio_options or {}
        speech = bool(said.words) or options.get("return_redacted_no_speech_audio", False)
        if not request.redact_pii_audio or not speech:
            return
        quality = request.redact_pii_audio_quality
        silence = options.get("override_audio_redaction_method") == "silence"
        target = self._directory / f"{transcript_id}.{quality}"
        part = target.with_suffix(_PART)
        try:
            bleep.copy(audio, part, said.redacted_ms, quality=quality, silence=silence)
        except ValueError:  # No audio: the echo takes any file for a recording, and its own scripts.
            bleep.pretend(heard.duration_s, part, said.redacted_ms, quality=quality, silence=silence)
        made = self._clock.now().timestamp()
        os.utime(part, (made, made))
        os.replace(part, target)

    def url(self, transcript_id: str, base_url: str) -> str | None:
        """Where the file of a transcript is served; None if there is none, or none any more."""
        for quality in AUDIO_QUALITIES:
            name = f"{transcript_id}.{quality}"
            expires = self._expires(self._directory / name)
            if expires is not None and expires > self._clock.now():
                seconds = str(int(expires.timestamp()))
                query = urlencode({"Expires": seconds, "Signature": self._signature(name, seconds)})
                return f"{base_url}/redacted-audio/{name}?{query}"
        return None

    def file(self, name: str, query: Mapping[str, str]) -> Path:
        """The file that a URL names.

        Raises:
            ApiError: 403 if its signature is wrong or its day is over, 404 if the file was deleted.
        """
        expires = query.get("Expires", "")
        expected = self._signature(name, expires)
        if not hmac.compare_digest(query.get("Signature", "").encode(), expected.encode()):
            raise ApiError("AccessDenied", 403)
        if int(expires) <= self._clock.now().timestamp():
            raise ApiError("AccessDenied: the URL of this redacted audio has expired", 403)
        path = self._directory / name
        if not path.is_file():
            raise ApiError("Not found", 404)
        return path

    def delete(self, transcript_id: str) -> None:
        """Remove the file of a transcript, if there is one."""
        for quality in AUDIO_QUALITIES:
            (self._directory / f"{transcript_id}.{quality}").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the files whose day is over."""
        for path in self._directory.iterdir():
            expires = self._expires(path)
            if path.suffix != _PART and expires is not None and expires <= self._clock.now():
                path.unlink(missing_ok=True)

    def _expires(self, path: Path) -> datetime | None:
        try:
            return datetime.fromtimestamp(path.stat().st_mtime, UTC) + LIFE
        except FileNotFoundError:
            return None

    def _signature(self, name: str, expires: str) -> str:
        return hmac.new(self._key, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()
