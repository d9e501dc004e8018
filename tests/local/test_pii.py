"""Which personal data is found in transcripts, and what stands in its place."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.local import pii
from airflow_asr.local.words import Word, in_time_order
from tests.local.spoken_words import spoken, text_of


def redacted(text: str, *policies: str, substitution: str = "entity_name", language: str | None = None) -> str:
    words = spoken(text)
    return text_of(pii.redacted(words, pii.find(words, policies, language), substitution))


# The policy, and sentences in which what it shall find stands between braces.
FOUND = [
    ("phone_number", "My number is {212-555-0134}, thanks."),
    ("phone_number", "Or {(415) 555-2671} please, or {+44 20 7946 0958}."),
    ("phone_number", "It is {two one two, five five five, oh one three four}. Bye."),
    ("phone_number", "Call me at {555 0134}, not at 9."),
    ("phone_number", "It's {555-0134}."),
    ("phone_number", "call {double five five oh one three four} now"),
    ("phone_number", "My number, that is 4.729."),
    ("email_address", "Write to {john.smith@example.com}, please."),
    ("email_address", "It is {john dot smith at example dot com}. OK?"),
    ("email_address", "It is {j o h n at gmail dot com} for short"),
    ("email_address", "Write to {hannah at northgate.com}."),
    ("email_address", "Look at example.com for it at 9."),
    ("url", "See {https://example.com/a?b=1}, or {www.example.org}, or {example dot com}."),
    ("url", "Write to john@example.com. No. It. Is."),
    ("ip_address", "Ping {192.168.0.1}, {one nine two dot one six eight dot zero dot one}, or {fe80::1}."),
    ("ip_address", "Version 1.2.3, 10:30:15, 300.1.1.1, and 1.2.3.4.5 later."),
    ("credit_card_number", "My card is {4111 1111 1111 1111}, you know."),
    ("credit_card_number", "{four one one one, one one one one, one one one one, one one one one}. Next."),
    ("credit_card_number", "The order is 4111 1111 1111 1112, from Monday."),
    ("credit_card_number", "My card number is {4111 1111 1111 1112}, I think."),
    ("credit_card_cvv", "And the CVV is {123}, in room 314."),
    ("credit_card_cvv", "The three digits on the back are {one two three}."),
    ("credit_card_expiration", "It expires {12/26}, on 9/26 I think."),
    ("credit_card_expiration", "It is valid until {zero eight twenty seven}."),
    ("us_social_security_number", "It's {123-45-6789}, not 000-45-6789."),
    ("us_social_security_number", "My social is {one two three, four five, six seven eight nine}."),
    ("us_social_security_number", "The last four of my social are {6789}."),
    ("date", "On {December 18}, {12/18/2024}, {2024-12-18}, the {9th of May, 1982}."),
    ("date", "the {ninth of may nineteen eighty two}"),
    ("date", "You may 2 times march 3 miles, in 24/7 shifts, at 1.2.3.4 speed, on Monday."),
    (
        "date_of_birth",
        "My birthday is {May 9}, in spring. Will all of the new tables come on or before December 18?",
    ),
    ("date_of_birth", "She was born in {1982} and came on May 9, 2001."),
    ("time", "At {half past two}, {10:30 pm}, {5 o'clock}, at {7} in the morning; room 12."),
    ("money_amount", "That's {$94.50}, {15 pesos}, or {ninety four dollars and fifty cents}, for 3 of them."),
    ("statistics", "It was {18%} or {18 percent} of 18."),
    ("duration", "In about {20 minutes}, or {half an hour}, or more."),
    ("duration", "He is 27 years old, a second ago."),
    ("person_age", "He is {27 years old}, and they aged {75} in 3 years."),
    ("account_number", "Your account number is {HZ-5235-001}. My passport is PA4568332."),
    ("account_number", "I am a member since 48152."),
    ("banking_information", "The routing number is {021000021}."),
    ("passport_number", "My passport is {PA4568332}."),
    ("drivers_license", "My driver's license is {D 4 5 6 9 3 3}."),
    ("healthcare_number", "My medicare number is {5584-486-674-YM}."),
    ("number_sequence", "The card says {four seven two nine}, or {4.729}, in room 314."),
    ("number_sequence", "Order {A B 4 7 2 9} and {CL44812}, ready; I 47."),
    ("number_sequence", "In 2019, on 12/18/2024 at 10:30:15, $12500.50 were 1500 dollars."),
]


@pytest.mark.parametrize(("policy", "marked"), FOUND)
def test_policies(policy: str, marked: str) -> None:
    said = marked.replace("{", "").replace("}", "")
    words = spoken(said)
    found = pii.find(words, [policy])
    inside = False
    expected = []
    for part in marked.split():
        inside = inside or "{" in part
        expected.append(policy if inside else None)
        inside = inside and "}" not in part
    assert list(zip(said.split(), found, strict=True)) == list(zip(said.split(), expected, strict=True))


def test_every_policy_that_is_served_is_tested() -> None:
    assert {policy for policy, marked in FOUND if "{" in marked} == set(pii.SERVED)


def test_substitutions() -> None:
    said = "Call 212 555-0134, now (or 555-0135)!"
    assert redacted(said, "phone_number", substitution="hash") == "Call ### ########, now (or ########)!"
    assert redacted(said, "phone_number") == "Call [PHONE_NUMBER] [PHONE_NUMBER], now (or [PHONE_NUMBER])!"


def test_what_is_several_things_has_the_most_telling_name() -> None:
    every = pii.SERVED
    assert redacted("My card is 4111 1111 1111 1111.", *every) == "My card is" + " [CREDIT_CARD_NUMBER]" * 4 + "."
    assert redacted("Born on May 9.", *every) == "Born on [DATE_OF_BIRTH] [DATE_OF_BIRTH]."
    assert redacted("Write to a@b.com.", *every) == "Write to [EMAIL_ADDRESS]."


def test_numbers_are_dialled_as_where_the_language_is_spoken() -> None:
    said = "It's 020 7946 0958, OK?"
    assert redacted(said, "phone_number") == said
    assert redacted(said, "phone_number", language="en_uk") == "It's" + " [PHONE_NUMBER]" * 3 + ", OK?"


def test_a_question_on_one_channel_says_what_the_answer_on_the_other_is() -> None:
    agent = spoken("What is your date of birth, please?", "1")
    customer = spoken("The ninth of May, nineteen eighty two.", "2", start_ms=4000)
    later = spoken("Fine, then it was delivered on May 9.", "1", start_ms=9000)
    words = in_time_order([agent, customer, later])
    found = Counter(pii.find(words, ["date", "date_of_birth"]))
    assert found == {None: 7 + 1 + 6, "date_of_birth": 6, "date": 2}


def test_numbers_do_not_run_over_from_one_channel_to_the_other() -> None:
    words = in_time_order([spoken("4111 uh 1111", "1"), spoken("1111 right 1111", "2", start_ms=100)])
    assert set(pii.find(words, ["credit_card_number"])) == {None}


def test_terms() -> None:
    entities = {"TOOL": ["Bearclaw", "Cub-Claw two"], "staff": ["Laura"]}
    words = spoken("We use BEARCLAW, bear claw and cub claw 2 or cubclaw two; Laura's. bear market")
    assert pii.find_terms(words, entities) == (
        [None] * 2 + ["TOOL"] * 3 + [None] * 5 + ["TOOL"] * 2 + ["staff"] + [None] * 2
    )
    assert pii.redacted(spoken("Laura."), pii.find_terms(spoken("Laura."), entities), "hash")[0]["text"] == "#####."


def test_spans_join_words_that_follow_each_other() -> None:
    words = in_time_order([spoken("a b c d", "1"), spoken("x y", "2", start_ms=600)])
    # In time: a, b, x, c, y, d.
    assert pii.spans(words, ["p", "p", None, "q", "p", None]) == [(0, 1400), (1100, 1500)]
    assert pii.spans(words, [None] * 6) == []


PIECES = st.lists(
    st.sampled_from(
        [
            "My",
            "number",
            "is",
            "212",
            "555-0134,",
            "five",
            "oh",
            "double",
            "one.",
            "at",
            "dot",
            "com",
            "john@x.org",
            "May",
            "9,",
            "$5",
            "(",
            "4111",
            "A",
            "B",
        ]
    )
    | st.text(st.characters(blacklist_categories=("Z", "C")), min_size=1, max_size=8)
    | st.integers(0, 10**17).map(str),
    max_size=25,
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Word]:
    channels = draw(st.lists(PIECES, min_size=1, max_size=2))
    return in_time_order(spoken(" ".join(texts), str(number), number * 130) for number, texts in enumerate(channels, 1))


@given(conversations(), st.sets(st.sampled_from(pii.SERVED)), st.sampled_from(["hash", "entity_name"]))
def test_words_stay_words(words: list[Word], policies: set[str], substitution: str) -> None:
    found = pii.find(words, policies)
    after = pii.redacted(words, found, substitution)
    assert [{**word, "text": ""} for word in after] == [{**word, "text": ""} for word in words]
    assert all(not policy or policy in policies for policy in found)
    for word, new, policy in zip(words, after, found, strict=True):
        assert new["text"].split() == [new["text"]]
        if policy is None:
            assert new == word
        elif substitution == "hash":
            assert len(new["text"]) == len(word["text"])
            assert not any(character.isalnum() for character in new["text"])
        elif any(character.isalnum() for character in word["text"]):
            assert f"[{policy.upper()}]" in new["text"]


@given(conversations())
def test_spans_cover_what_is_redacted_and_nothing_else(words: list[Word]) -> None:
    found = pii.find(words, pii.SERVED)
    spans = pii.spans(words, found)
    assert spans == sorted(spans)
    for word, policy in zip(words, found, strict=True):
        inside = any(start <= word["start"] and word["end"] <= end for start, end in spans)
        assert inside if policy else True
    assert bool(spans) == any(found)


@pytest.mark.parametrize(
    "text", ["1 " * 8000, "a " * 8000, "1 at " * 4000, "a dot " * 4000, "A B " * 4000, "1," * 8000]
)
def test_hostile_texts_take_no_longer_than_others(text: str) -> None:
    words = spoken(text)
    assert len(pii.find(words, pii.SERVED)) == len(words)
