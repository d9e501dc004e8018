"""What was said on a day, and in a week: numbers and key phrases, from the manifests and texts of the archive."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, TypedDict

from asr_examples.phrases import key_phrases

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_asr.jobs.manifest import ManifestRow

DAY_FILE = "day.json"
_PHRASES_OF_A_RECORDING = 8
_PHRASES = 25


class Phrase(TypedDict):
    """A phrase, and in how many recordings it is among those that tell most."""

    phrase: str
    recordings: int


class Numbers(TypedDict):
    """Recordings with and without a text, and what is in the texts."""

    recordings: int
    failed: int
    words: int
    minutes: float


class Day(Numbers):
    """A day. ``languages`` counts recordings."""

    day: str
    languages: dict[str, int]
    phrases: list[Phrase]


class Week(Numbers):
    """A week. ``missing`` are the days that have no text yet."""

    week: str
    days: dict[str, Numbers]
    missing: list[str]
    phrases: list[Phrase]


def describe_day(day: date, rows: Iterable[ManifestRow]) -> Day:
    """Go through a day's manifest, reading one text after the other."""
    words, failed, seconds = 0, 0, 0.0
    languages: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    for row in rows:
        if row["status"] != "completed":
            failed += 1
            print(f"{row['key']}: {row['status']}: {row['error']}")
            continue
        words += row["words"] or 0
        seconds += row["seconds"] or 0.0
        languages[row["language"] or "unknown"] += 1
        # Of two words: what people say about the same thing in longer phrases differs.
        found = key_phrases(_text(row["outputs"]["txt"]), row["language"], _PHRASES_OF_A_RECORDING, words=2)
        phrases.update({phrase.casefold() for phrase, _ in found})
    return Day(
        day=str(day),
        recordings=languages.total(),
        failed=failed,
        words=words,
        minutes=round(seconds / 60, 2),
        languages=dict(sorted(languages.items())),
        phrases=_most(phrases),
    )


def describe_week(days: Mapping[date, Day | None]) -> Week:
    """Put the days of a week together, as far as they are there."""
    there = [day for day in days.values() if day is not None]
    phrases: Counter[str] = Counter()
    for day in there:
        phrases.update({each["phrase"]: each["recordings"] for each in day["phrases"]})
    return Week(
        week=str(min(days)),
        recordings=sum(day["recordings"] for day in there),
        failed=sum(day["failed"] for day in there),
        words=sum(day["words"] for day in there),
        minutes=round(sum(day["minutes"] for day in there), 2),
        days={day["day"]: _numbers(day) for day in there},
        missing=[str(day) for day, found in days.items() if found is None],
        phrases=_most(phrases),
    )


def read_day(folder: ObjectStoragePath, day: date) -> Day | None:
    """Return what was written about a day; None if nothing was."""
    try:
        described: Day = json.loads((folder / str(day) / DAY_FILE).read_bytes())
    except FileNotFoundError:
        return None
    return described


def as_file(described: Day | Week) -> bytes:
    """Return it as it is written. The same day or week gives the same bytes."""
    return json.dumps(described, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n"


def lines(described: Day | Week) -> Iterator[str]:
    """Yield what a reader of the task's log wants to know."""
    yield (
        f"{described['recordings']} recordings, {described['minutes']:g} minutes, {described['words']} words, "
        f"{described['failed']} without a text."
    )
    for each in described["phrases"][:10]:
        yield f"  {each['phrase']} ({each['recordings']})"


def _numbers(day: Day) -> Numbers:
    return Numbers(recordings=day["recordings"], failed=day["failed"], words=day["words"], minutes=day["minutes"])


def _most(phrases: Counter[str]) -> list[Phrase]:
    ranked = sorted(phrases.items(), key=lambda each: (-each[1], each[0]))
    return [Phrase(phrase=phrase, recordings=count) for phrase, count in ranked[:_PHRASES]]


def _text(uri: str) -> str:
    from airflow.sdk import ObjectStoragePath

    path: Any = ObjectStoragePath(uri)
    text: str = path.read_text(encoding="utf-8")
    return text
