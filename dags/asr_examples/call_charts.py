"""Where the shapes of the report of ``transcribe_calls`` are, in percent of a drawing's width and in pixels downwards.

The drawings have no width of their own, so text in them keeps its size on a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

Row = Mapping[str, Any]

OTHERS = "other speakers"

_COLOURS = 4  # More cannot be told apart.
_LANES = 6
_LANE_PX = 18
_BLOCK_PX = 12
_MOOD_PX = 44
_AXIS_PX = 18
_LEAST = 0.3  # What is drawn can be seen, however short it is.
_TICKS = 5
_LONG_TICKS = 3  # Times with hours take more room.
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


class Series(NamedTuple):
    """A speaker in the legend, and the class of their colour."""

    name: str
    colour: str


class Part(NamedTuple):
    """A part of a bar: from where, how wide, in which colour, and what it stands for."""

    x: float
    width: float
    colour: str
    label: str


class Tick(NamedTuple):
    """A mark on an axis of time."""

    x: float
    ms: int


class Block(NamedTuple):
    """A turn on a timeline; ``mood_y`` and ``mood_height`` are of its sentiment, ``None`` where that is unknown."""

    turn: Row
    x: float
    width: float
    y: int
    colour: str
    mood_y: float | None
    mood_height: float


class Timeline(NamedTuple):
    """Who speaks when: a lane for each speaker, and one for sentiment below them."""

    lanes: Sequence[Series]
    blocks: Sequence[Block]
    ticks: Sequence[Tick]
    block_height: int
    mood_top: int
    mood_middle: float | None
    axis_y: int
    height: int


def legend(speakers: Iterable[Row]) -> list[Series]:
    """Return the speakers who have a colour: those who talk most, in the order of their names.

    By name, so that the agent has the same colour every day. All others share a colour and the last place.
    """
    talk: dict[str, float] = {}
    for row in speakers:
        talk[row["speaker"]] = talk.get(row["speaker"], 0) + (row["talk_s"] or 0)
    most = sorted(talk, key=lambda name: (-talk[name], name))
    series = [Series(name, f"s{number}") for number, name in enumerate(sorted(most[:_COLOURS]), start=1)]
    return [*series, Series(OTHERS, "s0")] if most[_COLOURS:] else series


def talk_times(speakers: Iterable[Row], series: Sequence[Series]) -> list[float | None]:
    """Return for how many seconds each of the series talks in a call; ``None`` for those who are not in it."""
    named = {each.name for each in series}
    times: dict[str, float] = {}
    for row in speakers:
        name = row["speaker"] if row["speaker"] in named else OTHERS
        times[name] = times.get(name, 0) + (row["talk_s"] or 0)
    return [times.get(each.name) for each in series]


def talk_bar(call: Row, times: Sequence[float | None], series: Sequence[Series], longest_s: float) -> list[Part]:
    """Return the bar of a call: the talk time of each speaker, then silence. The longest call is 100 wide.

    Time in which several people speak is divided between them, so that the bar is as long as the call.
    """
    duration_s = call["duration_s"] or 0
    if not duration_s or not longest_s:
        return []
    heard_s = sum(time or 0 for time in times)
    talk_s = min(heard_s if call["talk_s"] is None else call["talk_s"], duration_s)
    parts = [(each.name, each.colour, (time or 0) / heard_s * talk_s) for each, time in zip(series, times, strict=True)
             if time and heard_s]  # fmt: skip
    parts.append(("silence", "silence", duration_s - sum(seconds for _, _, seconds in parts)))
    return list(_side_by_side(parts, duration_s, longest_s))


def _side_by_side(parts: Iterable[tuple[str, str, float]], duration_s: float, longest_s: float) -> Iterator[Part]:
    x = 0.0
    for name, colour, seconds in parts:
        width = 100 * seconds / longest_s
        if width > 0:
            yield Part(
                round(x, 2), round(max(width, _LEAST), 2), colour, f"{name}: {seconds / duration_s:.0%} of the call"
            )
        x += width


def ticks(length_ms: float) -> list[Tick]:
    """Return a few round times, from 0; none where its text would leave the drawing."""
    if length_ms <= 0:
        return []
    length_s, hour_s = length_ms / 1000, _STEPS_S[-1]
    most = _TICKS if length_s < hour_s else _LONG_TICKS
    step_s = next((step for step in _STEPS_S if length_s / step <= most), hour_s * ceil(length_s / hour_s / most))
    step = step_s * 1000
    return [Tick(round(100 * ms / length_ms, 2), ms) for ms in range(0, int(length_ms * 0.94) + 1, step)]


def timeline(duration_s: float | None, turns: Sequence[Row], series: Sequence[Series]) -> Timeline | None:
    """Return the drawing of a call's turns; ``None`` without turns.

    Args:
        duration_s: the length of the call.
        turns: what to draw.
        series: the speakers who have a colour.
    """
    if not turns:
        return None
    length_ms = max(round((duration_s or 0) * 1000), *(turn["end_ms"] or 0 for turn in turns), 1)
    lanes = _lanes(turns, series)
    place = {lane.name: number for number, lane in enumerate(lanes)}
    mood_top = len(lanes) * _LANE_PX
    moody = any(turn["sentiment"] is not None for turn in turns)
    axis_y = mood_top + (_MOOD_PX if moody else 0)
    middle = mood_top + _MOOD_PX / 2
    blocks = []
    for turn in turns:
        number = place.get(turn["speaker"], len(lanes) - 1)
        x = 100 * (turn["start_ms"] or 0) / length_ms
        width = max(100 * (turn["end_ms"] or 0) / length_ms - x, _LEAST)
        mood_y, mood_height = _mood(turn["sentiment"], middle)
        y = number * _LANE_PX + (_LANE_PX - _BLOCK_PX) // 2
        blocks.append(Block(turn, round(x, 2), round(width, 2), y, lanes[number].colour, mood_y, mood_height))
    return Timeline(
        lanes, blocks, ticks(length_ms), _BLOCK_PX, mood_top, middle if moody else None, axis_y, axis_y + _AXIS_PX
    )


def _lanes(turns: Sequence[Row], series: Sequence[Series]) -> list[Series]:
    colours = dict(series)
    names = list(dict.fromkeys(turn["speaker"] for turn in turns))
    # In the order of the legend; who has no colour of their own comes last.
    order = {each.name: number for number, each in enumerate(series)}
    names.sort(key=lambda name: order.get(name, len(order)))
    lanes = [Series(name, colours.get(name, "s0")) for name in names]
    return lanes if len(lanes) <= _LANES else [*lanes[: _LANES - 1], Series(OTHERS, "s0")]


def _mood(sentiment: float | None, middle: float) -> tuple[float | None, float]:
    """Return top and height of a bar that goes up from the middle for a good mood, and down for a bad one."""
    if sentiment is None:
        return None, 0
    height = max(abs(sentiment) * (_MOOD_PX / 2 - 3), 1)
    return round(middle - height if sentiment >= 0 else middle, 1), round(height, 1)
