"""Makes a small video: a black picture with some seconds of a recording."""

from __future__ import annotations

from pathlib import Path

RATE = 16_000
FRAMES_PER_S = 5


def write_video(path: Path, recording: Path, *, seconds: float = 8.0, noise: float = 0.0) -> Path:
    """Write a video whose sound is the beginning of a recording.

    Args:
        path: of the video; its ending says which container.
        recording: the sound.
        seconds: the length.
        noise: the loudness of white noise over it, from 0 to 1. Speech under it is hard to understand.
    """
    import av
    import numpy as np

    from airflow_asr.local.decoding import decode

    speech = decode(recording, mix=True)[0, : int(seconds * RATE)].astype(np.float32) / 32768
    speech += noise * np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=FRAMES_PER_S, width=64, height=48, pix_fmt="yuv420p")
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), dtype=np.uint8), format="rgb24")
        for _ in range(int(seconds * FRAMES_PER_S)):
            container.mux(video.encode(black))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(speech.clip(-1, 1)[None], format="fltp", layout="mono")
        sound.rate = RATE
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
    return path
