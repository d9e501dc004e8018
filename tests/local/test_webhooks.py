"""Webhooks: when they are sent, again and again, and what the transcript tells about them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_asr.local.clock import Clock
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.store import COMPLETED, PROCESSING, Store
from airflow_asr.local.webhooks import ATTEMPTS, Webhooks, ended
from tests.local.http import Http
from tests.local.receiver import Receiver

AUDIO = "https://a.example/b.mp3"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def told(http: Http, transcript_id: str, code: int | None) -> dict[str, Any]:
    """The transcript, once it says that its receiver answered this."""
    deadline = time.monotonic() + 30
    while (body := http.transcript(transcript_id))["webhook_status_code"] != code:
        assert time.monotonic() < deadline, body["webhook_status_code"]
        time.sleep(0.02)
    return body


def counted(http: Http, transcript_id: str, attempt: int) -> None:
    """Wait until the server has written down that it made an attempt."""
    deadline = time.monotonic() + 30
    while f"{transcript_id}, attempt {attempt}:" not in http.server.log:
        assert time.monotonic() < deadline, http.server.log
        time.sleep(0.02)


def silent_after(http: Http, receiver: Receiver, calls: int) -> None:
    """Check that no more than so many calls come, however late it gets: a later webhook comes first."""
    http.server.forward(3600)
    last = http.say(config={"webhook_url": f"{receiver.url}?last"})["id"]
    assert receiver.wait(calls + 1)[-1].body["transcript_id"] == last
    told(http, last, 200)
    assert len(receiver.calls) == calls + 1


class TestDelivery:
    def test_end(self, http: Http, receiver: Receiver) -> None:
        config = {
            "webhook_url": f"{receiver.url}?customer=7&order=a%20b",
            "webhook_auth_header_name": "X-Webhook_Secret",
            "webhook_auth_header_value": "s3cret: ä",
        }
        transcript_id = http.say(config=config)["id"]
        (call,) = receiver.wait(1)
        assert call.path == "/done?customer=7&order=a%20b"
        assert call.body == {"transcript_id": transcript_id, "status": "completed"}
        assert call.headers["X-Webhook_Secret"].encode("latin-1").decode() == "s3cret: ä"
        assert call.headers["Content-Type"] == "application/json"
        body = told(http, transcript_id, 200)
        assert body["webhook_url"] == config["webhook_url"]
        assert (body["webhook_auth"], body["webhook_auth_header_name"]) == (True, "X-Webhook_Secret")
        assert "s3cret" not in str(body)

    def test_failure(self, http: Http, receiver: Receiver) -> None:
        transcript_id = http.say(error="no", config={"webhook_url": receiver.url})["id"]
        assert receiver.wait(1)[0].body == {"transcript_id": transcript_id, "status": "error"}
        assert told(http, transcript_id, 200)["webhook_auth"] is False

    def test_receiver_finds_what_it_was_told_of(self, http: Http, receiver: Receiver) -> None:
        for number in range(1, 6):
            http.say(f"call {number}", process_s=0, config={"webhook_url": receiver.url})
            call = receiver.wait(number)[-1]
            assert http.transcript(call.body["transcript_id"])["text"] == f"call {number}"

    def test_nobody_asked(self, http: Http) -> None:
        body = http.heard()
        assert (body["webhook_url"], body["webhook_auth"], body["webhook_status_code"]) == (None, False, None)

    def test_what_was_deleted_before_its_end_is_not_told(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve(concurrency=1)
        http.say(process_s=0.2)
        waiting = http.say(config={"webhook_url": receiver.url})["id"]
        http.call("DELETE", f"/v2/transcript/{waiting}")
        silent_after(http, receiver, 0)


class TestAttempts:
    def test_ten_ten_seconds_apart(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve()
        receiver.answers.extend([500, 302, 503] * 4)
        transcript_id = http.say(config={"webhook_url": receiver.url})["id"]
        for attempt in range(1, ATTEMPTS + 1):
            counted(http, transcript_id, attempt)
            told(http, transcript_id, [503, 500, 302][attempt % 3])
            http.server.forward(10)
        receiver.answers.clear()
        silent_after(http, receiver, 10)
        assert {call.path for call in receiver.calls[:10]} == {"/done"}
        assert {call.body["transcript_id"] for call in receiver.calls[:10]} == {transcript_id}
        assert http.transcript(transcript_id)["webhook_status_code"] == 500

    def test_not_before_its_time(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve(options=["--webhook-retry-seconds", "7200"])
        receiver.answers.append(500)
        told(http, http.say(config={"webhook_url": receiver.url})["id"], 500)
        silent_after(http, receiver, 1)

    def test_interval_is_an_option(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve(options=["--webhook-retry-seconds", "0.05"])
        receiver.answers.extend([500, 500, 202])
        told(http, http.say(config={"webhook_url": receiver.url})["id"], 202)
        silent_after(http, receiver, 3)

    def test_4xx_ends_it(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve()
        statuses = [400, 401, 404, 429, 499]
        for status in statuses:
            receiver.answers.append(status)
            told(http, http.say(config={"webhook_url": receiver.url})["id"], status)
        silent_after(http, receiver, len(statuses))

    def test_nobody_there(self, serve: Callable[..., Http]) -> None:
        http = serve(options=["--webhook-retry-seconds", "0"])
        with Receiver() as receiver:
            url = receiver.url
        transcript_id = http.say(config={"webhook_url": url})["id"]
        counted(http, transcript_id, ATTEMPTS)
        assert http.transcript(transcript_id)["webhook_status_code"] is None


class TestRestart:
    def test_killed_between_two_attempts(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve(options=["--webhook-retry-seconds", "3600"])
        receiver.answers.extend([500, 500])
        transcript_id = http.say(config={"webhook_url": receiver.url})["id"]
        told(http, transcript_id, 500)
        for attempt in (2, 3):
            http.server.kill()
            http.server.start()
            http.server.forward(3600)
            receiver.wait(attempt)
            told(http, transcript_id, 200 if attempt == 3 else 500)
        http.server.restart()
        silent_after(http, receiver, 3)

    def test_killed_in_the_middle_of_an_attempt(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve()
        receiver.answers.append(None)
        transcript_id = http.say(config={"webhook_url": receiver.url})["id"]
        receiver.wait(1)
        http.server.kill()
        receiver.released.set()
        http.server.start()
        assert receiver.wait(2)[1] == receiver.calls[0]
        told(http, transcript_id, 200)

    def test_attempts_are_counted_over_restarts(self, serve: Callable[..., Http], receiver: Receiver) -> None:
        http = serve(options=["--webhook-retry-seconds", "3600"])
        receiver.answers.extend([500] * 10)
        transcript_id = http.say(config={"webhook_url": receiver.url})["id"]
        for attempt in range(1, ATTEMPTS):
            counted(http, transcript_id, attempt)
            if attempt in (3, 6):
                http.server.kill()
                http.server.start()
            http.server.forward(3600)
        counted(http, transcript_id, ATTEMPTS)
        receiver.answers.clear()
        silent_after(http, receiver, 10)


class TestSender:
    """What takes too long over HTTP, or is called by another part of the server."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, tmp_path: Path, clock: Clock) -> Iterator[Store]:
        store = Store(tmp_path / "db", clock)
        yield store
        store.close()

    @pytest.fixture
    def webhooks(self, store: Store, clock: Clock) -> Iterator[Webhooks]:
        webhooks = Webhooks(store, clock, interval_s=3600, timeout_s=0.2)
        webhooks.start()
        yield webhooks
        webhooks.stop()

    def completed(self, store: Store, url: str | None) -> str:
        transcript_id = str(uuid.uuid4())
        request = TranscriptRequest(webhook_url=url)
        store.insert(transcript_id, PROCESSING, AUDIO, request.to_json())
        assert store.complete(transcript_id, "{}", ended(transcript_id, COMPLETED, request))
        return transcript_id

    def test_late_answer_is_none(self, store: Store, clock: Clock, webhooks: Webhooks, receiver: Receiver) -> None:
        receiver.answers.append(None)
        transcript_id = self.completed(store, receiver.url)
        webhooks.wake()
        receiver.wait(1)
        deadline = time.monotonic() + 30
        while len(receiver.calls) < 2:  # Only a moved clock makes the second attempt due.
            assert time.monotonic() < deadline
            clock.forward(3600)
            webhooks.wake()
            time.sleep(0.05)
        assert {call.body["transcript_id"] for call in receiver.calls} == {transcript_id}

    def test_ends_with_an_answer_or_after_ten(self, store: Store, clock: Clock, receiver: Receiver) -> None:
        webhooks = Webhooks(store, clock, interval_s=0)
        webhooks.start()

        @settings(max_examples=30, deadline=None)
        @given(st.lists(st.sampled_from([200, 204, 302, 400, 410, 500, 503]), min_size=ATTEMPTS, max_size=ATTEMPTS))
        def check(answers: list[int | None]) -> None:
            before = len(receiver.calls)
            receiver.answers.extend(answers)
            transcript_id = self.completed(store, receiver.url)
            webhooks.wake()
            last = next((n for n, code in enumerate(answers) if code in (200, 204, 400, 410)), ATTEMPTS - 1)
            assert self.over(store, transcript_id) == (last + 1, answers[last])
            assert len(receiver.calls) - before == last + 1
            receiver.answers.clear()

        check()
        webhooks.stop()

    def over(self, store: Store, transcript_id: str) -> tuple[int, int]:
        """How many attempts were made, and what the last one was answered, once the delivery is over."""
        sql = "SELECT attempts, code FROM deliveries WHERE transcript_id = ? AND due IS NULL"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with store.database.connection() as connection:
                found: tuple[int, int] | None = connection.execute(sql, (transcript_id,)).fetchone()
            if found is not None:
                return found
            time.sleep(0.002)
        raise AssertionError("The delivery is not over")

    def test_slow_receiver_holds_nobody_up(self, store: Store, clock: Clock, receiver: Receiver) -> None:
        webhooks = Webhooks(store, clock, timeout_s=30)
        webhooks.start()
        receiver.answers.append(None)
        slow = self.completed(store, receiver.url)
        webhooks.wake()
        receiver.wait(1)
        quick = self.completed(store, receiver.url)
        webhooks.wake()
        assert [call.body["transcript_id"] for call in receiver.wait(2)] == [slow, quick]
        webhooks.stop()

    def test_redacted_audio(self, store: Store, webhooks: Webhooks, receiver: Receiver) -> None:
        transcript_id = self.completed(store, receiver.url)
        webhooks.redacted_audio_ready(transcript_id, "http://localhost/audio.mp3")
        webhooks.redacted_audio_ready(transcript_id, "http://localhost/audio.mp3")
        bodies = [call.body for call in receiver.wait(2)]
        assert {"transcript_id": transcript_id, "status": "completed"} in bodies
        assert {"status": "redacted_audio_ready", "redacted_audio_url": "http://localhost/audio.mp3"} in bodies
        other = self.completed(store, receiver.url)
        webhooks.wake()
        assert receiver.wait(3)[2].body["transcript_id"] == other  # And not the redacted audio once more.

    def test_redacted_audio_that_nobody_wants_to_hear_of(
        self, store: Store, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.redacted_audio_ready(self.completed(store, None), "http://localhost/audio.mp3")
        wanted = self.completed(store, receiver.url)
        webhooks.wake()
        assert receiver.wait(1)[0].body["transcript_id"] == wanted
