"""What a batch keeps in the task state store: little, because the rest lies in its ledger under the output folder.

Each write of it is a fence: only the task instance's current try can do it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NotRequired, TypedDict

from airflow_asr.api.errors import RecordError
from airflow_asr.jobs.batch.budget import Spent, nothing_spent
from airflow_asr.jobs.batch.ramp import RampState
from airflow_asr.jobs.records import RecordStore
from airflow_asr.jobs.sending import FENCE_S, FENCES

log = logging.getLogger(__name__)

STATE_VERSION = 1


class BatchState(TypedDict):
    """What the tries of one task instance hand to each other. Times are seconds since the epoch.

    Attributes:
        v: the version of this form.
        windows: for each open window the places of its jobs that have not ended, as bits; negative until it is sent.
        number: how many objects of the ledger were named so far, so that no name is used twice.
        todo: the parts of the plan that are left, and how far the first is used.
        ramp: how fast jobs may be sent.
        spent: hours and money.
        submitted: jobs that were sent.
        files: recordings that the archive has.
        there: those of them that nothing had to be done for.
        done: those that were transcribed.
        failed: those that have no transcript.
        began: when the first job was sent.
        round: what tells the tries since the last Clear from those before.
    """

    v: int
    windows: dict[str, int]
    number: int
    todo: list[str]
    used: int
    ramp: NotRequired[RampState]
    spent: Spent
    submitted: int
    files: int
    there: int
    done: int
    failed: int
    began: NotRequired[float]
    round: int


class BatchRecord:
    """The state of a batch, written by one try and read by the next.

    Args:
        store: survives the try.
        try_number: the number of this try.
        round: the same for all tries until somebody clears the task.
        elapsed: seconds that only grow, also while the machine is suspended.
    """

    def __init__(self, store: RecordStore, try_number: int, round: int, elapsed: Callable[[], float]) -> None:
        self._store = store
        self._elapsed = elapsed
        self.try_number = try_number
        self.state = self._read(round)

    def fence(self) -> float:
        """Keep the state, and return when this was, by ``elapsed``. It fails if this try is no longer the current one.

        Raises:
            RecordError: the state could not be kept, or not in time. Nothing may be sent.
        """
        for _ in range(FENCES):
            began = self._elapsed()
            try:
                self._store.set(self._key(self.try_number), dict(self.state))
                kept = self._store.get(self._key(self.try_number)) == self.state
            except Exception as error:
                raise RecordError(
                    f"The task state store does not take a record of this try ({error}). If the task was tried again "
                    "meanwhile, that is as it should be: the newer try goes on with the batch."
                ) from error
            if kept and self._elapsed() - began <= FENCE_S:
                return began
        raise RecordError(
            "The task state store was too slow, or did not keep what was written to it, three times. Nothing more was "
            "submitted: a job that cannot be recorded could be paid for twice."
        )

    def name(self) -> str:
        """Return a name for an object of the ledger that no other try uses."""
        self.state["number"] += 1
        return f"{self.try_number}.{self.state['number']}"

    def _read(self, round: int) -> BatchState:
        for number in range(self.try_number, 0, -1):
            found: Any = self._store.get(self._key(number))
            if found is None:
                continue
            if found.get("v") != STATE_VERSION:
                raise RecordError(
                    f"What try {number} of this task left in the task state store is of another version of this "
                    "package. Install that version again until the batch has ended."
                )
            state: BatchState = found
            if state["round"] != round:
                # Somebody cleared the task, and allows it as much money and time as before.
                return {**_beginning(round), "windows": state["windows"]}
            return state
        return _beginning(round)

    @staticmethod
    def _key(number: int) -> str:
        return f"asr.batch.{number}"


def _beginning(round: int) -> BatchState:
    return BatchState(
        v=STATE_VERSION,
        windows={},
        number=0,
        todo=[],
        used=0,
        spent=nothing_spent(),
        submitted=0,
        files=0,
        there=0,
        done=0,
        failed=0,
        round=round,
    )
