"""What the DAG ``caption_videos`` does: find the videos, weigh the words, ask a person, publish."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict
from urllib.parse import unquote, urlsplit

from asr_examples.media import clock, files_in, is_web

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_asr.api.spans import Word

FORMATS = ("srt", "vtt")

_PASSAGES_SHOWN = 20  # What a person reads before deciding; and an XCom is no place for a whole film.
_CONTEXT_WORDS = 4
_LONGEST_PASSAGE = 40
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&])")


class Video(TypedDict):
    """A video and where its captions go: a location without ``.srt`` or ``.vtt``."""

    audio: str
    captions: str


class Passage(NamedTuple):
    """Some words of which one or more are doubtful. ``text`` is Markdown, doubtful words are bold."""

    start_ms: int
    end_ms: int
    confidence: float
    text: str


class Question(TypedDict):
    """What a person is asked. ``body`` is Markdown."""

    subject: str
    body: str


class Answer(TypedDict):
    """What a person answered, as far as it is read here of what Airflow hands over."""

    chosen_options: list[str]
    responded_by_user: dict[str, Any] | None


class Outcome(TypedDict):
    """What became of one video, which is named as it may be shown."""

    video: str
    outcome: str
    captions: list[str]


def find_videos(places: Iterable[str], output_path: str) -> list[Video]:
    """Return the videos, each with the place of its captions: beside it, or in the output folder for a web address.

    Two videos of one name and folder (``a.mp4``, ``a.mkv``) keep their endings: ``a.mp4.srt``.

    Args:
        places: files, folders and web addresses.
        output_path: a folder.

    Raises:
        FileNotFoundError: a folder has no video or audio in it.
    """
    found = list(dict.fromkeys(file for place in places for file in files_in(place)))
    names = {audio: _beside(audio, output_path) for audio in found}
    taken = Counter(folder + stem for folder, stem, _ in names.values())
    return [
        Video(audio=audio, captions=folder + (stem if taken[folder + stem] == 1 else name))
        for audio, (folder, stem, name) in names.items()
    ]


def _beside(audio: str, output_path: str) -> tuple[str, str, str]:
    """Return the folder of a video's captions, the name without its ending, and the whole name."""
    from airflow_asr.jobs.names import safe_name

    name = _name(audio)
    if is_web(audio):
        # Whoever runs the site has chosen this name: it may not lead out of the folder.
        folder, name = output_path.rstrip("/") + "/", safe_name(unquote(name) or "video")
    else:
        folder = audio.removesuffix(name)
    return folder, name.rpartition(".")[0] or name, name


def _name(audio: str) -> str:
    """Return the file name of a video. What follows it in a web address may grant access, and is not shown."""
    return (urlsplit(audio).path if is_web(audio) else audio).rpartition("/")[2]


def question_about(audio: str, words: Sequence[Word], *, unsure_below: float, most_unsure: float) -> Question | None:
    """Weigh the words of a transcript: return what to ask a person, or None if nobody needs to look.

    Args:
        audio: where the video is.
        words: of the transcript. Those without a confidence are taken as sure.
        unsure_below: the confidence, from 0 to 1, under which a word is doubtful.
        most_unsure: the share of doubtful words, from 0 to 1, that captions may have and be published unseen.
    """
    subject = f"Publish the captions of {_name(audio)}?"
    if not words:
        return Question(subject=subject, body="No speech was found: the captions would be empty.")
    share = sum(_unsure(word, unsure_below) for word in words) / len(words)
    if share <= most_unsure:
        return None
    body = [
        f"{share:.1%} of {len(words)} words were heard with a confidence under {unsure_below:g} (bold below); "
        f"{most_unsure:.1%} may be.",
        "",
        *_list_of(doubtful_passages(words, unsure_below)),
    ]
    return Question(subject=subject, body="\n".join(body))


def _list_of(passages: Sequence[Passage]) -> list[str]:
    """Return the worst passages in the order of time, as a list in Markdown."""
    worst = sorted(passages, key=lambda passage: passage.confidence)[:_PASSAGES_SHOWN]
    lines = [f"- {clock(start_ms)} to {clock(end_ms)}: {text}" for start_ms, end_ms, _, text in sorted(worst)]
    more = len(passages) - len(worst)
    return [*lines, "", f"{more} more passages are less doubtful than these."] if more else lines


def doubtful_passages(words: Sequence[Word], unsure_below: float) -> list[Passage]:
    """Return the doubtful words, each with some words around it; neighbours share a passage."""
    groups: list[list[int]] = []
    for place in (place for place, word in enumerate(words) if _unsure(word, unsure_below)):
        if groups and place - groups[-1][-1] <= 2 * _CONTEXT_WORDS and place - groups[-1][0] < _LONGEST_PASSAGE:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [_passage(words, group) for group in groups]


def _passage(words: Sequence[Word], doubtful: list[int]) -> Passage:
    first, last = max(doubtful[0] - _CONTEXT_WORDS, 0), min(doubtful[-1] + _CONTEXT_WORDS, len(words) - 1)
    marked = set(doubtful)
    return Passage(
        start_ms=words[first].start_ms,
        end_ms=words[last].end_ms,
        confidence=min(words[place].confidence or 0.0 for place in doubtful),
        text=" ".join(_markdown(words[place].text, bold=place in marked) for place in range(first, last + 1)),
    )


def publish_captions(outputs: dict[str, str], captions: str, *, replace: bool) -> list[str]:
    """Copy the captions to their place, each whole or not at all, and return where they are.

    Args:
        outputs: where the captions are: format to URI, as in a summary.
        captions: where they go, without the ending.
        replace: whether they may take the place of other captions that are there. Somebody may have corrected those.

    Raises:
        FileExistsError: there are other captions, and they may not be replaced. Nothing was written.
        airflow_asr.api.errors.OutputError: the storage does not take them.
    """
    from airflow.sdk import ObjectStoragePath

    from airflow_asr.jobs.files import write_file

    ready = {ObjectStoragePath(f"{captions}.{each}"): ObjectStoragePath(outputs[each]).read_bytes() for each in FORMATS}
    there = {target: _read(target) for target in ready}
    for target, data in ready.items():
        if not replace and there[target] not in (None, data):
            raise FileExistsError(
                f"{target} is there already and says something else: somebody may have corrected it. Move it away, or "
                "start a run with 'Replace captions'."
            )
    for target, data in ready.items():
        if there[target] != data:
            write_file(target, data)  # type: ignore[arg-type]  # It is a UPath in all but its bases.
    return [str(target) for target in ready]


def rejected(answer: Answer) -> bool:
    """Say whether a person said no, or nobody said anything in time."""
    return answer["chosen_options"] == ["Reject"]


def said_by(answer: Answer) -> str:
    """Return who gave an answer. It is nobody if the time for one ran out."""
    user = answer["responded_by_user"] or {}
    return str(user.get("name") or user.get("id") or "the deadline")


def outcome(video: Video, published: list[str] | None, answer: Answer | None) -> Outcome:
    """Return what became of a video.

    Args:
        video: the video.
        published: where its captions are, if they were published.
        answer: what a person said, if one was asked and answered.
    """
    from airflow_asr.api.redaction import redact_url

    how = "published" if published else "failed"
    if answer and published:
        how += f", approved by {said_by(answer)}"
    elif answer and rejected(answer):
        how = f"not published, rejected by {said_by(answer)}"
    return Outcome(video=redact_url(video["audio"]), outcome=how, captions=published or [])


def _unsure(word: Word, unsure_below: float) -> bool:
    return word.confidence is not None and word.confidence < unsure_below


def _markdown(text: str, *, bold: bool) -> str:
    """Escape a word: what is said in a video must not become a link or a heading in Airflow's pages."""
    escaped = _MARKDOWN.sub(r"\\\1", text)
    return f"**{escaped}**" if bold else escaped


def _read(path: ObjectStoragePath) -> bytes | None:
    try:
        return bytes(path.read_bytes())
    except FileNotFoundError:
        return None
