"""The report as HTML, without a browser: what it says, and that nobody can say anything else through it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from asr_examples.call_charts import OTHERS, legend, talk_bar, talk_times, ticks, timeline
from asr_examples.call_report import CALLS_SHOWN, FAILURES_SHOWN, TURNS_SHOWN, render_report
from asr_examples.call_tables import COLUMNS
from hypothesis import given
from hypothesis import strategies as st

from tests.asr_examples.calls import HOSTILE, LONG, a_morning, call, failed, hostile_calls, many_calls, no_calls

VOID = {"br", "col", "hr", "img", "input", "link", "meta"}
CELLS = ("th", "td")


class Page(HTMLParser):
    """A page as a reader of it: the text of its sections, the cells of its tables, its ids and links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.titles: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._table = ""
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.text += " "
        if tag not in VOID:
            self._open.append(tag)
        assert not [name for name in values if name.startswith("on")]
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag == "table":
            self._table = values.get("class") or ""
            self.rows.setdefault(self._table, [])
        elif tag == "tr":
            self.rows[self._table].append([])
        elif tag in CELLS:
            self.rows[self._table][-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")
        elif tag == "title":
            self.titles.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in CELLS:
            row = self.rows[self._table][-1]
            row[-1] = " ".join(row[-1].split())

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "title" in self._open:
            self.titles[-1] += data
        elif any(cell in self._open for cell in CELLS):
            self.rows[self._table][-1][-1] += f"{data} " if "svg" in self._open else data
        elif self._open and self._open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data


def page_of(tables: dict[str, list[dict[str, object]]], title: str = "Calls") -> Page:
    return Page(render_report(tables, title=title))


def test_what_a_team_lead_reads_first() -> None:
    page = page_of(a_morning(), "Calls of Monday")
    assert page.headings[:3] == ["Calls of Monday", "Failures", "Talk time"]
    figures = " ".join(page.text.split("Failures")[0].split())
    assert "Calls 4 1 call without speech Failed 1 25% of all calls Audio 40 s 62% talk, 38% silence" in figures
    # 9 words at 95%, 6 at 90%.
    assert "Mean confidence 93.0% lowest 90.0%, hotel.wav" in figures
    assert page.rows["failures"] == [
        ["Call", "Reason"],
        ["broken.wav", "Transcoding failed. It was not charged."],
    ]


def test_the_table_beside_the_talk_time_chart_has_its_numbers() -> None:
    assert page_of(a_morning()).rows["talk-times"] == [
        ["Call", "Chart0:00 0:05 0:10 0:15", "Length", "agent", "customer", "Silence", "Sentiment", "Confidence"],
        ["hotel.wav", "", "0:15", "0:05", "0:05", "0:05", "+0.10", "90%"],
        ["parcel.wav", "", "0:20", "0:10", "0:05", "0:05", "+0.10", "95%"],
        ["silent.wav", "", "0:05", "–", "–", "0:05", "–", "–"],
    ]


def test_charts_say_what_they_show_to_who_cannot_see_them() -> None:
    titles = page_of(a_morning()).titles
    assert "parcel.wav: agent: 50% of the call, customer: 25% of the call, silence: 25% of the call" in titles
    assert "Who speaks when in parcel.wav" in titles
    assert "0:05 customer, sentiment −0.60: You missed me. That is bad." in titles
    assert "agent: 2 turns. customer: 1 turn." in page_of(a_morning()).text


def test_phrases_are_counted_over_all_calls() -> None:
    assert page_of(a_morning()).rows["phrases"] == [
        ["Phrase", "Mentions", "Calls"],
        ["room", "3", "2 calls"],
        ["parcel", "2", "parcel.wav"],
    ]


def test_the_most_doubtful_passage_comes_first_with_file_and_time_and_leads_to_its_turn() -> None:
    page = page_of(a_morning())
    assert page.rows["passages"] == [
        ["Confidence", "Passage"],
        ["22%", "Front desk. 0:00 agent, hotel.wav"],
        ["41%", "You missed me. 0:06 customer, parcel.wav"],
    ]
    assert {"#c1t1", "#c2t2"} <= set(page.links)


def test_each_transcript_can_be_unfolded() -> None:
    page = page_of(a_morning())
    assert page.tags.count("details") == 2
    assert ["0:05", "customer", "You missed me. That is bad.", "−0.60"] in page.rows["transcript"]
    assert ["0:00", "agent", "Front desk.", "–"] in page.rows["transcript"]
    assert "Nobody speaks in this call." in page.text
    html = render_report(a_morning(), title="Calls")
    assert 'lang="en-us">Good morning' in html
    assert 'lang="de">Front desk' in html


def test_all_links_stay_on_the_page_and_lead_somewhere() -> None:
    for tables in (a_morning(), hostile_calls(), many_calls(120)):
        page = page_of(tables)
        assert len(page.ids) == len(set(page.ids))
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
        assert {link for link in page.links if not link.startswith("#")} == {"data:,"}


def test_it_needs_no_other_file_and_runs_no_script() -> None:
    html = render_report(a_morning(), title="Calls")
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|https?:", html)
    assert "script" not in Page(html).tags


def test_no_calls() -> None:
    page = page_of(no_calls())
    assert "There are no calls to report." in page.text
    assert "svg" not in page.tags
    assert page.headings == ["Calls"]


def test_one_call_without_failures() -> None:
    tables = no_calls()
    call(tables, "only", (("agent", "Hello.", 0.5),))
    page = page_of(tables)
    assert page.headings == ["Calls", "Talk time", "Calls", "only.wav"]
    assert "Failed 0" in " ".join(page.text.split())


def test_only_failures() -> None:
    tables = no_calls()
    failed(tables, "a", None)
    page = page_of(tables)
    assert page.headings == ["Calls", "Failures"]
    assert page.rows["failures"][1] == ["a.wav", "No reason was kept."]


def test_of_many_calls_the_worst_are_shown_and_it_says_so() -> None:
    page = page_of(many_calls(500))
    assert f"{CALLS_SHOWN} of 500 calls are shown: those with the lowest sentiment" in page.text
    shown = [row[0] for row in page.rows["talk-times"][1:]]
    assert shown == [f"call-{n:03}.wav" for n in range(CALLS_SHOWN)]
    assert page.rows["phrases"][1] == ["hello", "500", "500 calls"]
    assert "Audio 3 h 28 min" in " ".join(page.text.split())


def test_of_a_long_call_the_beginning_is_shown_and_it_says_so() -> None:
    page = page_of(many_calls(1, TURNS_SHOWN + 5))
    assert len(page.rows["transcript"]) == 1 + TURNS_SHOWN
    assert f"The first {TURNS_SHOWN:,} turns of {TURNS_SHOWN + 5:,}" in page.text


def test_many_failures_do_not_hide_the_rest() -> None:
    tables = many_calls(1)
    for n in range(FAILURES_SHOWN + 1):
        failed(tables, f"bad-{n}", "No.")
    page = page_of(tables)
    assert "1 more failure" in page.text
    assert len([row for row in page.rows["failures"] if row[1] == "No."]) == FAILURES_SHOWN + 1


def test_hostile_text_stays_text() -> None:
    html = render_report(hostile_calls(), title=HOSTILE)
    page = Page(html)
    assert not {"script", "img"} & set(page.tags)
    assert page.headings[0] == HOSTILE
    assert [row[2] for row in page.rows["transcript"][1:3]] == [HOSTILE, LONG]
    assert "lang=" not in html.split("<head>")[1]
    html.encode()


@pytest.mark.parametrize("tables", [a_morning(), hostile_calls()], ids=["a morning", "hostile"])
@pytest.mark.parametrize("column", COLUMNS["calls"][6:])
def test_any_figure_of_a_call_may_be_missing(tables: dict[str, list[dict[str, object]]], column: str) -> None:
    missing = {**tables, "calls": [{**row, column: None} for row in tables["calls"]]}
    assert page_of(missing).headings


@given(st.dictionaries(st.sampled_from("abcdefg"), st.floats(0.1, 4000), min_size=1), st.floats(0, 4000), st.data())
def test_a_bar_is_as_long_as_its_call(talk: dict[str, float], silence_s: float, data: st.DataObject) -> None:
    speakers = [{"speaker": name, "talk_s": seconds} for name, seconds in talk.items()]
    series = legend(speakers)
    heard_s = sum(talk.values())
    talk_s = data.draw(st.floats(max(talk.values()), heard_s))  # Less than what was heard, where they overlap.
    row = {"duration_s": talk_s + silence_s, "talk_s": talk_s}
    parts = talk_bar(row, talk_times(speakers, series), series, talk_s + silence_s)
    last = parts[-1]
    assert last.x + last.width == pytest.approx(100, abs=0.35)
    assert all(before.x <= after.x for before, after in pairwise(parts))
    assert all(part.width > 0 for part in parts)


def test_a_speaker_has_the_same_colour_whoever_talks_more() -> None:
    monday = legend([{"speaker": "agent", "talk_s": 9.0}, {"speaker": "customer", "talk_s": 1.0}])
    tuesday = legend([{"speaker": "agent", "talk_s": 1.0}, {"speaker": "customer", "talk_s": 9.0}])
    assert monday == tuesday
    crowd = legend([{"speaker": f"speaker {n}", "talk_s": float(n)} for n in range(9)])
    assert [each.name for each in crowd] == ["speaker 5", "speaker 6", "speaker 7", "speaker 8", OTHERS]


@given(st.floats(1, 10**9))
def test_an_axis_has_a_few_round_times_within_the_drawing(length_ms: float) -> None:
    marks = ticks(length_ms)
    assert 1 <= len(marks) <= 6
    assert marks[0].x == 0
    assert all(0 <= mark.x <= 95 and mark.ms % 1000 == 0 for mark in marks)


def test_a_turn_that_ends_after_its_call_is_within_the_drawing() -> None:
    turns = [
        {"speaker": "a", "start_ms": 0, "end_ms": 1000, "sentiment": -1.0},
        {"speaker": "b", "start_ms": 1000, "end_ms": 3000, "sentiment": 1.0},
    ]
    drawing = timeline(2.0, turns, legend([]))
    assert drawing is not None
    assert [(round(block.x), round(block.width)) for block in drawing.blocks] == [(0, 33), (33, 67)]
    below, above = (block.mood_y for block in drawing.blocks)
    assert above is not None
    assert below is not None
    assert below == drawing.mood_middle
    assert drawing.mood_top <= above < below <= drawing.axis_y
