"""The report in a real browser: drawn, readable on a phone and in the dark, and quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from asr_examples.call_report import render_report

from demo.pictures import take
from tests.asr_examples.calls import HOSTILE, Tables, a_morning, hostile_calls, many_calls, no_calls
from tests.asr_examples.colours import SIGHTS, contrast, difference
from tests.browser import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]

Scheme = Literal["light", "dark"]
WIDTHS = (320, 400, 768, 1025, 1280, 1400)
TABLES: dict[str, Callable[[], Tables]] = {
    "a morning": a_morning,
    "hostile": hostile_calls,
    "many": lambda: many_calls(105, turns=2),
    "none": no_calls,
}
UNFOLD = "document.querySelectorAll('details').forEach(each => each.open = true)"
# What a chart draws, and whether it can be seen.
DRAWN = """() => [...document.querySelectorAll('svg')].map(svg => {
    const sizes = [...svg.querySelectorAll('rect, text')].map(each => each.getBoundingClientRect());
    const own = svg.getBoundingClientRect();
    return {
        shapes: sizes.length,
        flat: sizes.filter(each => !(each.width > 0 && each.height > 0)).length,
        outside: sizes.filter(each => each.left < own.left - 1 || each.right > own.right + 1).length,
        axis: svg.classList.contains('axis'),
    };
})"""
# The colours of every text and every shape that means something, and what is behind it.
COLOURS = """() => {
    const behind = element => {
        for (let each = element; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
        }
        return null;
    };
    const found = {texts: [], shapes: []};
    for (const element of document.querySelectorAll('body *')) {
        const style = getComputedStyle(element);
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (own && !['title', 'desc'].includes(element.tagName)) {
            const drawn = element instanceof SVGElement;
            found.texts.push([drawn ? style.fill : style.color, behind(element), element.textContent.trim()]);
        }
        if (element.tagName === 'rect' && !element.classList.contains('grid'))
            found.shapes.push([style.fill, behind(element), element.getAttribute('class')]);
    }
    return found;
}"""


class Opened:
    """A report in a browser, and all that the browser has to say about it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Open a report, with all its transcripts unfolded."""
    contexts = []

    def open_report(tables: Tables, *, width: int = 1280, scheme: Scheme = "light", unfold: bool = True) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        opened = Opened(context.new_page())
        file = tmp_path / "report.html"
        file.write_text(render_report(tables, title=HOSTILE))
        opened.page.goto(file.as_uri())
        if unfold:
            opened.page.evaluate(UNFOLD)
        return opened

    yield open_report
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", TABLES)
def test_it_is_quiet_and_asks_for_nothing(show: Callable[..., Opened], name: str) -> None:
    opened = show(TABLES[name]())
    assert opened.said == []
    assert opened.requests == [opened.page.url]
    assert opened.page.title() == HOSTILE


@pytest.mark.parametrize("name", ["a morning", "hostile", "many"])
@pytest.mark.parametrize("width", [400, 1280])
def test_every_chart_is_drawn_within_its_place(show: Callable[..., Opened], name: str, width: int) -> None:
    charts: list[dict[str, Any]] = show(TABLES[name](), width=width).page.evaluate(DRAWN)
    assert len(charts) > 10
    for chart in charts:
        assert chart["shapes"]
        if not chart["axis"]:  # It is for wide pages only, and the texts at its ends may stand out.
            assert chart["flat"] == chart["outside"] == 0, chart


def test_each_call_has_its_bar_and_who_speaks_a_timeline(show: Callable[..., Opened]) -> None:
    page = show(a_morning()).page
    bars = [page.locator("svg.talk").nth(n) for n in range(page.locator("svg.talk").count())]
    ends = []
    for bar in bars:
        boxes = [bar.locator("rect").nth(n).bounding_box() for n in range(bar.locator("rect").count())]
        ends.append(max(box["x"] + box["width"] for box in boxes if box) - min(box["x"] for box in boxes if box))
    hotel, parcel, silent = ends
    assert hotel / parcel == pytest.approx(15 / 20, abs=0.01)
    assert silent / parcel == pytest.approx(5 / 20, abs=0.01)
    assert page.get_by_role("img", name="Who speaks when in parcel.wav").locator("a").count() == 3
    assert page.get_by_role("img", name="Who speaks when").count() == 2


@pytest.mark.parametrize("name", TABLES)
def test_no_width_makes_a_reader_scroll_sideways(show: Callable[..., Opened], name: str) -> None:
    page = show(TABLES[name]()).page
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_shapes_can_be_told_from_their_background(show: Callable[..., Opened], scheme: Scheme) -> None:
    page = show(hostile_calls(), scheme=scheme).page
    paper, ink = page.evaluate("(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))")
    is_light = contrast(paper, "rgb(0, 0, 0)") > contrast(paper, "rgb(255, 255, 255)")
    assert is_light == (scheme == "light")
    assert contrast(paper, ink) > 12
    found = page.evaluate(COLOURS)
    assert len(found["texts"]) > 100
    assert [each for each in found["texts"] if contrast(*each[:2]) < 4.5] == []  # WCAG 2.2, 1.4.3
    assert {each[2] for each in found["shapes"]} >= {"s0", "s1", "s2", "s3", "s4", "good", "bad", "silence"}
    assert [each for each in found["shapes"] if contrast(*each[:2]) < 3] == []  # 1.4.11


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_speakers_can_be_told_apart(show: Callable[..., Opened], scheme: Scheme, sight: str) -> None:
    page = show(hostile_calls(), scheme=scheme, unfold=False).page
    fill = "name => getComputedStyle(document.querySelector('rect.' + name)).fill"
    colours = [page.evaluate(fill, f"s{number}") for number in range(5)]
    assert min(difference(*pair, SIGHTS[sight]) for pair in combinations(colours, 2)) > 15


def test_on_a_phone_tables_are_still_tables_to_a_screen_reader(show: Callable[..., Opened]) -> None:
    page = show(a_morning(), width=400).page
    for name in ("Length", "agent", "customer", "Silence", "Sentiment", "Confidence"):
        assert page.locator(".talk-times").get_by_role("columnheader", name=name).count() == 1
    row = page.locator(".talk-times").get_by_role("row").filter(has=page.get_by_role("rowheader", name="parcel.wav"))
    assert row.get_by_role("cell").count() == 7
    assert page.get_by_role("table").count() == 6


def test_a_passage_leads_to_its_turn_in_the_transcript(show: Callable[..., Opened]) -> None:
    page = show(a_morning(), unfold=False).page
    turn = page.locator(".transcript").get_by_role("row").filter(has_text="You missed me.")
    assert not turn.is_visible()
    page.locator(".passages").get_by_role("link", name="0:06").click()
    turn.wait_for(state="visible")
    assert "You missed me." in page.locator(":target").inner_text()


def test_it_is_printed_in_dark_ink_on_white_paper(show: Callable[..., Opened]) -> None:
    page = show(a_morning(), scheme="dark").page
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()


def test_the_pictures_for_the_readme_can_be_taken(browser: Browser, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(render_report(a_morning(), title="Calls"))
    files = take(browser, report, tmp_path)
    # The width is in the first chunk of a PNG.
    assert [int.from_bytes(file.read_bytes()[16:20]) for file in files] == [1280, 1280, 400]
    report.write_text(render_report(no_calls(), title="Calls"))
    with pytest.raises(ValueError, match="too little for report-light"):
        take(browser, report, tmp_path)
