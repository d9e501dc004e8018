"""A line between two programs on this machine that can be cut."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self


class Proxy:
    """Passes bytes on to another port, and nothing while it is cut: new connections are refused, old ones go silent."""

    def __init__(self) -> None:
        self._target = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def lead_to(self, port: int) -> None:
        """Pass bytes on to this port."""
        self._target = port

    @property
    def url(self) -> str:
        """The address of this end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._whole.set()
        self._listener.close()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing through for the length of the block."""
        self._whole.clear()
        try:
            yield
        finally:
            self._whole.set()

    def _listen(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._whole.is_set():
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            selector = selectors.DefaultSelector()
            for this, other in ((near, far), (far, near)):
                selector.register(this, selectors.EVENT_READ, other)
            while not self._ended:
                for key, _ in selector.select(1.0):
                    self._whole.wait()
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)
