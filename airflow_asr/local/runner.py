"""The queue: which transcripts are being processed, and which wait for their turn."""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path

from airflow_asr.local import render, webhooks
from airflow_asr.local.echo import EchoEngine, is_script
from airflow_asr.local.engine import AudioError, Engine, UnsupportedRequestError
from airflow_asr.local.fetch import AudioFetcher
from airflow_asr.local.media import head_of, not_audio, text_type
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.redacted_audio import RedactedAudio
from airflow_asr.local.store import COMPLETED, ERROR, PROCESSING, QUEUED, Row, Store
from airflow_asr.local.transcribed import transcribed
from airflow_asr.local.webhooks import Webhooks

_log = logging.getLogger(__name__)

_SERVER_ERROR = (
    "Internal server error. Please retry your request. If the error persists, look into the log of the local server."
)


class Runner:
    """Processes transcripts, first come, first served, at most ``concurrency`` at once.

    The store knows nothing of threads, and the runner nothing that the store does not know too: what was unfinished
    when the server died is found there and begun again.
    """

    def __init__(
        self,
        store: Store,
        fetcher: AudioFetcher,
        engine: Engine,
        concurrency: int,
        webhooks: Webhooks,
        redacted: RedactedAudio,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._engine = engine
        self._concurrency = concurrency
        self._webhooks = webhooks
        self._redacted = redacted
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: deque[str] = deque()
        self._ready: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Take up what was left unfinished, and begin to work."""
        with self._lock:
            for row in self._store.unfinished():
                status = self._place(row.id)
                if status != row.status:
                    self._store.move(row.id, row.status, status)
        for number in range(self._concurrency):
            # Daemons: a job that is under way when the server stops is run again, so nothing waits for it.
            threading.Thread(target=self._work, name=f"transcriber-{number}", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more. What is unfinished waits for the next start."""
        with self._lock:
            self._waiting.clear()
            with suppress(queue.Empty):
                while True:
                    self._ready.get_nowait()
            for _ in range(self._concurrency):
                self._ready.put(None)

    def submit(self, audio_url: str, request: TranscriptRequest) -> Row:
        """Store a new transcript and see to it; it is ``queued`` only if there is no room."""
        transcript_id = str(uuid.uuid4())
        with self._lock:
            full = self._running >= self._concurrency
            row = self._store.insert(transcript_id, QUEUED if full else PROCESSING, audio_url, request.to_json())
            # Only after the insert: a worker may look for the row at once.
            self._place(transcript_id)
        return row

    def _place(self, transcript_id: str) -> str:
        """Give a transcript a worker or a place in the queue, and return the status that goes with it."""
        if self._running >= self._concurrency:
            self._waiting.append(transcript_id)
            return QUEUED
        self._running += 1
        self._ready.put(transcript_id)
        return PROCESSING

    def _work(self) -> None:
        while (transcript_id := self._ready.get()) is not None:
            for step in (partial(self._process, transcript_id), self._next):
                try:
                    step()
                except Exception:
                    # The disk is full, or the database was taken away. A worker must outlive that, and the next start
                    # takes up what was left.
                    _log.exception("Transcript %s, or the one after it, was left unfinished", transcript_id)

    def _next(self) -> None:
        """Pass the place that became free on to who waits longest and was not deleted meanwhile."""
        with self._lock:
            self._running -= 1
            while self._waiting:
                transcript_id = self._waiting.popleft()
                if self._store.move(transcript_id, QUEUED, PROCESSING):
                    self._running += 1
                    self._ready.put(transcript_id)
                    return

    def _process(self, transcript_id: str) -> None:
        row = self._store.get(transcript_id)
        if row is None or row.status != PROCESSING:
            return
        request = TranscriptRequest.from_json(row.request)
        try:
            with self._fetcher.audio(row.audio_url) as path:
                self._refuse_text(path)
                heard = self._engine.recognise(path, request.recognition())
                said = transcribed(heard, request)
                self._redacted.make(transcript_id, path, heard, said, request)
            result = render.result(heard, said, request, self._engine.name)
            done = self._store.complete(transcript_id, result, webhooks.ended(transcript_id, COMPLETED, request))
            self._after(transcript_id, request, done=done)
        except (AudioError, UnsupportedRequestError) as error:  # The engine may be another one since the last start.
            self._fail(transcript_id, str(error), request)
        except Exception:
            _log.exception("Transcript %s failed", transcript_id)
            self._fail(transcript_id, _SERVER_ERROR, request)
        self._webhooks.wake()

    def _after(self, transcript_id: str, request: TranscriptRequest, *, done: bool) -> None:
        """Tell of redacted audio, or remove it if the transcript was deleted meanwhile."""
        if not done:
            self._redacted.delete(transcript_id)
        elif (url := self._redacted.url(transcript_id, request.base_url)) is not None:
            self._webhooks.redacted_audio_ready(transcript_id, url)

    def _fail(self, transcript_id: str, error: str, request: TranscriptRequest) -> None:
        self._store.fail(transcript_id, error, webhooks.ended(transcript_id, ERROR, request))

    def _refuse_text(self, path: Path) -> None:
        head = head_of(path)
        kind = text_type(head)
        if kind is not None and not (isinstance(self._engine, EchoEngine) and is_script(head)):
            raise AudioError(not_audio(kind))
