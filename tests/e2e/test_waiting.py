"""The ways to wait for a transcript end the same, however it ends."""

from __future__ import annotations

import pytest

from tests.e2e.world import Run, World, wait_until

pytestmark = pytest.mark.e2e

MODES = ("poke", "reschedule", "deferrable")
ALL = [*MODES, *(f"{mode}_soft" for mode in MODES)]
REASON = "The audio has no speech that anybody could hear."
# Long enough that no sensor finds a result at its first look.
PROCESS_S = 15


@pytest.fixture(scope="module")
def runs(world: World) -> tuple[Run, Run]:
    """One run whose transcript completes and one whose transcript ends in error, both ended."""
    good = world.start(
        "waiting", audio=world.script("good", text="Good morning all.", seconds=7.5, process_s=PROCESS_S)
    )
    bad = world.start("waiting", audio=world.script("bad", error=REASON, process_s=PROCESS_S))
    # While they wait: a poking sensor holds its worker, the two others do not.
    states = {"poke": "running", "reschedule": "up_for_reschedule", "deferrable": "deferred"}
    for mode, state in states.items():
        good.wait_for(mode, state, "success")
    good.finish()
    bad.finish()
    return good, bad


def test_each_mode_hands_over_the_same_summary(runs: tuple[Run, Run]) -> None:
    good, _ = runs
    assert good.states() == dict.fromkeys(["submit", *ALL], "success")
    summaries = [good.result(task_id) for task_id in ALL]
    assert summaries[0]["transcript_id"] == good.result("submit")
    assert summaries[0]["status"] == "completed"
    assert summaries[0]["text"] == "Good morning all."
    assert summaries[0]["word_count"] == 3
    assert all(summary == summaries[0] for summary in summaries)


def test_each_mode_really_waited_its_own_way(runs: tuple[Run, Run]) -> None:
    good, _ = runs
    assert "The trigger says" in good.log("deferrable")
    assert "Waiting in a worker slot" in good.log("poke")
    assert "Rescheduling task" in good.log("reschedule")


@pytest.mark.parametrize("mode", MODES)
def test_a_transcript_in_error_fails_the_task_at_once(runs: tuple[Run, Run], mode: str) -> None:
    _, bad = runs
    assert (bad.task(mode).state, bad.tries(mode)) == ("failed", 1)
    error = bad.error(mode)
    assert REASON in error
    assert bad.result("submit") in error


@pytest.mark.parametrize("mode", MODES)
def test_soft_fail_skips_instead(runs: tuple[Run, Run], mode: str) -> None:
    _, bad = runs
    assert (bad.task(f"{mode}_soft").state, bad.tries(f"{mode}_soft")) == ("skipped", 1)


@pytest.mark.parametrize("mode", MODES)
def test_soft_fail_says_why(runs: tuple[Run, Run], mode: str) -> None:
    _, bad = runs
    assert REASON in bad.log(f"{mode}_soft")


def test_waiting_survives_the_death_of_the_service(world: World) -> None:
    audio = world.script("interrupted", text="We were cut off.", process_s=12)
    run = world.start("waiting", audio=audio)
    run.wait_for("deferrable", "deferred")
    run.wait_for("reschedule", "up_for_reschedule", "running")
    run.wait_for("poke", "running")
    world.echo.kill()
    wait_until(lambda: "Looking again later." in run.log("poke"), "a sensor noticed that the service is gone")
    world.echo.start()
    assert run.finish() == "success"
    assert {run.result(task_id)["text"] for task_id in ALL} == {"We were cut off."}
    assert {run.tries(task_id) for task_id in ALL} == {1}
