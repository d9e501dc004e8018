"""Servers for the tests of the local server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_asr.local.testing import LocalServer
from tests.local.http import Http


@pytest.fixture(scope="session")
def shared_server() -> Iterator[LocalServer]:
    """One server for tests that do not care who else uses it."""
    with LocalServer(concurrency=8) as server:
        yield server


@pytest.fixture
def http(shared_server: LocalServer) -> Iterator[Http]:
    """Requests to the shared server."""
    with Http(shared_server) as client:
        yield client


@pytest.fixture
def serve() -> Iterator[Callable[..., Http]]:
    """Start a server of its own for a test: the arguments are those of LocalServer."""
    with ExitStack() as stack:

        def start(**options: Any) -> Http:
            server = stack.enter_context(LocalServer(**options))
            return stack.enter_context(Http(server))

        yield start
