"""What the strict decoder refuses is read as far as it can be, and holds nothing that cannot be written again."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import OutOfBounds
from callflow.contracts.lenient_json import integer, number, read, text


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b'{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e999}', {"a": None, "b": None, "c": None, "d": None}),
        (b'{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        ('{"a": 9223372036854775808, "b": 9223372036854775807}', {"a": None, "b": 9223372036854775807}),
        ('{"a": [1, {"b": [NaN]}]}', {"a": [1, {"b": [None]}]}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ("{}", {}),
    ],
)
def test_what_is_not_quite_json_is_read(message: bytes | str, found: dict[str, Any]) -> None:
    assert read(message) == found


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "x\\ud83d"])
def test_half_a_character_is_repaired_in_texts_and_names(half: str) -> None:
    found = read(f'{{"{half}": ["{half}"]}}')
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


@pytest.mark.parametrize(
    "message", [b"", b"[]", b"1", b'"{}"', b"null", b"{", b"{'a': 1}", b'{"a": ' + b"1" * 5000 + b"}", b"\x00"]
)
def test_what_is_no_object_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(message)


@pytest.mark.parametrize(
    "message", [b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", b'{"a": [' + b"1," * 10_001 + b"1]}"], ids=["deep", "wide"]
)
def test_what_is_out_of_bounds_is_refused_here_too(message: bytes) -> None:
    with pytest.raises((OutOfBounds, ValueError)):
        read(message)


def test_what_no_decoder_can_follow_is_refused() -> None:
    with pytest.raises((RecursionError, ValueError)):
        read(b'{"a":' * 100_000)


@given(st.binary(max_size=30) | st.text('{}[]":,ae1.-\\u d', max_size=30))
def test_whatever_is_read_can_be_written_again(message: bytes | str) -> None:
    try:
        found = read(message)
    except (ValueError, RecursionError):
        return
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


MOST = (1 << 63) - 1


@pytest.mark.parametrize(
    ("value", "as_number", "as_integer", "as_text"),
    [
        (5, 5, 5, "5"), (-5.0, -5.0, -5, "-5.0"), ("5", 5.0, 5, "5"), (" 5 ", 5.0, 5, " 5 "), ("5.5", 5.5, None, "5.5"),
        ("1e3", 1000.0, 1000, "1e3"), ("five", None, None, "five"), ("", None, None, ""), ("nan", None, None, "nan"),
        ("-inf", None, None, "-inf"), (math.nan, None, None, None), (math.inf, None, None, None),
        (True, None, None, None), (False, None, None, None), (None, None, None, None), ([], None, None, None),
        ({}, None, None, None), (1 << 63, None, None, None), (-(1 << 63), None, None, None),
        (MOST, MOST, MOST, str(MOST)), ("0" * 20 + "5", None, None, "0" * 20 + "5"), (b"5", None, None, None),
    ],
    ids=range(22),
)  # fmt: skip
def test_a_number_is_one_also_in_a_text_and_nothing_else_is(
    value: Any, as_number: float | None, as_integer: int | None, as_text: str | None
) -> None:
    assert number(value) == as_number
    assert integer(value) == as_integer
    assert text(value) == as_text
