"""What a caller lookup may answer, and what becomes of everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.caller_lookup import MOST_BYTES, read_answer
from callflow.contracts.errors import LookupFailed


@pytest.mark.parametrize(
    ("answer", "variables", "profile", "refuse", "problems"),
    [
        ({}, {}, "", "", 0),
        (None, {}, "", "", 0),
        ({"variables": {"name": "Ada", "visits": 3}}, {"name": "Ada", "visits": "3"}, "", "", 0),
        ({"variables": None, "profile": None, "refuse": None}, {}, "", "", 0),
        ({"profile": " sales "}, {}, "sales", "", 0),
        ({"refuse": True}, {}, "", "the caller lookup refuses this call", 0),
        ({"refuse": False}, {}, "", "", 0),
        ({"refuse": ""}, {}, "", "", 0),
        ({"refuse": "  "}, {}, "", "the caller lookup refuses this call", 0),
        ({"refuse": "not a customer\nany more"}, {}, "", "not a customer\\nany more", 0),
        ({"refuse": "x" * 1000}, {}, "", "x" * 200, 0),
        ({"refuse": 1, "profile": ["a"], "variables": "b", "more": 1}, {}, "", "", 4),
        ({"variables": {"a": None, "b": "c"}}, {"b": "c"}, "", "", 1),
        ({str(number): 1 for number in range(100)}, {}, "", "", 10),
    ],
)
def test_an_answer_is_read_part_by_part(
    answer: Any, variables: dict[str, str], profile: str, refuse: str, problems: int
) -> None:
    found = read_answer(json.dumps(answer))
    assert found.outcome == "answered"
    assert (found.variables, found.profile, found.refuse, len(found.problems)) == (variables, profile, refuse, problems)


@pytest.mark.parametrize("empty", ["", b""])
def test_no_answer_says_nothing(empty: str | bytes) -> None:
    assert read_answer(empty).outcome == "answered"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("{", "no JSON"),
        (b"\xff", "no JSON"),
        ("[]", "no object"),
        ('"text"', "no object"),
        ("7", "no object"),
        ("[" * 10_000, "no JSON"),
        (json.dumps({"variables": {"a": "x" * MOST_BYTES}}), "more than 16 kB"),
    ],
)
def test_what_is_no_answer_is_refused_without_quoting_it(answer: str | bytes, why: str) -> None:
    with pytest.raises(LookupFailed, match=why):
        read_answer(answer)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_comes_is_read_or_refused(answer: str | bytes) -> None:
    try:
        found = read_answer(answer)
    except LookupFailed:
        return
    assert len(found.problems) <= 10
