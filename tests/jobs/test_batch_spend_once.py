"""A batch pays for each recording once and loses none, wherever its worker dies and whatever the service replies."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.jobs.batch_world import BAD, REPLIES, Run, Worker, World

EXAMPLES = int(os.environ.get("SPEND_ONCE_EXAMPLES", "100"))
NAMES = (*(f"{number}.wav" for number in range(7)), BAD)

troubles = st.fixed_dictionaries(
    {
        "replies": st.lists(st.sampled_from(REPLIES), max_size=12),
        "failing": st.lists(st.booleans(), max_size=2),
        "lag_s": st.sampled_from([0.0, 0.0, 5.0, 60.0]),
        "broken_pages": st.integers(0, 2),
    }
)
# A try: what goes wrong, how many steps it takes, and what becomes of it then.
tries = st.tuples(troubles, st.integers(0, 400), st.sampled_from(["killed", "paused", "another run", "vanished"]))
relaxed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(st.lists(tries, max_size=4), st.lists(st.integers(0, 60), max_size=3))
def test_each_recording_is_paid_for_once_and_has_its_text(
    history: list[tuple[dict[str, Any], int, str]], wakes: list[int]
) -> None:
    world = World(NAMES)
    for trouble, steps, end in history:
        _disturbed(world, trouble, steps, end)
    worker = world.runs[-1].start(world)
    for steps in wakes:
        worker.advance(steps)
        for zombie in _zombies(world):
            zombie.advance(steps)
    world.heal()
    worker.finish()
    for zombie in _zombies(world):
        zombie.finish()
    assert worker.error is None, worker.error
    _check(world)
    ours = f"/open/{worker.run.run_id}-{worker.number}."
    assert not [path for path in world.files if ours in path and path.endswith(".window.json")]


def _disturbed(world: World, trouble: dict[str, Any], steps: int, end: str) -> None:
    """Run a try in which things go wrong, and end it where it stands."""
    vars(world).update(copy.deepcopy(trouble))
    worker = world.runs[-1].start(world)
    worker.advance(steps)
    if end != "paused":
        worker.kill()
    if end == "another run":
        world.runs.append(Run(f"run{len(world.runs)}"))
    if end == "vanished" and len(world.names) > 5:
        world.names.pop(0)


def _zombies(world: World) -> list[Worker]:
    """Return the workers that were taken for dead, and are not."""
    workers = [worker for run in world.runs for worker in run.workers]
    return [worker for worker in workers if not worker.is_current and worker.at != "start"]


def _check(world: World) -> None:
    paid = world.paid()
    assert all(count <= 1 for count in paid.values()), paid
    rows = {row["key"]: row for row in map(json.loads, world.files["out/manifest.jsonl"].decode().splitlines())}
    for name in world.names:
        if name == BAD:
            assert (rows[name]["status"], rows[name]["kind"]) == ("failed", "input")
            continue
        assert (rows[name]["status"], paid[name]) == ("completed", 1)
        assert rows[name]["outputs"]["txt"].removeprefix("model://") in world.files


def test_an_undisturbed_batch_that_is_repeated_asks_nothing() -> None:
    world = World(NAMES)
    world.runs[0].start(world).finish()
    again = Run("again")
    world.runs.append(again)
    worker = again.start(world)
    worker.finish()
    assert worker.summary is not None
    assert (worker.summary["completed"], worker.summary["failed"], worker.calls) == (7, 1, 0)


def test_what_vanished_from_the_archive_is_collected_all_the_same() -> None:
    world = World(NAMES)
    first = world.runs[0].start(world)
    while first.at != "wait":
        first.advance(1)
    first.kill()
    world.names.remove("0.wav")
    second = world.runs[0].start(world)
    second.finish()
    assert any(path.startswith("out/0.wav.") and path.endswith(".txt") for path in world.files)
