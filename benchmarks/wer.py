"""Word error rate and speed of the local recogniser on the sample calls: ``python -m benchmarks.wer``.

Each call is transcribed twice, mixed to one channel and channel by channel, and compared with the script that the
voices read. ``--url`` and ``--key`` send the same files through a running ``airflow-asr serve`` (or the service
itself, for money) instead of the recogniser in this process; then the times include the upload and the queue.

Text is normalised as is usual for English (the EnglishTextNormalizer that OpenAI published with Whisper: case,
punctuation, contractions, spelling, numbers), and each digit counts as a word, so that "4729" and "four seven two nine"
are the same. The exit status is 1 if the word error rate is 10 % or more.
"""

from __future__ import annotations

import argparse
import json
import operator
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import jiwer
import requests
from whisper_normalizer.english import EnglishTextNormalizer

from airflow_asr.local.engine import RecognitionRequest
from benchmarks.report import ROOT, print_table, save

RECORDINGS = ROOT / "demo" / "recordings"

LIMIT_PERCENT = 10.0  # Over all calls.
SPEAKERS = ("agent", "customer")  # The order of the channels.
POLL_S = 0.2
PATIENCE_S = 900.0  # For one file, through a server.


@dataclass(frozen=True)
class Heard:
    """What came back for one file: the text of each channel (or of all), its length and what it took, in seconds."""

    channels: list[str]
    duration_s: float
    elapsed_s: float


@dataclass(frozen=True)
class Errors:
    """Substituted, missing and added words together, and how many words the script has."""

    errors: int
    words: int

    @property
    def percent(self) -> float:
        """The word error rate."""
        return 100 * self.errors / self.words

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.errors + other.errors, self.words + other.words)


@dataclass(frozen=True)
class Row:
    """One line of the table: a file, or all of them. The times are those of the mixed transcription."""

    file: str
    duration_s: float
    elapsed_s: float
    mixed: Errors
    by_channel: Errors

    def __add__(self, other: Row) -> Row:
        return Row(
            "all",
            self.duration_s + other.duration_s,
            self.elapsed_s + other.elapsed_s,
            self.mixed + other.mixed,
            self.by_channel + other.by_channel,
        )

    def as_json(self) -> dict[str, Any]:
        """For comparing with later."""
        return {
            "file": self.file,
            "duration_s": round(self.duration_s, 1),
            "words": self.mixed.words,
            "errors": self.mixed.errors,
            "wer_percent": round(self.mixed.percent, 2),
            "wer_percent_by_channel": round(self.by_channel.percent, 2),
            "elapsed_s": round(self.elapsed_s, 2),
            "real_time_factor": round(self.elapsed_s / self.duration_s, 3),
        }


Recogniser = Callable[[Path, bool], Heard]


def in_process() -> tuple[str, Recogniser]:
    """The recogniser itself, on one thread."""
    from airflow_asr.local.whisper import WhisperEngine

    engine = WhisperEngine(threads=1)

    def recognise(audio: Path, multichannel: bool) -> Heard:
        started = time.perf_counter()
        result = engine.recognise(audio, RecognitionRequest("en_us", multichannel=multichannel))
        elapsed_s = time.perf_counter() - started
        texts = [" ".join(word.text for word in words) for words in result.channels]
        return Heard(texts, result.duration_s, elapsed_s)

    return engine.name, recognise


def over_http(url: str, key: str) -> tuple[str, Recogniser]:
    """A server that speaks the service's protocol; nothing of this project takes part, so a fault cannot cancel out."""
    session = requests.Session()
    session.headers["authorization"] = key

    def call(method: str, path: str, **arguments: Any) -> Any:
        response = session.request(method, f"{url.rstrip('/')}/v2/{path}", timeout=60, **arguments)
        response.raise_for_status()
        return response.json()

    def recognise(audio: Path, multichannel: bool) -> Heard:
        started = time.perf_counter()
        with audio.open("rb") as file:
            audio_url = call("POST", "upload", data=file)["upload_url"]
        config = {"audio_url": audio_url, "language_code": "en_us", "multichannel": multichannel}
        transcript = call("POST", "transcript", json=config)
        while transcript["status"] not in {"completed", "error"}:
            if time.perf_counter() - started > PATIENCE_S:
                raise TimeoutError(f"{audio.name}: transcript {transcript['id']} is still {transcript['status']}")
            time.sleep(POLL_S)
            transcript = call("GET", f"transcript/{transcript['id']}")
        if transcript["status"] == "error":
            raise RuntimeError(f"{audio.name}: {transcript['error']}")
        texts = [transcript["text"]]
        if multichannel:
            # The service counts channels from 1 and writes them as text.
            words = transcript["words"]
            texts = [
                " ".join(word["text"] for word in words if str(word["channel"]) == channel) for channel in ("1", "2")
            ]
        return Heard(texts, float(transcript["audio_duration"]), time.perf_counter() - started)

    return "a server", recognise


def normalised(text: str) -> str:
    """Text as it is compared."""
    return " ".join(re.sub(r"(\d)", r" \1 ", _english(text)).split())


_english = EnglishTextNormalizer()


def compare(references: Sequence[str], hypotheses: Sequence[str]) -> Errors:
    """Count the errors of some texts, each against its script."""
    counts = jiwer.process_words([normalised(text) for text in references], [normalised(text) for text in hypotheses])
    missed = counts.substitutions + counts.deletions
    return Errors(errors=missed + counts.insertions, words=missed + counts.hits)


def measure(call: dict[str, Any], recognise: Recogniser) -> Row:
    """Transcribe one call in both ways and compare it with its script."""
    audio = RECORDINGS / call["file"]
    mixed = recognise(audio, False)
    split = recognise(audio, True)
    if len(split.channels) != len(SPEAKERS):
        raise RuntimeError(f"{audio.name}: {len(split.channels)} channels came back, not {len(SPEAKERS)}")
    script = [" ".join(text for _, text in call["turns"])]
    scripts = [" ".join(text for speaker, text in call["turns"] if speaker == wanted) for wanted in SPEAKERS]
    return Row(
        file=audio.name,
        duration_s=mixed.duration_s,
        elapsed_s=mixed.elapsed_s,
        mixed=compare(script, mixed.channels),
        by_channel=compare(scripts, split.channels),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write ``benchmarks/results/wer.json`` (``wer-http.json`` for a server), judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="a running server, such as http://127.0.0.1:8765; default: the engine itself")
    parser.add_argument("--key", default="local", help="its API key (default: %(default)s)")
    options = parser.parse_args(arguments)

    calls = json.loads((RECORDINGS / "scripts.json").read_text(encoding="utf-8"))["calls"]
    engine, recognise = over_http(options.url, options.key) if options.url else in_process()
    rows = [measure(call, recognise) for call in calls]
    total = reduce(operator.add, rows)
    lines = [row.as_json() for row in (*rows, total)]
    print_table(
        ["file", "seconds", "words", "WER %", "by channel", "real-time factor"],
        [
            [
                line["file"],
                line["duration_s"],
                line["words"],
                f"{line['wer_percent']:.2f}",
                f"{line['wer_percent_by_channel']:.2f}",
                f"{line['real_time_factor']:.3f}",
            ]
            for line in lines
        ],
    )
    save(
        "wer-http" if options.url else "wer",
        {"engine": engine, "limit_percent": LIMIT_PERCENT, "total": lines[-1], "files": lines[:-1]},
    )
    worst = max(total.mixed.percent, total.by_channel.percent)
    if worst >= LIMIT_PERCENT:
        print(f"The word error rate is {worst:.1f} %: it must stay under {LIMIT_PERCENT:.0f} %.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
