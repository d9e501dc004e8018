"""Take the README's pictures of a report: ``python -m demo.pictures REPORT.html OUT_DIR``.

What is in them also depends on the fonts of the machine: those in the README were taken with Inter
(``apt-get install chromium fonts-inter``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from demo.browser import open_browser
from demo.runs import RECORDINGS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Page

_MARGIN_PX = 32
_SHOWN_FOLDER = "/data/calls"
_UNFOLD_FIRST = "document.querySelector('article details').open = true"


class Picture(NamedTuple):
    """A picture: of what is between the tops of one element and of another, to the whole width of the page."""

    name: str
    width: int
    scheme: Literal["light", "dark"]
    begin: str
    end: str


PICTURES = (
    Picture("report-light", 1280, "light", "body", "#phrases"),
    Picture("report-dark", 1280, "dark", "#calls", "#c3"),
    Picture("report-phone", 400, "light", "body", "#phrases"),
)


def take(browser: Browser, report: Path, folder: Path) -> list[Path]:
    """Take all pictures of a report, and return their files.

    Raises:
        ValueError: it has too little for them: they need three calls with speech, and phrases.
    """
    files = []
    # Where somebody keeps this repository is nobody's business.
    html = report.read_text().replace(str(RECORDINGS), _SHOWN_FOLDER)
    for picture in PICTURES:
        page = browser.new_page(viewport={"width": picture.width, "height": 800}, color_scheme=picture.scheme)
        page.set_content(html)
        if page.locator(picture.end).count() == 0:
            raise ValueError(f"{report} has too little for {picture.name}: there is no {picture.end} in it.")
        page.evaluate(_UNFOLD_FIRST)
        files.append(folder / f"{picture.name}.png")
        page.screenshot(path=files[-1], clip=_clip(page, picture), full_page=True)
        page.close()
    return files


def _clip(page: Page, picture: Picture) -> FloatRect:
    begin = max(_top(page, picture.begin) - _MARGIN_PX, 0)
    return {"x": 0, "y": begin, "width": picture.width, "height": _top(page, picture.end) - begin}


def _top(page: Page, selector: str) -> float:
    top: float = page.locator(selector).first.evaluate("element => element.getBoundingClientRect().top + scrollY")
    return top


def main() -> int:
    """Take the pictures, and print their names and sizes."""
    parser = argparse.ArgumentParser(prog="python -m demo.pictures", description=__doc__)
    parser.add_argument("report", type=Path, help="the HTML file that the DAG transcribe_calls writes")
    parser.add_argument("folder", type=Path, help="where to put the pictures")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        with open_browser() as browser:
            for file in take(browser, arguments.report, arguments.folder):
                print(f"{file}  {file.stat().st_size / 1000:.0f} kB")
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
