"""Redaction against a simple one that takes its time, and what must hold for whatever is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callflow.journal.redaction import CARD, REMOVED, Redactor


# --- Slow and simple


RUN = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ .,/\-]{0,2}[0-9]){12,}(?![0-9A-Za-z])")
FORMS = (
    "4[0-9]{18}",
    "(?:[46][0-9]|5[0-8]|2[2-7]|35|81)[0-9]{14}",
    "3[47][0-9]{13}",
    "3[0689][0-9]{12}",
    "4[0-9]{12}",
)


def is_card(digits: str) -> bool:
    doubled = [int(each) * 2 for each in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(each - 9 * (each > 9) for each in doubled)) % 10 == 0


def slowly(text: str) -> str:
    return RUN.sub(lambda run: slowly_of(run[0]), text)


def slowly_of(text: str) -> str:
    """Each card that could be in a run of digits, the likeliest first, unless it would share digits with another."""
    places = [index for index, each in enumerate(text) if each.isdigit()]
    digits = "".join(text[index] for index in places)

    def is_inside(index: int) -> bool:
        return 0 <= index < len(places) - 1 and places[index + 1] == places[index] + 1

    found = [match.span(1) for form in FORMS for match in re.finditer(f"(?=({form}))", digits)]
    found = [span for span in found if is_card(digits[slice(*span)])]
    found.sort(key=lambda span: (is_inside(span[0] - 1), is_inside(span[1] - 1)))
    taken: list[tuple[int, int]] = []
    for start, end in found:
        if all(end <= other[0] or start >= other[1] for other in taken):
            taken.append((start, end))
    for start, end in sorted(taken, reverse=True):
        text = text[: places[start]] + CARD + text[places[end - 1] + 1 :]
    return text


# --- What is said


def check_digit(digits: str) -> str:
    return next(each for each in "0123456789" if is_card(digits + each))


ISSUED = [(16, "4"), (16, "51"), (16, "6011"), (16, "2720"), (16, "35"), (15, "37"), (14, "30"), (13, "4"), (19, "4")]
BETWEEN = st.sampled_from(["", "", "", " ", " ", "-", ", ", ". ", "/", "--"])


@st.composite
def cards(draw: st.DrawFn, alphabet: str = "0123456789") -> str:
    """A number that could be one, as an issuer would make it."""
    length, begin = draw(st.sampled_from(ISSUED))
    size = length - len(begin) - 1
    body = begin + draw(st.text(alphabet, min_size=size, max_size=size))
    return body + check_digit(body)


@st.composite
def said(draw: st.DrawFn, digits: str) -> str:
    """As somebody would write it down: with nothing, one or two characters between any two digits."""
    groups = draw(st.sampled_from([1, 2, 4, 5, 99]))
    between = draw(BETWEEN)
    regular = between.join(digits[start : start + groups] for start in range(0, len(digits), groups))
    return draw(st.one_of(st.just(regular), st.just("".join(each + draw(BETWEEN) for each in digits).rstrip(" .,/-"))))


PIECES = st.one_of(
    cards().flatmap(said),
    cards(),
    st.text("0123456789", max_size=12),
    st.text("0123456789 .,/-", max_size=30),
    st.sampled_from([" ", "  ", "   ", "-", ", ", "\n", "a", "Z", "é", "٣", "_", ":", "[", "\ud800", "x1", " and "]),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


def digits_of(text: str) -> str:
    return re.sub("[^0-9]", "", text)


@given(TEXTS)
@example("4111 1111 1111 1111a 4111111111111111 12")
def test_the_same_is_taken_out_as_by_the_slow_one(text: str) -> None:
    text = text.replace("٣", "3")  # the slow one knows digits of ASCII only
    assert Redactor().text(text) == slowly(text)


@given(TEXTS)
def test_a_digit_of_another_script_counts_as_one(text: str) -> None:
    ours, theirs = (Redactor().text(each) for each in (text.replace("٣", "3"), text))
    assert ours == theirs.replace("٣", "3")


@given(TEXTS)
def test_what_was_taken_out_stays_out(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once) == once


@given(st.data(), cards(), st.sampled_from(["", "card: ", "1 ", "12, ", "é", "€", '"', "(", "\n", "5550100 "]))
def test_no_card_survives(data: st.DataObject, card: str, before: str) -> None:
    after = data.draw(st.sampled_from(["", ".", " 12/27 123", " thanks", ")", '"', "\n", " 4", "é", "-1234567890"]))
    text = before + data.draw(said(card)) + after
    for shown in (Redactor().text(text), Redactor().unfinished(text), Redactor().data(json.dumps([text, {text: 1}]))):
        assert card not in re.sub(r"[ .,/\-]", "", shown), text


# --- A text that is still growing


def stream(text: str) -> Iterator[str]:
    return (text[:length] for length in range(len(text) + 1))


@given(st.data(), st.sampled_from(["", "card: ", "room 000 ", "0 0 0 0 0 ", "00000000000000000000", "0, 00, 000, "]))
def test_a_card_that_grows_never_shows_more_than_its_first_three_digits(data: st.DataObject, before: str) -> None:
    """`before` holds no digit but 0, the card none that is 0: so its own can be told apart."""
    card = data.draw(cards("123456789").filter(lambda card: "0" not in card))
    number = data.draw(said(card))
    for part in stream(number):
        shown = re.sub("[^1-9]", "", Redactor().unfinished(before + part))
        assert len(shown) <= 3, f"of {part!r} behind {before!r}"
        assert len(shown) < 3 or shown == card[:3], f"other digits of {part!r} than the first ones"


@given(TEXTS, TEXTS)
@example("4000000000000002", "٣")  # a digit, which may go on as one of ASCII may
def test_a_growing_text_shows_no_digit_that_is_taken_out_in_the_end(before: str, after: str) -> None:
    """And none of the last ones; where it does not end in digits, it is shown as it will be."""
    text = before + after
    shown, told = Redactor().unfinished(text), Redactor().text(text)
    tail = re.search(r"(?:[0-9][ .,/\-]{0,2}){4,}[ .,/\-\s]*\Z", text.replace("٣", "3"))
    if tail is None:
        assert shown == told
    else:
        assert shown.rstrip(" .,/-\n").endswith(("…", CARD)), "it ends in what is still growing"
    assert len(digits_of(shown)) <= len(digits_of(told))


def test_numbers_that_are_no_card_are_shown_when_it_goes_on() -> None:
    redact = Redactor()
    assert redact.unfinished("Room 12") == "Room 12"
    assert redact.unfinished("Call 5550100") == "Call …"
    assert redact.unfinished("Call 5550100 after") == "Call 5550100 after"
    counted = " ".join(map(str, range(1, 601)))
    assert redact.unfinished(counted)[:300] == redact.text(counted)[:300]
    assert redact.unfinished(counted).endswith(" 594 …")
    assert redact.unfinished(f"{counted} and") == redact.text(f"{counted} and")
    assert redact.unfinished("It is 4111 1111 1111 1111") == f"It is {CARD}"
    assert redact.unfinished("It is 4111 1111 1111 1111, 12") == f"It is {CARD}…"
    assert redact.unfinished("It is 4111 1111 1111 1111, 12/27 and") == f"It is {CARD}, 12/27 and"


# --- Whatever a tool may say


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXTS | cards().map(int) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.text(), inner, max_size=4),
    max_leaves=12,
)


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield str(value)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [shape(each) for each in value.values()]
    return [shape(each) for each in value] if isinstance(value, list) else None


@given(JSON, st.booleans())
def test_in_whatever_a_tool_says_no_text_holds_what_is_to_be_taken_out(value: Any, as_text: bool) -> None:
    given_value = json.dumps(value) if as_text else value
    told = Redactor(["secret"]).data(given_value)
    if as_text and isinstance(value, (dict, list)):
        told = json.loads(told)
    if isinstance(value, (dict, list)):
        assert shape(told) == shape(value), "nothing was lost"
    if not as_text or isinstance(value, (dict, list)):
        for text in texts_in(told):
            assert slowly(text) == text or text[:1] in ("{", "["), "numbers that stand apart in JSON are not one"
    Redactor(["[0-4]+", "a|b*"]).data(given_value)


# --- Patterns


PATTERNS = [
    r"\d+",
    r"[a-c]+?b",
    r"\b\d{3}-\d{2}\b",
    r"(ab|a)(c|bcd)?",
    "é+",
    r"a.*?b",
    r"\d(?:.*b)?",
    r"^ab",
    r"b\z",
    r"(?i)B|AB",
]


def python(pattern: str, text: str) -> str:
    return re.sub(pattern.replace(r"\z", r"\Z"), REMOVED, text, flags=re.ASCII if "é" not in pattern else re.NOFLAG)


@given(st.sampled_from(PATTERNS), st.text("ab cdé123-\n\ud800", max_size=40))
def test_patterns_find_what_those_of_python_find(pattern: str, text: str) -> None:
    assert Redactor([pattern], cards=False).text(text) == python(pattern, text)


@pytest.mark.exhaustive
def test_the_same_is_found_in_long_texts_with_many_matches() -> None:
    """So many that no search looks at the whole text any more."""
    short, long = "call 555-12 or 0123456789, ok", "BEGIN " + "x 1234 " * 1000 + " END"
    text = f"{short}\n{long}\n" * 20 + "a " * 20_000 + "BEGIN"
    patterns: Iterable[str] = [r"\w+", r"\d{3}-\d{2}", "(?s)BEGIN.*?END", r"\d+", "BEGIN|x", r"BEGIN.*", "é|a $"]
    for pattern in patterns:
        assert Redactor([pattern], cards=False).text(text) == python(pattern, text), pattern
