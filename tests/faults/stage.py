"""The Airflow that is disturbed, and the services that its tasks talk to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from demo.service import API_KEY
from tests.e2e.world import EchoService, world
from tests.faults import scenarios
from tests.faults.proxy import Proxy
from tests.faults.scenarios import Scenes

# Each misbehaves for one run, while the others are served well by ``echo``.
_ALONE = ("late", "lossy", "dying")


@contextmanager
def stage(home: Path) -> Iterator[Scenes]:
    """Start everything, and stop it all at the end."""
    with ExitStack() as stack:
        alone = {name: stack.enter_context(EchoService(home / name)) for name in _ALONE}
        proxy = stack.enter_context(Proxy())
        far = json.dumps({"conn_type": "assemblyai", "password": API_KEY, "extra": {"base_url": proxy.url}})
        started = stack.enter_context(
            world(
                "postgres",
                home,
                env={**scenarios.SETTINGS, **scenarios.holding(home / "holds")},
                connections={"far": far, **{name: service.connection for name, service in alone.items()}},
                dag_folders=[scenarios.DAGS],
            )
        )
        proxy.lead_to(started.echo.port)
        yield Scenes(started, home / "holds", proxy, alone)


def demand(service: EchoService, **fault: Any) -> None:
    """Let a service commit a fault; see :mod:`airflow_asr.local.faults`."""
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(f"{service.url}/_faults", json=fault, headers={"Authorization": API_KEY}, timeout=10)
        reply.raise_for_status()
