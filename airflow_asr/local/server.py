"""The web server around the application."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_asr.local.app import create_app
from airflow_asr.local.faults import Faults
from airflow_asr.local.settings import Settings

# Clients that poll every minute keep their connection; with uvicorn's 5 seconds some of their requests would meet a
# connection that is just being closed.
_KEEP_ALIVE_S = 75
_GRACE_S = 5  # For requests that are under way when the server is told to stop.


class _Server(uvicorn.Server):
    """Tells when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the port is taken, or the host is not an address of this machine.
    """
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def url_of(listener: socket.socket) -> str:
    """Where a socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(settings: Settings, listener: socket.socket, ready: Callable[[], None], *, until_eof: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, or, with ``until_eof``, until standard input ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    demanded = Faults()
    config = uvicorn.Config(
        create_app(settings, demanded),
        # Only with faults: the faster parser is not made to be watched.
        http=_watched(demanded) if settings.enable_faults else "auto",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = _Server(config, ready)
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _stop_at_eof(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


def _watched(faults: Faults) -> type[asyncio.Protocol]:
    """A protocol that lets ``faults`` know its connections."""

    class Watched(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._peer = cast("tuple[str, int]", tuple(transport.get_extra_info("peername")[:2]))
            faults.connections[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            faults.connections.pop(self._peer, None)
            super().connection_lost(exc)

    return Watched
