"""Sends one HTTP request to the service and turns every way it can end into a reply or one of our errors.

Exceptions of ``requests`` are replaced, not chained: their texts and attributes hold URLs and headers.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError

from airflow_asr import __version__
from airflow_asr.api.errors import (
    AssemblyAIError,
    AuthenticationError,
    InvalidReplyError,
    ReplyLostError,
    RequestError,
    UnreachableError,
    from_reply,
)
from airflow_asr.api.redaction import excerpt
from airflow_asr.api.retry import RetryPolicy, retry_after_s

log = logging.getLogger(__name__)

T = TypeVar("T")

_CLOCKS_AGREE_S = 2.0
_NO_CLOCK_S = 10 * 365 * 86400.0  # A time that is further away than that comes from no clock, ours or the service's.
_LONGEST_ERROR_BODY = 64 * 1024  # An error text is a sentence; a hostile one may be endless.


class _KeyAuth(AuthBase):
    """Sets the key on each request. Being an auth object, it also keeps a ~/.netrc entry from taking its place."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._api_key
        return request


class _Session(requests.Session):
    """Follows no redirects, and does not even read where they lead: requests does, and fails on what is no URL."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none."""


class Transport:
    """One session with one base URL and one key. Safe to use from one thread at a time."""

    def __init__(
        self,
        api_key: str,
        base_url: str,
        *,
        timeout_s: tuple[float, float],
        verify: bool | str,
        proxies: Mapping[str, str] | None,
        retry: RetryPolicy,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._key = checked_key(api_key)
        self.base_url = checked_base_url(base_url)
        self._timeout_s = timeout_s
        self._retry = retry
        self._sleep = sleep
        self._session = _Session()
        self._session.auth = _KeyAuth(self._key)
        self._session.headers["User-Agent"] = f"airflow-asr/{__version__}"
        # Given with each request: what a session holds loses to the environment's proxies and CA bundle in requests.
        self._verify = verify
        self._proxies = dict(proxies or {})
        self.ahead_s: float | None = None
        """Seconds that the service's clock is ahead of ours, by the ``Date`` of its last reply; None before the first.

        Zero if its replies do not tell.
        """

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def repeat(self, method: str, path: str, *, doing: str, **options: Any) -> requests.Response:
        """Send a request that may safely be sent again, as often as the retry policy says. See :meth:`once`."""
        return self.retrying(lambda: self.once(method, path, doing=doing, **options))

    def retrying(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, calling it again as the retry policy says."""
        attempt = 1
        while True:
            try:
                return call()
            except AssemblyAIError as error:
                wait_s = self._retry.wait_s(error, attempt)
                if wait_s is None:
                    raise
                log.warning("%s Trying again in %.1f s (try %d failed).", error, wait_s, attempt)
            self._sleep(wait_s)
            attempt += 1

    def once(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        transcript_id: str | None = None,
        timeout_s: tuple[float, float] | None = None,
        **options: Any,
    ) -> requests.Response:
        """Send one request and return a 2xx reply, whole.

        Args:
            method: the HTTP method.
            path: the path under the base URL.
            doing: what we are doing, for messages: "submit the transcript".
            transcript_id: the transcript concerned, for messages.
            timeout_s: seconds to connect, and seconds without a byte of the reply; default: the transport's.
            **options: ``params``, ``json``, ``data`` and ``headers`` as for ``requests``.

        Raises:
            AssemblyAIError: everything else; see the tree in :mod:`airflow_asr.api.errors`.
        """
        try:
            response = self._session.request(
                method,
                self.base_url + path,
                timeout=timeout_s or self._timeout_s,
                verify=self._verify,
                proxies=self._proxies,
                stream=True,
                **options,
            )
            with response:
                self._compare_clocks(response)
                if 200 <= response.status_code < 300:
                    response.content  # noqa: B018  reads the body while its failures are ours to name
                    return response
                raise self._refusal(response, doing, transcript_id)
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            replacement = self._failure(error, doing, transcript_id)
        raise replacement from None

    def _compare_clocks(self, response: requests.Response) -> None:
        try:
            theirs = parsedate_to_datetime(response.headers["Date"])
            ahead_s = theirs.timestamp() - time.time()
        except (KeyError, ValueError, OverflowError):
            self.ahead_s = self.ahead_s or 0.0
            return
        if abs(ahead_s) > _NO_CLOCK_S:
            self.ahead_s = self.ahead_s or 0.0
            return
        # The header counts whole seconds, and a reply takes time: a second or two is no difference.
        self.ahead_s = ahead_s if abs(ahead_s) > _CLOCKS_AGREE_S else 0.0

    def _refusal(self, response: requests.Response, doing: str, transcript_id: str | None) -> AssemblyAIError:
        if 300 <= response.status_code < 400:
            text = f"redirect to {response.headers.get('Location', 'nowhere')}"
        else:
            text = _error_text(response)
        wait_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
        shown = excerpt(text, [self._key])
        return from_reply(response.status_code, shown, doing=doing, retry_after=wait_s, transcript_id=transcript_id)

    def _failure(self, error: Exception, doing: str, transcript_id: str | None) -> AssemblyAIError:
        reason = f"{type(error).__name__}: {excerpt(str(error), [self._key], longest=200)}"
        host = urlsplit(self.base_url).netloc
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema | LocationValueError):
            return RequestError(f"Could not {doing}: the base URL or the proxy is wrong ({reason}).")
        if isinstance(error, requests.exceptions.InvalidJSONError | UnicodeError):
            return RequestError(f"Could not {doing}: a parameter cannot be sent ({reason}).")
        if _unsent(error):
            return UnreachableError(
                f"Could not {doing}: no connection to {host} ({reason}). Nothing was sent.", transcript_id=transcript_id
            )
        if not isinstance(error, requests.RequestException | HTTPError):
            return RequestError(f"Could not {doing}: {reason}. Check the Connection's TLS and proxy settings.")
        return ReplyLostError(
            f"Could not {doing}: the request was sent to {host}, but no whole reply came back ({reason}).",
            transcript_id=transcript_id,
        )


def json_object(response: requests.Response, *, doing: str, transcript_id: str | None = None) -> dict[str, Any]:
    """Return the reply's JSON object.

    Raises:
        InvalidReplyError: it is anything else. A login page or a wrong base URL looks like this.
    """
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    raise InvalidReplyError(
        f"Could not {doing}: the reply is not a JSON object but “{excerpt(_beginning(response), longest=120)}”. "
        "Is the base URL that of the service, and no proxy or login page in between?",
        transcript_id=transcript_id,
    )


def _beginning(response: requests.Response) -> str:
    """Return what a reply begins with. Which encoding it names is no matter: some raise an error on what is no text."""
    return response.content[:500].decode("utf-8", "replace")


def checked_key(api_key: str) -> str:
    """Return the key without the white space that comes with copying.

    Raises:
        AuthenticationError: it is empty or holds characters that no key has. The key is not shown.
    """
    key = api_key.strip()
    if not key:
        raise AuthenticationError("There is no API key. Put it in the password of the AssemblyAI Connection.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AuthenticationError(
            "The API key holds a space, a control character or a letter outside ASCII: copy it again, alone."
        )
    return key


def checked_base_url(base_url: str) -> str:
    """Return the base URL without a slash at its end.

    Raises:
        RequestError: it is not an http(s) URL of a host, has a query or user info, or holds what no URL does.
    """
    url = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    plain = url.isprintable() and not any(char.isspace() or char == "\\" for char in url)
    if not plain or not usable or parts.query or parts.fragment or parts.username is not None:
        raise RequestError(
            f"The base URL {excerpt(base_url)!r} cannot be used. Give scheme and host, as https://api.assemblyai.com"
        )
    return url


def _error_text(response: requests.Response) -> str:
    """Return the ``error`` of a JSON reply, or the reply's text. An error reply may also be HTML, or empty."""
    body = b""
    try:
        for chunk in response.iter_content(_LONGEST_ERROR_BODY):
            body += chunk
            if len(body) >= _LONGEST_ERROR_BODY:
                break
    except requests.RequestException:
        pass  # The status is what matters; a text that broke off is still a text.
    text = body.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text or response.reason or ""
    return str(said["error"]) if isinstance(said, dict) and said.get("error") else text


def _unsent(error: Exception) -> bool:
    """Say whether the request surely did not reach the service."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    return any(
        isinstance(cause, NewConnectionError | ssl.SSLCertVerificationError)
        or (isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER")
        for cause in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk everything that an exception of requests or urllib3 wraps, by whichever way it does."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        wrapped = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        todo += [each for each in wrapped if isinstance(each, BaseException)]
