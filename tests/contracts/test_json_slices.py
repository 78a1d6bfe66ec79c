"""JSON in slices is the JSON of the encoder, and no slice takes long."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from callflow.contracts.json_slices import json_slices
from callflow.contracts.printable import json_of, to_json


VALUES = pytest.mark.parametrize(
    "value",
    [{}, [], [{}], None, 1.5, "ü", "\n", {"a": {}}, [[]] * 50, list(range(20)), list(range(21)), {"": [1] * 99},
     {"a": {"b": [[1, []]] * 41}}, [{"a": [1, {"b": "\x7f"}]}] * 41,
     {"note": "one\ntwo \u202e \x7f\x1b", "list": ["line\nline", {"ü": "\U000e0001"}] * 15}],
)  # fmt: skip


@VALUES
def test_slices_are_what_the_encoder_makes(value: Any) -> None:
    assert b"".join(json_slices(value)) == json_of(value)


@VALUES
def test_with_a_margin_they_are_indented_as_by_the_encoder(value: Any) -> None:
    assert b"".join(json_slices(value, margin=b"")) == msgspec.json.format(json_of(value), indent=2)


@pytest.mark.parametrize("value", [{1: [2]}, {"half \ud800": ["\ud800"] * 30}])
def test_another_encoder_may_know_more(value: Any) -> None:
    assert json.loads(b"".join(json_slices(value, to_json))) == json.loads(to_json(value))


@pytest.mark.parametrize("margin", [None, b""])
def test_the_encoder_is_given_little_at_a_time(margin: bytes | None) -> None:
    entry = {"event": {"event": "turn", "text": "Grüße " * 40}, "before": "streaming", "commands": []}
    value = {"call": "a call", "conversation": {"items": [entry] * 3000}, "entries": [entry] * 3000}
    begun = before = time.thread_time()
    slices, longest = [], 0.0
    for some in json_slices(value, margin=margin):
        longest = max(longest, (now := time.thread_time()) - before)
        before = now
        slices.append(some)
    assert json.loads(b"".join(slices)) == value
    assert longest < 0.1 * (before - begun)
