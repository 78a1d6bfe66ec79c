"""A single event without a word of it: ids, states and counts, and nothing that was said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.event_tap import unchanged
from callflow.journal.redaction import Redactor
from callflow.web.console.live.outline import MOST_BYTES, in_words, outline


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_audio_transcript.done", "item_id": "i", "transcript": CARD},
        {"type": "conversation.item.added", "item": {"id": "i", "content": [{"type": "input_text", "text": CARD}]}},
        {"type": "response.done", "response": {"output": [{"arguments": CARD, "name": "pay", "output": CARD}]}},
        {"type": "response.mcp_call.completed", "arguments": {"card": 4111111111111111}, CARD: 1, "x": [CARD]},
        {"type": "input_audio_buffer.dtmf_event_received", "event": CARD},
        {"type": "session.updated", "session": {"instructions": CARD, "tools": [{"description": CARD}]}},
        {"type": "error", "error": {"code": "odd", "message": CARD, "param": CARD}},
        {"type": "response.created", "response": {"id": CARD, "total_tokens": 4111111111111111}},
    ],
)
def test_no_words_are_in_an_outline(event: dict[str, Any]) -> None:
    shown = outline(json.dumps(event).encode(), Redactor().text)
    assert shown["type"] == event["type"]
    assert "4111" not in json.dumps(shown)
    assert "4111" not in in_words(shown)


def test_an_outline_has_ids_states_and_counts() -> None:
    usage = {"input_tokens": 40, "output_tokens": 7, "input_token_details": {"cached_tokens": 3}}
    response = {
        "id": "resp_1",
        "status": "completed",
        "usage": usage,
        "output": [{"id": "item_1", "role": "assistant"}],
    }
    shown = outline(json.dumps({"type": "response.done", "response": response}).encode(), unchanged)
    assert shown["response"] == response
    assert in_words(shown) == "completed, resp_1, 40 input tokens, 7 output tokens, assistant, item_1"
    assert outline(b"[" * 1000, unchanged) == {"bytes": 1000}
    assert outline(b" " * (1 << 20), unchanged) == {"bytes": 1 << 20}


def test_a_secret_is_in_no_outline() -> None:
    event = b'{"type": "a", "name": "sk-secret", "code": "x", "sk_secret": true}'
    shown = outline(event, lambda text: text.replace("sk-secret", "(not)").replace("sk_secret", "(nor)"))
    assert shown == {"type": "a", "name": "(not)", "code": "x", "(nor)": True}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"7", b"null", b'"text"', b"\xff", b'{"type": "\xff"}', b'{"a":1}{"b":2}', b"[" * 5000]
)
def test_of_what_is_no_event_only_the_size_is_told(raw: bytes) -> None:
    assert outline(raw, unchanged) == {"bytes": len(raw)}


def test_a_large_event_is_not_read() -> None:
    fits = b'{"type":"a"' + b" " * (MOST_BYTES - 12) + b"}"
    assert outline(fits, unchanged) == {"type": "a"}
    assert outline(fits + b" ", unchanged) == {"bytes": MOST_BYTES + 1}


def test_names_are_bounded_and_none_is_a_sentence() -> None:
    event = {f"n{number}": True for number in range(50)}
    assert len(outline(event, unchanged)) == 20
    assert outline({"n" * 121: True, "the card": True, "": True, "a": None, "b": False}, unchanged) == {"b": False}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("audio_end_ms", 300, 300), ("audio_end_ms", 1e13, "(a number)"), ("audio_end_ms", -(10**12), "(a number)"),
        ("audio_end_ms", float("nan"), "(a number)"), ("total_tokens", 0, 0), ("card", 4111, "(a number)"),
        ("status", "x" * 500, "x" * 120), ("status", "a\nb", "a\\nb"), ("transcript", "", "(0 characters)"),
        ("status", {"a": 1}, "(1 fields)"), ("session", [1, 2], ["(a number)", "(a number)"]),
        ("words", ["a"], "(1 parts)"), ("modalities", ["audio"], ["audio"]), ("status", b"x", "(something)"),
    ],
)  # fmt: skip
def test_a_value_is_shown_by_its_name_and_kind(name: str, value: Any, shown: Any) -> None:
    assert outline({name: value}, unchanged) == {name: shown}


NAMES = st.sampled_from(
    ["type", "item", "response", "output", "content", "transcript", "delta", "event", "input_tokens", "session", CARD]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(CARD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_whatever_an_event_is_its_outline_is_json_and_has_no_words(event: dict[str, Any]) -> None:
    def safe(text: str) -> str:
        return text.replace(CARD, "(not)")

    shown = outline(event, safe)
    assert "4111" not in json.dumps(shown, allow_nan=False)
    assert "4111" not in in_words(shown)


def test_an_event_within_events_is_followed_some_way_and_no_further() -> None:
    event: dict[str, Any] = {"status": "deep"}
    for _ in range(30):
        event = {"item": event}
    shown, depth = outline(event, unchanged), 0
    while isinstance(shown.get("item"), dict):
        shown, depth = shown["item"], depth + 1
    assert (depth, shown) == (6, {"item": "(1 fields)"})


def test_one_line_names_each_thing_once_and_few_of_them() -> None:
    assert in_words({"id": "a", "item": {"id": "a", "role": "user"}}) == "a, user"
    assert in_words({"audio_end_ms": 0, "content_index": 0, "output_index": 2}) == "at 0 ms, 2 output index"
    assert in_words({"audio_end_ms": 1234567, "input_tokens": 1234567}) == "at 1234567 ms, 1234567 input tokens"
    assert in_words({}) == ""
    many = {"output": [{"id": f"i{number}"} for number in range(20)]}
    assert in_words(many).count(",") == 7
