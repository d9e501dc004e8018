from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any

import pytest

from airflow_asr.api.errors import (
    AccountError,
    AssemblyAIError,
    AuthenticationError,
    BalanceError,
    ForbiddenError,
    InvalidReplyError,
    RateLimitError,
    ReplyLostError,
    RequestError,
    ServerError,
    TranscriptNotFoundError,
    UnclassifiedError,
    UnreachableError,
)
from airflow_asr.api.pages import TranscriptListItem, TranscriptPage
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs import pauses, sweeps
from airflow_asr.jobs import watcher as watcher_module
from airflow_asr.jobs.schedule import PollSchedule, RequestBudget
from airflow_asr.jobs.watcher import TranscriptWatcher

SOON = PollSchedule(first_s=0.01, least_s=0.01, most_s=0.02)
THREAD_NAME = "airflow-asr-watcher"
ANSWERED_WITHIN_S = 10.0  # Ends a test that would hang; no test comes near it.


class Service:
    """A client without HTTP. Each id has its answers, given in order; the last one is repeated."""

    def __init__(self, account: str = "account-1", **answers: Sequence[str | Exception]) -> None:
        self.account = account
        self.answers: dict[str, list[Any]] = {name.replace("_", "-"): list(each) for name, each in answers.items()}
        self.asked: list[tuple[float, str]] = []
        self.asked_by: set[str] = set()
        self.pages: list[str | None] = []
        self.rows: list[str] | None = None
        """The list, newest first. Without one each transcript is asked for by itself."""
        self.page_rows = 200
        self.closed = 0

    @classmethod
    def alike(cls, names: Iterable[str], *answers: str | Exception) -> Service:
        """Return a service that gives the same answers for each of these ids."""
        service = cls()
        service.answers = {name: list(answers) for name in names}
        return service

    def get(self, transcript_id: str) -> Transcript:
        self.asked.append((time.monotonic(), transcript_id))
        self.asked_by.add(threading.current_thread().name)
        answers = self.answers[transcript_id]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Transcript({"id": transcript_id, "status": answer})

    def list(self, *, before_id: str | None = None) -> TranscriptPage:
        self.pages.append(before_id)
        if self.rows is None:
            raise RequestError("There is no list.")
        first = self.rows.index(before_id) + 1 if before_id else 0
        names = self.rows[first : first + self.page_rows]
        items = [TranscriptListItem({"id": name, "status": self._listed(name)}) for name in names]
        return TranscriptPage(items, names[-1] if self.rows[first + self.page_rows :] else None)

    def _listed(self, name: str) -> str:
        answer = self.answers.get(name, ["completed"])[0]
        if len(self.answers.get(name, ())) > 1:
            self.answers[name].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    def close(self) -> None:
        self.closed += 1

    def asked_for(self, transcript_id: str) -> int:
        return sum(each == transcript_id for _, each in self.asked)


def watcher_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWERED_WITHIN_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            return await main

    return asyncio.run(limited())


@pytest.fixture(autouse=True)
def _no_thread_outlives_the_last_waiter() -> Iterator[None]:
    yield
    until(lambda: not watcher_threads())


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the pauses after failures short; return how many looks at a transcript had failed in a row, each time."""
    asked: list[int] = []

    def after_failure(schedule: PollSchedule, age_s: float, failures: int, uniform: object) -> float:
        asked.append(failures)
        return 0.02

    monkeypatch.setattr(PollSchedule, "after_failure", after_failure)
    monkeypatch.setattr(pauses, "backoff_s", lambda failures, uniform: 0.02)
    return asked


# Who gets what -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "error"])
def test_a_wait_ends_with_the_status(status: str) -> None:
    service = Service(t_1=["queued", "processing", "of_tomorrow", status])
    assert run(TranscriptWatcher(service).ended("t-1", SOON)) == status
    assert service.asked_for("t-1") == 4
    assert service.asked_by == {THREAD_NAME}


def test_the_first_look_is_not_before_its_time() -> None:
    service = Service(t_1=["completed"])
    began = time.monotonic()
    run(TranscriptWatcher(service).ended("t-1", PollSchedule(first_s=0.2, jitter=0.0)))
    assert service.asked[0][0] - began >= 0.2


def test_each_wait_gets_the_status_of_its_own_transcript() -> None:
    service = Service(t_1=["processing", "completed"], t_2=["error"], t_3=["queued"] * 9 + ["completed"])
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(*(watcher.ended(each, SOON) for each in ("t-1", "t-2", "t-3", "t-1")))

    assert run(main()) == ["completed", "error", "completed", "completed"]


def test_many_who_wait_for_one_transcript_cost_what_one_costs() -> None:
    service = Service(t_1=["processing"] * 4 + ["completed"])
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(*(watcher.ended("t-1", SOON) for _ in range(50)))

    assert run(main()) == ["completed"] * 50
    assert service.asked_for("t-1") == 5


def test_a_wait_that_comes_later_does_not_have_to_wait_for_the_pace_of_an_earlier_one() -> None:
    service = Service(t_1=["completed"])
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        slow = asyncio.create_task(watcher.ended("t-1", PollSchedule(first_s=3600)))
        await asyncio.sleep(0.05)
        return await asyncio.gather(watcher.ended("t-1", SOON), slow)

    assert run(main()) == ["completed", "completed"]


def test_waits_in_different_event_loops_share_one_watcher() -> None:
    service = Service.alike([f"t-{number}" for number in range(8)], "processing", "completed")
    watcher = TranscriptWatcher(service)
    ends: dict[int, str] = {}

    def loop(number: int) -> None:
        ends[number] = run(watcher.ended(f"t-{number % 8}", SOON))

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ANSWERED_WITHIN_S)
    assert ends == dict.fromkeys(range(16), "completed")
    assert service.asked_by == {THREAD_NAME}


# Hiccups -------------------------------------------------------------------------------------------------------------

HICCUPS = [
    ServerError("500"),
    RateLimitError("429", retry_after=0.02),
    RateLimitError("429"),
    ReplyLostError("lost"),
    UnreachableError("no route"),
    InvalidReplyError("not JSON"),
    UnclassifiedError("what?"),
]


@pytest.mark.parametrize("hiccup", HICCUPS, ids=lambda error: f"{type(error).__name__}-{error.retry_after}")
def test_a_hiccup_never_ends_a_wait(hiccup: AssemblyAIError, short_pauses: list[int]) -> None:
    service = Service(t_1=["processing", *[hiccup] * 5, "completed"], t_2=["processing", "completed"])
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(watcher.ended("t-1", SOON), watcher.ended("t-2", SOON))

    assert run(main()) == ["completed", "completed"]
    assert short_pauses


def test_the_pause_grows_with_failures_in_a_row_and_an_answer_ends_the_row(short_pauses: list[int]) -> None:
    service = Service(t_1=[ServerError("500")] * 3 + ["processing", ServerError("500"), "completed"])
    run(TranscriptWatcher(service).ended("t-1", SOON))
    assert short_pauses == [1, 2, 3, 1]


def test_a_failure_by_itself_already_pauses_half_a_second_or_more() -> None:
    service = Service(t_1=[ServerError("500"), "completed"])
    run(TranscriptWatcher(service).ended("t-1", SOON))
    (failed, _), (again, _) = service.asked
    assert again - failed >= 0.5


def test_one_failure_among_replies_holds_back_nobody_else() -> None:
    names = [f"t-{number}" for number in range(20)]
    service = Service.alike(names, "completed")
    service.answers["t-7"] = [ServerError("500"), "completed"]
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(*(watcher.ended(name, SOON) for name in names))

    assert set(run(main())) == {"completed"}
    failed, again = (at for at, name in service.asked if name == "t-7")
    assert all(at < again for at, name in service.asked if name != "t-7")
    assert again - failed >= 0.5


def test_a_few_failures_in_a_row_hold_back_nobody_else_either() -> None:
    names = [f"t-{number}" for number in range(20)]
    service = Service.alike(names, "completed")
    for name in ("t-7", "t-8", "t-9"):
        service.answers[name] = [ServerError("500"), "completed"]
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(*(watcher.ended(name, PollSchedule(first_s=0.1, jitter=0)) for name in names))

    assert set(run(main())) == {"completed"}
    assert len({name for _, name in service.asked[:20]}) == 20


def test_a_row_of_failures_is_an_outage_and_holds_back_everybody() -> None:
    names = [f"t-{number}" for number in range(30)]
    service = Service.alike(names, UnreachableError("down"), "completed")
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(*(watcher.ended(name, PollSchedule(first_s=0.1, jitter=0)) for name in names))

    asking = threading.Thread(target=run, args=(main(),))
    asking.start()
    until(lambda: len(service.asked) >= 5)
    for name in names:
        service.answers[name] = ["completed"]
    asking.join(ANSWERED_WITHIN_S)
    times = [at for at, _ in service.asked]
    assert times[5] - times[4] >= 0.5
    assert len(times) == 35


def test_a_transcript_that_the_service_always_fails_for_is_asked_for_less_and_less_often(
    short_pauses: list[int],
) -> None:
    service = Service(t_1=[ServerError("500")] * 6 + ["completed"], t_2=["processing"] * 40 + ["completed"])
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(watcher.ended("t-1", SOON), watcher.ended("t-2", SOON))

    assert run(main()) == ["completed", "completed"]
    assert short_pauses == [1, 2, 3, 4, 5, 6]


def test_a_403_that_may_be_the_request_limit_is_outlasted_among_other_failures_too(short_pauses: list[int]) -> None:
    throttled = ForbiddenError("403", perhaps_throttled=True)
    service = Service(t_1=[ServerError("500"), RateLimitError("429"), throttled, ServerError("500"), "completed"])
    assert run(TranscriptWatcher(service).ended("t-1", SOON)) == "completed"


def test_what_the_service_asks_for_holds_back_every_request_of_the_account(short_pauses: list[int]) -> None:
    names = [f"t-{number}" for number in range(20)]
    service = Service.alike(names, *["processing"] * 3, "completed")
    service.answers["t-7"] = ["processing", RateLimitError("429", retry_after=0.4), "completed"]
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[str]:
        return await asyncio.gather(*(watcher.ended(name, SOON) for name in names))

    assert set(run(main())) == {"completed"}
    refused = [at for at, name in service.asked if name == "t-7"][1]
    after = sorted(at for at, _ in service.asked if at > refused)
    assert after
    assert after[0] - refused >= 0.4


def test_a_wait_that_comes_during_a_pause_waits_for_its_end_too(short_pauses: list[int]) -> None:
    service = Service(t_1=[RateLimitError("429", retry_after=0.4), "completed"], t_2=["completed"])
    watcher = TranscriptWatcher(service)

    async def main() -> None:
        first = asyncio.create_task(watcher.ended("t-1", SOON))
        while not service.asked:
            await asyncio.sleep(0.005)
        await asyncio.gather(first, watcher.ended("t-2", SOON))

    run(main())
    assert service.asked[1][0] - service.asked[0][0] >= 0.4


def test_a_pause_costs_nobody_the_turn(short_pauses: list[int]) -> None:
    names = [f"t-{number}" for number in range(10)]
    service = Service.alike([*names, "late"], "completed")
    service.answers["t-0"] = [RateLimitError("429", retry_after=0.1), "completed"]
    now = [0.0]
    watcher = TranscriptWatcher(service, clock=lambda: now[0])
    soon = PollSchedule(first_s=0.01, jitter=0)

    async def main() -> None:
        waits = [asyncio.create_task(watcher.ended(name, soon)) for name in names]
        await asyncio.sleep(0)
        now[0] = 1.0  # All are due at once, and the first is told to wait.
        while not service.asked:
            await asyncio.sleep(0.005)
        late = asyncio.create_task(watcher.ended("late", soon))
        await asyncio.sleep(0)
        now[0] = 2.0
        await asyncio.gather(*waits, late)

    run(main())
    order = [name for _, name in service.asked]
    assert order[0] == "t-0"
    assert all(order.index(name) < order.index("late") for name in names[1:])


def test_the_service_cannot_ask_for_an_endless_pause(monkeypatch: pytest.MonkeyPatch, short_pauses: list[int]) -> None:
    monkeypatch.setattr(pauses, "_LONGEST_PAUSE_S", 0.1)
    service = Service(t_1=[RateLimitError("429", retry_after=1e9), "completed"])
    assert run(TranscriptWatcher(service).ended("t-1", SOON)) == "completed"


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [AuthenticationError("401"), BalanceError("no money"), ForbiddenError("403")])
def test_a_refused_key_ends_every_wait_of_this_account_and_no_other(refusal: AccountError) -> None:
    mine = Service("account-1", t_1=["processing", refusal], t_2=["processing"], t_3=["processing"])
    theirs = Service("account-2", t_1=["processing"] * 10 + ["completed"])
    watcher, other = TranscriptWatcher(mine), TranscriptWatcher(theirs)
    slow = PollSchedule(first_s=3600)

    async def main() -> Sequence[Any]:
        return await asyncio.gather(
            watcher.ended("t-1", SOON),
            watcher.ended("t-2", SOON),
            watcher.ended("t-3", slow),
            other.ended("t-1", SOON),
            return_exceptions=True,
        )

    *refused, ended = run(main())
    assert refused == [refusal] * 3
    assert ended == "completed"


def test_no_request_goes_out_with_a_key_that_was_just_refused() -> None:
    names = [f"t-{number}" for number in range(10)]
    refusal = AuthenticationError("401")
    service = Service.alike(names, refusal)
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[Any]:
        waits = (watcher.ended(name, PollSchedule(first_s=0.1, jitter=0.0)) for name in names)
        return await asyncio.gather(*waits, return_exceptions=True)

    assert run(main()) == [refusal] * 10
    assert len(service.asked) == 1


def test_a_single_403_that_may_be_the_request_limit_is_outlasted(short_pauses: list[int]) -> None:
    throttled = ForbiddenError("403", perhaps_throttled=True)
    service = Service(t_1=[throttled, "processing", throttled, "completed"])
    assert run(TranscriptWatcher(service).ended("t-1", SOON)) == "completed"


def test_a_second_403_in_a_row_is_a_refusal(short_pauses: list[int]) -> None:
    service = Service(t_1=[ForbiddenError("403", perhaps_throttled=True)])
    with pytest.raises(ForbiddenError):
        run(TranscriptWatcher(service).ended("t-1", SOON))
    assert len(service.asked) == 2


def test_an_unknown_id_ends_its_own_wait_alone_and_only_after_some_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "NOT_FOUND_PATIENCE_S", 0.3)
    unknown = TranscriptNotFoundError("id not found", transcript_id="t-1")
    service = Service(t_1=[unknown], t_2=["processing"])
    watcher = TranscriptWatcher(service)

    async def main() -> Any:
        began = time.monotonic()
        other = asyncio.create_task(watcher.ended("t-2", SOON))
        [lost] = await asyncio.gather(watcher.ended("t-1", SOON), return_exceptions=True)
        waited_s = time.monotonic() - began
        assert not other.done()
        service.answers["t-2"] = ["completed"]
        return lost, waited_s, await other

    lost, waited_s, other = run(main())
    assert lost is unknown
    assert waited_s >= 0.3
    assert other == "completed"


def test_an_id_that_is_unknown_only_at_first_is_waited_for() -> None:
    unknown = TranscriptNotFoundError("id not found")
    service = Service(t_1=[unknown, unknown, "processing", "completed"])
    assert run(TranscriptWatcher(service).ended("t-1", SOON)) == "completed"


@pytest.mark.parametrize("final", [RequestError("404"), RuntimeError("a bug"), KeyError("a bug"), StopIteration()])
def test_what_is_wrong_with_one_transcript_ends_its_wait_and_the_thread_lives_on(final: Exception) -> None:
    service = Service(t_1=[final], t_2=["processing"] * 5 + ["completed"])
    watcher = TranscriptWatcher(service)

    async def main() -> Sequence[Any]:
        both = asyncio.gather(watcher.ended("t-1", SOON), watcher.ended("t-2", SOON), return_exceptions=True)
        return await both

    failed, ended = run(main())
    assert isinstance(failed, Exception)
    assert failed is final or failed.__cause__ is final
    assert ended == "completed"


# Coming and going ----------------------------------------------------------------------------------------------------


def test_a_cancelled_wait_is_not_looked_at_any_more_and_ends_the_thread() -> None:
    service = Service(t_1=["processing"])
    watcher = TranscriptWatcher(service)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.ended("t-1", SOON), 0.1)

    run(main())
    until(lambda: not watcher_threads())
    asked = len(service.asked)
    assert asked >= 1
    time.sleep(0.1)
    assert len(service.asked) == asked
    assert service.closed == 1


def test_a_wait_that_is_cancelled_before_its_first_look_costs_nothing() -> None:
    service = Service(t_1=["processing"])
    watcher = TranscriptWatcher(service)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.ended("t-1", PollSchedule(first_s=3600)), 0.02)

    run(main())
    until(lambda: not watcher_threads())
    assert service.asked == []


def test_cancelling_one_wait_leaves_the_others_on_the_same_transcript() -> None:
    service = Service(t_1=["processing"])
    watcher = TranscriptWatcher(service)

    async def main() -> str:
        staying = asyncio.create_task(watcher.ended("t-1", SOON))
        leaving = asyncio.create_task(watcher.ended("t-1", SOON))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        service.answers["t-1"] = ["completed"]
        return await staying

    assert run(main()) == "completed"


def test_the_thread_ends_with_the_last_wait_and_a_later_wait_starts_another() -> None:
    service = Service(t_1=["processing", "completed"], t_2=["completed"])
    watcher = TranscriptWatcher(service)
    assert watcher_threads() == []

    async def threads_of(transcript_id: str) -> threading.Thread:
        wait = asyncio.create_task(watcher.ended(transcript_id, SOON))
        await asyncio.sleep(0)
        [thread] = watcher_threads()
        assert thread.daemon
        await wait
        return thread

    first = run(threads_of("t-1"))
    until(lambda: not watcher_threads())
    assert service.closed == 1
    assert run(threads_of("t-2")) is not first
    until(lambda: not watcher_threads())
    assert service.closed == 2


def test_waits_that_come_and_go_quickly_are_all_answered() -> None:
    service = Service(t_1=["completed"])
    watcher = TranscriptWatcher(service)
    now = PollSchedule(first_s=0.0)
    ends: list[str] = []

    def loop() -> None:
        for _ in range(50):
            ends.append(run(watcher.ended("t-1", now)))

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ANSWERED_WITHIN_S)
    assert ends == ["completed"] * 200


def test_an_event_loop_that_was_closed_while_waiting_does_no_harm() -> None:
    service = Service(t_1=["processing"], t_2=["processing"])
    watcher = TranscriptWatcher(service)
    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(watcher.ended("t-1", SOON))
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    service.answers = {"t-1": ["completed"], "t-2": ["processing"] * 5 + ["completed"]}
    assert run(watcher.ended("t-2", SOON)) == "completed"
    until(lambda: service.asked_for("t-1") >= 1 and not watcher_threads())
    assert not abandoned.done()
    abandoned._log_destroy_pending = False  # type: ignore[attr-defined]


# Sharing -------------------------------------------------------------------------------------------------------------


def test_one_watcher_serves_an_account_whatever_the_client() -> None:
    one, same, other = Service("shared-1"), Service("shared-1"), Service("shared-2")
    watcher = TranscriptWatcher.shared(one)
    assert TranscriptWatcher.shared(same) is watcher
    assert TranscriptWatcher.shared(other) is not watcher


def test_a_shared_watcher_lives_as_long_as_somebody_waits() -> None:
    service = Service("shared-3", t_1=["processing"] * 5 + ["completed"])

    async def main() -> None:
        wait = asyncio.create_task(TranscriptWatcher.shared(service).ended("t-1", SOON))
        await asyncio.sleep(0.02)
        gc.collect()
        late = Service("shared-3", t_1=["error"])
        assert await TranscriptWatcher.shared(late).ended("t-1", SOON) == "completed"
        assert late.asked == []
        await wait

    run(main())
    until(lambda: not watcher_threads())
    gc.collect()
    assert "shared-3" not in TranscriptWatcher._shared


def test_watchers_for_one_account_are_not_made_twice_by_two_threads() -> None:
    barrier = threading.Barrier(8)
    found: list[TranscriptWatcher] = []

    def ask() -> None:
        barrier.wait()
        found.append(TranscriptWatcher.shared(Service("shared-4")))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1


# The budget ----------------------------------------------------------------------------------------------------------


def test_two_hundred_waits_stay_within_the_budget() -> None:
    names = [f"t-{number}" for number in range(200)]
    service = Service.alike(names, "completed")
    budget = RequestBudget(per_s=200, burst=20)
    watcher = TranscriptWatcher(service, budget=budget)

    async def main() -> Sequence[str]:
        return await asyncio.gather(*(watcher.ended(name, SOON) for name in names))

    began = time.monotonic()
    assert run(main()) == ["completed"] * 200
    assert len(service.asked) == 200
    for number, (at, _) in enumerate(service.asked, start=1):
        assert number <= budget.burst + budget.per_s * (at - began)


def test_a_wait_that_hit_the_budget_goes_on_by_itself() -> None:
    service = Service(t_1=["processing"] * 30 + ["completed"])
    watcher = TranscriptWatcher(service, budget=RequestBudget(per_s=100, burst=1))
    assert run(watcher.ended("t-1", PollSchedule(first_s=0, least_s=0, most_s=0))) == "completed"


def test_a_refusal_of_the_key_is_not_logged_with_a_url_of_the_client(
    caplog: pytest.LogCaptureFixture, short_pauses: list[int]
) -> None:
    service = Service(t_1=[ServerError("https://h.example/a.wav?sig=SECRET answered 500"), "completed"])
    with caplog.at_level(logging.DEBUG):
        run(TranscriptWatcher(service).ended("t-1", SOON))
    assert "answered 500" in caplog.text
    assert "SECRET" not in caplog.text


# Sweeps --------------------------------------------------------------------------------------------------------------

# All that begin together may be looked at by the time that the first of them is due.
SWEPT = PollSchedule(first_s=0.5, least_s=0.01, most_s=0.02)
MANY = [f"m-{number:03}" for number in range(50)]


def listed(*answers: str | Exception, foreign: int = 0, names: Sequence[str] = MANY) -> Service:
    """Return a service whose list holds these transcripts, under so many of strangers."""
    service = Service.alike(names, *answers)
    service.rows = [*(f"foreign-{number}" for number in range(foreign)), *names]
    return service


def patient(service: Service) -> TranscriptWatcher:
    return TranscriptWatcher(service, uniform=lambda low, high: high)


@pytest.fixture
def quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "_LEAST_INTERVAL_S", 0.02)
    monkeypatch.setattr(sweeps, "_PAGE_S", 0.001)


def wait_for(watcher: TranscriptWatcher, names: Sequence[str], schedule: PollSchedule = SWEPT) -> list[str]:
    async def main() -> list[str]:
        return list(await asyncio.gather(*(watcher.ended(name, schedule) for name in names)))

    return list(run(main()))


def test_many_are_looked_for_by_the_list_and_none_by_itself(quick_sweeps: None) -> None:
    service = listed("processing", "completed")
    assert wait_for(patient(service), MANY) == ["completed"] * len(MANY)
    assert service.asked == []
    assert 2 <= len(service.pages) <= 6


def test_each_is_told_its_own_end(quick_sweeps: None) -> None:
    service = listed("completed")
    service.answers["m-007"] = ["error"]
    ends = dict(zip(MANY, wait_for(patient(service), MANY), strict=True))
    assert ends.pop("m-007") == "error"
    assert set(ends.values()) == {"completed"}


def test_a_sweep_reads_on_under_the_transcripts_of_strangers(quick_sweeps: None) -> None:
    service = listed("completed", foreign=30)
    service.page_rows = 20
    assert set(wait_for(patient(service), MANY)) == {"completed"}
    assert service.asked == []


def test_what_is_not_in_the_list_is_asked_for_by_itself(quick_sweeps: None) -> None:
    service = listed("processing", "completed")
    assert service.rows is not None
    service.rows.remove("m-003")
    service.answers["m-003"] = ["completed"]
    assert set(wait_for(patient(service), MANY)) == {"completed"}
    assert {name for _, name in service.asked} == {"m-003"}


def test_what_the_list_no_longer_shows_is_asked_for_before_its_next_turn(quick_sweeps: None) -> None:
    last_page_at = 0.0

    class Forgetful(Service):
        def list(self, *, before_id: str | None = None) -> TranscriptPage:
            nonlocal last_page_at
            page = super().list(before_id=before_id)
            last_page_at = time.monotonic()
            assert self.rows is not None
            self.rows = [name for name in self.rows if name != "m-003"]
            return page

    service = Forgetful.alike(MANY, "processing", "completed")
    service.rows = list(MANY)
    slow = PollSchedule(first_s=0.5, least_s=2.0, most_s=2.0)
    assert set(wait_for(patient(service), MANY, slow)) == {"completed"}
    ((asked_at, name),) = service.asked
    assert name == "m-003"
    assert asked_at - last_page_at < slow.least_s / 2


def test_a_list_that_fails_now_and_then_holds_up_nobody(quick_sweeps: None, short_pauses: list[int]) -> None:
    service = listed("processing", "completed")
    service.answers["m-000"] = [ServerError("500"), "processing", "completed"]
    assert set(wait_for(patient(service), MANY)) == {"completed"}


def test_a_list_that_cannot_be_used_is_not_asked_for_again_and_again() -> None:
    service = Service.alike(MANY, "processing", "completed")
    assert set(wait_for(patient(service), MANY)) == {"completed"}
    assert len(service.pages) == 1
    assert {name for _, name in service.asked} == set(MANY)


def test_a_refused_key_ends_all_waits_of_a_sweep() -> None:
    service = listed("processing")
    service.answers["m-000"] = [AuthenticationError("401")]

    async def main() -> list[Any]:
        watcher = patient(service)
        waits = (watcher.ended(name, SWEPT) for name in MANY)
        return list(await asyncio.gather(*waits, return_exceptions=True))

    assert all(isinstance(each, AuthenticationError) for each in run(main()))


def test_a_sweep_tells_nobody_before_the_first_look_is_due(quick_sweeps: None) -> None:
    service = listed("completed", names=[*MANY, "late"])
    later = PollSchedule(first_s=1.0, least_s=0.01, most_s=0.02)

    async def main() -> float:
        watcher, began = patient(service), time.monotonic()
        waits = [asyncio.create_task(watcher.ended(name, SWEPT)) for name in MANY]
        await watcher.ended("late", later)
        seconds = time.monotonic() - began
        await asyncio.gather(*waits)
        return seconds

    assert run(main()) >= 1.0


# Many at once --------------------------------------------------------------------------------------------------------


def test_one_waiter_is_woken_when_enough_of_many_have_ended(quick_sweeps: None) -> None:
    service = listed("processing")
    for name in MANY[:20]:
        service.answers[name] = ["processing", "completed"]
    ended: set[str] = set()
    watcher = patient(service)
    run(watcher.some_ended(MANY, SWEPT, 20, ended))
    assert ended == set(MANY[:20])
    until(lambda: not watcher_threads())


def test_what_had_ended_is_known_when_the_wait_is_cut_short(quick_sweeps: None) -> None:
    service = listed("processing")
    service.answers["m-001"] = ["completed"]
    ended: set[str] = set()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await patient(service).some_ended(MANY, SWEPT, 10, ended)

    run(main())
    assert ended == {"m-001"}


def test_one_of_many_that_cannot_be_read_counts_as_ended(quick_sweeps: None) -> None:
    service = Service.alike(MANY[:5], RequestError("gone"))
    ended: set[str] = set()
    run(patient(service).some_ended(MANY[:5], SWEPT, 5, ended))
    assert ended == set(MANY[:5])


def test_a_refused_key_ends_the_wait_for_many() -> None:
    service = Service.alike(MANY[:5], BalanceError("empty"))
    with pytest.raises(BalanceError):
        run(patient(service).some_ended(MANY[:5], SWEPT, 5, set()))


def test_enough_that_had_ended_before_costs_nothing() -> None:
    service = Service()
    run(patient(service).some_ended(["a", "b"], SWEPT, 1, {"a"}))
    assert not service.asked
    assert not service.pages
