"""Measures how long it takes to read a long transcript and to cut it up: 30,000 words, about three hours of speech.

The transcript has words and utterances, as the service gives them with ``speaker_labels``.

Run it as ``python -m benchmarks.text [--rounds 7]``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from airflow_asr.api.transcript import Transcript
from benchmarks.report import print_table, save, spread

WORDS = 30_000
MOST_S = 1.0
_WORD_MS, _STEP_MS = 300, 350
_SENTENCE, _TURN = 14, 90  # Words of a sentence, and of a turn.
_INTERVALS = 1000

Steps = dict[str, Callable[[Transcript], object]]

STEPS: Steps = {
    "words": lambda transcript: transcript.words,
    "utterances, their texts": lambda transcript: [said.text for said in transcript.utterances],
    "turns": lambda transcript: transcript.turns(max_gap_ms=2000),
    f"between, {_INTERVALS} times": lambda transcript: [
        transcript.between(number * _STEP_MS * 30, number * _STEP_MS * 30 + 10_000).confidence
        for number in range(_INTERVALS)
    ],
    "chunks of 1,000 characters": lambda transcript: list(transcript.chunks(1000, overlap=1)),
    "chunks of 100,000 characters": lambda transcript: list(transcript.chunks(100_000, overlap=1)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    data = json.dumps(_reply())
    runs = [_measure(data) for _ in range(rounds)]
    times = {name: spread([run[name] * 1000 for run in runs]) for name in runs[0]}
    total = spread([sum(run.values()) * 1000 for run in runs])
    print_table(
        [f"{WORDS:,} words", "median ms", "min", "max"],
        [[name, each["median"], each["min"], each["max"]] for name, each in [*times.items(), ("together", total)]],
    )
    save("text", {"words": WORDS, "bytes": len(data), "rounds": rounds, "ms": times, "together_ms": total})
    return int(total["median"] >= MOST_S * 1000)


def _measure(data: str) -> dict[str, float]:
    began = perf_counter()
    transcript = Transcript.from_json(data)
    times = {"from_json": perf_counter() - began}
    for name, step in STEPS.items():
        began = perf_counter()
        step(transcript)
        times[name] = perf_counter() - began
    return times


def _reply() -> dict[str, Any]:
    words: list[dict[str, Any]] = []
    for number in range(WORDS):
        text = f"word{number % 977}"
        if number % _SENTENCE == 0:
            text = text.capitalize()
        elif number % _SENTENCE == _SENTENCE - 1:
            text += "."
        start = number * _STEP_MS
        speaker = "AB"[number // _TURN % 2]
        words.append({"text": text, "start": start, "end": start + _WORD_MS, "confidence": 0.9, "speaker": speaker})
    utterances = []
    for first in range(0, WORDS, _TURN):
        said = words[first : first + _TURN]
        times = {"start": said[0]["start"], "end": said[-1]["end"], "speaker": said[0]["speaker"]}
        utterances.append({**times, "confidence": 0.9, "text": _text(said), "words": said})
    return {"id": "t-1", "status": "completed", "text": _text(words), "words": words, "utterances": utterances}


def _text(words: list[dict[str, Any]]) -> str:
    return " ".join(word["text"] for word in words)


if __name__ == "__main__":
    sys.exit(main())
