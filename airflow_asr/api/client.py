"""The service's endpoints, one method each."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from airflow_asr.api.errors import (
    AssemblyAIError,
    InputError,
    InvalidReplyError,
    RedactedAudioGoneError,
    RedirectError,
    ReplyLostError,
    RequestError,
    ServerError,
    SubmitOutcomeUnknownError,
    UploadRefusedError,
)
from airflow_asr.api.ids import is_id
from airflow_asr.api.pages import TranscriptListItem, TranscriptPage
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.api.transcript import Transcript
from airflow_asr.api.transport import Transport, json_object
from airflow_asr.api.upload import BinaryReader, UploadBody

US = "https://api.assemblyai.com"
EU = "https://api.eu.assemblyai.com"
REGIONS: Mapping[str, str] = {"us": US, "eu": EU}

_UPLOAD_TIMEOUT_S = (60.0, 300.0)  # A slow line may stall, and the service answers once it has stored everything.
_LONGEST_PAGE = 200
# Whoever looks for a job whose reply was lost must know how long its request can have been under way.
_SUBMIT_TIMEOUT_S = (5.0, 30.0)


class AssemblyAIClient:
    """AssemblyAI's pre-recorded speech-to-text API.

    Every method but :meth:`submit` is safe to repeat and is repeated by ``retry``. Use one client from one thread at a
    time; it keeps one HTTP session.

    Args:
        api_key: the raw key of a project.
        base_url: :data:`US`, :data:`EU`, or any other; no redirect is followed to another.
        connect_timeout_s: seconds to wait for a connection.
        read_timeout_s: seconds to wait for the next byte of a reply. Uploads have longer ones.
        verify: whether to check TLS certificates, or the path of a CA bundle.
        proxies: scheme to proxy URL, as for ``requests``.
        retry: when to repeat a call.
        sleep: how to wait between tries.

    Raises:
        AuthenticationError: the key is empty or cannot be a key.
        RequestError: the base URL cannot be used.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = US,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 30.0,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        timeout_s = (connect_timeout_s, read_timeout_s)
        self._submit_timeout_s = (min(timeout_s[0], _SUBMIT_TIMEOUT_S[0]), min(timeout_s[1], _SUBMIT_TIMEOUT_S[1]))
        self._http = Transport(
            api_key,
            base_url,
            timeout_s=timeout_s,
            verify=verify,
            proxies=proxies,
            retry=retry or RetryPolicy(),
            sleep=sleep,
        )
        self.base_url = self._http.base_url
        # Names the account in records and logs without giving the key away.
        self.account = hashlib.sha256(f"{self.base_url}\n{api_key.strip()}".encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"AssemblyAIClient(base_url={self.base_url!r}, account={self.account!r})"

    def __enter__(self) -> AssemblyAIClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def service_time(self, now: float) -> float:
        """Return ``now``, in seconds since the epoch, by the service's clock as its last reply showed it.

        Before the first reply, one row of the list is asked for. That costs nothing, and shows that the key is good.

        Raises:
            AssemblyAIError: the service cannot be asked.
        """
        if self._http.ahead_s is None:
            self.list(limit=1)
        return now + (self._http.ahead_s or 0.0)

    def upload(self, audio: BinaryReader | Iterable[bytes], *, size: int | None = None) -> str:
        """Upload audio and return its upload URL, which works only with keys of the same project.

        The bytes are streamed. ``Content-Length`` is sent where the length is known. An upload that is not followed by
        a transcript is deleted by the service after about a day.

        Args:
            audio: an open binary file, or an iterator of bytes (which cannot be sent a second time).
            size: length in bytes, where ``audio`` cannot say.

        Raises:
            InputError: the audio is empty, changed under the upload, or was refused several times (422).
            AssemblyAIError: anything else.
        """
        body = UploadBody(audio, size)
        try:
            reply = self._http.retrying(lambda: self._upload_once(body)) if body.repeatable else self._upload_once(body)
        except UploadRefusedError as error:
            raise InputError(f"{error} The file is to blame, most likely: is it empty or damaged?") from None
        return str(reply["upload_url"])

    def _upload_once(self, body: UploadBody) -> dict[str, Any]:
        doing = "upload the audio"
        body.rewind()
        headers = {"Content-Type": "application/octet-stream"}
        try:
            response = self._http.once(
                "POST", "/v2/upload", doing=doing, data=body, headers=headers, timeout_s=_UPLOAD_TIMEOUT_S
            )
        except (ReplyLostError, RequestError):
            if body.failure is not None:
                raise _reading_failed(body.failure) from None
            raise
        return _with(json_object(response, doing=doing), "upload_url", doing=doing)

    def submit(self, audio_url: str, config: Mapping[str, Any] | None = None) -> Transcript:
        """Ask for a transcript. **This is what costs money**, and it is sent exactly once.

        It waits for a connection for 5 seconds at most, and for the reply for 30.

        Args:
            audio_url: an upload URL, or a URL that the service can fetch.
            config: the service's own parameters, passed through untouched.

        Raises:
            SubmitOutcomeUnknownError: the request was sent and its fate is unknown: a job may exist.
            RateLimitError, UnreachableError: no job exists; it may be sent again.
            AssemblyAIError: no job exists, and the reason must be mended first.
        """
        doing = "submit the transcript"
        if "audio_url" in (config or {}):
            raise RequestError("`config` holds `audio_url`. Name the audio with the `audio` argument instead.")
        try:
            response = self._http.once(
                "POST",
                "/v2/transcript",
                doing=doing,
                json={**(config or {}), "audio_url": audio_url},
                timeout_s=self._submit_timeout_s,
            )
            reply = json_object(response, doing=doing)
            return _transcript(reply, doing=doing)
        except (ReplyLostError, ServerError, InvalidReplyError, RedirectError) as error:
            raise SubmitOutcomeUnknownError(
                f"{error} The service may have accepted the job, and will charge for it if so. Look for it in the list "
                "of transcripts before it is submitted again.",
                retry_after=error.retry_after,
            ) from None

    def get(self, transcript_id: str) -> Transcript:
        """Return a transcript as it is now. One whose status is ``error`` is returned like any other.

        Raises:
            TranscriptNotFoundError: the service does not know it; true of a new one for some seconds, too.
            AssemblyAIError: anything else.
        """
        doing = "read the transcript"
        reply = self._json("GET", _path(transcript_id), doing=doing, transcript_id=transcript_id)
        return _transcript(reply, doing=doing)

    def list(
        self,
        *,
        limit: int = _LONGEST_PAGE,
        status: str | None = None,
        created_on: str | None = None,
        before_id: str | None = None,
    ) -> TranscriptPage:
        """Return one page of the project's transcripts, newest first. The list reaches back 90 days.

        Args:
            limit: rows on the page, from 1 to 200.
            status: only this status.
            created_on: only this day, as ``2026-11-23``.
            before_id: only what is older than this transcript.
        """
        doing = "list transcripts"
        params = {"limit": limit, "status": status, "created_on": created_on, "before_id": before_id}
        reply = self._json("GET", "/v2/transcript", doing=doing, params=params)
        rows = reply.get("transcripts")
        if not isinstance(rows, Sequence) or not all(isinstance(row, dict) and _has_names(row) for row in rows):
            raise InvalidReplyError(f"Could not {doing}: the reply holds no list of transcripts.")
        return TranscriptPage([TranscriptListItem(row) for row in rows], _older(reply.get("page_details")))

    def walk(
        self, *, status: str | None = None, created_on: str | None = None, limit: int = _LONGEST_PAGE
    ) -> Iterator[TranscriptListItem]:
        """Yield the project's transcripts from newest to oldest, a page at a time.

        ``prev_url`` leads to older pages. Only its ``before_id`` is used: the rest of a URL that came in a reply is
        never followed, so the key cannot be sent to another host.

        Raises:
            InvalidReplyError: the pages run in a circle.
            AssemblyAIError: anything else; what was yielded until then is right but not all.
        """
        before_id: str | None = None
        seen: set[str] = set()
        while True:
            page = self.list(limit=limit, status=status, created_on=created_on, before_id=before_id)
            yield from page
            before_id = page.older
            if before_id is None:
                return
            if before_id in seen:
                raise InvalidReplyError("Could not list transcripts: the pages run in a circle.")
            seen.add(before_id)

    def delete(self, transcript_id: str) -> Transcript:
        """Delete a transcript's content and its upload at the service. The row stays in the list."""
        doing = "delete the transcript"
        reply = self._json("DELETE", _path(transcript_id), doing=doing, transcript_id=transcript_id)
        return _transcript(reply, doing=doing)

    def sentences(self, transcript_id: str) -> dict[str, Any]:
        """Return the text as sentences: ``sentences`` with ``text``, ``start``, ``end`` (ms) and ``words``."""
        return self._json("GET", _path(transcript_id, "sentences"), doing="read sentences", transcript_id=transcript_id)

    def paragraphs(self, transcript_id: str) -> dict[str, Any]:
        """Return the text as paragraphs, shaped like :meth:`sentences`."""
        return self._json(
            "GET", _path(transcript_id, "paragraphs"), doing="read paragraphs", transcript_id=transcript_id
        )

    def subtitles(self, transcript_id: str, subtitle_format: str, *, chars_per_caption: int | None = None) -> str:
        """Return captions as text.

        Args:
            transcript_id: a completed transcript.
            subtitle_format: ``srt`` or ``vtt``.
            chars_per_caption: the longest caption, in characters.
        """
        response = self._http.repeat(
            "GET",
            _path(transcript_id, subtitle_format),
            doing=f"read {subtitle_format} captions",
            transcript_id=transcript_id,
            params={"chars_per_caption": chars_per_caption},
        )
        return response.content.decode("utf-8", "replace")

    def word_search(self, transcript_id: str, words: Iterable[str]) -> dict[str, Any]:
        """Return where words and phrases of up to five words are said: ``matches``, with times in ms.

        Raises:
            RequestError: a word holds a comma, which the service takes for a separator.
        """
        wanted = [word.strip() for word in words]
        if not all(wanted) or any("," in word for word in wanted):
            raise RequestError("Words to search for must not be empty or hold a comma; give them one by one.")
        return self._json(
            "GET",
            _path(transcript_id, "word-search"),
            doing="search words",
            transcript_id=transcript_id,
            params={"words": ",".join(wanted)},
        )

    def redacted_audio(self, transcript_id: str) -> str | None:
        """Return the URL of the redacted audio, or ``None`` while it is being made (202).

        Raises:
            RedactedAudioGoneError: it was not asked for, or is older than 24 hours (400).
        """
        doing = "read redacted audio"
        try:
            response = self._http.repeat(
                "GET", _path(transcript_id, "redacted-audio"), doing=doing, transcript_id=transcript_id
            )
        except RequestError as error:
            raise RedactedAudioGoneError(str(error), transcript_id=transcript_id) from None
        if response.status_code == 202:
            return None
        return str(_with(json_object(response, doing=doing), "redacted_audio_url", doing=doing)["redacted_audio_url"])

    def _json(self, method: str, path: str, *, doing: str, **options: Any) -> dict[str, Any]:
        """Return the JSON object of a repeatable request; a reply that is none counts as a failed try."""
        transcript_id = options.get("transcript_id")
        return self._http.retrying(
            lambda: json_object(
                self._http.once(method, path, doing=doing, **options), doing=doing, transcript_id=transcript_id
            )
        )


def _path(transcript_id: str, *rest: str) -> str:
    """Return the path of a transcript. An id is one path segment, whatever it holds."""
    parts = [transcript_id, *rest]
    if not all(is_id(part) for part in parts):
        raise RequestError(f"{transcript_id!r} is no transcript id.")
    return "/v2/transcript/" + "/".join(quote(part, safe="") for part in parts)


def _older(page_details: Any) -> str | None:
    url = page_details.get("prev_url") if isinstance(page_details, Mapping) else None
    if not isinstance(url, str):
        return None
    try:
        found = parse_qs(urlsplit(url).query).get("before_id")
    except ValueError:
        found = None
    if not found or not is_id(found[0]):
        # Ending the walk here would call a part of the list the whole of it.
        raise InvalidReplyError("Could not list transcripts: the link to the older page has no `before_id`.")
    return found[0]


def _transcript(reply: dict[str, Any], *, doing: str) -> Transcript:
    if not _has_names(reply):
        raise InvalidReplyError(f"Could not {doing}: the reply has no `id`, or no `status`.")
    return Transcript(reply)


def _has_names(reply: Mapping[str, Any]) -> bool:
    return is_id(reply.get("id")) and is_id(reply.get("status"))


def _with(reply: dict[str, Any], field: str, *, doing: str) -> dict[str, Any]:
    if not isinstance(reply.get(field), str) or not reply[field]:
        raise InvalidReplyError(f"Could not {doing}: the reply has no `{field}`.")
    return reply


def _reading_failed(error: Exception) -> Exception:
    return (
        error
        if isinstance(error, AssemblyAIError)
        else InputError(f"Could not read the audio while uploading it: {error}")
    )
