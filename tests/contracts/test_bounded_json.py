"""JSON from outside: what is taken can be walked through and written again, and the rest is one sentence."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.contracts.bounded_json import MOST_DEPTH, MOST_VALUES, check, read
from callflow.contracts.errors import OutOfBounds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"), (b" \n\t", "it is empty"), (b"{", "it breaks off"), (b'{"a": NaN}', ""), (b"\xff", ""),
        (b'"\xff"', "it is not UTF-8"), (b'{"a": "\\ud800"}', "half of a surrogate pair"), (b"{} {}", ""),
        (b"[" * 100_000, "it is nested too deep"), (b"[" * 34 + b"]" * 34, "deep"), (b"1e999", ""), (b"{'a': 1}", ""),
        (b"[" + b"1," * MOST_VALUES + b"1]", "more than 10000 values"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_one_sentence(text: bytes, why: str) -> None:
    with pytest.raises(OutOfBounds) as refused:
        read(text)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [b"0", b"null", b'""', b"[]", b" {} ", b'{"a": [1, "\\ud83d\\ude00", {"b": null}]}'])
def test_what_is_within_bounds_is_taken_as_it_is(text: bytes) -> None:
    assert read(text) == json.loads(text)


def test_the_bounds_are_just_there() -> None:
    assert read(b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1))
    assert len(read(b"[" + b"1," * (MOST_VALUES - 1) + b"1]")) == MOST_VALUES
    wide: Any = [[] for _ in range(MOST_VALUES)]
    check(wide)
    with pytest.raises(OutOfBounds):
        check([wide, 1])
    with pytest.raises(OutOfBounds):
        check({"a": {str(number): 1 for number in range(MOST_VALUES)}})


def test_a_type_may_leave_parts_undecoded() -> None:
    found = read(b'{"a": [[[1]]]}', dict[str, msgspec.Raw])
    assert bytes(found["a"]) == b"[[[1]]]"
    with pytest.raises(OutOfBounds, match="Expected"):
        read(b"[1]", dict[str, msgspec.Raw])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=25)
@given(VALUES)
def test_what_was_written_is_read_again(value: Any) -> None:
    assert read(msgspec.json.encode(value)) == value


@given(st.binary(max_size=20))
def test_any_bytes_are_a_value_or_out_of_bounds(text: bytes) -> None:
    try:
        found = read(text)
    except OutOfBounds:
        return
    assert read(msgspec.json.encode(found)) == found
