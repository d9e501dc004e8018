"""The recordings that are still to be sent: a queue in the ledger, of which a part at a time is in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from airflow_asr.jobs.batch.desk import Desk, Todo

PART = 1000
"""Recordings, or rows, in a part."""


class Plan:
    """Takes recordings from the front, and puts them back there.

    Args:
        desk: the ledger and the state.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ahead: deque[Todo] = deque()
        """Those that come before all others; they are in memory alone."""
        self._part: deque[Todo] = deque()

    def append(self, todos: Iterable[Todo]) -> None:
        """Add a part at the end."""
        name = f"{self._desk.record.name()}.todo"
        self._desk.ledger.put_part(name, (todo.entry() for todo in todos))
        self._desk.state["todo"].append(name)

    def put_back(self, todos: Iterable[Todo]) -> None:
        """Put recordings in front, in their order."""
        self._ahead.extendleft(reversed(list(todos)))

    def take(self) -> Todo | None:
        """Return the next recording; None if there is none left."""
        if self._ahead:
            return self._ahead.popleft()
        state = self._desk.state
        while not self._part:
            if not state["todo"]:
                return None
            self._part.extend(self._read(state["todo"][0], state["used"]))
            if not self._part:
                state["todo"].pop(0)
                state["used"] = 0
        state["used"] += 1
        return self._part.popleft()

    def keep(self) -> None:
        """Write what is in memory alone, before the process ends."""
        if self._ahead:
            self.append(self._ahead)
            self._ahead.clear()

    def rest(self) -> Iterator[Todo]:
        """Yield all that is left."""
        while (todo := self.take()) is not None:
            yield todo

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        todo = self.take()
        if todo is not None:
            self.put_back([todo])
        return todo is None

    def _read(self, name: str, used: int) -> list[Todo]:
        kept = self._desk.ledger.part(name)[used:]
        items = self._desk.order.archive.reopen([each["entry"] for each in kept])
        return [
            Todo(item, each["fp"], each["base"], tuple(each["prior"])) for item, each in zip(items, kept, strict=True)
        ]
