from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    AuthenticationError,
    BalanceError,
    ForbiddenError,
    InputError,
    JobSearchError,
    RateLimitError,
    RecordError,
    RequestError,
    ServerError,
    SubmitOutcomeUnknownError,
    TranscriptNotFoundError,
    UnreachableError,
    UploadRefusedError,
)
from airflow_asr.api.retry import NO_RETRY
from airflow_asr.jobs.fingerprint import checked_config, fingerprint
from airflow_asr.jobs.look import NOT_FOUND_PATIENCE_S
from airflow_asr.jobs.records import MemoryStore, TryRecords
from airflow_asr.jobs.search import HORIZON_S
from airflow_asr.jobs.source import AudioSource, find_audio
from airflow_asr.jobs.submission import Submission
from tests.scripted_service import Reply, ScriptedService

KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = KEY[::-1]
SIGNED = "https://bucket.example/a.wav?X-Amz-Signature=SECRET"
QUEUED = {"id": "t-1", "status": "queued"}
LIST: dict[str, Any] = {"page_details": {"prev_url": None}, "transcripts": []}
UNKNOWN = {"error": "Transcript lookup error, transcript id not found"}


class Records(dict[str, Any]):
    """A record store that keeps what JSON keeps, as the task state store does."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value, allow_nan=False))

    def of(self, try_number: int) -> TryRecords:
        return TryRecords(self, try_number)

    @property
    def only(self) -> dict[str, Any]:
        """The record of the one input that there is, as its newest try left it."""
        records = [value for key, value in sorted(self.items()) if not key.startswith("asr.last.")]
        assert len({record["fp"] for record in records}) == 1
        assert isinstance(records[-1], dict)
        return records[-1]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def client(service: ScriptedService) -> Iterator[AssemblyAIClient]:
    with AssemblyAIClient(KEY, base_url=service.url, read_timeout_s=0.5, retry=NO_RETRY) as client:
        know_the_time(service, client)
        yield client


def know_the_time(service: ScriptedService, client: AssemblyAIClient) -> None:
    """Let the client learn the service's time, so that it need not ask when it submits."""
    service.json(LIST)
    client.list(limit=1)
    service.forget()


@pytest.fixture
def sleep(clock: Clock, naps: list[float]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        naps.append(seconds)
        clock.now += seconds

    return sleep


@pytest.fixture
def submission(client: AssemblyAIClient, records: Records, clock: Clock, sleep: Callable[[float], None]) -> Submission:
    return Submission(client, records.of(1), clock=clock, sleep=sleep)


@pytest.fixture
def audio() -> AudioSource:
    return find_audio(SIGNED)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    return path


def listed(clock: Clock, transcript_id: str, url: str, status: str = "processing") -> dict[str, Any]:
    """A list with one row."""
    created = datetime.fromtimestamp(clock.now, UTC).isoformat()
    return {**LIST, "transcripts": [{"id": transcript_id, "status": status, "audio_url": url, "created": created}]}


def sent(service: ScriptedService, method: str = "POST") -> list[str]:
    return [request.path for request in service.requests if request.method == method]


# Paying once ---------------------------------------------------------------------------------------------------------


def test_audio_is_submitted_with_its_parameters(
    service: ScriptedService, submission: Submission, audio: AudioSource
) -> None:
    service.json(QUEUED)
    assert submission.submit(audio, {"speaker_labels": True, "language_code": None}) == "t-1"
    [request] = service.requests
    assert (request.method, request.path) == ("POST", "/v2/transcript")
    assert json.loads(request.body) == {"audio_url": SIGNED, "speaker_labels": True}


@pytest.mark.parametrize("status", ["queued", "processing", "completed"])
def test_a_second_try_finds_the_job_and_pays_nothing(
    service: ScriptedService, client: AssemblyAIClient, records: Records, audio: AudioSource, status: str
) -> None:
    service.json(QUEUED).json({"id": "t-1", "status": status})
    assert Submission(client, records.of(1)).submit(audio, {"x": 1}) == "t-1"
    assert Submission(client, records.of(2)).submit(audio, {"x": 1}) == "t-1"
    assert sent(service) == ["/v2/transcript"]
    assert sent(service, "GET") == ["/v2/transcript/t-1"]


def test_a_second_try_does_not_upload_again(service: ScriptedService, submission: Submission, recording: Path) -> None:
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/SECRET"}).json(QUEUED).json(QUEUED)
    assert submission.submit(find_audio(recording), {}) == "t-1"
    assert submission.submit(find_audio(recording), {}) == "t-1"
    assert sent(service) == ["/v2/upload", "/v2/transcript"]
    assert json.loads(service.requests[1].body) == {"audio_url": "https://cdn.assemblyai.com/upload/SECRET"}


def test_a_url_that_was_signed_anew_is_the_same_job(service: ScriptedService, submission: Submission) -> None:
    service.json(QUEUED)
    submission.submit(find_audio(SIGNED), {})
    submission.submit(find_audio(SIGNED + "2&X-Amz-Date=20261124"), {})
    assert sent(service) == ["/v2/transcript"]


def test_without_records_every_submission_is_paid(
    service: ScriptedService, client: AssemblyAIClient, audio: AudioSource
) -> None:
    service.json(QUEUED)
    for _ in range(2):
        Submission(client, TryRecords(MemoryStore(), 1)).submit(audio, {})
    assert len(sent(service)) == 2


def test_other_parameters_or_other_audio_are_another_job(
    service: ScriptedService, submission: Submission, audio: AudioSource
) -> None:
    service.json(QUEUED).json({"id": "t-2", "status": "queued"}).json({"id": "t-3", "status": "queued"})
    assert submission.submit(audio, {"speaker_labels": False}) == "t-1"
    assert submission.submit(audio, {"speaker_labels": True}) == "t-2"
    assert submission.submit(find_audio("https://bucket.example/b.wav"), {"speaker_labels": True}) == "t-3"
    assert len(sent(service)) == 3


def test_going_back_to_earlier_parameters_finds_the_earlier_job(
    service: ScriptedService, submission: Submission, audio: AudioSource
) -> None:
    service.json(QUEUED).json({"id": "t-2", "status": "queued"}).json({"id": "t-1", "status": "completed"})
    submission.submit(audio, {"x": 1})
    submission.submit(audio, {"x": 2})
    assert submission.submit(audio, {"x": 1}) == "t-1"
    assert len(sent(service)) == 2


def test_a_changed_file_is_another_job(service: ScriptedService, submission: Submission, recording: Path) -> None:
    upload = {"upload_url": "https://cdn.assemblyai.com/upload/a"}
    service.json(upload).json(QUEUED).json(upload).json({"id": "t-2", "status": "queued"})
    assert submission.submit(find_audio(recording), {}) == "t-1"
    recording.write_bytes(b"RIFFRIFF")
    assert submission.submit(find_audio(recording), {}) == "t-2"


def test_the_record_is_plain_json_and_holds_no_url_that_grants_access_and_no_key(
    service: ScriptedService, submission: Submission, records: Records, audio: AudioSource, clock: Clock
) -> None:
    service.json(QUEUED)
    submission.submit(audio, {"x": 1})
    text = json.dumps(records)
    for secret in (KEY, "SECRET", "X-Amz"):
        assert secret not in text
    assert records.only["id"] == "t-1"
    assert records.only["state"] == "submitted"
    assert records.only["prior"] == []
    assert records.only["intent_at"] == records.only["first_submit_at"] == clock.now


# Jobs without a result -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        {"id": "t-1", "status": "error", "error": "Internal server error"},
        {"id": "t-1", "status": "error", "error": None},
        {"id": "t-1", "status": "completed", "text": "Deleted by user."},
        {"id": "t-1", "status": "completed", "audio_url": "http://deleted_by_user"},
    ],
)
def test_a_job_that_ended_without_a_result_is_submitted_again_and_remembered(
    service: ScriptedService,
    submission: Submission,
    records: Records,
    audio: AudioSource,
    clock: Clock,
    ending: dict[str, Any],
) -> None:
    service.json(QUEUED).json(ending).json({"id": "t-2", "status": "queued"})
    submission.submit(audio, {})
    clock.now += 500
    assert submission.submit(audio, {}) == "t-2"
    assert len(sent(service)) == 2
    assert records.only["id"] == "t-2"
    assert records.only["prior"] == ["t-1"]
    assert records.only["intent_at"] == clock.now


def test_every_earlier_job_is_remembered(
    service: ScriptedService, submission: Submission, records: Records, audio: AudioSource
) -> None:
    service.json(QUEUED)
    for number in (1, 2):
        service.json({"id": f"t-{number}", "status": "error", "error": "Internal server error"})
        service.json({"id": f"t-{number + 1}", "status": "queued"})
    assert [submission.submit(audio, {}) for _ in range(3)] == ["t-1", "t-2", "t-3"]
    assert records.only["prior"] == ["t-1", "t-2"]


def test_a_job_that_the_service_does_not_know_yet_is_kept(
    service: ScriptedService, submission: Submission, audio: AudioSource, clock: Clock
) -> None:
    service.json(QUEUED).json(UNKNOWN, 400)
    submission.submit(audio, {})
    clock.now += NOT_FOUND_PATIENCE_S - 1
    assert submission.submit(audio, {}) == "t-1"
    assert len(sent(service)) == 1


def test_a_job_that_the_service_no_longer_knows_is_submitted_again(
    service: ScriptedService, submission: Submission, records: Records, audio: AudioSource, clock: Clock
) -> None:
    service.json(QUEUED).json(UNKNOWN, 400).json({"id": "t-2", "status": "queued"})
    submission.submit(audio, {})
    clock.now += NOT_FOUND_PATIENCE_S + 1
    assert submission.submit(audio, {}) == "t-2"
    assert records.only["prior"] == ["t-1"]


def test_a_job_of_another_key_is_not_paid_a_second_time_with_this_one(
    service: ScriptedService, submission: Submission, records: Records, audio: AudioSource, clock: Clock
) -> None:
    service.json(QUEUED).json(UNKNOWN, 400)
    submission.submit(audio, {})
    clock.now += NOT_FOUND_PATIENCE_S + 1
    before = dict(records)
    with (
        AssemblyAIClient(OTHER_KEY, base_url=service.url) as other,
        pytest.raises(TranscriptNotFoundError, match="submitted with another key") as raised,
    ):
        Submission(other, records.of(2), clock=clock).submit(audio, {})
    assert raised.value.transcript_id == "t-1"
    assert not raised.value.retryable
    assert len(sent(service)) == 1
    assert records == before


def test_a_job_that_a_new_key_of_the_same_project_can_read_is_kept(
    service: ScriptedService, submission: Submission, records: Records, audio: AudioSource
) -> None:
    service.json(QUEUED)
    submission.submit(audio, {})
    with AssemblyAIClient(OTHER_KEY, base_url=service.url) as other:
        assert Submission(other, records.of(2)).submit(audio, {}) == "t-1"
    assert len(sent(service)) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(500, ServerError), (429, RateLimitError), (401, AuthenticationError), (404, RequestError)]
)
def test_a_job_that_cannot_be_looked_at_just_now_is_not_submitted_again(
    service: ScriptedService, submission: Submission, audio: AudioSource, status: int, error: type[Exception]
) -> None:
    service.json(QUEUED).json({"error": "no"}, status)
    submission.submit(audio, {})
    with pytest.raises(error):
        submission.submit(audio, {})
    assert len(sent(service)) == 1


# Submissions that fail -----------------------------------------------------------------------------------------------


def test_429_is_sent_again_after_the_wait_that_was_asked_for_and_makes_one_job(
    service: ScriptedService, submission: Submission, records: Records, recording: Path, naps: list[float]
) -> None:
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/a"})
    service.json({"error": "Too Many Requests"}, 429, retry_after="7").json(QUEUED)
    assert submission.submit(find_audio(recording), {}) == "t-1"
    assert sent(service) == ["/v2/upload", "/v2/transcript", "/v2/transcript"]
    assert 7 <= naps[0] <= 8
    assert records.only["id"] == "t-1"


def test_429_for_ever_ends_in_an_error_that_names_the_audio_and_no_job_is_recorded(
    service: ScriptedService, submission: Submission, records: Records, audio: AudioSource
) -> None:
    service.json({"error": "Too Many Requests"}, 429)
    with pytest.raises(RateLimitError, match=r"https://bucket\.example/a\.wav") as raised:
        submission.submit(audio, {})
    assert raised.value.retryable
    assert len(sent(service)) == 5
    assert records.only["state"] == "rejected"
    assert "id" not in records.only


def test_nothing_that_was_not_sent_is_counted_as_a_job(records: Records, audio: AudioSource, naps: list[float]) -> None:
    with ScriptedService() as gone:
        client = AssemblyAIClient(KEY, base_url=gone.url)
        know_the_time(gone, client)
        client.close()
    with pytest.raises(UnreachableError, match="Nothing was sent"):
        Submission(client, records.of(1), sleep=naps.append).submit(audio, {})
    assert len(naps) == 4
    assert records.only["state"] == "rejected"
    assert "id" not in records.only


@pytest.mark.parametrize(
    "reply",
    [Reply(500), Reply(502), Reply(503), Reply(drop=True), Reply(hang=True), Reply(200, b"<html>"), Reply(200, b"{}")],
    ids=["500", "502", "503", "dropped", "never", "no-json", "no-id"],
)
def test_after_an_unclear_end_the_job_is_found_in_the_list(
    service: ScriptedService, submission: Submission, records: Records, recording: Path, clock: Clock, reply: Reply
) -> None:
    url = "https://cdn.assemblyai.com/upload/SECRET"
    service.json({"upload_url": url}).add(reply).json(LIST).json(listed(clock, "t-7", url))
    assert submission.submit(find_audio(recording), {}) == "t-7"
    assert sent(service) == ["/v2/upload", "/v2/transcript"]
    assert records.only["id"] == "t-7"


def test_only_after_the_horizon_is_an_unclear_end_sent_again(
    service: ScriptedService, submission: Submission, records: Records, recording: Path, clock: Clock
) -> None:
    began = clock.now
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/SECRET"}).add(Reply(500))
    for _ in range(7):
        service.json(LIST)
    service.json(QUEUED)
    assert submission.submit(find_audio(recording), {}) == "t-1"
    assert sent(service) == ["/v2/upload", "/v2/transcript", "/v2/transcript"]
    assert records.only["intent_at"] - began >= HORIZON_S


def test_unclear_ends_without_a_job_come_to_an_end_that_names_the_file(
    service: ScriptedService, submission: Submission, records: Records, recording: Path
) -> None:
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/SECRET"})
    for _ in range(2):
        service.add(Reply(503))
        for _ in range(7):
            service.json(LIST)
    with pytest.raises(ServerError, match="there is none") as raised:
        submission.submit(find_audio(recording), {})
    assert len(sent(service)) == 3
    assert str(raised.value).startswith(f"{recording}: ")
    assert "SECRET" not in str(raised.value)
    assert raised.value.retryable
    assert records.only["state"] == "rejected"


@pytest.mark.parametrize("reply", [Reply(500), Reply(429), Reply(200, b"{}"), Reply(200, b"<html>"), Reply(drop=True)])
def test_a_list_that_cannot_be_read_leaves_the_end_unclear_and_nothing_is_sent(
    service: ScriptedService, submission: Submission, records: Records, recording: Path, reply: Reply
) -> None:
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/SECRET"}).add(Reply(500), reply)
    with pytest.raises(JobSearchError, match="unknown whether") as raised:
        submission.submit(find_audio(recording), {})
    assert sent(service) == ["/v2/upload", "/v2/transcript"]
    assert str(raised.value).startswith(f"{recording}: ")
    assert raised.value.retryable
    assert records.only["state"] == "intent"


def test_a_key_that_no_longer_works_leaves_the_end_unclear_and_says_so(
    service: ScriptedService, submission: Submission, records: Records, recording: Path
) -> None:
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/SECRET"}).add(Reply(500), Reply(401, b"no"))
    with pytest.raises(AuthenticationError, match="Check the API key"):
        submission.submit(find_audio(recording), {})
    assert records.only["state"] == "intent"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationError),
        (400, RequestError),
        (404, RequestError),
        (403, ForbiddenError),
        (422, UploadRefusedError),
    ],
)
def test_a_refusal_is_not_sent_again_and_names_the_audio(
    service: ScriptedService, submission: Submission, audio: AudioSource, status: int, error: type[Exception]
) -> None:
    service.json({"error": "no"}, status)
    with pytest.raises(error, match=r"https://bucket\.example/a\.wav") as raised:
        submission.submit(audio, {})
    assert "SECRET" not in str(raised.value)
    assert len(sent(service)) == 1


def test_audio_that_cannot_be_uploaded_is_not_submitted(
    service: ScriptedService, submission: Submission, recording: Path
) -> None:
    service.add(Reply(422, b"Upload failed, please try again"))
    with pytest.raises(InputError, match=r"a\.wav: .*file is to blame"):
        submission.submit(find_audio(recording), {})
    assert sent(service) == ["/v2/upload"]


class Refusing(Records):
    """A store that no longer takes writes, from the given one on: the try is over, or the API server is away."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def set(self, key: str, value: Any) -> None:
        if self.left == 0:
            raise OSError("the API server is away")
        self.left -= 1
        super().set(key, value)


def test_nothing_is_submitted_by_a_try_that_can_no_longer_write_its_record(
    service: ScriptedService, client: AssemblyAIClient, audio: AudioSource
) -> None:
    with pytest.raises(OSError, match="away"):
        Submission(client, Refusing(0).of(1)).submit(audio, {})
    with pytest.raises(RecordError, match=r"a\.wav.* \(the API server is away\)\. Nothing was submitted"):
        Submission(client, Refusing(1).of(1)).submit(audio, {})
    assert service.requests == []


def test_a_job_whose_id_could_not_be_kept_is_named(
    service: ScriptedService, client: AssemblyAIClient, audio: AudioSource, naps: list[float]
) -> None:
    service.json(QUEUED)
    with pytest.raises(RecordError, match="transcript t-1 was submitted and will be paid for") as raised:
        Submission(client, Refusing(2).of(1), sleep=naps.append).submit(audio, {})
    assert raised.value.transcript_id == "t-1"
    assert "SECRET" not in str(raised.value)
    assert len(naps) == 2


def test_an_id_is_kept_at_a_later_attempt_if_the_first_one_fails(
    service: ScriptedService, client: AssemblyAIClient, audio: AudioSource, naps: list[float]
) -> None:
    class Hiccup(Refusing):
        def set(self, key: str, value: Any) -> None:
            try:
                super().set(key, value)
            except OSError:
                self.left = 1
                raise

    records = Hiccup(2)
    service.json(QUEUED)
    assert Submission(client, records.of(1), sleep=naps.append).submit(audio, {}) == "t-1"
    assert records.only["id"] == "t-1"


def test_a_store_that_forgets_or_is_too_slow_stops_the_submission_before_it_costs(
    service: ScriptedService, client: AssemblyAIClient, audio: AudioSource, records: Records
) -> None:
    class Forgetful(Records):
        def set(self, key: str, value: Any) -> None:
            pass

    seconds = iter(range(0, 1000, 6))
    with pytest.raises(RecordError, match="Nothing was submitted"):
        Submission(client, Forgetful().of(1)).submit(audio, {})
    service.json(QUEUED)
    with pytest.raises(RecordError, match="too slow") as raised:
        Submission(client, records.of(1), elapsed=lambda: 2.0 * next(seconds)).submit(audio, {})
    assert raised.value.retryable
    assert service.requests == []


class Killed(BaseException):
    pass


class Dying(AssemblyAIClient):
    """Its process is killed when it submits."""

    def submit(self, *_: Any, **__: Any) -> Any:
        raise Killed


@pytest.fixture
def cut_off(service: ScriptedService, audio: AudioSource, records: Records, clock: Clock) -> None:
    """A first try that was killed while it submitted."""
    with Dying(KEY, base_url=service.url) as dying:
        know_the_time(service, dying)
        with pytest.raises(Killed):
            Submission(dying, records.of(1), clock=clock).submit(audio, {})
    assert records.only["state"] == "intent"


@pytest.mark.usefixtures("cut_off")
def test_the_job_of_a_try_that_was_cut_off_is_found(
    service: ScriptedService,
    client: AssemblyAIClient,
    audio: AudioSource,
    records: Records,
    clock: Clock,
    sleep: Callable[[float], None],
) -> None:
    service.json(listed(clock, "t-7", SIGNED)).json({**QUEUED, "id": "t-7", "audio_url": SIGNED}).json(QUEUED)
    clock.now += 5
    assert Submission(client, records.of(2), clock=clock, sleep=sleep).submit(audio, {}) == "t-7"
    assert sent(service) == []
    assert records["asr." + records.only["fp"][:16] + ".2"]["id"] == "t-7"


@pytest.mark.usefixtures("cut_off")
def test_a_try_that_was_cut_off_before_it_sent_anything_costs_one_look_after_the_horizon(
    service: ScriptedService,
    client: AssemblyAIClient,
    audio: AudioSource,
    records: Records,
    clock: Clock,
    naps: list[float],
) -> None:
    service.json(LIST).json(QUEUED)
    clock.now += 300
    assert Submission(client, records.of(2), clock=clock, sleep=naps.append).submit(audio, {}) == "t-1"
    assert [request.path for request in service.requests] == ["/v2/transcript", "/v2/transcript"]
    assert naps == []


@pytest.mark.usefixtures("cut_off")
def test_another_accounts_list_does_not_tell_that_there_is_no_job(
    service: ScriptedService, audio: AudioSource, records: Records, clock: Clock
) -> None:
    service.json(LIST)
    clock.now += 300
    with (
        AssemblyAIClient(OTHER_KEY, base_url=service.url) as other,
        pytest.raises(SubmitOutcomeUnknownError, match="another key") as raised,
    ):
        Submission(other, records.of(2), clock=clock).submit(audio, {})
    assert not raised.value.retryable
    assert sent(service) == []


def test_an_upload_that_was_not_transcribed_is_used_by_the_next_try(
    service: ScriptedService, client: AssemblyAIClient, recording: Path, records: Records, clock: Clock
) -> None:
    upload = {"upload_url": "https://cdn.assemblyai.com/upload/a"}
    service.json(upload).json({"error": "balance is negative"}, 400).json(QUEUED)
    with pytest.raises(BalanceError):
        Submission(client, records.of(1), clock=clock).submit(find_audio(recording), {})
    clock.now += 19 * 3600
    Submission(client, records.of(2), clock=clock).submit(find_audio(recording), {})
    assert sent(service) == ["/v2/upload", "/v2/transcript", "/v2/transcript"]


def test_an_upload_that_the_service_may_have_deleted_is_not_used_again(
    service: ScriptedService, client: AssemblyAIClient, recording: Path, records: Records, clock: Clock
) -> None:
    upload = {"upload_url": "https://cdn.assemblyai.com/upload/a"}
    service.json(upload).json({"error": "balance is negative"}, 400).json(upload).json(QUEUED)
    with pytest.raises(BalanceError):
        Submission(client, records.of(1), clock=clock).submit(find_audio(recording), {})
    clock.now += 21 * 3600
    Submission(client, records.of(2), clock=clock).submit(find_audio(recording), {})
    assert sent(service) == ["/v2/upload", "/v2/transcript"] * 2


def test_the_time_of_a_submission_is_the_services(
    service: ScriptedService, client: AssemblyAIClient, records: Records, recording: Path, clock: Clock
) -> None:
    service.ahead_s = 3600
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/a"}).json(QUEUED)
    Submission(client, records.of(1), clock=clock).submit(find_audio(recording), {})
    assert records.only["intent_at"] - clock.now == pytest.approx(3600, abs=2)
    assert records.only["first_submit_at"] == clock.now


# Parameters ----------------------------------------------------------------------------------------------------------

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "config",
    [
        "speaker_labels",
        ["speaker_labels"],
        None,
        7,
        {1: True},
        {"x": {1, 2}},
        {"x": datetime(2026, 11, 23)},
        {"x": float("nan")},
        {"x": b"bytes"},
        {"x": CIRCLE},
        {"x": {1: 1, "b": 2}},
    ],
)
def test_parameters_that_cannot_be_sent_are_refused_before_anything_is(
    service: ScriptedService, submission: Submission, audio: AudioSource, config: Any
) -> None:
    with pytest.raises(RequestError, match="`config`"):
        submission.submit(audio, config)
    assert service.requests == []


def test_the_audio_is_not_named_a_second_time_in_the_parameters(
    service: ScriptedService, submission: Submission, audio: AudioSource
) -> None:
    with pytest.raises(RequestError, match="audio_url"):
        submission.submit(audio, {"audio_url": "https://example.org/b.wav"})
    assert service.requests == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
configs = st.dictionaries(st.text(max_size=8), json_values, max_size=5)


@given(configs)
def test_every_json_parameter_is_passed_through_but_none(config: dict[str, Any]) -> None:
    sent = checked_config(config)
    assert None not in sent.values()
    assert sent == {name: value for name, value in config.items() if value is not None}
    assert checked_config(sent) == sent


@given(configs, st.randoms(use_true_random=False))
def test_the_order_of_parameters_and_those_left_out_do_not_make_another_job(
    config: dict[str, Any], random: Any
) -> None:
    items = [*config.items(), ("left out", None)]
    random.shuffle(items)
    audio = {"path": "/data/a.wav", "size": 1, "mtime_ns": 1}
    base = "https://api.example"
    once = fingerprint(base, audio, checked_config(config))
    assert fingerprint(base, dict(reversed(audio.items())), checked_config(dict(items))) == once


@given(configs, configs, st.integers(0, 3), st.integers(0, 3))
def test_different_jobs_have_different_fingerprints(
    one: dict[str, Any], other: dict[str, Any], size: int, other_size: int
) -> None:
    first = fingerprint("https://api.example", {"size": size}, one)
    second = fingerprint("https://api.example", {"size": other_size}, other)
    same = json.dumps([size, one], sort_keys=True) == json.dumps([other_size, other], sort_keys=True)
    assert (first == second) is same
    assert first != fingerprint("https://api.eu.example", {"size": size}, one)
