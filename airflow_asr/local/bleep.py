"""A copy of a recording in which some parts cannot be heard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from airflow_asr.local.decoding import SAMPLE_RATE, frames, planes

if TYPE_CHECKING:
    import av
    import numpy as np
    import numpy.typing as npt

    from airflow_asr.local.decoding import Pcm

# Recognisers are a tenth of a second or two off about when a word begins and ends.
MARGIN_MS = 150

_BEEP_HZ = 1000
_BEEP_LEVEL = 0.1 * 32767
_CODECS = {"mp3": ("libmp3lame", "s16p"), "wav": ("pcm_s16le", "s16")}  # With the samples that each takes.
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_LONGEST_PRETENDED_S = 3600.0


def copy(audio: Path, target: Path, spans_ms: Iterable[tuple[int, int]], *, quality: str, silence: bool) -> None:
    """Copy the sound of a file without what was said in some spans. The copy takes as long as the original.

    Args:
        audio: any recording that can be decoded.
        target: the file to write. It has the sample rate and the channels of the original, as far as MP3 has them.
        spans_ms: start and end in milliseconds; they are silenced on all channels, with a margin, because what one
            microphone hears the other may hear too.
        quality: ``mp3`` or ``wav``.
        silence: nothing is heard in their place; otherwise a beep.

    Raises:
        FFmpegError, OSError, ValueError: the sound cannot be read or written.
    """
    with audio.open("rb") as file:
        _write(frames(file, rate=None), target, _merged(spans_ms), quality=quality, silence=silence)


def pretend(
    duration_s: float, target: Path, spans_ms: Iterable[tuple[int, int]], *, quality: str, silence: bool
) -> None:
    """As :func:`copy`, of a recording that does not exist: nothing is heard in it, and an hour is the longest."""
    _write(_nothing(min(duration_s, _LONGEST_PRETENDED_S)), target, _merged(spans_ms), quality=quality, silence=silence)


def _merged(spans_ms: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans with their margins, in order, of which none touches the next."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((max(start - MARGIN_MS, 0), end + MARGIN_MS) for start, end in spans_ms):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _write(
    sound: Iterable[av.AudioFrame], target: Path, spans_ms: Sequence[tuple[int, int]], *, quality: str, silence: bool
) -> None:
    import av

    frames = _bleeped(sound, spans_ms, silence=silence)
    first = next(frames, None)
    if first is None:
        raise ValueError("There is no sound to copy")
    codec, samples = _CODECS[quality]
    with av.open(str(target), "w", format=quality) as container:
        stream = cast("av.AudioStream", container.add_stream(codec, rate=_rate(first.sample_rate, quality)))
        stream.layout = _layout(first, quality)
        stream.format = samples
        for frame in chain([first], frames):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _bleeped(
    sound: Iterable[av.AudioFrame], spans_ms: Sequence[tuple[int, int]], *, silence: bool
) -> Iterator[av.AudioFrame]:
    at = 0
    following = 0  # The first span that has not ended yet.
    for frame in sound:
        samples = planes(frame).copy()
        first, last = at * 1000 / frame.sample_rate, (at + frame.samples) * 1000 / frame.sample_rate
        while following < len(spans_ms) and spans_ms[following][1] <= first:
            following += 1
        for start, end in spans_ms[following:]:
            if start >= last:
                break
            part = slice(
                max(start * frame.sample_rate // 1000 - at, 0), max(-(-end * frame.sample_rate // 1000) - at, 0)
            )
            samples[:, part] = 0 if silence else _beep(at, frame.samples, frame.sample_rate)[part]
        yield _frame(samples, frame, at)
        at += frame.samples


def _beep(at: int, samples: int, rate: int) -> npt.NDArray[np.int16]:
    import numpy as np

    time_s = np.arange(at, at + samples) / rate
    return (np.sin(2 * np.pi * _BEEP_HZ * time_s) * _BEEP_LEVEL).astype(np.int16)


def _frame(samples: Pcm, like: av.AudioFrame, at: int) -> av.AudioFrame:
    from fractions import Fraction

    import av
    import numpy as np

    # A WAV file need not name its channels, but an encoder wants to know.
    layout = {1: "mono", 2: "stereo"}.get(like.layout.nb_channels, like.layout.name)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T).reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = like.sample_rate
    frame.time_base = Fraction(1, like.sample_rate)
    frame.pts = at
    return frame


def _nothing(duration_s: float) -> Iterator[av.AudioFrame]:
    import av
    import numpy as np

    left = max(int(duration_s * SAMPLE_RATE), 1)
    while left:
        samples = min(left, SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        yield frame
        left -= samples


def _rate(rate: int, quality: str) -> int:
    """The sample rate of the copy: MP3 has few, so the next higher one."""
    return rate if quality == "wav" else next((known for known in _MP3_RATES if known >= rate), _MP3_RATES[-1])


def _layout(frame: av.AudioFrame, quality: str) -> str:
    if quality == "wav" or frame.layout.nb_channels < 3:
        return frame.layout.name
    return "stereo"
