"""What is deleted by itself: content of old transcripts, redacted audio, and uploads that nobody transcribed."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from airflow_asr.local.clock import Clock
from airflow_asr.local.redacted_audio import RedactedAudio
from airflow_asr.local.store import Store
from airflow_asr.local.uploads import Uploads

TRANSCRIPT_LIFE = timedelta(days=30)  # From its creation; the service's default.

_SWEEP_S = 3600.0

_log = logging.getLogger(__name__)


class Expiry:
    """Deletes what is too old, every hour and when it is told to.

    The service does not document what GET and the list show of an expired transcript. Here they show what they show
    after DELETE: the row stays, its text is ``Deleted by user.``, its audio URL ``http://deleted_by_user``.
    """

    def __init__(self, store: Store, uploads: Uploads, redacted: RedactedAudio, clock: Clock) -> None:
        self._store = store
        self._uploads = uploads
        self._redacted = redacted
        self._clock = clock
        self._stopped = threading.Event()

    def start(self) -> None:
        """Sweep now, and every hour from now on."""
        threading.Thread(target=self._work, name="expiry", daemon=True).start()

    def stop(self) -> None:
        """Sweep no more."""
        self._stopped.set()

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                self.sweep()
            except Exception:
                _log.exception("What has expired was not deleted; the next attempt is in an hour")
            self._stopped.wait(_SWEEP_S)

    def sweep(self) -> None:
        """Delete what has expired by now. What has not ended yet is left alone until it has."""
        self._redacted.sweep()
        # Files go first: what a killed server had begun is found again by what the database still says.
        for row in self._store.ended_before(self._clock.stamp(-TRANSCRIPT_LIFE)):
            self._uploads.delete(row.audio_url)
            self._store.delete(row.id)
        for upload_id in self._store.expired_uploads():
            self._uploads.expire(upload_id)
