"""Webhooks: calling the receiver that a transcript names, until it has understood.

As the service documents it: a receiver answers 2xx within 10 seconds, or it is called again, up to ten times, 10
seconds apart. Any 4xx is its last word. Redirects are not followed. Any host may be named, as for audio.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import datetime, timedelta

import requests
from requests.utils import get_environ_proxies

from airflow_asr.local.clock import Clock
from airflow_asr.local.deliveries import REDACTED_AUDIO_READY, Deliveries, Delivery
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.settings import DEFAULT_WEBHOOK_INTERVAL_S
from airflow_asr.local.store import Store

ATTEMPTS = 10
TIMEOUT_S = 10.0

_WORKERS = 4  # One slow receiver must not keep the others waiting.

_log = logging.getLogger(__name__)


def ended(transcript_id: str, status: str, request: TranscriptRequest) -> str | None:
    """The body of the webhook about the end of a transcript; None if nobody wants one."""
    if request.webhook_url is None:
        return None
    return json.dumps({"transcript_id": transcript_id, "status": status})


class Webhooks:
    """Delivers what the database says is owed.

    Args:
        store: knows the transcripts, and with them the receivers.
        clock: says when the next attempt is due.
        interval_s: seconds between two attempts.
        timeout_s: seconds that a receiver has to answer.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        interval_s: float = DEFAULT_WEBHOOK_INTERVAL_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._store = store
        self._deliveries = Deliveries(store.database)
        self._clock = clock
        self._interval = timedelta(seconds=interval_s)
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._in_hand: set[int] = set()
        self._stopped = False

    def start(self) -> None:
        """Begin, with what an earlier server still owed."""
        for number in range(_WORKERS):
            # Daemons: what is under way when the server stops is sent again, so nothing waits for it.
            threading.Thread(target=self._work, name=f"webhooks-{number}", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more. What is owed waits for the next start."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Look again: something was added to what is owed, or the clock was moved."""
        with self._changed:
            self._changed.notify_all()

    def redacted_audio_ready(self, transcript_id: str, redacted_audio_url: str) -> None:
        """Send the second webhook, once for each transcript; nothing happens if nobody wants it.

        It names no transcript: so it is at the service.
        """
        row = self._store.get(transcript_id)
        if row is None or TranscriptRequest.from_json(row.request).webhook_url is None:
            return
        body = json.dumps({"status": "redacted_audio_ready", "redacted_audio_url": redacted_audio_url})
        self._deliveries.add(transcript_id, REDACTED_AUDIO_READY, body, self._clock.stamp())
        self.wake()

    def _work(self) -> None:
        while (delivery := self._next()) is not None:
            try:
                self._attempt(delivery)
            except Exception:
                # The disk is full, or the database was taken away. It stays in hand, so that it is not tried in
                # circles; the next start takes it up.
                _log.exception("The webhook of transcript %s was left undelivered", delivery.transcript_id)
                continue
            with self._changed:
                self._in_hand.discard(delivery.seq)

    def _next(self) -> Delivery | None:
        """Wait for the next one that is due, and take it in hand; None when it is time to stop."""
        with self._changed:
            while not self._stopped:
                delivery = self._deliveries.first(besides=self._in_hand)
                wait_s = None if delivery is None else self._due_in_s(delivery)
                if delivery is not None and wait_s is not None and wait_s <= 0:
                    self._in_hand.add(delivery.seq)
                    return delivery
                self._changed.wait(wait_s)
        return None

    def _due_in_s(self, delivery: Delivery) -> float:
        wait_s = (datetime.fromisoformat(delivery.due) - self._clock.now()).total_seconds()
        return min(wait_s, threading.TIMEOUT_MAX)

    def _attempt(self, delivery: Delivery) -> None:
        code = self._post(delivery)
        attempt = delivery.attempts + 1
        answered = code is not None and (200 <= code < 300 or 400 <= code < 500)
        over = answered or attempt >= ATTEMPTS
        self._deliveries.attempted(delivery, code, None if over else self._clock.stamp(self._interval))
        _log.info(
            "Webhook of transcript %s, attempt %d: %s", delivery.transcript_id, attempt, code or "no answer in time"
        )

    def _post(self, delivery: Delivery) -> int | None:
        """The status that the receiver answers; None if it does not, or not in time."""
        row = self._store.get(delivery.transcript_id)
        request = None if row is None else TranscriptRequest.from_json(row.request)
        if request is None or request.webhook_url is None:
            raise LookupError("The transcript has no webhook_url")
        begin = time.monotonic()
        with requests.Session() as session:
            # As for audio: no credentials from the owner's .netrc for a URL that somebody sent.
            session.trust_env = False
            try:
                with session.post(
                    request.webhook_url,
                    data=delivery.body.encode(),
                    headers=_headers(request),
                    timeout=self._timeout_s,
                    proxies=get_environ_proxies(request.webhook_url),
                    allow_redirects=False,
                    stream=True,  # Its answer may be long, and only the status counts.
                ) as response:
                    # The timeout is for each step of the way, and there are several.
                    return response.status_code if time.monotonic() - begin <= self._timeout_s else None
            except (requests.RequestException, ValueError):
                return None


def _headers(request: TranscriptRequest) -> dict[str, str | bytes]:
    headers: dict[str, str | bytes] = {"Content-Type": "application/json"}
    if request.webhook_auth_header_name is not None and request.webhook_auth_header_value is not None:
        # In UTF-8, which HTTP leaves open; spaces around a value are none of it.
        headers[request.webhook_auth_header_name] = request.webhook_auth_header_value.encode().strip()
    return headers
