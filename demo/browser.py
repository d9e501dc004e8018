"""Finds the machine's own Chromium, and drives it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_VARIABLE = "CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "microsoft-edge")
# Nothing but the page itself: no updates, no look-ups, no network.
_OPTIONS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
MISSING = f"There is no Chromium: install it (apt-get install chromium), or name its program in {_VARIABLE}."


def find_chromium() -> str | None:
    """Return the program named in ``CHROMIUM``, or else the first of the usual names on the path; ``None`` if neither.

    Raises:
        FileNotFoundError: ``CHROMIUM`` names what cannot be run.
    """
    if named := os.environ.get(_VARIABLE):
        if program := shutil.which(named):
            return program
        raise FileNotFoundError(f"{_VARIABLE}={named} is no program that can be run.")
    return next((program for name in _NAMES if (program := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium without a window, and stop it in the end.

    Raises:
        FileNotFoundError: there is no Chromium on this machine.
    """
    from playwright.sync_api import sync_playwright

    program = find_chromium()
    if program is None:
        raise FileNotFoundError(MISSING)
    # Root cannot have Chromium's sandbox. What it opens here are pages of our own.
    options = [*_OPTIONS, "--no-sandbox"] if os.geteuid() == 0 else [*_OPTIONS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()
