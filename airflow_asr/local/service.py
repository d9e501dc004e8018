"""What the routes do."""

from __future__ import annotations

import fcntl
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, closing
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool

from airflow_asr.local import listing, params, render
from airflow_asr.local.engine import UnsupportedLanguageError
from airflow_asr.local.errors import TRANSCRIPT_NOT_FOUND, ApiError
from airflow_asr.local.fetch import AudioFetcher
from airflow_asr.local.runner import Runner
from airflow_asr.local.settings import Settings
from airflow_asr.local.store import COMPLETED, Row, Store
from airflow_asr.local.uploads import Uploads

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
            self._store = held.enter_context(closing(Store(directory / "transcripts.sqlite3")))
            self._uploads = Uploads(directory / "uploads", self._store)
            self._held = held.pop_all()
        fetcher = AudioFetcher(self._uploads, directory / "downloads", settings.max_download_bytes)
        self._runner = Runner(self._store, fetcher, settings.engine, settings.concurrency)

    def start(self) -> None:
        """Begin to work, with what was left unfinished first."""
        self._runner.start()

    def stop(self) -> None:
        """Begin nothing more; what is unfinished waits for the next start."""
        self._runner.stop()
        self._held.close()

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

    def create(self, body: object) -> dict[str, Any]:
        """Accept a transcript and return it."""
        audio_url, request = params.parse(body)
        try:
            self._settings.engine.check(request.recognition())
        except UnsupportedLanguageError as error:
            raise ApiError(str(error)) from error
        return render.transcript(self._runner.submit(audio_url, request), None)

    def page(self, query: Mapping[str, str], base_url: str) -> dict[str, Any]:
        """A page of the list."""
        return listing.page(self._store, query, base_url)

    def transcript(self, transcript_id: str) -> dict[str, Any]:
        """A transcript as it is now."""
        row = self._row(transcript_id)
        return render.transcript(row, self._stored_result(row))

    def delete(self, transcript_id: str) -> dict[str, Any]:
        """Blank a transcript, remove its upload, and return what is left."""
        row = self._row(transcript_id)
        self._store.delete(transcript_id)
        self._uploads.delete(row.audio_url)
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
