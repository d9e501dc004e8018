"""What the routes do."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool

from airflow_asr.local import listing, params, render
from airflow_asr.local.clock import Clock
from airflow_asr.local.engine import UnsupportedRequestError
from airflow_asr.local.errors import TRANSCRIPT_NOT_FOUND, ApiError
from airflow_asr.local.expiry import Expiry
from airflow_asr.local.fetch import AudioFetcher
from airflow_asr.local.redacted_audio import RedactedAudio
from airflow_asr.local.runner import Runner
from airflow_asr.local.settings import Settings
from airflow_asr.local.store import COMPLETED, PROCESSING, QUEUED, Row, Store
from airflow_asr.local.uploads import Uploads
from airflow_asr.local.webhooks import Webhooks

LARGEST_REQUEST_BYTES = 1_000_000

_WRITE_BYTES = 1024 * 1024
# The service stores such a body as it is, framing and all, and finds no audio in it later.
_BREAKING_TYPES = ("multipart/form-data", "application/json")


class DataDirInUseError(RuntimeError):
    """Another server works in the same data directory, and would do the same jobs."""


class Service:
    """One data directory, its queue and its recogniser."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        directory = settings.data_dir
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as held:
            held.enter_context(_locked(settings))
            self._clock = Clock(directory / "clock")
            self._store = held.enter_context(closing(Store(directory / "transcripts.sqlite3", self._clock)))
            self._uploads = Uploads(directory / "uploads", self._store, self._clock)
            self._held = held.pop_all()
        fetcher = AudioFetcher(self._uploads, directory / "downloads", settings.max_download_bytes)
        self._webhooks = Webhooks(self._store, self._clock, interval_s=settings.webhook_interval_s)
        self._redacted = RedactedAudio(directory / "redacted", self._clock, settings.api_key)
        self._expiry = Expiry(self._store, self._uploads, self._redacted, self._clock)
        self._runner = Runner(
            self._store, fetcher, settings.engine, settings.concurrency, self._webhooks, self._redacted
        )

    def start(self) -> None:
        """Begin to work, with what was left unfinished first."""
        self._expiry.start()
        self._webhooks.start()
        self._runner.start()

    def stop(self) -> None:
        """Begin nothing more; what is unfinished waits for the next start."""
        self._runner.stop()
        self._webhooks.stop()
        self._expiry.stop()
        self._held.close()

    def time(self) -> str:
        """What the server's clock says."""
        return self._clock.stamp()

    def forward(self, seconds: float) -> None:
        """Move the server's clock forward, and do what is due by then.

        Raises:
            ApiError: it would be moved too far.
        """
        self._clock.forward(seconds)
        self._expiry.sweep()
        self._webhooks.wake()

    async def upload(self, chunks: AsyncIterator[bytes], headers: Mapping[str, str]) -> str | None:
        """Stream a body to the disk and return the id of the upload; None if the body is empty.

        Raises:
            ApiError: it is too large.
        """
        length = headers.get("Content-Length", "")
        if length.isdecimal():
            self._check_size(int(length))
        upload_id, part = self._uploads.begin()
        try:
            with part.open("wb") as file:
                size = await self._write(chunks, file)
            if not size:
                return None
            media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
            broken = media_type in _BREAKING_TYPES
            await run_in_threadpool(self._uploads.finish, upload_id, part, broken=broken)
            return upload_id
        finally:
            part.unlink(missing_ok=True)

    async def _write(self, chunks: AsyncIterator[bytes], file: BinaryIO) -> int:
        size = 0
        pending = bytearray()
        async for chunk in chunks:
            size += len(chunk)
            self._check_size(size)
            pending += chunk
            if len(pending) >= _WRITE_BYTES:
                await run_in_threadpool(file.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(file.write, bytes(pending))
        return size

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_upload_bytes:
            raise ApiError(f"Upload failed, the file is larger than {self._settings.max_upload_bytes} bytes")

    def create(self, body: object, base_url: str) -> dict[str, Any]:
        """Accept a transcript and return it."""
        audio_url, request = params.parse(body)
        try:
            self._settings.engine.check(request.recognition())
        except UnsupportedRequestError as error:
            raise ApiError(str(error)) from error
        request = dataclasses.replace(request, base_url=base_url)
        return render.transcript(self._runner.submit(audio_url, request), None)

    def page(self, query: Mapping[str, str], base_url: str) -> dict[str, Any]:
        """A page of the list."""
        return listing.page(self._store, query, base_url, since=self._clock.stamp(-listing.REACH))

    def transcript(self, transcript_id: str) -> dict[str, Any]:
        """A transcript as it is now."""
        row = self._row(transcript_id)
        return render.transcript(row, self._stored_result(row))

    def delete(self, transcript_id: str) -> dict[str, Any]:
        """Blank a transcript, remove its upload, and return what is left."""
        row = self._row(transcript_id)
        self._store.delete(transcript_id)
        self._uploads.delete(row.audio_url)
        self._redacted.delete(transcript_id)
        return render.transcript(self._row(transcript_id), None)

    def result(self, transcript_id: str) -> dict[str, Any]:
        """The result of a completed transcript.

        Raises:
            ApiError: it is not completed, or was deleted.
        """
        row = self._row(transcript_id)
        if row.deleted:
            raise ApiError("This transcript was deleted by the user.")
        result = self._stored_result(row)
        if result is None:
            raise ApiError(
                f'This transcript has a status of "{row.status}". Only a transcript with a status of "completed" has '
                "sentences, paragraphs, captions and words to search."
            )
        return result

    def redacted_audio(self, transcript_id: str, base_url: str) -> str | None:
        """The URL of the redacted audio; None if there is none yet.

        Raises:
            ApiError: there is none, and there will be none.
        """
        row = self._row(transcript_id)
        request = params.TranscriptRequest.from_json(row.request)
        if not request.redact_pii_audio:
            raise ApiError("Redacted audio is not available: the transcript was not made with redact_pii_audio.")
        if row.status in (QUEUED, PROCESSING):
            return None
        url = self._redacted.url(transcript_id, base_url)
        if url is None:
            raise ApiError(
                "Redacted audio is not available: it is kept for 24 hours, and made if the transcript did not fail and "
                "somebody speaks in it."
            )
        return url

    def redacted_audio_file(self, name: str, query: Mapping[str, str]) -> Path:
        """The file behind such a URL.

        Raises:
            ApiError: see :meth:`RedactedAudio.file`.
        """
        return self._redacted.file(name, query)

    def _row(self, transcript_id: str) -> Row:
        row = self._store.get(transcript_id)
        if row is None:
            raise ApiError(TRANSCRIPT_NOT_FOUND)
        return row

    def _stored_result(self, row: Row) -> dict[str, Any] | None:
        if row.status != COMPLETED:
            return None
        body = self._store.result(row.id)
        return None if body is None else json.loads(body)


def _locked(settings: Settings) -> BinaryIO:
    """A file that is locked for as long as the process lives; the lock goes with it even if it is killed."""
    file = (settings.data_dir / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise DataDirInUseError(f"Another server uses {settings.data_dir}. Choose another --data-dir.") from error
    return file
