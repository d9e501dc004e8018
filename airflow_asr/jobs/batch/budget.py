"""What a batch may cost: hours of audio, and money. Pure: no clock, no I/O.

The service charges completed transcripts by the second of their audio, and each feature that was asked for by the hour
on top. How long a recording is, nobody knows before it is transcribed, unless a manifest says so. Until then it is
taken for as long as the densest recording of its kind of file that this batch has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypedDict

from airflow_asr.api.errors import RequestError
from airflow_asr.jobs.batch.limits import Reader

HOUR_S = 3600.0

# Parameters that are no feature of their own, whatever the vendor charges for the rest.
_FREE = frozenset({"punctuate", "format_text", "language_detection", "disfluencies", "filter_profanity"})
_MODELS = ("speech_models", "speech_model")


class Spent(TypedDict):
    """What a batch has spent; it survives the process.

    Attributes:
        seconds: of audio whose transcripts are completed.
        cost: of them, in the unit of the prices.
        densest: seconds of audio in a byte, the most that was seen, by the end of the file's name.
    """

    seconds: float
    cost: float
    densest: dict[str, float]


def nothing_spent() -> Spent:
    """Return what a batch has spent at its beginning."""
    return Spent(seconds=0.0, cost=0.0, densest={})


@dataclass(frozen=True)
class Budget:
    """What the user allows, and what it costs.

    Attributes:
        max_seconds: of audio; None for any.
        max_cost: money; None for any.
        prices: money for an hour of audio, by the names of models and of features (the parameters that switch them on).
    """

    max_seconds: float | None = None
    max_cost: float | None = None
    prices: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, given: object) -> Budget:
        """Return the budget that a dict of the operator's names gives.

        Raises:
            RequestError: an entry does not exist or cannot be used.
        """
        read = Reader("budget", given)
        hours = read.number("max_audio_hours", None, float, 0.0)
        max_cost = read.number("max_cost", None, float, 0.0)
        prices = read.value("prices") or {}
        read.end()
        table = Reader("prices", prices)
        numbers = {str(name): table.number(name, 0.0, float, 0.0) for name in prices}
        if max_cost is not None and not numbers:
            raise RequestError(
                "`budget` has a `max_cost` and no `prices`. Give what an hour of audio costs your account, by model "
                "and feature, as {'universal': 0.15, 'speaker_labels': 0.02}."
            )
        return cls(None if hours is None else hours * HOUR_S, max_cost, numbers)

    @property
    def limits(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_seconds is not None or self.max_cost is not None

    def hour(self, config: Mapping[str, Any], model: str | None = None) -> float | None:
        """Return what an hour of audio costs with these parameters; None without prices.

        Args:
            config: the parameters.
            model: the model that ran; without it the dearest that may run counts.

        Raises:
            RequestError: a model or a feature has no price.
        """
        if not self.prices:
            return None
        models = [model] if model and model in self.prices else _models(config)
        if not models:
            models = ["default"]
        features = [name for name, value in config.items() if value is True and name not in _FREE]
        unknown = [name for name in (*models, *features) if name not in self.prices]
        if unknown:
            what = " and ".join(repr(name) for name in unknown)
            raise RequestError(
                f"`prices` has no price for {what}. Add it, as money for an hour of audio; 0 for what is free. "
                "'default' is the model that the service takes when `config` names none."
            )
        return max(self.prices[name] for name in models) + sum(self.prices[name] for name in features)

    def cost(self, seconds: float, config: Mapping[str, Any], model: str | None = None) -> float | None:
        """Return what a transcript of so much audio costs; None without prices."""
        hour = self.hour(config, model)
        return None if hour is None else hour * seconds / HOUR_S

    def allows(self, seconds: float, cost: float | None) -> bool:
        """Say whether so much may be spent in all."""
        if self.max_seconds is not None and seconds > self.max_seconds:
            return False
        return self.max_cost is None or cost is None or cost <= self.max_cost

    def text(self) -> str:
        """Return the limits in words."""
        words = []
        if self.max_seconds is not None:
            words.append(f"{self.max_seconds / HOUR_S:g} hours of audio")
        if self.max_cost is not None:
            words.append(f"a cost of {self.max_cost:g}")
        return " and ".join(words)


class Meter:
    """Counts what is spent, and what is under way, against a budget.

    Args:
        budget: what is allowed.
        spent: what was spent before.
    """

    def __init__(self, budget: Budget, spent: Spent) -> None:
        self._budget = budget
        self.spent = spent
        self._reserved_s: dict[str, float] = {}
        self._reserved_cost: dict[str, float] = {}

    def estimate_s(self, name: str, size: int | None, seconds: float | None) -> float | None:
        """Return how long a recording is, in seconds, as far as anybody can know; None if nobody can."""
        if seconds is not None:
            return seconds
        densest = self.spent["densest"].get(_suffix(name))
        return None if densest is None or not size else densest * size

    def admits(self, seconds: float | None, config: Mapping[str, Any]) -> bool:
        """Say whether a recording may be sent now.

        One of unknown length may go when nothing else is under way: its length is known once it is done.
        """
        if not self._budget.limits:
            return True
        under_way_s, under_way_cost = sum(self._reserved_s.values()), sum(self._reserved_cost.values())
        total_s, total_cost = self.spent["seconds"] + under_way_s, self.spent["cost"] + under_way_cost
        if seconds is None:
            return not self._reserved_s and self._budget.allows(total_s, total_cost) and not self._used_up()
        cost = self._budget.cost(seconds, config) or 0.0
        return self._budget.allows(total_s + seconds, total_cost + cost)

    def reserve(self, fp: str, seconds: float | None, config: Mapping[str, Any]) -> None:
        """Count a recording that is under way."""
        self._reserved_s[fp] = seconds or 0.0
        self._reserved_cost[fp] = self._budget.cost(seconds or 0.0, config) or 0.0

    def release(self, fp: str) -> None:
        """No longer count it."""
        self._reserved_s.pop(fp, None)
        self._reserved_cost.pop(fp, None)

    def charge(self, name: str, size: int | None, seconds: float | None, cost: float | None) -> None:
        """Count a completed transcript, and learn from it how much audio a byte holds."""
        if seconds is None:
            return
        self.spent["seconds"] += seconds
        self.spent["cost"] += cost or 0.0
        if size and seconds:
            densest = self.spent["densest"]
            densest[_suffix(name)] = max(densest.get(_suffix(name), 0.0), seconds / size)

    @property
    def under_way(self) -> int:
        """How many recordings are under way."""
        return len(self._reserved_s)

    def _used_up(self) -> bool:
        seconds, cost = self._budget.max_seconds, self._budget.max_cost
        return (seconds is not None and self.spent["seconds"] >= seconds) or (
            cost is not None and self.spent["cost"] >= cost
        )


def _models(config: Mapping[str, Any]) -> list[str]:
    for name in _MODELS:
        given = config.get(name)
        if given:
            return [str(each) for each in given] if isinstance(given, list | tuple) else [str(given)]
    return []


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
