"""Where personal data stands in a text: one finder for each policy of ``redact_pii`` that patterns can serve.

Numbers are found wherever they are, or only after words that announce them (``my account number is``): the same eight
digits may be an account or a membership. Those words, the names of months and the like are English.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Passage:
    """What was said on one channel.

    Attributes:
        text: with digits for number words.
        before: what was said last, on any channel, before a position of the text; in lower case.
        region: where numbers without a country code are called from, like ``US``.
    """

    text: str
    before: Callable[[int], str]
    region: str


Finder = Callable[[Passage], Iterable[Span]]

# Between the digits of one number. A full stop only if a digit follows at once: else it ends a sentence.
_GAP = r"(?:\) ?| ?[-–/] ?|\.(?=\d)|, ?| )"
_DIGITS = re.compile(rf"(?<![\w.$€£¥])\(?\d(?:{_GAP}?\d)*(?![\w%])")
_LETTERS = r"[A-Z]{1,3}[ -]"
# "I 4729" and "A 4729" are no codes, "A B 4729" is one.
_FIRST_LETTERS = rf"(?!A (?![A-Z]\b)|(?:I|ID|OK|NO|AM|PM|US|UK|TV|PC)\b){_LETTERS}"
_PART = r"[A-Z]{0,4}\d[A-Z\d]*"
# Digits with letters among them, dictated or written: HZ-5235-001, A B 4 7 2 9.
_CODE = re.compile(
    rf"(?<![\w.$€£¥@])\(?(?:{_FIRST_LETTERS}(?:{_LETTERS}){{0,8}})?{_PART}"
    rf"(?:{_GAP}(?:{_LETTERS}){{0,9}}{_PART})*(?:-[A-Z]{{1,3}})?(?![\w%])"
)

_NUMBER = r"(?<![\d,.])\d[\d,]{0,20}(?:\.\d{1,9})?"
_MOST_MONTHS = (
    r"jan(?:uary)?|feb(?:ruary)?|apr(?:il)?|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?"
)
_MONTH = rf"(?:{_MOST_MONTHS}|mar(?:ch)?|may)\b\.?"
_CAPITAL_MONTH = rf"(?:{_MOST_MONTHS}|(?-i:Mar(?:ch)?|May))\b\.?"  # "You may 2 times" is no date.
_DAY = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?\b"
_YEAR = r"(?:(?:19|20) ?\d\d)\b"
_DATE = re.compile(
    rf"\b{_CAPITAL_MONTH},? (?:the )?{_DAY}(?:(?:,| of)? {_YEAR})?"
    rf"|\b{_DAY}(?: of)? {_MONTH}(?:(?:,| of)? {_YEAR})?"
    r"|(?<![\d.])(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}([/.-])\d{1,2}\1(?:\d{4}|\d{2}))(?![\d./-])",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?: ?[ap]\.?m\b\.?)?"
    r"|\b(?:1[0-2]|0?\d)(?: [0-5]\d)? ?[ap]\.?m\b\.?"
    r"|\b(?:(?:half|quarter|\d{1,2}(?: minutes?)?) (?:past|to) )?(?:1[0-2]|\d) ?o['’]? ?clock\b"
    r"|\b(?:half|quarter) (?:past|to) (?:1[0-2]|\d)\b"
    r"|(?<=\bat )(?:1[0-2]|\d)(?= (?:in the (?:morning|afternoon|evening)|at night|tonight)\b)",
    re.IGNORECASE,
)
_MONEY = re.compile(
    rf"(?:[A-Z]{{0,2}}[$€£¥] ?{_NUMBER}(?: (?:hundred|thousand|million|billion))?"
    rf"|\b{_NUMBER}(?: (?:hundred|thousand|million|billion))? ?"
    r"(?:[€£¥]|(?:dollars?|cents?|bucks|euros?|pounds?|pence|pesos?|yen|rupees?|francs?|usd|eur|gbp)\b)"
    r"(?: and \d{1,2} (?:cents?|pence)\b)?)",
    re.IGNORECASE,
)
_PERCENT = re.compile(rf"{_NUMBER} ?(?:%|per ?cent\b)", re.IGNORECASE)
_DURATION = re.compile(
    rf"(?:{_NUMBER}|\bhalf an?)(?: and a half| more)?[ -]"
    r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|decades?)\b(?: and a half\b)?(?![ -]old\b)",
    re.IGNORECASE,
)
_AGE = re.compile(
    r"\b\d{1,3}[ -](?:years?|months?|weeks?)[ -]old\b|(?<=\baged )\d{1,3}\b|(?<=\bage of )\d{1,3}\b", re.IGNORECASE
)
_TOP_LEVEL = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|me|tv|eu|us|uk|ca|au|nz|ie|de|at|ch|fr|es|pt|it|nl|be|se"
    r"|no|dk|fi|pl|cz|in|jp|cn|kr|br|mx|za)\b"
)
_NAME = r"[A-Za-z0-9][\w+-]{0,63}"
_DOT = r"(?:\.| dot )"
_JOIN = r"(?:\.| (?:dot|underscore|dash|hyphen|minus|plus) )"
_EMAIL = re.compile(
    rf"(?<![\w.])[\w.+-]{{1,64}}@[\w-]+(?:\.[\w-]+)+"
    rf"|(?<![\w.])(?:[A-Za-z0-9] ){{0,30}}{_NAME}(?:{_JOIN}{_NAME}){{0,6}}(?:@| at )"
    rf"(?:[A-Za-z0-9] ){{0,30}}{_NAME}(?:(?:\.| dot | dash | hyphen ){_NAME}){{0,6}}?(?:{_DOT}{_TOP_LEVEL})+",
    re.IGNORECASE,
)
# "Look at example.com" is no address.
_NO_MAILBOX = re.compile(
    r"(?:.* )?(?:look|looking|us|me|you|it|them|that|is|are|was|be|visit|found|find|online|site|website|shop|store|page"
    r"|available|order|ordered|book|booked|here|there|up|out|one) ?$",
    re.IGNORECASE,
)
_URL = re.compile(
    r"https?://[^\s,;]+"
    rf"|(?<![\w@.])(?:(?:www|w w w){_DOT})?(?:{_NAME}{_DOT}){{1,6}}{_TOP_LEVEL}(?:/[^\s,;]*| slash {_NAME}){{0,6}}",
    re.IGNORECASE,
)
_OCTET = r"(?:\d ?){0,2}\d"
_IPV4 = re.compile(rf"(?<![\w.]){_OCTET}(?:(?: ?\. ?| dot | point ){_OCTET}){{3}}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])(?=[0-9a-f]{0,4}:)[0-9a-f:]{3,39}(?![\w:])", re.IGNORECASE)
_SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}(?![\d-])")
_LOCAL_PHONE = re.compile(r"(?<![\w.-])\d{3}[-–.]\d{4}(?![\w-])")
_EXPIRATION = re.compile(
    rf"\b(?:(?:1 ?[0-2]|0? ?[1-9])(?: ?[/-] ?| of |, ?| )(?:2 ?0 ?)?\d ?\d|{_MONTH},? (?:of )?(?:2 ?0 ?)?\d ?\d)\b",
    re.IGNORECASE,
)

_SAYS_BIRTH = re.compile(r"\b(?:birth(?:day|date)?|born|d\.?o\.?b)\b")
_SAYS_CARD = re.compile(r"\b(?:card|visa|mastercard|amex|american express)\b")
_SAYS_CVV = re.compile(r"\b(?:cv[vc]2?|c v [vc]|(?:security|verification) (?:code|number|value)|on the back)\b")
_SAYS_EXPIRY = re.compile(r"\b(?:expir\w*|valid (?:until|through|thru)|good (?:until|through|thru))\b")
_SAYS_PHONE = re.compile(r"\b(?:(?:tele)?phone|cell|mobile|fax|call|calling|dial|reach|text|ring|contact)\b")
_SAYS_SOCIAL = re.compile(r"\b(?:social|ssn|s s n)\b")
_SAYS_AGE = re.compile(r"\bhow old\b|\b(?:your|his|her|their|my) age\b")
_SAYS_YEAR = re.compile(r"\b(?:in|of|since|from|until|by|year|before|after|late|early|mid|for|to)\W*$")
_ID = r" (?:id|i d|number|no|code)\b"
_ANNOUNCED: Mapping[str, re.Pattern[str]] = {
    policy: re.compile(words)
    for policy, words in {
        "account_number": rf"\b(?:account|policy|member(?:ship)?|customer|client|subscriber){_ID}",
        "banking_information": rf"\b(?:(?:bank|checking|savings) account|routing|transit){_ID}|\b(?:iban|sort code)\b",
        "drivers_license": rf"\b(?:driver'?s?’?s?|driving) licen[cs]e\b|\blicen[cs]e{_ID}",
        "healthcare_number": rf"\b(?:health ?(?:care|plan|insurance)?|medicare|medicaid|nhs|patient){_ID}",
        "passport_number": r"\bpassport\b",
    }.items()
}


def _found(pattern: re.Pattern[str]) -> Finder:
    """A finder for what a pattern finds."""
    return lambda passage: (match.span() for match in pattern.finditer(passage.text))


def _announced(says: re.Pattern[str], pattern: re.Pattern[str], digits: range) -> Finder:
    """A finder for what a pattern finds with so many digits, if the words before announce it."""

    def find(passage: Passage) -> Iterator[Span]:
        for match in pattern.finditer(passage.text):
            if _count(match[0]) in digits and says.search(passage.before(match.start())):
                yield match.span()

    return find


def _count(text: str) -> int:
    return sum(character.isdecimal() for character in text)


def _either(*finders: Finder) -> Finder:
    """All that any of the finders finds."""
    return lambda passage: (span for find in finders for span in find(passage))


def _emails(passage: Passage) -> Iterator[Span]:
    for match in _EMAIL.finditer(passage.text):
        mailbox, at, _ = match[0].partition("@")
        if not at:
            mailbox = re.split(r" at ", match[0], maxsplit=1, flags=re.IGNORECASE)[0]
        if at or not _NO_MAILBOX.fullmatch(mailbox):
            yield match.span()


def _addresses(passage: Passage) -> Iterator[Span]:
    for match in _IPV4.finditer(passage.text):
        octets = re.split(r"\.|dot|point", match[0].replace(" ", ""))
        if all(int(octet) < 256 for octet in octets):
            yield match.span()
    for match in _IPV6.finditer(passage.text):
        try:
            ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        yield match.span()


def _cards(passage: Passage) -> Iterator[Span]:
    """Numbers of 13 to 19 digits whose check digit is right; among other numbers, the longest that begins first."""
    for match in _DIGITS.finditer(passage.text):
        groups = [(part.start(), part.end()) for part in re.finditer(r"\d+", match[0])]
        first = 0
        while first < len(groups):
            last = _card(match[0], groups, first)
            if last is not None:
                yield match.start() + groups[first][0], match.start() + groups[last][1]
            first = first + 1 if last is None else last + 1


def _card(text: str, groups: list[Span], first: int) -> int | None:
    """The last group of digits of the longest card number that begins with a group."""
    digits, found = "", None
    for last in range(first, len(groups)):
        digits += text[slice(*groups[last])]
        if len(digits) > 19:
            break
        if len(digits) >= 13 and digits[0] in "23456" and _luhn(digits):
            found = last
    return found


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 if value > 9 else value for value in doubled)) % 10 == 0


def _phones(passage: Passage) -> Iterator[Span]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    for run in _DIGITS.finditer(passage.text):
        if _count(run[0]) < 7:
            continue
        start = run.start() - passage.text.startswith("+", max(run.start() - 1, 0))
        if _is_phone(passage.text[start : run.end()], passage.region):
            yield start, run.end()
            continue
        for match in PhoneNumberMatcher(passage.text[start : run.end()], passage.region, leniency=Leniency.VALID):
            yield start + match.start, start + match.end


def _is_phone(text: str, region: str) -> bool:
    """Whether all digits of a text are one telephone number, with any commas between them."""
    from phonenumbers import NumberParseException, is_valid_number, parse

    digits = "".join(character for character in text if character.isdecimal() or character == "+")
    try:
        return len(digits) < 20 and is_valid_number(parse(digits, region))
    except NumberParseException:
        return False


def _sequences(passage: Passage) -> Iterator[Span]:
    """Codes and numbers of four digits or more that are no date, time, amount, and no year."""
    others = [match.span() for pattern in _OTHER_NUMBERS for match in pattern.finditer(passage.text)]
    others.sort()
    for match in _CODE.finditer(passage.text):
        if _count(match[0]) < 4 or _is_year(passage, match):
            continue
        if not any(start < match.end() and match.start() < end for start, end in others):
            yield match.span()


_OTHER_NUMBERS = (_DATE, _TIME, _MONEY, _PERCENT, _DURATION)


def _is_year(passage: Passage, match: re.Match[str]) -> bool:
    year = re.fullmatch(r"(?:19|20) ?\d\d", match[0]) is not None
    return year and _SAYS_YEAR.search(passage.text[max(match.start() - 9, 0) : match.start()].lower()) is not None


_MANY = range(7, 16)

# In the order of precedence: what is a card number is not a telephone number as well, and what is anything is no
# mere sequence of digits.
FINDERS: Mapping[str, Finder] = {
    "email_address": _emails,
    "url": _found(_URL),
    "ip_address": _addresses,
    "us_social_security_number": _either(
        _found(_SSN),
        _announced(_SAYS_SOCIAL, _DIGITS, range(9, 10)),
        _announced(_SAYS_SOCIAL, _DIGITS, range(4, 5)),  # The last four of it.
    ),
    "credit_card_cvv": _announced(_SAYS_CVV, _DIGITS, range(3, 5)),
    "credit_card_expiration": _announced(_SAYS_EXPIRY, _EXPIRATION, range(2, 7)),
    # Recognisers drop digits: what is announced as a card number need not have the right check digit.
    "credit_card_number": _either(_cards, _announced(_SAYS_CARD, _DIGITS, range(12, 20))),
    "date_of_birth": _either(
        _announced(_SAYS_BIRTH, _DATE, range(1, 9)),
        _announced(_SAYS_BIRTH, re.compile(rf"\b{_YEAR}"), range(4, 5)),
    ),
    **{policy: _announced(says, _CODE, range(4, 25)) for policy, says in _ANNOUNCED.items()},
    "phone_number": _either(_phones, _found(_LOCAL_PHONE), _announced(_SAYS_PHONE, _DIGITS, _MANY)),
    "date": _found(_DATE),
    "time": _found(_TIME),
    "money_amount": _found(_MONEY),
    "person_age": _either(_found(_AGE), _announced(_SAYS_AGE, re.compile(r"\b\d{1,3}\b"), range(1, 4))),
    "duration": _found(_DURATION),
    "statistics": _found(_PERCENT),
    "number_sequence": _sequences,
}
