"""What can go wrong, whose fault it is, and whether doing it again can help.

::

    AssemblyAIError
    ├── AccountError               account: stop everything until a person has acted
    │   ├── AuthenticationError      the key is missing or wrong
    │   ├── BalanceError             the account has no money
    │   └── ForbiddenError           the key may not do this, or use this upload
    ├── RequestError               config: the request is wrong and will be wrong again
    │   ├── RedirectError            the answer is a redirect, which is not followed
    │   ├── TranscriptNotFoundError  the service does not know the id (or not yet)
    │   ├── TranscriptDeletedError   it knew the id; the content is gone
    │   ├── TranscriptNotReadyError  it has not ended yet
    │   └── RedactedAudioGoneError   redacted audio was never made, or has expired
    ├── InputError                 input: this audio never will work
    │   └── NoSpeechError            nobody speaks in it
    ├── AudioChangedError          input: the audio changed under our hands; take what is there now
    ├── AudioUrlError              url: the service could not fetch the audio; sign or fix the URL
    ├── PolicyError                policy: a threshold of yours said no
    ├── BudgetError                budget: what you allowed to be spent is not enough
    ├── BatchFailuresError         batch: more of its recordings failed than you allowed
    ├── OutputError                output: a paid transcript could not be written to where it was wanted
    ├── RecordError                record: the store that remembers what was paid for does not work
    │   └── ConcurrentRunError       another run is submitting the same audio at this moment
    ├── ServiceError               service: the same call may work later
    │   ├── RateLimitError           429
    │   ├── ServerError              5xx, or a transcript that ended in a server error
    │   │   └── ResubmitsError         it did so as often as was allowed
    │   ├── UploadRefusedError       422 on an upload
    │   ├── UnreachableError         nothing was sent: DNS, connect, TLS, proxy
    │   ├── ReplyLostError           sent, but no whole reply came back
    │   └── InvalidReplyError        a reply that is not the service's JSON
    ├── UnclassifiedError          unknown: a text that this version does not know
    └── SubmitOutcomeUnknownError  a submission that may or may not have been accepted and will be paid for if so
        └── JobSearchError           its job could not be looked for just now; a retry looks before it sends anything

The texts that are recognised are those that the service's documentation and its users have recorded. A text that is not
in the table is never forced into a class: it becomes an UnclassifiedError that carries it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from airflow_asr.api.redaction import excerpt

Kind = Literal[
    "account", "config", "input", "url", "policy", "budget", "batch", "output", "record", "service", "unknown"
]

NOT_CHARGED = "A failed transcript is not charged."


class AssemblyAIError(Exception):
    """The base of every error of this package's API layer.

    Args:
        message: what happened, to what, and what to do. It is redacted before it is kept.
        transcript_id: the transcript concerned, if there is one.
        retry_after: seconds that the service asked us to wait, if it did.
    """

    kind: ClassVar[Kind] = "unknown"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, transcript_id: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(excerpt(message, longest=1500))
        self.transcript_id = transcript_id
        self.retry_after = retry_after

    def concerning(self, audio: str) -> Self:
        """Put the name of the audio before the message; return the error, to be raised."""
        self.args = (excerpt(f"{audio}: {self}", longest=1500),)
        return self


class AccountError(AssemblyAIError):
    """The account or the key must change; every other call will fail the same way."""

    kind = "account"


class AuthenticationError(AccountError):
    """The service does not accept the API key (401)."""


class BalanceError(AccountError):
    """The account's balance is negative."""


class ForbiddenError(AccountError):
    """The key may not do this (403). Some users saw 403 for the request limit, so one more try is allowed."""

    def __init__(self, message: str, *, perhaps_throttled: bool = False, **details: str | float | None) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]
        self.perhaps_throttled = perhaps_throttled


class RequestError(AssemblyAIError):
    """The request is wrong: a parameter, a path or an id."""

    kind = "config"


class RedirectError(RequestError):
    """The answer was a redirect. It is not followed, because the key would go with it."""


class TranscriptNotFoundError(RequestError):
    """The service does not know the transcript: another account, another region, deleted, or seconds old."""


class TranscriptDeletedError(RequestError):
    """The transcript was deleted at the service; its text is gone."""


class TranscriptNotReadyError(RequestError):
    """The transcript has not ended yet; what was asked for comes when it has."""

    retryable = True


class RedactedAudioGoneError(RequestError):
    """There is no redacted audio for this transcript, or it has expired (it is kept for 24 hours)."""


class InputError(AssemblyAIError):
    """The audio cannot be transcribed, now or later."""

    kind = "input"


class AudioChangedError(AssemblyAIError):
    """The audio is no longer what it was a moment ago. A retry takes what is there then, as a job of its own."""

    kind = "input"
    retryable = True


class NoSpeechError(InputError):
    """Nobody speaks in the audio, or in no language that the service recognises."""


class AudioUrlError(AssemblyAIError):
    """The service could not fetch the audio from its URL."""

    kind = "url"
    retryable = True


class PolicyError(AssemblyAIError):
    """The audio was refused by a threshold in the request."""

    kind = "policy"


class BudgetError(AssemblyAIError):
    """What was to be transcribed does not fit into the budget that the user set."""

    kind = "budget"


class BatchFailuresError(AssemblyAIError):
    """More recordings of a batch failed than the user allows. Its manifest says which, and why.

    Args:
        message: what happened.
        retryable: whether a retry may do better.
        details: as for every error.
    """

    kind = "batch"

    def __init__(self, message: str, *, retryable: bool = False, **details: Any) -> None:
        super().__init__(message, **details)
        self.retryable = retryable  # type: ignore[misc]  # Of this one error.


class OutputError(AssemblyAIError):
    """An output could not be written or read. The transcript is at the service: a retry writes it, and pays nothing."""

    kind = "output"
    retryable = True


class RecordError(AssemblyAIError):
    """What was, or is about to be, paid for could not be kept in the store that survives a try."""

    kind = "record"
    retryable = True


class ConcurrentRunError(RecordError):
    """Another run submits the same audio to the same output folder at this moment. A retry finds its job."""


class ServiceError(AssemblyAIError):
    """The service, or the way to it, failed; the same call may work later."""

    kind = "service"
    retryable = True


class RateLimitError(ServiceError):
    """Too many requests (429)."""


class ServerError(ServiceError):
    """The service failed (5xx, or a transcript that ended in a server error)."""


class ResubmitsError(ServerError):
    """Transcript after transcript of this audio failed, as many as were allowed. Only a person can allow more."""

    retryable = False


class UploadRefusedError(ServiceError):
    """The service could not take an upload (422). The usual cause is an empty file, but it also happens by chance."""


class UnreachableError(ServiceError):
    """No request was sent: the host was not found, did not answer, or failed the TLS check."""


class ReplyLostError(ServiceError):
    """The request was sent, and no whole reply came back."""


class InvalidReplyError(ServiceError):
    """The reply is not what the service sends: not JSON, or without what it must hold."""


class UnclassifiedError(AssemblyAIError):
    """The service gave a reason that this version does not know. A bounded number of tries is right."""

    retryable = True


class SubmitOutcomeUnknownError(AssemblyAIError):
    """A submission was sent and no clear reply came back: a job may exist, and is paid for if it does.

    It is not retryable: sending it again could pay twice.
    """

    kind = "service"


class JobSearchError(SubmitOutcomeUnknownError):
    """A job may exist and could not be looked for, or not to the end. A retry looks again before it sends anything."""

    retryable = True


# HTTP ----------------------------------------------------------------------------------------------------------------

_RETIRED_MODEL = (
    "The service no longer offers a model that was asked for. Set `speech_models` in `config` to models that it names, "
    "or leave it out: the service then uses its default."
)
_BAD_REQUEST_TEXTS: tuple[tuple[str, str], ...] = (
    ("have been deprecated", _RETIRED_MODEL),
    ("parameter is deprecated", _RETIRED_MODEL),
    ("non-empty list", "`speech_models` must name at least one model, or be left out."),
    ("not available in this language", "Leave the named features out, or change `language_code`."),
)


def from_reply(
    status: int, text: str, *, doing: str, retry_after: float | None = None, transcript_id: str | None = None
) -> AssemblyAIError:
    """Return the error that an HTTP reply stands for.

    Args:
        status: the HTTP status; 400 and above, or a redirect.
        text: the ``error`` of the reply, or its body.
        doing: what we were doing, as "submit the transcript".
        retry_after: seconds, from the ``Retry-After`` header.
        transcript_id: the transcript concerned, if there is one.
    """
    said = f"Could not {doing}: the service answered {status} “{excerpt(text)}”."
    lower = text.lower()
    if "balance is negative" in lower or status == 402:
        return BalanceError(
            f"{said} Top up the account; nothing will be transcribed until then.", transcript_id=transcript_id
        )
    if status == 401:
        return AuthenticationError(
            f"{said} Check the API key in the Connection's password, and that the region is the key's.",
            transcript_id=transcript_id,
        )
    if status == 403:
        return _forbidden(said, lower, transcript_id)
    if status == 429:
        return RateLimitError(said, retry_after=retry_after, transcript_id=transcript_id)
    if status == 422:
        return UploadRefusedError(said, transcript_id=transcript_id)
    if status == 408 or status >= 500:
        return ServerError(said, retry_after=retry_after, transcript_id=transcript_id)
    return _wrong_request(said, status, lower, transcript_id)


def _forbidden(said: str, lower: str, transcript_id: str | None) -> ForbiddenError:
    if "cannot access uploaded file" in lower:
        return ForbiddenError(
            f"{said} An upload can be used only with a key of the project that uploaded it: upload the file again.",
            transcript_id=transcript_id,
        )
    return ForbiddenError(
        f"{said} The key may not do this, or the request limit was reached.",
        perhaps_throttled=True,
        transcript_id=transcript_id,
    )


def _wrong_request(said: str, status: int, lower: str, transcript_id: str | None) -> RequestError:
    if "transcript lookup error" in lower or "transcript id not found" in lower:
        return TranscriptNotFoundError(
            f"{said} The transcript {transcript_id or ''} belongs to another account or region, was deleted, or its id "
            "is wrong.",
            transcript_id=transcript_id,
        )
    if 300 <= status < 400:
        return RedirectError(
            f"{said} Redirects are not followed, because the key would go with them: put the final address in the "
            "Connection's base URL.",
            transcript_id=transcript_id,
        )
    advice = next((advice for part, advice in _BAD_REQUEST_TEXTS if part in lower), "")
    return RequestError(
        f"{said} {advice or 'The request is wrong; sending it again will not help.'}", transcript_id=transcript_id
    )


# Transcripts that ended in error -------------------------------------------------------------------------------------

_TRANSCRIPT_TEXTS: tuple[tuple[str, type[AssemblyAIError], str], ...] = (
    ("text/html", InputError, "The URL leads to a web page, not to audio: a login page or an expired share link?"),
    ("404 client error", InputError, "There is nothing at the audio's URL."),
    ("download error", AudioUrlError, "The service could not fetch the audio: a private, expired or unreachable URL?"),
    ("unable to download", AudioUrlError, "The service could not fetch the audio from its URL."),
    ("unable to access file", AudioUrlError, "The service could not fetch the audio from its URL."),
    ("duration is too short", InputError, "The service needs at least 160 ms of audio."),
    ("no spoken audio", NoSpeechError, "If somebody does speak, name the language in `language_code`."),
    ("confidence threshold", PolicyError, "Name the language in `language_code`, or lower the threshold."),
    ("speech threshold", PolicyError, "Lower `speech_threshold` if this audio should pass."),
    ("does not appear to contain audio", InputError, "The file holds no audio that the service can read."),
    ("transcoding failed", InputError, "The service cannot read this audio format, or the file is damaged."),
    ("file type", InputError, "The service cannot read this audio format."),
    ("internal server error", ServerError, "The service failed; the file should be submitted again."),
    ("server error, developers have been alerted", ServerError, "The service failed; submit the file again."),
)


def from_transcript(error: str, *, transcript_id: str, audio: str | None = None) -> AssemblyAIError:
    """Return the error that the ``error`` text of a transcript stands for.

    Args:
        error: the text, as the service wrote it. It may hold signed URLs; they are removed.
        transcript_id: the transcript that ended in error.
        audio: what was transcribed, in words that may be shown.
    """
    lower = error.lower()
    kind, advice = next(
        ((kind, advice) for part, kind, advice in _TRANSCRIPT_TEXTS if part in lower),
        (UnclassifiedError, "This version does not know the reason."),
    )
    of = f" of {audio}" if audio else ""
    return kind(
        f"Transcript {transcript_id}{of} ended in error: “{excerpt(error)}”. {advice} {NOT_CHARGED}",
        transcript_id=transcript_id,
    )
