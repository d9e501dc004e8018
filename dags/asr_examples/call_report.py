"""The report of the DAG ``transcribe_calls``: one HTML file that needs no network and runs no script.

Its drawings are SVG that the template writes: bars and blocks are all that it takes, the colours are CSS variables and
follow light and dark mode, and their text keeps its size on a phone. The chart libraries for Python draw in fixed
colours and sizes, or need a script.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_examples.call_charts import Row, Series, legend, talk_bar, talk_times, ticks, timeline

if TYPE_CHECKING:
    from jinja2 import Environment

CALLS_SHOWN = 100
TURNS_SHOWN = 1000
"""Of each call: a page with more is slow to open."""
FAILURES_SHOWN = 10
"""Before the others are folded away: the page is more than them."""
PHRASES_SHOWN = 15
PASSAGES_SHOWN = 15

_TEMPLATE = "call_report.html.jinja"
_EXCERPT = 80  # Characters of a turn, where the mouse rests on it.
_NAME = 16  # Characters of a speaker's name, but for the transcript.
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{2,8})*", re.IGNORECASE)
_UNKNOWN = "–"


def render_report(tables: Mapping[str, Sequence[Row]], *, title: str) -> str:
    """Return the report of some calls, as one HTML page.

    It shows at most :data:`CALLS_SHOWN` calls: those that went worst; its figures are of all.

    Args:
        tables: the rows of each table of :mod:`asr_examples.call_tables`.
        title: its headline.
    """
    page = _environment().get_template(_TEMPLATE).render(title=title, **_view(tables)).lstrip()
    # A file name may hold half a character, which no file can.
    return page.encode("utf-8", "replace").decode()


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=_clock,
        seconds=_seconds,
        span=_span,
        share=_share,
        sentiment=_sentiment,
        excerpt=_excerpt,
        name=_name,
        count=_count,
    )
    return environment


def _view(tables: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    calls = tables["calls"]
    failed = [call for call in calls if call["status"] == "failed"]
    done = [call for call in calls if call["status"] != "failed"]
    shown = _worst(done, CALLS_SHOWN)
    places = {call["call_id"]: number for number, call in enumerate(shown, start=1)}
    shown_speakers = [row for row in tables["speakers"] if row["call_id"] in places]
    series = legend(shown_speakers)
    longest_s = max((call["duration_s"] or 0 for call in shown), default=0)
    details = _details(shown, _by_call(shown_speakers), _by_call(tables["turns"]), series, longest_s)
    return {
        "figures": _figures(done),
        "total": len(calls),
        "failed": failed,
        "failures_shown": FAILURES_SHOWN,
        "done": done,
        "series": series,
        "details": details,
        "longest_s": longest_s,
        "ticks": ticks(longest_s * 1000),
        "overlap": any((call["overlap_s"] or 0) >= 1 for call in shown),
        "phrases": _phrases(tables["phrases"])[:PHRASES_SHOWN],
        "phrases_in_all": len(_phrases(tables["phrases"])),
        "passages": _passages(tables["doubtful"], tables["turns"], places),
        "passages_in_all": len(tables["doubtful"]),
        "places": places,
        "files": {call["call_id"]: call["file"] for call in calls},
    }


def _worst(calls: Sequence[Row], most: int) -> list[Row]:
    """Return the calls that a listener should know of, in the order of their names."""
    by_mood = sorted(
        calls,
        key=lambda call: (
            1 if call["sentiment"] is None else call["sentiment"],
            1 if call["confidence"] is None else call["confidence"],
            str(call["file"]),
        ),
    )
    return sorted(by_mood[:most], key=lambda call: (str(call["file"]), call["call_id"]))


def _figures(done: Sequence[Row]) -> dict[str, Any]:
    known = [(call["confidence"], call["words"] or 0) for call in done if call["confidence"] is not None]
    words = sum(weight for _, weight in known)
    duration_s = sum(call["duration_s"] or 0 for call in done)
    return {
        "duration_s": duration_s,
        "talk": sum(call["talk_s"] or 0 for call in done) / duration_s if duration_s else None,
        "confidence": sum(confidence * weight for confidence, weight in known) / words if words else None,
        "least": min((call for call in done if call["confidence"] is not None), key=_confidence, default=None),
        "silent": sum(not call["turns"] for call in done),
    }


def _confidence(row: Row) -> float:
    return float(row["confidence"])


def _by_call(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["call_id"]].append(row)
    return groups


def _details(
    shown: Sequence[Row],
    speakers: Mapping[str, Sequence[Row]],
    turns: Mapping[str, Sequence[Row]],
    series: Sequence[Series],
    longest_s: float,
) -> list[dict[str, Any]]:
    """Return what is drawn and told of each call."""
    details = []
    for call in shown:
        times = talk_times(speakers.get(call["call_id"], ()), series)
        said = turns.get(call["call_id"], ())
        details.append(
            {
                "call": call,
                "times": times,
                "bar": talk_bar(call, times, series, longest_s),
                "turns": said[:TURNS_SHOWN],
                "turns_in_all": len(said),
                "timeline": timeline(call["duration_s"], said[:TURNS_SHOWN], series),
                "language": _language(call["language_code"]),
                "colours": dict(series),
            }
        )
    return details


def _language(code: str | None) -> str | None:
    """Return the code as HTML writes it: ``en-US`` for ``en_us``; ``None`` for what is no language."""
    return code.replace("_", "-") if code and _LANGUAGE.fullmatch(code) else None


def _phrases(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the phrases over all calls: those of most calls first, then those that are said most often."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[" ".join(row["phrase"].casefold().split())].append(row)
    phrases = []
    for group in groups.values():
        best = max(group, key=lambda row: row["score"] or 0)
        phrases.append(
            {
                "phrase": best["phrase"],
                "score": best["score"] or 0,
                "mentions": sum(row["mentions"] or 0 for row in group),
                "calls": sorted({row["call_id"] for row in group}),
            }
        )
    return sorted(phrases, key=lambda each: (-len(each["calls"]), -each["mentions"], -each["score"], each["phrase"]))


def _passages(doubtful: Iterable[Row], turns: Iterable[Row], places: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the passages with the lowest confidence, each with the turn that it is in."""
    known = [row for row in doubtful if row["confidence"] is not None]
    worst = sorted(known, key=lambda row: (row["confidence"], row["call_id"], row["passage"]))[:PASSAGES_SHOWN]
    wanted = {row["call_id"] for row in worst if row["call_id"] in places}
    said = _by_call(turn for turn in turns if turn["call_id"] in wanted)
    return [{**row, "turn": _turn_of(row, said.get(row["call_id"], ())[:TURNS_SHOWN])} for row in worst]


def _turn_of(passage: Row, turns: Sequence[Row]) -> int | None:
    at = passage["start_ms"] or 0
    same = (turn for turn in turns if turn["speaker"] == passage["speaker"])
    return next((turn["turn"] for turn in same if (turn["start_ms"] or 0) <= at <= (turn["end_ms"] or 0)), None)


def _clock(ms: float | None) -> str:
    """Return a time as ``1:02:03``, or without its hours where there are none."""
    if ms is None:
        return _UNKNOWN
    minutes, seconds = divmod(int(ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _seconds(seconds: float | None) -> str:
    return _clock(None if seconds is None else round(seconds) * 1000)


def _span(seconds: float) -> str:
    """Return a length in two units: ``12 h 5 min``, ``4 min 48 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _share(share: float | None, digits: int = 0) -> str:
    return _UNKNOWN if share is None else f"{share:.{digits}%}"


def _sentiment(sentiment: float | None) -> str:
    if sentiment is None:
        return _UNKNOWN
    # A negative number that rounds to nothing is nothing.
    return f"{round(sentiment, 2) + 0:+.2f}".replace("-", "−").replace("+0.00", "0.00")


def _excerpt(text: str | None) -> str:
    return _cut(text or "", _EXCERPT)


def _name(name: str) -> str:
    return _cut(name, _NAME)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length].rstrip()}…"


def _count(number: int | None, noun: str) -> str:
    if number is None:
        return f"{_UNKNOWN} {noun}s"
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
