"""Redaction runs on the loop that carries the audio: twice the text takes about twice the time, whatever is in it."""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable

import pytest

from callflow.journal.redaction import Redactor
from tests.sample import Sample


VISA, TEST_CARD = "4111111111111111", "4242424242424242"
RANDOM = random.Random(1)
Make = Callable[[int], str]
"""A text of so many characters, or of a few more."""


def again(piece: str) -> Make:
    return lambda length: piece * (length // len(piece) + 1)


def joined(numbers: Callable[[int], int], between: str) -> Make:
    return lambda length: between.join(str(numbers(each)) for each in range(length))[:length]


def anything(characters: str) -> Make:
    return lambda length: "".join(RANDOM.choices(characters, k=length))


TEXTS: dict[str, Make] = {
    "numbers counted aloud": joined(lambda each: each, " "),
    "numbers counted aloud, then a word": lambda length: " ".join(map(str, range(length)))[: length - 4] + " and",
    "numbers with commas": joined(lambda each: each * 7919 % 10_000, ", "),
    "numbers far apart": joined(lambda each: each, "; "),
    "digits one by one": again("4 "),
    "digits one by one, each with its letter": again("4a "),
    "one long number": again("4"),
    "one long number of nothing": again("0"),
    "one long number of anything": anything("0123456789"),
    "digits and separators": anything("0123456789 .,/-"),
    "a run that ends in a letter": lambda length: "4 " * (length // 2) + "a",
    "runs that end in a letter": again("12 34 56 78 90 12 34 56a "),
    "a run that begins with a letter": lambda length: "a" + "5 " * (length // 2),
    "runs of 12 digits, letters between": again("123456789012x"),
    "runs of 12 digits, far apart": again("123456789012   "),
    "runs of 12 digits, one behind the other": again("1234-5678-9012 "),
    "a card again and again": again(VISA),
    "a card again and again, in groups": again("4111 1111 1111 1111 "),
    "cards that overlap": again(TEST_CARD),
    "almost cards": again("4111111111111112 "),
    "nothing between two digits": lambda length: "1" + " " * length + "1",
    "separators": again(" .,/-"),
    "pairs of separators": again("1, "),
    "words": again("the quick brown fox "),
    "backslashes": again("\\"),
    "escapes": again("\\u00a0" + VISA),
}  # fmt: skip


def took(work: Callable[[str], object], text: str) -> float:
    """Seconds of this thread's own time: other processes do not count."""
    gc.disable()  # its rounds take longer the more the tests before have left
    try:
        began = time.thread_time()
        work(text)
        return time.thread_time() - began
    finally:
        gc.enable()


def assert_linear(work: Callable[[str], object], make: Make, length: int) -> None:
    """Four times the text takes about four times as long; where it took the square, it would be sixteen times."""
    once, more = make(length), make(4 * length)
    assert 3.8 < len(more) / len(once) < 4.3, "the texts do not compare"
    work(once)
    ratios = []
    for _ in range(5):
        ratios.append(min(took(work, more) for _ in range(2)) / min(took(work, once) for _ in range(3)))
        if ratios[-1] < 7:
            return
    pytest.fail(f"four times the text takes {', '.join(f'{each:.1f}' for each in ratios)} times as long")


@pytest.mark.proof
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("of", ["text", "unfinished", "data"])
def test_twice_the_text_is_twice_the_time(of: str, kind: str) -> None:
    assert_linear(getattr(Redactor(), of), TEXTS[kind], 8_000)


def listed(value: Callable[[int], object]) -> Make:
    def make(length: int) -> str:
        whole: list[object] = []
        size = 2
        while size < length:
            whole.append(value(len(whole)))
            size += len(json.dumps(whole[-1])) + 2
        return json.dumps(whole)

    return make


def in_one_another(length: int) -> str:
    value = json.dumps({"card": VISA, "note": "x" * (length - 500)})
    for _ in range(4):
        value = json.dumps([value])
    return value


JSON: dict[str, Make] = {
    "numbers": listed(lambda each: each * 7919 % 100_000),
    "times in milliseconds": listed(lambda each: 1_764_072_000_000 + each),
    "numbers of 16 digits": listed(lambda each: 4_111_111_111_111_111 + each * 7919),
    "cards": listed(lambda each: VISA),
    "digits": listed(lambda each: each % 10),
    "endless numbers": lambda length: "[" + "7" * length + "]",
    "fractions": listed(lambda each: each / 7),
    "texts with escapes": listed(lambda each: f"é\n{each} 4111 1111 1111 1111"),
    "cards for names": listed(lambda each: {VISA: each, f" {VISA}": "4", "name": None}),
    "names that look alike": lambda length: json.dumps({f"{VISA} {each:06}": 1 for each in range(length // 30)}),
    "nested": lambda length: "[" * length,
    "nested and closed": lambda length: "[" * (length // 2) + "]" * (length // 2),
    "nested mappings": again('{"a":'),
    "many that are nested": lambda length: "[" + ",".join(["[" * 90 + "]" * 90] * (length // 181)) + "]",
    "not closed": lambda length: listed(lambda each: each)(length)[:-1],
    "JSON in JSON": in_one_another,
}


@pytest.mark.parametrize("kind", JSON)
def test_twice_the_answer_of_a_tool_is_twice_the_time(kind: str) -> None:
    assert_linear(Redactor().data, JSON[kind], 20_000)


HOSTILE = [
    r"(\d+\s?)+X", r"(a|aa)+$", "(.*)*x", "(a*)*", "(x+x+)+y", r"^(\w+\s?)*$", r"\d(.*X)?", r"(\d+\s?)+X|\d",
    r"(?s)\d(.{3}.*X|)",    r"\d", r"\w+", ".", r"\b", "(1|4|5)+?", r"(?:\d?){20}\d{20}", r"\pN*\pL?", r"[^x]*x",
]  # fmt: skip
"""Some keep a backtracking engine busy for ever; of others each search may look at the whole text for one digit."""


HARD = ("digits one by one", "one long number", "words", "runs that end in a letter", "pairs of separators")


@pytest.mark.proof
@pytest.mark.parametrize("pattern", HOSTILE)
def test_no_pattern_takes_more(pattern: str, some: Sample) -> None:
    for kind in some(HARD, 5):
        assert_linear(Redactor([pattern], cards=False).text, TEXTS[kind], 10_000)


def test_backtracking_is_over() -> None:
    """These were seconds and years."""
    redact = Redactor([r"(\d+\s?)+X", r"(a|aa)+$", "(.*)*x"])
    assert redact.text("1" * 26) == "1" * 26
    assert redact.text("a" * 100 + "b") == "a" * 100 + "b"
