"""Finding the job of a submission whose end nobody saw."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import JobSearchError, SubmitOutcomeUnknownError, TranscriptNotFoundError
from airflow_asr.api.pages import TranscriptListItem, TranscriptPage
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.echo import Echo, echo_of
from airflow_asr.jobs.records import RECORD_VERSION, SubmissionRecord
from airflow_asr.jobs.search import HORIZON_S, JobSearch, url_hash

URL = "https://calls.example/a.wav"
DAY_S = 86_400.0
SENT = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


class Service(AssemblyAIClient):
    """A service with these rows, the newest first. A row is (seconds after the submission, id, more fields)."""

    def __init__(self, *rows: tuple[float, str, dict[str, Any]], page: int = 200) -> None:
        super().__init__("key", base_url="https://api.example")
        self.rows = [self._row(*row) for row in rows]
        self.page = page
        self.now = SENT
        self.asked: list[dict[str, Any]] = []

    @staticmethod
    def _row(after_s: float, transcript_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        created = datetime.fromtimestamp(SENT + after_s, UTC).isoformat()
        return {"id": transcript_id, "status": "processing", "audio_url": URL, "created": created, **fields}

    def service_time(self, now: float) -> float:
        return now

    def list(self, **asked: Any) -> TranscriptPage:
        self.asked.append(asked)
        day = asked.get("created_on")
        rows = [row for row in self.rows if day is None or row["created"].startswith(day)]
        ids = [row["id"] for row in rows]
        first = ids.index(asked["before_id"]) + 1 if asked.get("before_id") else 0
        page = rows[first : first + self.page]
        older = page[-1]["id"] if rows[first + self.page :] else None
        return TranscriptPage([TranscriptListItem(row) for row in page], older)

    def get(self, transcript_id: str) -> Transcript:
        return Transcript(next(row for row in self.rows if row["id"] == transcript_id))

    def search(self) -> JobSearch:
        def sleep(seconds: float) -> None:
            self.now += seconds

        return JobSearch(self, clock=lambda: self.now, sleep=sleep)


def record(client: AssemblyAIClient, **fields: Any) -> SubmissionRecord:
    sent = {
        "v": RECORD_VERSION,
        "fp": "f" * 64,
        "request": "",
        "audio": "a.wav",
        "base": "a.wav",
        "state": "intent",
        "shared_url": False,
        "url_sha256": url_hash(URL),
        "intent_at": SENT,
        "prior": [],
        "forgiven": 0,
        "round": 0,
        "account": client.account,
    }
    return cast(SubmissionRecord, {**sent, **fields})


def test_a_job_is_recognised_by_its_url() -> None:
    service = Service((9, "t-9", {"audio_url": "https://calls.example/b.wav"}), (1, "t-1", {}))
    assert service.search().find(record(service), {}) == "t-1"
    assert len(service.asked) == 1


def test_it_looks_until_the_horizon_and_then_there_is_none() -> None:
    service = Service()
    assert service.search().find(record(service), {}) is None
    assert service.now == SENT + HORIZON_S
    assert len(service.asked) == 7


def test_after_the_horizon_one_look_is_enough() -> None:
    service = Service()
    service.now += 300
    assert service.search().find(record(service), {}) is None
    assert len(service.asked) == 1


def test_a_submission_that_seems_to_lie_ahead_is_given_its_whole_time() -> None:
    service = Service()
    service.now -= 3600
    assert service.search().find(record(service), {}) is None
    assert service.now == SENT - 3600 + HORIZON_S


def test_no_more_pages_are_read_than_can_hold_it() -> None:
    rows = [(float(-number * 60), f"t-{number}", {"audio_url": "https://calls.example/b.wav"}) for number in range(100)]
    service = Service(*rows, page=5)
    service.now += 300
    assert service.search().find(record(service), {}) is None
    assert len(service.asked) == 4  # A quarter of an hour before it was sent.


def test_a_job_on_a_later_page_is_found() -> None:
    rows = [(float(50 - number), f"t-{number}", {"audio_url": "https://calls.example/b.wav"}) for number in range(40)]
    service = Service(*rows, (1, "t-99", {}), page=3)
    assert service.search().find(record(service), {}) == "t-99"


@pytest.mark.parametrize("zone_h", [-12, 0, 12])
def test_after_a_day_the_days_around_it_are_asked_for(zone_h: float) -> None:
    service = Service((zone_h * 3600.0, "t-1", {}))
    service.now += 10 * DAY_S
    # By the service's days, whatever their zone, it is one of the three; by its clock it was made when it was sent.
    service.rows[0]["created"] = datetime.fromtimestamp(SENT, UTC).isoformat()
    assert service.search().find(record(service), {}) == "t-1"
    assert {asked["created_on"] for asked in service.asked} == {"2026-11-22", "2026-11-23", "2026-11-24"}


def test_what_is_older_than_the_list_is_no_longer_looked_for() -> None:
    service = Service((1, "t-1", {}))
    service.now += 91 * DAY_S
    assert service.search().find(record(service), {}) is None
    assert service.asked == []


def test_jobs_that_are_known_to_have_failed_are_not_found_again() -> None:
    service = Service((2, "t-2", {}), (1, "t-1", {}))
    assert service.search().find(record(service, prior=["t-2"]), {}) == "t-1"


@pytest.mark.parametrize("order", list(itertools.permutations(["t-1", "t-2", "t-3"])))
def test_of_several_jobs_every_try_picks_the_same(order: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    made = {"t-1": (1.0, {"status": "error"}), "t-2": (3.0, {}), "t-3": (2.0, {})}
    service = Service(*((made[each][0], each, made[each][1]) for each in order))
    assert service.search().find(record(service), {}) == "t-3"
    assert "t-3, t-2, t-1" in caplog.text


@pytest.mark.parametrize("created", [None, "", "yesterday", 7])
def test_a_list_that_makes_no_sense_tells_nothing(created: object) -> None:
    service = Service((1, "t-1", {"created": created}))
    with pytest.raises(JobSearchError, match=r"a\.wav: it is unknown .* of 2026-11-23 12:00:00 UTC"):
        service.search().find(record(service), {})


def test_a_service_that_shows_other_urls_cannot_tell_that_there_is_no_job() -> None:
    service = Service()
    with pytest.raises(SubmitOutcomeUnknownError, match="under another URL") as raised:
        service.search().find(record(service, unmatched=True), {})
    assert not raised.value.retryable


# URLs that others send too -------------------------------------------------------------------------------------------


def test_a_job_of_somebody_else_with_other_parameters_is_not_ours() -> None:
    service = Service((2, "t-2", {"speaker_labels": True}), (1, "t-1", {"speaker_labels": False}))
    assert service.search().find(record(service, shared_url=True), {}) == "t-1"
    assert service.search().find(record(service, shared_url=True), {"speaker_labels": True}) == "t-2"


def test_an_older_job_of_the_same_url_is_not_ours() -> None:
    for service_now in (0.0, 2 * DAY_S):
        service = Service((-61, "t-1", {}))
        service.now += service_now
        assert service.search().find(record(service, shared_url=True), {}) is None


def test_a_job_that_may_or_may_not_have_our_parameters_is_neither_taken_nor_ignored() -> None:
    service = Service((1, "t-1", {}))
    with pytest.raises(SubmitOutcomeUnknownError, match=r"transcript t-1 has the same URL.*upload='always'") as raised:
        service.search().find(record(service, shared_url=True), {"brand_new": 1})
    assert not raised.value.retryable


def test_a_row_that_cannot_be_read_yet_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service((1, "t-1", {}))

    def get(*_: object) -> Transcript:
        raise TranscriptNotFoundError("not yet")

    monkeypatch.setattr(service, "get", get)
    with pytest.raises(JobSearchError):
        service.search().find(record(service, shared_url=True), {})


SPELLING = [{"from": ["x"], "to": "y"}]
SHOWN = {
    "punctuate": True,
    "format_text": True,
    "speaker_labels": False,
    "language_code": "en_us",
    "language_detection": True,
    "webhook_auth": True,
    "redact_pii_policies": ["a", "b"],
    "custom_spelling": None,
    "audio_start_from": None,
    "words": [{"text": "Hi"}],
}


@pytest.mark.parametrize(
    ("config", "shown", "echo"),
    [
        ({}, {}, Echo.SAME),
        ({"punctuate": True, "language_code": "en"}, {}, Echo.SAME),
        ({"redact_pii_policies": ["b", "a"]}, {}, Echo.SAME),
        ({"speaker_labels": False, "audio_start_from": 0}, {}, Echo.SAME),
        ({"webhook_auth_header_value": "secret"}, {}, Echo.SAME),
        (
            {"custom_spelling": SPELLING},
            {"custom_spelling": [{"to": "y", "from": ["x"]}]},
            Echo.SAME,
        ),
        ({"punctuate": False}, {}, Echo.OTHER),
        ({}, {"punctuate": False}, Echo.OTHER),
        ({}, {"speaker_labels": True}, Echo.OTHER),
        ({}, {"brand_new": True}, Echo.OTHER),
        ({"speaker_labels": True}, {}, Echo.OTHER),
        ({"language_code": "de"}, {}, Echo.OTHER),
        ({"redact_pii_policies": ["a"]}, {}, Echo.OTHER),
        ({}, {"audio_start_from": 1000}, Echo.OTHER),
        ({}, {"custom_spelling": SPELLING}, Echo.OTHER),
        ({"audio_end_at": 7}, {"audio_end_at": 8}, Echo.OTHER),
        ({"brand_new": 1}, {}, Echo.UNKNOWN),
        ({"brand_new": 1, "speaker_labels": True}, {}, Echo.OTHER),
    ],
)
def test_parameters_are_compared_as_the_service_repeats_them(
    config: dict[str, Any], shown: dict[str, Any], echo: Echo
) -> None:
    assert echo_of({**SHOWN, **shown}, config) is echo


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=5))
def test_a_job_of_ours_is_never_taken_for_somebody_elses(config: dict[str, Any]) -> None:
    sent = {name: value for name, value in config.items() if value is not None}
    assert echo_of({**SHOWN, **sent}, sent) is Echo.SAME


@given(values, values)
def test_any_two_values_can_be_compared(sent: Any, shown: Any) -> None:
    assert echo_of({"x": shown}, {"x": sent}) in (Echo.SAME, Echo.OTHER)
