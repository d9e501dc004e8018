"""What the user allows a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_asr.api.errors import RequestError
from airflow_asr.jobs.batch.ramp import Ramp

_RAMP = Ramp()
MOST_IN_FLIGHT = 1000
"""Ids that one trigger carries: MySQL keeps a trigger's arguments in 64 KB."""


@dataclass(frozen=True)
class Limits:
    """How much a batch does at a time.

    Attributes:
        max_in_flight: jobs at the service at a time; at most 1,000.
        refill_at: the task goes on when so many of them have ended: a share of them, or a count.
        max_round_s: it goes on after so many seconds in any case.
        concurrency: uploads, submissions and downloads at a time.
        ramp: how fast jobs are sent; None for as fast as they can be.
        max_resubmits: how often a transcript that the service failed is submitted again.
        first_poll_s: seconds from deferring to the first look.
        poll_interval_s: the longest time between two looks, in seconds.
    """

    max_in_flight: int = MOST_IN_FLIGHT
    refill_at: int | float = 0.5
    max_round_s: float = 1800.0
    concurrency: int = 16
    ramp: Ramp | None = _RAMP
    max_resubmits: int = 2
    first_poll_s: float = 10.0
    poll_interval_s: float = 60.0

    @classmethod
    def of(cls, given: object) -> Limits:
        """Return the limits that a dict of the operator's names gives. Numbers may be text, as templates make them.

        Raises:
            RequestError: one of them does not exist or cannot be used; the message says which.
        """
        read = Reader("limits", given)
        limits = cls(
            max_in_flight=read.number("max_in_flight", cls.max_in_flight, int, 1, MOST_IN_FLIGHT),
            refill_at=read.count_or_share("refill_at", cls.refill_at),
            max_round_s=read.number("max_round", cls.max_round_s, float, 1.0),
            concurrency=read.number("concurrency", cls.concurrency, int, 1, 100),
            ramp=_ramp(read.value("ramp", cls.ramp)),
            max_resubmits=read.number("max_resubmits", cls.max_resubmits, int, 0),
            first_poll_s=read.number("first_poll", cls.first_poll_s, float, 0.0),
            poll_interval_s=read.number("poll_interval", cls.poll_interval_s, float, 0.1),
        )
        read.end()
        return limits

    def refill_count(self, in_flight: int) -> int:
        """Return how many of the jobs must have ended for the task to go on."""
        wanted = self.refill_at if isinstance(self.refill_at, int) else math.ceil(self.refill_at * in_flight)
        return min(max(wanted, 1), max(in_flight, 1))


def checked_failures(value: object) -> int | float:
    """Return how many files may fail: a count, or a share of all.

    Raises:
        RequestError: it is neither.
    """
    return Reader("max_failures", {"max_failures": value}).count_or_share("max_failures", 0, least=0)


def checked_flag(name: str, value: object) -> bool:
    """Return a switch, which a template may have made text.

    Raises:
        RequestError: it is none.
    """
    known = {"true": True, "false": False, "1": True, "0": False, "none": False, "": False}
    if isinstance(value, bool) or value is None:
        return bool(value)
    if str(value).lower() not in known:
        raise RequestError(f"`{name}` is {value!r}. Give True or False.")
    return known[str(value).lower()]


class Reader:
    """Reads the entries of a dict that a user wrote, and names the one that is wrong.

    Raises:
        RequestError: it is no dict.
    """

    def __init__(self, name: str, given: object) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise RequestError(f"`{name}` must be a dict; got {type(given).__name__}.")
        self._name = name
        self._given: dict[str, Any] = dict(given or {})
        self._known: list[str] = []

    def value(self, field: str, default: Any = None) -> Any:
        """Return an entry as it is."""
        self._known.append(field)
        return self._given.get(field, default)

    def number(self, field: str, default: Any, kind: Callable[[Any], Any], least: float, most: float = math.inf) -> Any:
        """Return a number.

        Raises:
            RequestError: it is none, or outside the bounds.
        """
        value = self.value(field)
        if value is None:
            return default
        try:
            if isinstance(value, bool):
                raise ValueError
            number = kind(value)
            if not least <= number <= most or number != float(value):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            bounds = f"from {least:g} to {most:g}" if most < math.inf else f"of {least:g} or more"
            whole = "whole number" if kind is int else "number"
            raise RequestError(f"`{self._name}`: `{field}` is {value!r}. Give a {whole} {bounds}.") from None
        return number

    def count_or_share(self, field: str, default: int | float, least: int = 1) -> int | float:
        """Return a count as an ``int``, or a share from 0 to 1 as a ``float``.

        Raises:
            RequestError: it is neither.
        """
        value = self.value(field)
        if value is None:
            return default
        try:
            if isinstance(value, str):
                value = float(value) if "." in value else int(value)
            if isinstance(value, int) and not isinstance(value, bool) and value >= least:
                return value
            if isinstance(value, float) and 0 <= value <= 1:
                return value
        except ValueError:
            pass
        raise RequestError(f"`{field}` is {value!r}. Give a count of {least} or more, or a share from 0.0 to 1.0.")

    def end(self) -> None:
        """Raise if there is an entry that nobody asked for.

        Raises:
            RequestError: a name that does not exist; most likely it is written wrongly.
        """
        unknown = [field for field in self._given if field not in self._known]
        if unknown:
            raise RequestError(f"`{self._name}` has no {', '.join(unknown)}. There are: {', '.join(self._known)}.")


def _ramp(given: object) -> Ramp | None:
    if given is None or isinstance(given, Ramp):
        return given
    read = Reader("ramp", given)
    ramp = Ramp(
        first=read.number("first", Ramp.first, int, 1),
        window_s=read.number("window", Ramp.window_s, float, 0.1),
        growth=read.number("growth", Ramp.growth, float, 0.0),
    )
    read.end()
    return ramp
