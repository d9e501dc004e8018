"""What the stand-in answers. Times are seconds of the epoch."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

_WORD = {"text": "word", "confidence": 0.9, "speaker": None}


@dataclass(slots=True)
class _Job:
    id: str
    created: float
    ends_at: float
    audio_url: str
    echoed: bytes
    """The JSON of the parameters, without the brace that opens it."""
    ours: bool

    def status(self, now: float) -> str:
        return "completed" if now >= self.ends_at else "processing"


class RefusedError(Exception):
    """A request that the service would answer with 400 or 404, or that the stand-in does not know."""


class Service:
    """All transcripts, and the counts of the requests."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url = ""
        self.counts: Counter[str] = Counter()
        self.submit_s: float = options.submit_s
        self._range = (options.least_s, options.most_s)
        self._foreign_for_each = options.foreign / (1 - options.foreign)
        self._foreign_owed = 0.0
        self._result = _result(options.result_bytes)
        self._jobs: list[_Job] = []  # The oldest first.
        self._places: dict[str, int] = {}
        day_ago = time.time() - 86_400
        for number in range(options.history):
            self._append(_foreign(day_ago + number, day_ago + number + 10))

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> list[bytes]:
        """Return the parts of a reply's body."""
        if path.startswith("/v2/transcript/"):
            self.counts[f"{method} /v2/transcript/{{id}}"] += 1
            if method == "GET":
                return self._get(path.removeprefix("/v2/transcript/"))
        elif not path.startswith("/_"):
            self.counts[f"{method} {path}"] += 1
        match method, path:
            case "GET", "/v2/transcript":
                return [self._list(dict(query))]
            case "POST", "/v2/transcript":
                return [self._render(self._submit(body, self._range), time.time())]
            case "POST", "/v2/upload":
                return [as_json({"upload_url": f"{self.url}/upload/{uuid4()}"})]
            case "GET", "/_counts":
                return [as_json(self.counts)]
            case "GET", "/_transcripts":
                return [as_json({job.id: job.ends_at for job in self._jobs if job.ours})]
            case "POST", "/_transcripts":
                return [self._make(int(query["count"]), (float(query["least_s"]), float(query["most_s"])))]
        raise RefusedError(f"The stand-in has no {method} {path}")

    def _make(self, count: int, process_s: tuple[float, float]) -> bytes:
        jobs = [self._submit(b'{"audio_url": "https://audio.invalid/made"}', process_s) for _ in range(count)]
        return as_json({job.id: job.ends_at for job in jobs})

    def _submit(self, body: bytes, process_s: tuple[float, float]) -> _Job:
        try:
            config = json.loads(body)
            audio_url = config["audio_url"]
        except (ValueError, TypeError, KeyError):
            raise RefusedError("audio_url is missing") from None
        now = time.time()
        echoed = as_json(config)[1:]
        job = _Job(str(uuid4()), now, now + random.uniform(*process_s), audio_url, echoed, ours=True)
        self._append(job)
        self._foreign_owed += self._foreign_for_each
        while self._foreign_owed >= 1.0:
            self._foreign_owed -= 1.0
            self._append(_foreign(now, now + random.uniform(*process_s)))
        return job

    def _append(self, job: _Job) -> None:
        self._places[job.id] = len(self._jobs)
        self._jobs.append(job)

    def _get(self, transcript_id: str) -> list[bytes]:
        place = self._places.get(transcript_id)
        if place is None:
            raise RefusedError("Transcript lookup error, transcript id not found")
        job, now = self._jobs[place], time.time()
        if job.status(now) == "completed":
            return [self._render(job, now)[:-1], b", ", self._result]
        return [self._render(job, now)]

    def _render(self, job: _Job, now: float) -> bytes:
        return b'{"id": "%s", "status": "%s", %s' % (job.id.encode(), job.status(now).encode(), job.echoed)

    def _list(self, query: dict[str, str]) -> bytes:
        now, limit, status = time.time(), int(query.pop("limit", "10")), query.pop("status", None)
        before_id = query.pop("before_id", None)
        if query or not 1 <= limit <= 200 or (before_id and before_id not in self._places):
            raise RefusedError(f"The stand-in cannot list {before_id}, {limit} at once, with {query}")
        rows: list[_Job] = []
        place = self._places[before_id] if before_id else len(self._jobs)
        while place and len(rows) <= limit:
            place -= 1
            if status is None or self._jobs[place].status(now) == status:
                rows.append(self._jobs[place])
        older = urlencode({"limit": limit, "before_id": rows[limit - 1].id}) if len(rows) > limit else None
        rows = rows[:limit]
        details = {
            "limit": limit,
            "result_count": len(rows),
            "current_url": f"{self.url}/v2/transcript?{urlencode({'limit': limit})}",
            "prev_url": older and f"{self.url}/v2/transcript?{older}",
            "next_url": None,
        }
        return as_json({"page_details": details, "transcripts": [self._row(job, now) for job in rows]})

    def _row(self, job: _Job, now: float) -> dict[str, Any]:
        status = job.status(now)
        return {
            "id": job.id,
            "resource_url": f"{self.url}/v2/transcript/{job.id}",
            "status": status,
            "created": _written(job.created),
            "completed": _written(job.ends_at) if status == "completed" else None,
            "audio_url": job.audio_url,
            "error": "",
        }


def _result(size: int) -> bytes:
    """Return the JSON of a result, about so many bytes long, without the brace that opens it."""
    words: list[dict[str, Any]] = []
    for number in range(max(size // (len(json.dumps({**_WORD, "start": 10**6, "end": 10**6})) + 7), 1)):
        words.append({**_WORD, "start": number * 350, "end": number * 350 + 300})
    text = " ".join(word["text"] for word in words)
    facts = {"language_code": "en_us", "audio_duration": len(words) * 350 // 1000 + 1, "confidence": 0.9}
    return as_json({**facts, "text": text, "words": words})[1:]


def _foreign(created: float, ends_at: float) -> _Job:
    audio_url = f"https://others.invalid/{uuid4()}.mp3"
    return _Job(str(uuid4()), created, ends_at, audio_url, as_json({"audio_url": audio_url})[1:], ours=False)


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()
