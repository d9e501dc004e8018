"""Who waits for transcripts: in an event loop of their own, while another thread looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

log = logging.getLogger(__name__)

Result = str | Exception


class Waiter(Protocol):
    """Somebody who waits for one transcript, or for several."""

    loop: asyncio.AbstractEventLoop

    def settle(self, transcript_id: str, result: Result) -> None:
        """Take the end of a transcript. Called in the loop."""
        ...


class OneWaiter:
    """Waits for one transcript. Make it in the loop that it belongs to."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[str] = self.loop.create_future()

    def settle(self, transcript_id: str, result: Result) -> None:
        """Give the status, or raise the error, where it is awaited."""
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class ManyWaiter:
    """Waits until some of many transcripts have ended, with one future for all.

    Args:
        enough: how many are some.
        ended: takes the ids. One that cannot be read is among them: whoever waits looks into it.
        stops: the errors that end the whole wait.
    """

    def __init__(self, enough: int, ended: set[str], stops: tuple[type[Exception], ...]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self._enough = enough
        self._ended = ended
        self._stops = stops

    def settle(self, transcript_id: str, result: Result) -> None:
        """Note a transcript, and end the wait if that was enough."""
        if isinstance(result, self._stops):
            if not self.future.done():
                self.future.set_exception(result)
            return
        if isinstance(result, Exception):
            log.warning("%s", result)
        self._ended.add(transcript_id)
        if len(self._ended) >= self._enough and not self.future.done():
            self.future.set_result(None)


def wake(settled: Iterable[tuple[Waiter, str, Result]]) -> None:
    """Tell waiters how their transcripts ended, each in its loop. A loop is woken once, however many wait in it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Waiter, str, Result]]] = {}
    for each in settled:
        by_loop.setdefault(each[0].loop, []).append(each)
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, theirs)
        except RuntimeError:
            log.debug("A waiter's event loop is closed; nobody waits there any more.")


def _settle(settled: list[tuple[Waiter, str, Result]]) -> None:
    for waiter, transcript_id, result in settled:
        waiter.settle(transcript_id, result)
