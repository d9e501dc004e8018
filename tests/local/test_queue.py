"""The queue: its limit, its order, and that no job is lost when the server is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_asr.local.testing import LocalServer, scripted_audio
from tests.local.http import Http


def test_queued_beyond_the_limit(serve: Callable[..., Http]) -> None:
    http = serve(concurrency=2)
    slow, quick = (http.upload(scripted_audio("x", process_s=seconds)) for seconds in (1.5, 0.2))
    replies = [http.submit(audio_url) for audio_url in (slow, slow, quick, quick, quick)]
    assert [reply["status"] for reply in replies] == ["processing"] * 2 + ["queued"] * 3
    assert [reply["throttled"] for reply in replies] == [False] * 2 + [True] * 3
    assert http.transcript(replies[4]["id"])["status"] == "queued"
    while http.json("/v2/transcript", status="queued")["transcripts"]:
        assert len(http.json("/v2/transcript", status="processing")["transcripts"]) <= 2
        time.sleep(0.02)
    done = [http.wait(reply["id"]) for reply in replies]
    assert {body["status"] for body in done} == {"completed"}
    assert not any(body["throttled"] for body in done)
    rows = {row["id"]: row["completed"] for row in http.json("/v2/transcript")["transcripts"]}
    ends = [rows[reply["id"]] for reply in replies]
    assert max(ends[:2]) < min(ends[2:4]), "first come, first served"
    assert max(ends[2:4]) < ends[4]


def test_room_again_after_a_failure(serve: Callable[..., Http]) -> None:
    http = serve(concurrency=1)
    first = http.say(error="no", process_s=0.2)
    second = http.say()
    assert second["status"] == "queued"
    assert http.wait(second["id"])["status"] == "completed"
    assert http.transcript(first["id"])["status"] == "error"
    assert http.say()["status"] == "processing"


def test_deleted_while_queued_or_processing(serve: Callable[..., Http]) -> None:
    http = serve(concurrency=1)
    running, waiting, last = http.say(process_s=0.5), http.say(), http.say("the last")
    for body in (running, waiting):
        assert http.call("DELETE", f"/v2/transcript/{body['id']}").status_code == 200
    assert http.wait(last["id"])["text"] == "the last"
    for body in (running, waiting):
        assert http.transcript(body["id"])["text"] == "Deleted by user."
    assert http.get(f"/v2/transcript/{running['id']}/srt").status_code == 400


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_nothing_is_lost(serve: Callable[..., Http], tmp_path: Path, how: str) -> None:
    http = serve(data_dir=tmp_path, concurrency=2)
    done = http.heard("before")
    jobs = [http.say(f"job {number}", process_s=2.0 if number < 2 else 0.05) for number in range(6)]
    assert [job["status"] for job in jobs] == ["processing"] * 2 + ["queued"] * 4
    url = http.server.url
    getattr(http.server, how)()
    http.server.start()
    assert http.server.url == url
    # What was processing is the first to be processed again.
    assert [http.transcript(job["id"])["status"] for job in jobs[:2]] == ["processing"] * 2
    for number, job in enumerate(jobs):
        assert http.wait(job["id"])["text"] == f"job {number}"
    assert http.transcript(done["id"]) == done
    assert len(http.json("/v2/transcript")["transcripts"]) == 7


def test_fewer_places_after_a_restart(tmp_path: Path) -> None:
    with LocalServer(tmp_path, concurrency=3) as server, Http(server) as http:
        jobs = [http.say(process_s=1.0)["id"] for _ in range(3)]
        server.kill()
    with LocalServer(tmp_path, concurrency=1) as server, Http(server) as http:
        assert [http.transcript(job)["status"] for job in jobs] == ["processing", "queued", "queued"]
        assert {http.wait(job)["status"] for job in jobs} == {"completed"}


def test_many_clients_at_once(serve: Callable[..., Http]) -> None:
    http = serve(concurrency=3)

    def client(number: int) -> set[str]:
        with Http(http.server) as mine:
            audio_url = mine.upload(scripted_audio(f"client {number}", process_s=0))
            ids = [mine.submit(audio_url)["id"] for _ in range(10)]
            assert {mine.wait(one)["text"] for one in ids} == {f"client {number}"}
            mine.call("DELETE", f"/v2/transcript/{ids[0]}").raise_for_status()
            return set(ids)

    with ThreadPoolExecutor(12) as clients:
        made = list(clients.map(client, range(12)))
    assert len(set.union(*made)) == 120
    assert http.json("/v2/transcript", status="completed", limit=200)["page_details"]["result_count"] == 120
    assert "Traceback" not in http.server.log


def test_killed_again_and_again(serve: Callable[..., Http]) -> None:
    http = serve(concurrency=2)
    jobs = []
    for number in range(4):
        jobs += [http.say(f"{number}", process_s=0.3)["id"] for _ in range(3)]
        http.server.kill()
        http.server.start()
    assert {http.wait(job)["status"] for job in jobs} == {"completed"}
    assert len({row["id"] for row in http.json("/v2/transcript", limit=200)["transcripts"]}) == len(jobs) == 12
