from __future__ import annotations

from typing import Any

import pytest

from airflow_asr.api.errors import (
    AssemblyAIError,
    AuthenticationError,
    BalanceError,
    ForbiddenError,
    InvalidReplyError,
    RateLimitError,
    ReplyLostError,
    RequestError,
    ServerError,
    TranscriptDeletedError,
    TranscriptNotFoundError,
    UnreachableError,
)
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.look import NOT_FOUND_PATIENCE_S, look


class Answers:
    """A client with one answer."""

    def __init__(self, answer: AssemblyAIError | dict[str, Any]) -> None:
        self.answer = answer

    def get(self, transcript_id: str) -> Transcript:
        if isinstance(self.answer, AssemblyAIError):
            raise self.answer
        return Transcript({"id": transcript_id, **self.answer})


@pytest.mark.parametrize("status", ["completed", "error"])
def test_a_transcript_that_has_ended_is_returned_whole(status: str) -> None:
    found = look(Answers({"status": status, "text": "Hello."}), "t-1", waited_s=0)
    assert found is not None
    assert (found.id, found.status, found.text) == ("t-1", status, "Hello.")


@pytest.mark.parametrize("status", ["queued", "processing", "of_tomorrow"])
@pytest.mark.parametrize("waited_s", [0.0, 1e6])
def test_one_that_runs_is_worth_another_look_however_long_it_takes(status: str, waited_s: float) -> None:
    assert look(Answers({"status": status}), "t-1", waited_s=waited_s) is None


@pytest.mark.parametrize("content", [{"text": "Deleted by user."}, {"audio_url": "http://deleted_by_user"}])
def test_one_that_was_deleted_is_not_taken_for_a_result(content: dict[str, str]) -> None:
    with pytest.raises(TranscriptDeletedError, match=r"t-1 was deleted.*costs a new transcript") as raised:
        look(Answers({"status": "completed", **content}), "t-1", waited_s=0)
    assert raised.value.transcript_id == "t-1"
    assert not raised.value.retryable


def test_an_unknown_id_may_be_new_at_first_and_is_wrong_later() -> None:
    unknown = Answers(TranscriptNotFoundError("id not found", transcript_id="t-1"))
    assert look(unknown, "t-1", waited_s=0) is None
    assert look(unknown, "t-1", waited_s=NOT_FOUND_PATIENCE_S - 0.1) is None
    with pytest.raises(TranscriptNotFoundError):
        look(unknown, "t-1", waited_s=NOT_FOUND_PATIENCE_S)


@pytest.mark.parametrize("hiccup", [RateLimitError, ServerError, UnreachableError, ReplyLostError, InvalidReplyError])
@pytest.mark.parametrize("waited_s", [0.0, 1e6])
def test_a_hiccup_never_ends_the_wait(hiccup: type[AssemblyAIError], waited_s: float) -> None:
    assert look(Answers(hiccup("oops")), "t-1", waited_s=waited_s) is None


@pytest.mark.parametrize("final", [AuthenticationError, BalanceError, ForbiddenError, RequestError])
def test_what_waiting_does_not_change_is_raised_at_once(final: type[AssemblyAIError]) -> None:
    with pytest.raises(final, match="no"):
        look(Answers(final("no")), "t-1", waited_s=0)
