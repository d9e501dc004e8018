"""AssemblyAI behind an Airflow Connection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_asr._airflow import AirflowNotFoundException, BaseHook
from airflow_asr.api.errors import (
    AccountError,
    AssemblyAIError,
    AuthenticationError,
    JobSearchError,
    RequestError,
    ServiceError,
    SubmitOutcomeUnknownError,
    from_transcript,
)

if TYPE_CHECKING:
    import os

    from airflow.sdk import Connection

    from airflow_asr.api.client import AssemblyAIClient
    from airflow_asr.api.retry import RetryPolicy
    from airflow_asr.api.transcript import Transcript


class AssemblyAIHook(BaseHook):
    """Talks to AssemblyAI with the key and settings of a Connection. Works in operators and alone inside ``@task``.

    The API key is the Connection's password. The rest is in its extra: ``region`` (``us`` or ``eu``), ``base_url``
    (wins over the region), ``connect_timeout_s``, ``read_timeout_s``, ``verify_tls`` and ``proxies``.

    Args:
        assemblyai_conn_id: the Connection.

    Example::

        @task
        def transcribe() -> str:
            hook = AssemblyAIHook()
            transcript_id = hook.submit("/data/call.wav", {"speaker_labels": True})
            return hook.wait(transcript_id, timeout_s=600).text
    """

    conn_name_attr = "assemblyai_conn_id"
    default_conn_name = "assemblyai_default"
    conn_type = "assemblyai"
    hook_name = "AssemblyAI"

    def __init__(self, assemblyai_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.assemblyai_conn_id = assemblyai_conn_id

    @cached_property
    def client(self) -> AssemblyAIClient:
        """The client, with every endpoint of the service.

        Raises:
            AccountError, RequestError: the Connection cannot be used; the message says which field.
        """
        return client_of(self._connection())

    def client_maker(self) -> Callable[[], AssemblyAIClient]:
        """Return what makes clients, for threads of their own. The Connection is read once, and not kept here."""
        connection = self._connection()
        return lambda: client_of(connection)

    def _connection(self) -> Connection:
        try:
            return self.get_connection(self.assemblyai_conn_id)
        except AirflowNotFoundException:
            raise AccountError(
                f"There is no Connection {self.assemblyai_conn_id!r}. Create it with the type `assemblyai` and the API "
                "key as its password."
            ) from None

    def get_conn(self) -> AssemblyAIClient:
        """Return :attr:`client`."""
        return self.client

    def submit(self, audio: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> str:
        """Submit audio and return the transcript's id. Costs money each time it is called.

        ``AssemblyAISubmitTranscriptOperator`` remembers what it submitted; this method does not. If the reply is lost,
        the job is looked for in the service's list for up to 130 seconds.

        Args:
            audio: an absolute local path, or an http(s) URL that the service can fetch.
            config: the service's own parameters. ``None`` as a value leaves the parameter out.

        Raises:
            InputError: there is no such audio, or it cannot be used.
            SubmitOutcomeUnknownError: a job may exist, and could not be looked for; see the message.
            AssemblyAIError: anything else.
        """
        from airflow_asr._airflow import open_path
        from airflow_asr.jobs.records import MemoryStore, TryRecords
        from airflow_asr.jobs.source import find_audio
        from airflow_asr.jobs.submission import Submission

        source = find_audio(audio, open_path=open_path)
        try:
            return Submission(self.client, TryRecords(MemoryStore(), 1)).submit(source, config or {})
        except JobSearchError as error:
            # A retry of an operator looks on. One of this call knows of nothing, and would pay a second time.
            raise SubmitOutcomeUnknownError(
                f"{error} That is true of the operators; this method does not remember what it sent: look for the job "
                "before you call it again."
            ) from None

    def get(self, transcript_id: str) -> Transcript:
        """Return a transcript as it is now."""
        return self.client.get(transcript_id)

    def wait(self, transcript_id: str, *, timeout_s: float = 3600.0) -> Transcript:
        """Return a transcript once it is completed. This holds the worker slot; the deferrable sensor does not.

        Raises:
            TimeoutError: it is not completed after ``timeout_s`` seconds. The job goes on at the service.
            AssemblyAIError: it ended in error, or cannot be read.
        """
        import random

        from airflow_asr.jobs.look import look
        from airflow_asr.jobs.schedule import PollSchedule

        schedule, began = PollSchedule(), time.monotonic()
        while True:
            waited_s = time.monotonic() - began
            transcript = look(self.client, transcript_id, waited_s=waited_s)
            if transcript is not None:
                if transcript.error or transcript.status == "error":
                    raise from_transcript(transcript.error or "no reason given", transcript_id=transcript_id)
                return transcript
            if waited_s >= timeout_s:
                raise TimeoutError(
                    f"Transcript {transcript_id} has not ended after {timeout_s:g} s. The job goes on at the service "
                    "and is paid for when it completes; wait for the same id again."
                )
            time.sleep(min(schedule.after(waited_s, random.uniform), max(timeout_s - waited_s, 0.0)))

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the key works, without spending anything; if not, what is wrong with it."""
        from airflow_asr.api.retry import NO_RETRY

        try:
            # Somebody sits before the form and waits for the answer.
            client = client_of(self._connection(), retry=NO_RETRY)
            client.list(limit=1)
        except AuthenticationError as error:
            return False, str(error)
        except ServiceError as error:
            return False, f"The key could not be tried: {error}"
        except AssemblyAIError as error:
            return False, str(error)
        return True, f"{client.base_url} accepts the key."


def client_of(connection: Connection, retry: RetryPolicy | None = None) -> AssemblyAIClient:
    """Return a client with the key and settings of a Connection.

    Raises:
        AuthenticationError: there is no key, or it cannot be one.
        RequestError: a setting cannot be used; the message names the Connection and the field.
    """
    from airflow_asr.api.client import AssemblyAIClient

    name = connection.conn_id
    if connection.host:
        raise RequestError(
            f"Connection {name!r} has a host, which is not used. Put the service's URL in the extra field `base_url`, "
            'as {"base_url": "http://127.0.0.1:8765"}, and leave the host empty.'
        )
    try:
        extra = _extra(connection)
        return AssemblyAIClient(
            connection.password or "",
            base_url=_base_url(extra),
            connect_timeout_s=_seconds(extra, "connect_timeout_s", 5.0),
            read_timeout_s=_seconds(extra, "read_timeout_s", 30.0),
            verify=_flag(extra, "verify_tls", True),
            proxies=_proxies(extra),
            retry=retry,
        )
    except AssemblyAIError as error:
        raise error.concerning(f"Connection {name!r}") from None


def _extra(connection: Connection) -> Mapping[str, Any]:
    """Return the extra. Airflow makes an empty one of what it cannot read, and the region would be lost with it."""
    extra: object = connection.extra_dejson
    if not isinstance(extra, Mapping) or (not extra and (connection.extra or "").strip() not in ("", "{}", "null")):
        raise RequestError('The extra must be a JSON object, as {"region": "eu"}.')
    return extra


def _base_url(extra: Mapping[str, Any]) -> str:
    from airflow_asr.api.client import REGIONS

    if extra.get("base_url"):
        return str(extra["base_url"])
    region = str(extra.get("region") or "us").strip().lower()
    if region not in REGIONS:
        raise RequestError(
            f"`region` is {region!r}; it can be {' or '.join(REGIONS)}. For any other host set `base_url`."
        )
    return REGIONS[region]


def _seconds(extra: Mapping[str, Any], field: str, default: float) -> float:
    value = extra.get(field)
    if value in (None, ""):
        return default
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise RequestError(f"`{field}` is {value!r}; it must be a number of seconds above 0.")
    return seconds


def _flag(extra: Mapping[str, Any], field: str, default: bool) -> bool:
    value = extra.get(field)
    if value in (None, ""):
        return default
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in known:
        # Guessing here could turn the TLS check off, or on, against what was meant.
        raise RequestError(f"`{field}` is {value!r}; it must be true or false.")
    return known[str(value).lower()]


def _proxies(extra: Mapping[str, Any]) -> dict[str, str]:
    value = extra.get("proxies")
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = "unreadable"
    if not value:
        return {}
    if not isinstance(value, dict) or not all(isinstance(url, str) for url in value.values()):
        raise RequestError(
            '`proxies` must be a JSON object of scheme to URL, as {"https": "http://proxy.example:3128"}.'
        )
    return value
