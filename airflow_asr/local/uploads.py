"""Audio that was uploaded: files in the data directory, with a URL each."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from airflow_asr.local.clock import Clock
from airflow_asr.local.store import Store

LIFE = timedelta(hours=24)  # Of an upload that is not transcribed.

_PART = ".part"
_PATH = re.compile(r"/upload/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True)
class Upload:
    """An upload that was once complete; its file is gone after the transcript was deleted, or without one, in time."""

    path: Path
    broken: bool


class Uploads:
    """The uploads of one data directory.

    An upload is told from other URLs by its id, not by its host: the server may have another name or port by the time
    that the audio is used.
    """

    def __init__(self, directory: Path, store: Store, clock: Clock) -> None:
        self._directory = directory
        self._store = store
        self._clock = clock
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in directory.glob(f"*{_PART}"):
            part.unlink()  # An upload that the server did not live to see the end of.

    def begin(self) -> tuple[str, Path]:
        """A new id, and the file to write to until :meth:`finish`."""
        upload_id = str(uuid.uuid4())
        return upload_id, self._directory / f"{upload_id}{_PART}"

    def finish(self, upload_id: str, part: Path, *, broken: bool) -> None:
        """Make an upload known that was written to its end."""
        part.replace(self._directory / upload_id)
        self._store.add_upload(upload_id, broken=broken, expires=self._clock.stamp(LIFE))

    def find(self, url: str) -> Upload | None:
        """The upload that a URL stands for, or None if it stands for something else."""
        match = _PATH.fullmatch(urlsplit(url).path)
        if match is None:
            return None
        broken = self._store.upload_is_broken(match[1])
        return None if broken is None else Upload(self._directory / match[1], broken)

    def delete(self, url: str) -> None:
        """Remove the file of an upload; nothing happens if the URL is not one."""
        upload = self.find(url)
        if upload is not None:
            upload.path.unlink(missing_ok=True)

    def expire(self, upload_id: str) -> None:
        """Remove the file of an upload that nobody transcribed."""
        (self._directory / upload_id).unlink(missing_ok=True)
        self._store.forget_expiry(upload_id)
