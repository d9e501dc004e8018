"""At most one paid job for each input, none lost, whatever dies and whenever."""

from __future__ import annotations

import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_asr.api.errors import AssemblyAIError
from tests.jobs.spend_once import DAY_S, REPLIES, DagRun, Job, RefusedError, Worker, World

# Late acceptance and the list's lag together stay under what the protocol assumes: 130 s from the intent, of which the
# fence may take 10.
LATE_S = st.sampled_from([0.0, 5.0, 30.0])
LAG_S = st.sampled_from([0.0, 1.0, 20.0, 80.0])
PAUSES_S = st.sampled_from([0.5, 3.0, 11.0, 40.0, 100.0, 200.0, 4000.0, 1.5 * DAY_S])


class SpendOnce(RuleBasedStateMachine):
    """Drives a world into every corner, then lets it recover, and counts."""

    world: World

    @initialize(kind=st.sampled_from(["upload", "signed", "shared"]))
    def begin(self, kind: str) -> None:
        self.world = World(kind)
        self.world.runs[0].start(self.world)

    # Workers -------------------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, 9), steps=st.integers(1, 12))
    def go_on(self, number: int, steps: int) -> None:
        """A worker takes some steps."""
        for _ in range(steps):
            worker = self._worker(number)
            if worker is None or worker.at == "wait":
                return
            worker.resume()

    @rule(number=st.integers(0, 9))
    def wake(self, number: int) -> None:
        """The trigger of a waiting worker fires."""
        worker = self._worker(number)
        if worker is not None and worker.at == "wait":
            worker.resume()

    @rule(steps=st.integers(5, 60))
    def go_on_side_by_side(self, steps: int) -> None:
        """All workers that are current take a step in turns: no try is a zombie, but two runs may do the same."""
        for _ in range(steps):
            for worker in self.world.workers:
                if worker.is_current and worker.at not in ("wait", "sleep") and not worker.ended:
                    worker.resume()

    @rule(number=st.integers(0, 9), reply=st.sampled_from(REPLIES), late=LATE_S, lag=LAG_S)
    def go_on_to_the_submission(self, number: int, reply: str, late: float, lag: float) -> None:
        """A worker goes on until it has sent a request, whose reply it has not read."""
        self._service(reply, late, lag)
        worker = self._worker(number)
        for _ in range(100):
            if worker is None or worker.ended or worker.at in ("wait", "submit: done"):
                return
            worker.resume()

    @rule(number=st.integers(0, 9))
    def kill(self, number: int) -> None:
        """A worker is killed where it stands."""
        worker = self._worker(number)
        if worker is not None:
            worker.kill()

    @rule(run=st.integers(0, 3), skew=st.sampled_from([-3600.0, 0.0, 900.0]))
    def retry(self, run: int, skew: float) -> None:
        """Airflow starts the next try, on another machine; it may have been wrong about the end of the one before."""
        chosen = self._run(run)
        if len(self.world.workers) < 4:
            chosen.start(self.world, skew)

    @rule(run=st.integers(0, 3))
    def clear(self, run: int) -> None:
        """Somebody clears the task."""
        chosen = self._run(run)
        chosen.max_tries = chosen.try_number + 3
        if len(self.world.workers) < 4:
            chosen.start(self.world)

    @precondition(lambda self: len(self.world.runs) < 3)
    @rule()
    def reprocess(self) -> None:
        """A backfill processes the day again: another run, another store, the same outputs."""
        self.world.runs.append(DagRun(f"run{len(self.world.runs)}"))
        self.world.runs[-1].start(self.world)

    # The service ---------------------------------------------------------------------------------------------------

    @rule(reply=st.sampled_from(REPLIES), late=LATE_S, lag=LAG_S)
    def next_reply(self, reply: str, late: float, lag: float) -> None:
        self._service(reply, late, lag)

    @rule(pages=st.integers(1, 3))
    def break_the_list(self, pages: int) -> None:
        self.world.broken_pages = pages

    @rule(which=st.integers(0, 9), error=st.sampled_from([None, "Internal server error", "Download error", "Who?"]))
    def end_a_job(self, which: int, error: str | None) -> None:
        running = [job for job in self.world.jobs if job.status == "processing" and job.created <= self.world.now]
        if running:
            job = running[which % len(running)]
            job.status, job.error = ("error", error) if error else ("completed", None)

    @rule(which=st.integers(0, 9))
    def delete_a_job(self, which: int) -> None:
        done = [job for job in self.world.jobs if job.status == "completed"]
        if done:
            done[which % len(done)].deleted = True

    @precondition(lambda self: self.world.kind == "shared")
    @rule(labels=st.booleans())
    def somebody_else_submits_the_url(self, labels: bool) -> None:
        world = self.world
        url, number = world.url(), len(world.jobs)
        config = {"speaker_labels": True} if labels else {}
        world.jobs.append(Job(f"t-{number:03}", url, config, None, "", world.now, world.now))

    @rule(seconds=PAUSES_S)
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # What is wanted ------------------------------------------------------------------------------------------------

    @rule()
    def change_the_audio(self) -> None:
        self.world.version = 3 - self.world.version

    @rule(labels=st.booleans())
    def change_the_config(self, labels: bool) -> None:
        self.world.config = {"speaker_labels": True} if labels else {}

    @rule(key=st.sampled_from(["key", "another of the project", "another project's"]))
    def change_the_key(self, key: str) -> None:
        self.world.key = key

    # What always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_paid_for_twice(self) -> None:
        counted: dict[str, list[str]] = {}
        for job in self.world.jobs:
            if job.by is not None and job.counts:
                counted.setdefault(job.fp, []).append(job.id)
        assert {fp: ids for fp, ids in counted.items() if len(ids) > 1} == {}

    @invariant()
    def no_job_with_other_parameters_is_taken_over(self) -> None:
        configs = {job.id: job.config for job in self.world.jobs}
        for run in self.world.runs:
            for worker in run.workers:
                if worker.summary is not None:
                    assert configs[worker.summary["transcript_id"]] == worker._config

    @invariant()
    def errors_are_ours(self) -> None:
        for run in self.world.runs:
            for worker in run.workers:
                assert worker.error is None or isinstance(worker.error, AssemblyAIError | RefusedError), worker.error

    @invariant()
    def no_url_that_grants_access_is_told(self) -> None:
        told = json.dumps([run.store for run in self.world.runs]) if self.world.kind == "signed" else ""
        open_jobs = b"".join(data for name, data in self.world.files.items() if "/open/" in name).decode()
        assert "SECRET" not in told + open_jobs + "".join(self.world.said)

    def teardown(self) -> None:
        """Nothing goes wrong any more: each run comes to its end, and no job is lost."""
        world = self.world
        for worker in world.workers:
            worker.kill()
        world.heal()
        world.pass_time(1000.0)
        for run in world.runs:
            self._recover(run)
        self.nothing_is_paid_for_twice()
        self.no_job_with_other_parameters_is_taken_over()
        self._check_nothing_is_lost()

    def _recover(self, run: DagRun) -> None:
        run.max_tries = run.try_number + 3
        last: Worker | None = None
        for _ in range(6):
            last = run.start(self.world)
            last.finish()
            if last.summary is not None:
                break
            run.max_tries += 3
        assert last is not None
        if last.summary is None:
            assert "another key" in str(last.error), last.error
            return  # Its job belongs to an account whose key is gone: it said so.
        calls = self.world.calls
        again = run.start(self.world)
        again.finish()
        assert again.summary == last.summary
        assert self.world.calls == calls, "A finished task asked the service."

    def _check_nothing_is_lost(self) -> None:
        world = self.world
        known = json.dumps([run.store for run in world.runs]) + "".join(world.said)
        known += b"".join(world.files.values()).decode()
        fps = {worker.fp for run in world.runs for worker in run.workers[-1:]}
        if world.kind != "shared":  # There a stranger's job with our parameters serves as well as ours.
            assert [job.id for job in world.jobs if job.fp in fps and job.counts and job.id not in known] == []

    def _service(self, reply: str, late: float, lag: float) -> None:
        self.world.reply, self.world.late_s, self.world.lag_s = reply, late, lag

    def _worker(self, number: int) -> Worker | None:
        living = self.world.workers
        return living[number % len(living)] if living else None

    def _run(self, number: int) -> DagRun:
        return self.world.runs[number % len(self.world.runs)]


SpendOnce.TestCase.settings = settings(
    max_examples=int(os.environ.get("SPEND_ONCE_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestSpendOnce = SpendOnce.TestCase
