from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.sentences import ends_sentence


def sentences(text: str) -> list[str]:
    words = text.split()
    found = [""]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        found[-1] = f"{found[-1]} {word}".strip()
        if ends_sentence(word, following):
            found.append("")
    return [sentence for sentence in found if sentence]


@pytest.mark.parametrize(
    "text",
    [
        "Ask Mr. Smith today. | He knows.",
        "(Mr. Hill knows.) | Good.",
        "I saw Gen. Lee and Capt. Cook. | They left.",
        "We met J. R. Ewing. | Really?",
        "It is you and I. | We agreed.",
        "The U.S. Army came. | She has a Ph.D. from there.",
        "Fruit, e.g. Apples, helps. | Yes.",
        "Acme Inc. is big, etc. and so on. | Fine.",
        "It costs 3.50 today. | Right.",
        "See you at 6. | Thank you.",
        "See you at 5 p.m. | Thank you.",
        "No. | I do not think so.",
        "No. 5 is ready. | See Fig. 2 there.",
        "Well... maybe not. | No!",
        "Wait... | What?! | Nothing…",
        'He said "No." | Then he left.',
        '"Really?" he said. | Yes.',
        "And so? (he asked again.) | Yes.",
        "Das ist z.B. Herr Dr. Meier. | Gut.",
        "„Ja.“ | Dann ging er.",
        "M. Dupont et Mme. Martin sont là. | Bien.",
        "El Sr. Lopez y la Sra. Gil llegan. | ¿Qué tal? | ¡Bien!",
        "Il Sig. Rossi e il Dott. Verdi. | Bene.",
        "É. | Eu sei.",
        "А. С. Пушкин жил на ул. Ленина. | Да.",
        "Τι είναι; | Ναι.",
        "네. | 그래요.",
        "आप कैसे हैं। | ठीक हूँ।",
        "هل أنت بخير؟ | نعم.",
        "ٹھیک ہے۔ | شکریہ۔",
        "今天很好。 | “谢谢！” | 好吗？",
        "「はい。」 | そうです。",
        "ဟုတ်တယ်။ | ကောင်းတယ်။",
        "បាទ។ | អរគុណ។",
        "ነው። | እና።",
        "Այո։ | Լավ։",
    ],
)
def test_sentences_end_where_people_end_them(text: str) -> None:
    assert sentences(text.replace("|", "")) == text.split(" | ")


def test_a_word_without_a_mark_ends_none() -> None:
    for text in ("", "word", '"', "3.50", "U.S", "well,", "ok;", "10:30"):
        assert not ends_sentence(text, "Then")


@given(st.text(max_size=8), st.text(max_size=8))
def test_any_word_can_be_asked(text: str, following: str) -> None:
    assert ends_sentence(text, following) in (True, False)
    if following[:1].islower():
        assert not ends_sentence(text, following)
