"""What comes from outside is printed as text, and means nothing to a terminal or to whoever reads a log."""

from __future__ import annotations

import json
import unicodedata

import pytest

from callflow.contracts import printable


HOSTILE = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)]
TURNING = ["\u061c", "\u200e", "\u200f", "\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"]
HIDING = ["\u200b", "\u2060", "\ufeff", "\U000e0041", "\ud800", "\udfff"]


@pytest.mark.parametrize("character", [*HOSTILE, *TURNING, *HIDING], ids=lambda each: f"U+{ord(each):04X}")
def test_character_is_shown_as_an_escape(character: str) -> None:
    shown = printable.line(f"a{character}b")
    assert character not in shown
    assert shown.startswith("a\\")
    assert shown.endswith("b")
    assert shown.isascii()


@pytest.mark.parametrize("text", ["", "Good morning.", "Grüße, Łódź, 東京, שלום", "👋🏽 – “yes” …", "a\\b"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable.line(text) == text
    assert printable.lines(text) == text


def test_own_line_breaks_may_stay() -> None:
    assert printable.lines("one\ntwo\x1b[2J\r") == "one\ntwo\\x1b[2J\\r"


@pytest.mark.parametrize(
    "text", ["\x1b]0;t\x07", "\x9b31m", "\u202egnp.exe", "a\u2028b", "\U000e0041", "\x7f", "😀ü\x00"]
)
def test_json_is_printable_and_means_the_same(text: str) -> None:
    encoded = printable.json_of({text: [text]}).decode()
    assert all(unicodedata.category(each) not in ("Cc", "Cf", "Zl", "Zp") for each in encoded)
    assert json.loads(encoded) == {text: [text]}


def test_lone_surrogates_are_replaced() -> None:
    assert printable.whole("a\ud83db") == "a?b"
    assert printable.whole("😀") == "😀"
