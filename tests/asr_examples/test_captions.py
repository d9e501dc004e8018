from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asr_examples.captions import (
    Answer,
    Video,
    doubtful_passages,
    find_videos,
    outcome,
    publish_captions,
    question_about,
)
from asr_examples.media import clock
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.spans import Word
from airflow_asr.local.testing import LocalServer
from tests.asr_examples.video import write_video

RECORDING = Path(__file__).parents[2] / "demo" / "recordings" / "call-05-clinic-appointment.ogg"


def word(text: str, confidence: float | None = 0.9, at_ms: int = 0) -> Word:
    return Word(text, at_ms, at_ms + 400, confidence, None, None)


def speech(*confidences: float | None) -> list[Word]:
    """Words that are named after their places, half a second each."""
    return [word(f"w{place}", confidence, place * 500) for place, confidence in enumerate(confidences)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


class TestFindVideos:
    def test_a_folder_stands_for_the_media_in_it(self, folder: Path) -> None:
        for name in ("b.MP4", "a.wav", "notes.txt", "a.srt"):
            (folder / name).touch()
        assert find_videos([str(folder)], "/out") == [
            {"audio": f"{folder}/a.wav", "captions": f"{folder}/a"},
            {"audio": f"{folder}/b.MP4", "captions": f"{folder}/b"},
        ]

    def test_a_folder_without_media_says_so(self, folder: Path) -> None:
        with pytest.raises(FileNotFoundError, match=re.escape(str(folder))):
            find_videos([str(folder)], "/out")

    def test_a_file_that_is_missing_is_left_to_its_own_task(self) -> None:
        (video,) = find_videos(["/nowhere/a film.mp4"], "/out")
        assert video == {"audio": "/nowhere/a film.mp4", "captions": "/nowhere/a film"}

    @pytest.mark.parametrize("name", ["noending", ".mp4", "two.dots.mp4"])
    def test_captions_always_have_a_name(self, folder: Path, name: str) -> None:
        (folder / name).touch()
        (video,) = find_videos([f"{folder}/{name}"], "/out")
        assert video["captions"] in {f"{folder}/noending", f"{folder}/.mp4", f"{folder}/two.dots"}

    def test_captions_of_object_storage_go_beside_the_video_with_its_connection(self) -> None:
        (video,) = find_videos(["s3://films@bucket/2026/a film.mkv"], "/out")
        assert video["captions"] == "s3://films@bucket/2026/a film"

    @pytest.mark.parametrize(
        ("url", "captions"),
        [
            ("https://example.com/films/a%20film.mp4?token=secret", "/out/a_film"),
            ("https://example.com/..%2F..%2Fetc%2Fcron.mp4", "/out/__.._etc_cron"),
            ("https://example.com/", "/out/video"),
        ],
    )
    def test_captions_from_the_web_go_to_the_output_folder(self, url: str, captions: str) -> None:
        assert find_videos([url], "/out/") == [{"audio": url, "captions": captions}]

    def test_two_videos_never_share_captions(self, folder: Path) -> None:
        for name in ("a.mp4", "a.mkv", "b.mp4"):
            (folder / name).touch()
        videos = find_videos(
            [str(folder), f"{folder}/b.mp4", "https://x.example/c.mp4", "https://y.example/c.mov"], "/out"
        )
        assert [video["captions"] for video in videos] == [
            *(f"{folder}/a.mkv", f"{folder}/a.mp4", f"{folder}/b"),
            *("/out/c.mp4", "/out/c.mov"),
        ]


class TestQuestion:
    def test_enough_sure_words_need_nobody(self) -> None:
        assert question_about("a.mp4", speech(*[0.9] * 9, 0.1), unsure_below=0.5, most_unsure=0.1) is None

    def test_too_many_doubtful_words_need_a_person(self) -> None:
        asked = question_about("/v/a.mp4", speech(*[0.9] * 8, 0.1, 0.49), unsure_below=0.5, most_unsure=0.1)
        assert asked is not None
        assert asked["subject"] == "Publish the captions of a.mp4?"
        assert asked["body"].splitlines()[0].startswith("20.0% of 10 words")
        assert asked["body"].splitlines()[2] == "- 00:02.0 to 00:04.9: w4 w5 w6 w7 **w8** **w9**"

    def test_silence_needs_a_person(self) -> None:
        asked = question_about("a.mp4", [], unsure_below=0.5, most_unsure=1.0)
        assert asked is not None
        assert "No speech" in asked["body"]

    def test_a_word_without_a_confidence_counts_as_sure(self) -> None:
        assert question_about("a.mp4", speech(None, None), unsure_below=1.0, most_unsure=0.0) is None

    def test_what_is_said_cannot_write_markdown(self) -> None:
        words = [word("[click](http://evil.example)", 0.1), word("<img>", 0.1), word("`x`", 0.1)]
        asked = question_about("a.mp4", words, unsure_below=0.5, most_unsure=0.1)
        assert asked is not None
        passage = asked["body"].splitlines()[2]
        assert "\\[click\\]\\(http://evil\\.example\\)" in passage
        assert not re.search(r"(?<!\\)[\[\]()<>`]", passage)

    def test_a_long_bad_film_is_a_short_question(self) -> None:
        words = speech(*([0.1] + [0.9] * 20) * 1000)
        asked = question_about("a.mp4", words, unsure_below=0.5, most_unsure=0.0)
        assert asked is not None
        assert len(asked["body"]) < 4000
        assert "980 more passages" in asked["body"]


@given(st.lists(st.floats(0, 1) | st.none(), max_size=200), st.floats(0.01, 1))
def test_every_doubtful_word_is_in_a_passage_once_bold_and_in_order(
    confidences: list[float | None], unsure_below: float
) -> None:
    words = speech(*confidences)
    passages = doubtful_passages(words, unsure_below)
    bold = [each for passage in passages for each in re.findall(r"\*\*(w\d+)\*\*", passage.text)]
    assert bold == [each.text for each in words if each.confidence is not None and each.confidence < unsure_below]
    for passage in passages:
        assert passage.start_ms < passage.end_ms
        assert len(passage.text.split()) <= 60


class TestPublish:
    @pytest.fixture
    def outputs(self, tmp_path: Path) -> dict[str, str]:
        for each in ("srt", "vtt"):
            (tmp_path / f"out.{each}").write_text(f"the {each} of the film")
        return {each: str(tmp_path / f"out.{each}") for each in ("srt", "vtt")}

    @pytest.mark.parametrize("name", ["a film", "100% #1?", "Füñ 電影", "[a]*b", "c@d:e"])
    def test_captions_go_where_they_belong(self, outputs: dict[str, str], folder: Path, name: str) -> None:
        places = [f"{folder}/{name}.srt", f"{folder}/{name}.vtt"]
        assert publish_captions(outputs, f"{folder}/{name}", replace=False) == places
        assert [Path(place).read_text() for place in places] == ["the srt of the film", "the vtt of the film"]

    def test_doing_it_again_changes_nothing(self, outputs: dict[str, str], folder: Path) -> None:
        first = publish_captions(outputs, f"{folder}/a", replace=False)
        assert publish_captions(outputs, f"{folder}/a", replace=False) == first

    def test_captions_that_somebody_corrected_are_kept(self, outputs: dict[str, str], folder: Path) -> None:
        (folder / "a.vtt").write_text("corrected by hand")
        with pytest.raises(FileExistsError, match=re.escape(f"{folder}/a.vtt")):
            publish_captions(outputs, f"{folder}/a", replace=False)
        assert [path.name for path in folder.iterdir()] == ["a.vtt"]
        assert (folder / "a.vtt").read_text() == "corrected by hand"

    def test_they_are_replaced_if_that_is_asked_for(self, outputs: dict[str, str], folder: Path) -> None:
        (folder / "a.vtt").write_text("old")
        publish_captions(outputs, f"{folder}/a", replace=True)
        assert (folder / "a.vtt").read_text() == "the vtt of the film"

    def test_they_can_go_to_object_storage(self, outputs: dict[str, str]) -> None:
        from airflow.sdk import ObjectStoragePath
        from airflow.sdk.io import attach
        from upath import UPath

        attach("memory", "films", fs=UPath("memory://").fs)
        places = publish_captions(outputs, "memory://films@bucket/dir/a", replace=False)
        assert places == ["memory://films@/bucket/dir/a.srt", "memory://films@/bucket/dir/a.vtt"]
        assert ObjectStoragePath(places[0]).read_text() == "the srt of the film"


class TestOutcome:
    @pytest.mark.parametrize(
        ("published", "answer", "expected"),
        [
            (["/v/a.srt"], None, "published"),
            (["/v/a.srt"], ("Approve", {"id": "7", "name": "Ada"}), "published, approved by Ada"),
            (None, ("Reject", {"id": "7", "name": "Ada"}), "not published, rejected by Ada"),
            (None, ("Reject", None), "not published, rejected by the deadline"),
            (None, ("Approve", {"id": "7", "name": "Ada"}), "failed"),
            (None, None, "failed"),
        ],
    )
    def test_each_video_has_one(self, published: list[str] | None, answer: Any, expected: str) -> None:
        said = Answer(chosen_options=[answer[0]], responded_by_user=answer[1]) if answer else None
        assert outcome(Video(audio="/v/a.mp4", captions="/v/a"), published, said) == {
            "video": "/v/a.mp4",
            "outcome": expected,
            "captions": published or [],
        }


def test_what_grants_access_to_a_video_is_not_shown() -> None:
    url = "https://example.com/films/a.mp4?token=secret"
    shown = outcome(Video(audio=url, captions="/v/a"), None, None)["video"]
    asked = question_about(url, [], unsure_below=0.5, most_unsure=0.1)
    assert asked is not None
    assert asked["subject"] == "Publish the captions of a.mp4?"
    assert shown.startswith("https://example.com/films/a.mp4")
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("ms", "shown"), [(0, "00:00.0"), (61_999, "01:01.9"), (3_600_000, "1:00:00.0"), (36_061_050, "10:01:01.0")]
)
def test_times_can_be_found_in_a_player(ms: int, shown: str) -> None:
    assert clock(ms) == shown


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(engine="whisper", concurrency=1) as running:
        yield running


@pytest.mark.speech
@pytest.mark.parametrize(("noise", "doubtful"), [(0.0, False), (0.06, True)])
def test_noise_makes_captions_doubtful(server: LocalServer, tmp_path: Path, noise: float, doubtful: bool) -> None:
    from airflow_asr.api.client import AssemblyAIClient

    video = write_video(tmp_path / "film.mp4", RECORDING, noise=noise)
    client = AssemblyAIClient(server.api_key, base_url=server.url)
    with video.open("rb") as file:
        transcript = client.submit(client.upload(file))
    while not transcript.ended:
        time.sleep(0.2)
        transcript = client.get(transcript.id)
    client.close()
    assert transcript.error is None
    asked = question_about("film.mp4", transcript.words, unsure_below=0.5, most_unsure=0.3)
    assert (asked is not None) is doubtful
