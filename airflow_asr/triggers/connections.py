"""One read of a Connection for all triggers that begin together.

To read one takes some messages to the triggerer's supervisor, one even for a look at its extra, which masks what it
finds. The supervisor takes some milliseconds for each, and the event loop waits for the last kind: two thousand
triggers that begin with their triggerer would keep it busy for a minute.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.retry import NO_RETRY
from airflow_asr.hooks.assemblyai import AssemblyAIHook, client_of

# A key that was changed since is refused, and then read anew.
_FRESH_S = 10.0


@dataclass(frozen=True, eq=False)
class Reading:
    """A Connection that is being read, or was a moment ago, and the client that it leads to."""

    began: float
    task: asyncio.Task[AssemblyAIClient]

    async def client(self) -> AssemblyAIClient:
        """Return the client, which does not retry. Whoever is cancelled does not keep the others from it."""
        return await asyncio.shield(self.task)

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Say whether it can be used by one who begins now, in this loop."""
        failed = self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
        return not failed and self.task.get_loop() is loop and loop.time() - self.began < _FRESH_S


_readings: dict[str, Reading] = {}


def reading_of(conn_id: str, but: Reading | None = None) -> Reading:
    """Return a reading of a Connection that is not older than some seconds.

    Args:
        conn_id: the Connection.
        but: another one than this, whose key was refused.
    """
    loop = asyncio.get_running_loop()
    reading = _readings.get(conn_id)
    if reading is None or reading is but or not reading.serves(loop):
        task = loop.create_task(_read(conn_id))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # Perhaps nobody waits any more.
        reading = _readings[conn_id] = Reading(loop.time(), task)
    return reading


async def _read(conn_id: str) -> AssemblyAIClient:
    return client_of(await AssemblyAIHook.aget_connection(conn_id), retry=NO_RETRY)
