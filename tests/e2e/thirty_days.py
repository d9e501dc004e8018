"""Thirty days of real speech in one backfill, then again: ``python -m tests.e2e.thirty_days [sqlite]``. Some minutes.

The last line counts what the local server was sent, and the days whose text is that of their recording.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.processes import end_on_signals
from tests.e2e.archive import Archive, days, monday, transcripts
from tests.e2e.world import RECORDINGS, world

DAYS = days("2025-09-01", 30)
CHANGED = DAYS[:3]
_HEARD = 0.8  # Of the words of a script; the recogniser is a small one.


def main() -> int:
    end_on_signals()
    logging.disable(logging.WARNING)
    database = sys.argv[1] if len(sys.argv) > 1 else "postgres"
    with tempfile.TemporaryDirectory(prefix="thirty-days-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        calls: list[dict[str, Any]] = json.loads((RECORDINGS / "scripts.json").read_text())["calls"]
        spoken = {day: calls[number % len(calls)] for number, day in enumerate(DAYS)}
        for day, call in spoken.items():
            (home / "archive" / day).mkdir(parents=True)
            shutil.copy(RECORDINGS / call["file"], home / "archive" / day)
        with world(database, home) as started:
            archive = Archive(started, home / "archive", home / "text")
            return _prove(archive, spoken)


def _prove(archive: Archive, spoken: dict[str, dict[str, Any]]) -> int:
    archive.configure()
    first = _spent("30 days", archive, lambda: archive.backfill(DAYS[0], DAYS[-1], timeout_s=1800))
    right = sum(_is_right(archive, day, call) for day, call in spoken.items())
    weeks = sum(_has_its_days(archive, key) for key in {monday(day) for day in DAYS})
    files = archive.files()
    repeated = _spent("repeated", archive, lambda: archive.backfill(DAYS[0], DAYS[-1]))
    again = _spent(
        "done again, unchanged", archive, lambda: archive.backfill(DAYS[0], DAYS[-1], "completed", timeout_s=600)
    )
    same = archive.files() == files
    archive.configure(config={"multichannel": True})
    changed = _spent(
        "3 days, another config", archive, lambda: archive.backfill(CHANGED[0], CHANGED[-1], "completed", 600)
    )
    more = _spent(
        "3 days, the same again", archive, lambda: archive.backfill(CHANGED[0], CHANGED[-1], "completed", 600)
    )
    print(
        f"days with their text: {right} of 30; weeks with their days: {weeks} of 5; the same files again: {same}; "
        f"submissions: {first} first, {repeated} repeated, {again} done again, {changed} for 3 changed days, "
        f"{more} for them again"
    )
    return int((right, weeks, same, first, repeated, again, changed, more) != (30, 5, True, 30, 0, 0, 3, 0))


def _spent(what: str, archive: Archive, backfill: Callable[[], list[Any]]) -> int:
    """Return how many jobs a backfill submitted, and print what it took."""
    before, began = len(transcripts(archive.world.whisper)), time.monotonic()
    runs = backfill()
    spent = len(transcripts(archive.world.whisper)) - before
    print(f"{what:25} {len(runs):3} runs {spent:3} submissions {time.monotonic() - began:4.0f} s", flush=True)
    return spent


def _is_right(archive: Archive, day: str, call: dict[str, Any]) -> bool:
    [text] = archive.texts(day)
    wanted, heard = _words(" ".join(said for _, said in call["turns"])), _words(text)
    described = archive.day(day)
    share = len(wanted & heard) / len(wanted)
    right = share >= _HEARD and (described["recordings"], described["failed"]) == (1, 0)
    print(f"  {day} {call['file']:28} {share:4.0%} of its words, {described['words']:3} words: {text[:50]}")
    return right and described["words"] == len(text.split())


def _has_its_days(archive: Archive, key: str) -> bool:
    made, there = archive.week(key), [day for day in days(key, 7) if day in DAYS]
    return list(made["days"]) == there and made["words"] == sum(archive.day(day)["words"] for day in there)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.lower()))


if __name__ == "__main__":
    sys.exit(main())
