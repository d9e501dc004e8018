"""A real browser for tests of pages.

``from tests.browser import browser`` brings the fixture. It lives as long as a module: while Playwright runs, its event
loop is the thread's, and no test could run one of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from demo.browser import MISSING, find_chromium, open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window. A machine that has none skips the test, but for CI, where it must be there."""
    if find_chromium() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    with open_browser() as running:
        yield running
