"""Faults on demand, for testing what a client does about them, and a count of what it asked for.

A fault is JSON, sent to ``POST /_faults``::

    {"method": "POST", "route": "/v2/transcript", "action": "drop", "when": "after", "times": 1}

=========== =========================================================================================================
``route``    path to match; ``{id}`` stands for any one segment, ``*`` alone for every path. Required.
``action``   ``answer`` (a reply of your own), ``delay``, or ``drop`` (the connection is reset). Required.
``method``   ``GET``, ``POST``, ``DELETE``, or ``*`` (the default).
``when``     ``before`` (the default): the request has no effect, or, if delayed, a late one;
             ``after``: it takes effect, and then its reply is replaced, delayed or lost.
``times``    how many requests it hits; 1 by default, ``null`` for all until it is cleared.
``skip``     how many matching requests are let through first; 0 by default.
``share``    of the matching requests, which share it hits, by chance; 1 by default.
``status``   of an answer; 500 by default.
``headers``  of an answer, as an object.
``body``     of an answer: text is sent as it is, anything else as JSON; by default a JSON error.
``seconds``  of a delay; 1 by default.
=========== =========================================================================================================

One request is hit by one fault, the oldest that matches. ``GET /_faults`` lists those that are left, ``DELETE
/_faults`` clears them, ``GET /_requests`` tells how often each method and route was asked for since the start.

``POST /_clock`` with ``{"forward_s": N}`` moves the server's clock N seconds forward, for good: what expires by that is
deleted before the reply. ``GET /_clock`` tells its time.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_asr.local.errors import ApiError

CONTROL_ROUTES = ("/_faults", "/_requests", "/_clock")

_ID = re.compile(r"^(/v2/transcript|/upload)/[^/]+")

Action = Literal["answer", "delay", "drop"]
When = Literal["before", "after"]


@dataclass
class Fault:
    """See the module. ``times`` and ``skip`` count down."""

    route: str
    action: Action
    method: str = "*"
    when: When = "before"
    times: int | None = 1
    skip: int = 0
    share: float = 1.0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=lambda: {"error": "Internal server error. This is a fault on demand."})
    seconds: float = 1.0

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is of the kind that this fault hits."""
        if self.method not in ("*", method):
            return False
        if self.route in ("*", path):
            return True
        wanted, segments = self.route.split("/"), path.split("/")
        return len(wanted) == len(segments) and all(
            want in ("{id}", segment) for want, segment in zip(wanted, segments, strict=True)
        )

    def reply(self) -> Response:
        """The reply of an ``answer``."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        media_type = "text/plain" if isinstance(self.body, str) else "application/json"
        return Response(text, self.status, self.headers, media_type)


def parse(body: object) -> Fault:
    """A fault from JSON.

    Raises:
        ApiError: it is none.
    """
    if not isinstance(body, dict):
        raise ApiError("A fault must be a JSON object")
    unknown = body.keys() - set(Fault.__dataclass_fields__)
    if unknown:
        raise ApiError(f"A fault has no field {', '.join(sorted(unknown))}")
    if not {"route", "action"} <= body.keys():
        raise ApiError("A fault needs the fields route and action")
    fault = Fault(**body)
    for name, problem in _problems(fault).items():
        if problem:
            raise ApiError(f"The field {name} of the fault cannot be {body.get(name)!r}")
    fault.method = fault.method.upper()
    return fault


def _problems(fault: Fault) -> dict[str, bool]:
    return {
        "route": not (isinstance(fault.route, str) and fault.route.startswith(("/", "*"))),
        "action": fault.action not in get_args(Action),
        "method": not isinstance(fault.method, str),
        "when": fault.when not in get_args(When),
        "times": not (fault.times is None or _is_int(fault.times, 1)),
        "skip": not _is_int(fault.skip, 0),
        "share": not isinstance(fault.share, int | float) or not 0 < fault.share <= 1,
        "status": not (_is_int(fault.status, 200) and fault.status <= 599),
        "headers": not (
            isinstance(fault.headers, dict) and all(isinstance(value, str) for value in fault.headers.values())
        ),
        "seconds": not isinstance(fault.seconds, int | float) or not 0 <= fault.seconds <= 86_400,
    }


def _is_int(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class Faults:
    """What is on demand and what was asked for. Used from the event loop only, so it needs no lock."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._requests: Counter[str] = Counter()
        self._chance = random.Random(0)  # noqa: S311  # The same chance in every run.
        # Filled by the server's protocol (see server.py): the address of a client -> its connection.
        self.connections: dict[tuple[str, int], asyncio.Transport] = {}

    def add(self, fault: Fault) -> None:
        """Let a fault wait for its requests."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def left(self) -> list[dict[str, Any]]:
        """The faults that still wait, as JSON."""
        return [asdict(fault) for fault in self._faults]

    def counts(self) -> Mapping[str, int]:
        """Requests so far, by ``METHOD route``."""
        return self._requests

    def seen(self, method: str, path: str) -> None:
        """Count a request."""
        route = _ID.sub(r"\1/{id}", path)
        self._requests[f"{method} {route}"] += 1

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits this request, if any; it is used up by that."""
        for fault in self._faults:
            if not fault.matches(method, path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.share < 1 and self._chance.random() >= fault.share:
                continue
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
            return fault
        return None


class FaultMiddleware:
    """Counts requests and commits faults."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, well or badly."""
        if scope["type"] != "http" or scope["path"] in CONTROL_ROUTES:
            await self._app(scope, receive, send)
            return
        self._faults.seen(scope["method"], scope["path"])
        fault = self._faults.take(scope["method"], scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
            return
        reply = _Held()
        if fault.when == "after":
            await self._app(scope, receive, reply)
        if fault.action == "drop":
            await self._drop(scope, receive)
        elif fault.action == "answer":
            await fault.reply()(scope, receive, send)
        else:
            await asyncio.sleep(fault.seconds)
            if fault.when == "before":
                await self._app(scope, receive, send)
            else:
                await reply.release(send)

    async def _drop(self, scope: Scope, receive: Receive) -> None:
        self._faults.connections[tuple(scope["client"])].abort()
        # Until the web server has noticed: it would try to answer otherwise.
        while (await receive())["type"] != "http.disconnect":
            pass


class _Held:
    """Takes a reply in place of the client."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self._messages.append(message)

    async def release(self, send: Send) -> None:
        for message in self._messages:
            await send(message)
