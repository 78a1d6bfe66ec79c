"""What nobody is to read is taken out, and nothing else is touched."""

from __future__ import annotations

import json

import pytest

from callflow.redaction import CARD, REMOVED, Redactor


VISA, AMEX = "4111111111111111", "378282246310005"


@pytest.mark.parametrize(
    "text",
    [
        VISA, "4111 1111 1111 1111", "4111-1111-1111-1111", "4111, 1111, 1111, 1111", f"it is {VISA}.", AMEX,
        f"{VISA} 12/27 123", f"call 5550100 {VISA}", "4111.1111.1111.1111", f"card:{VISA}",
    ],
)  # fmt: skip
def test_a_card_number_is_taken_out_however_it_is_said(text: str) -> None:
    found = Redactor().text(text)
    assert CARD in found
    assert not any(group in found for group in ("1111", "378282"))


@pytest.mark.parametrize(
    "text", ["4111111111111112", "+15550100001", "MZ41111111111111111", "ab4111111111111111cd", "2026-11-25T12:00:00",
             "v3:4111111111111111x", "0000000000000000", "room 12, 3 nights, 145.00",
             '{"prices":[12, 15, 18, 21, 30, 48, 50, 61, 75, 90, 14, 99]}', "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8"],
)  # fmt: skip
def test_other_numbers_stay(text: str) -> None:
    assert Redactor().text(text) == text


def test_patterns_of_the_settings_are_taken_out_too() -> None:
    assert Redactor([r"\b\d{3}-\d{2}-\d{4}\b"]).text("My number is 123-45-6789.") == f"My number is {REMOVED}."
    assert Redactor(cards=False).text(VISA) == VISA


def test_json_stays_json() -> None:
    arguments = json.dumps({"card": VISA, "as_number": int(VISA), "name": "Ann", "lines": [{"n": f"no {VISA}"}]})
    told = Redactor().fields({"event": "tool_called", "id": f"call_{VISA}", "arguments": arguments})
    assert json.loads(told["arguments"]) == {
        "card": CARD,
        "as_number": CARD,
        "name": "Ann",
        "lines": [{"n": f"no {CARD}"}],
    }
    assert told["id"] == f"call_{VISA}", "names of things are not words"


def test_a_text_that_still_grows_does_not_show_its_beginning() -> None:
    redact = Redactor()
    for length in range(4, 17):
        shown = redact.fields({"event": "heard", "so_far": f"Your card {VISA[:length]}"})["so_far"]
        assert VISA[:4] not in shown, shown
    assert redact.unfinished("Room 12") == "Room 12"


def test_lists_of_cuts_are_looked_through() -> None:
    cut = {"item": "i", "heard_text": f"It is {VISA}", "unheard_text": "", "heard_ms": 10}
    assert Redactor().fields({"event": "interrupted", "cuts": [cut]})["cuts"][0]["heard_text"] == f"It is {CARD}"


def test_long_runs_of_digits_take_no_longer_than_their_length() -> None:
    """Relative to one another, because nobody knows the machine."""
    import time

    def took(digits: int) -> float:
        began = time.perf_counter()
        Redactor().text("4 " * digits)
        return time.perf_counter() - began

    took(2000)
    assert min(took(16_000) for _ in range(3)) < 40 * min(took(2000) for _ in range(3))
