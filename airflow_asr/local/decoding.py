"""Any recording -> the plain samples that a recogniser wants, or an error in the service's own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_asr.local.engine import AudioError

if TYPE_CHECKING:
    import av
    import numpy as np
    import numpy.typing as npt

    Pcm = npt.NDArray[np.int16]

SAMPLE_RATE = 16_000  # What speech recognisers are trained on, in hertz.
LONGEST_S = 10 * 3600  # The service's limit. A file of some kilobytes may claim to be days long.
MOST_CHANNELS = 8  # 7.1 surround. FFmpeg knows how to mix the named layouts, not any number of microphones.

# What people upload by mistake, and containers that may hold no audio track or a broken one: offset, bytes, name.
SIGNATURES = (
    (0, b"%PDF", "application/pdf (PDF document)"),
    (0, b"PK\x03\x04", "application/zip (Zip archive data)"),
    (0, b"\x1f\x8b", "application/gzip (gzip compressed data)"),
    (0, b"\x89PNG", "image/png (PNG image data)"),
    (0, b"\xff\xd8\xff", "image/jpeg (JPEG image data)"),
    (0, b"RIFF", "audio/x-wav (RIFF data)"),
    (0, b"fLaC", "audio/flac (FLAC audio)"),
    (0, b"OggS", "audio/ogg (Ogg data)"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska (Matroska data)"),
    (4, b"ftypM4A", "audio/x-m4a (ISO Media)"),
    (4, b"ftyp", "video/mp4 (ISO Media)"),
)


def decode(audio: Path, *, mix: bool) -> Pcm:
    """The sound of a file at 16 kHz, of shape (channel, time); one channel with ``mix``.

    faster-whisper has a decoder too, but it knows one or two channels, doubles a mono file when it is asked for two,
    and stops at the first damaged packet. Here what can be heard of a damaged file is heard.

    Raises:
        AudioError: there is no audio in it, or it is longer than 10 hours or has more than 8 channels.
        FileNotFoundError: there is no such file.
    """
    import av
    import numpy as np

    parts: list[Pcm] = []
    with audio.open("rb") as file:
        if not file.read(1):
            raise _no_audio(audio)  # FFmpeg would say so too, with a traceback on standard error.
        file.seek(0)
        try:
            parts = list(_no_longer(LONGEST_S, (planes(frame) for frame in frames(file, mix=mix))))
        except (av.error.FFmpegError, OSError, ValueError):
            # OSError: a header that lies about a length makes FFmpeg seek to where no file can be.
            parts = []
    if not any(part.size for part in parts):
        raise _no_audio(audio)
    return np.concatenate(parts, axis=1)


def _no_longer(seconds: float, parts: Iterable[Pcm]) -> Iterator[Pcm]:
    left = int(seconds * SAMPLE_RATE)
    for part in parts:
        left -= part.shape[1]
        if left < 0:
            raise AudioError(f"Transcoding failed. Audio is longer than {seconds / 3600:g} hours")
        yield part


def frames(file: BinaryIO, *, mix: bool = False, rate: int | None = SAMPLE_RATE) -> Iterator[av.AudioFrame]:
    """The sound of a file, a piece at a time, in interleaved samples of 16 bits.

    Args:
        file: open for reading.
        mix: make one channel of all.
        rate: in hertz; None for that of the file.

    Raises:
        AudioError: it has more than 8 channels.
        FFmpegError, OSError, ValueError: it cannot be read.
    """
    import av

    # A playlist is a list of other files, on this machine or elsewhere. Whoever uploads one shall not have them read:
    # with no protocol allowed, FFmpeg can only read the file that it is given.
    with av.open(file, "r", metadata_errors="ignore", options={"protocol_whitelist": "none"}) as container:
        if container.streams.audio:
            yield from _resampled(_frames(container), mix=mix, rate=rate)


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """What can be decoded of the first audio track; damaged packets are left out, as players do."""
    import av

    stream = container.streams.audio[0]
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            yield from stream.decode(packet)
        except av.error.FFmpegError:
            continue


def planes(frame: av.AudioFrame) -> Pcm:
    """The samples of an interleaved frame, of shape (channel, time)."""
    import numpy as np

    return frame.to_ndarray().astype(np.int16, copy=False).reshape(-1, frame.layout.nb_channels).T


def _resampled(frames: Iterable[av.AudioFrame], *, mix: bool, rate: int | None) -> Iterator[av.AudioFrame]:
    """Frames of 16-bit samples, with the rate and the channels of the first frame unless others are wanted.

    The samples stay interleaved: to read a planar frame of eight channels crashes the process in PyAV 18.
    """
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    source: tuple[str, str, int] | None = None
    layout = "mono"
    for frame in frames:
        current = (frame.format.name, frame.layout.name, frame.sample_rate)
        if source is None:
            if frame.layout.nb_channels > MOST_CHANNELS:
                raise AudioError(
                    f"Transcoding failed. File has {frame.layout.nb_channels} channels, and the local server takes "
                    f"{MOST_CHANNELS} at most"
                )
            layout = "mono" if mix else frame.layout.name
            rate = rate or frame.sample_rate
        if current != source:
            # Also on the way: the format of a radio stream changes, and that of files that were joined with cat.
            if source is not None:
                yield from resampler.resample(None)
            resampler = av.AudioResampler(format="s16", layout=layout, rate=rate)
            source = current
        frame.pts = None  # Gaps in the clock of a damaged file are no reason to stop.
        yield from resampler.resample(frame)
    if source is not None:
        yield from resampler.resample(None)


def _no_audio(path: Path) -> AudioError:
    file_type = _file_type(path)
    return AudioError(f"Transcoding failed. File does not appear to contain audio. File type is {file_type}")


def _file_type(path: Path) -> str:
    """What a file that is no audio seems to be, in the service's words; a web page is the usual surprise."""
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return "application/x-empty (empty)"
    for offset, signature, name in SIGNATURES:
        if head.startswith(signature, offset):
            return name
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "text/html (HTML document)"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "text/plain (text)"
    return "application/octet-stream (data)"
