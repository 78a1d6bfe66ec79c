"""Items that somebody else kept, as they come in: what is made of them, and what is refused in a sentence."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from callflow.contracts.errors import BadQuery
from callflow.history.posted_items import MOST_ITEM, MOST_ITEMS, rows
from callflow.journal.redaction import Redactor


NOW = "2026-11-25T10:00:00.000Z"


def made(*items: Any) -> list[dict[str, Any]]:
    return rows(json.dumps({"items": items}).encode(), Redactor(), NOW)


def item(**fields: Any) -> dict[str, Any]:
    return {"id": "item_1", "type": "message", **fields}


def test_an_item_is_a_row() -> None:
    content = [{"type": "text", "text": "Thanks"}, {"type": "text", "text": "a lot"}, {"type": "audio"}]
    (row,) = made(item(role="user", content=content, timestamp="2026-11-25 09:00:00", name="x", more=[1]))
    assert row == {
        "item_id": "item_1", "item_type": "message", "role": "user", "content": row["content"], "status": "completed",
        "timestamp": "2026-11-25T09:00:00.000Z", "created_at": NOW, "call_id": None, "function_name": "x",
        "function_params": None, "function_output": None, "text": "Thanks a lot",
    }  # fmt: skip
    assert json.loads(row["content"]) == content


@pytest.mark.parametrize("empty", [{}, {"content": None}, {"content": []}, {"content": ""}])
def test_an_item_without_words_is_one_as_well(empty: dict[str, Any]) -> None:
    (row,) = made(item(**empty, role=None, timestamp=None, params=None))
    assert (row["content"], row["text"], row["timestamp"], row["function_params"]) == ("[]", "", NOW, None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"params": '{"a": 1}'}, '{"a": 1}'), ({"arguments": "{}"}, "{}"), ({"params": {"a": [1]}}, '{"a":[1]}'),
        ({"params": None, "arguments": "x"}, "x"), ({"params": "", "arguments": "x"}, ""), ({"params": 5}, "5"),
        ({"params": False}, "false"),
    ],
)  # fmt: skip
def test_arguments_are_kept_as_text(given: dict[str, Any], kept: str) -> None:
    (row,) = made(item(**given))
    assert row["function_params"] == kept


WRONG = {
    "a number for an item": (7, "items[0]"),
    "no id": ({"type": "message"}, "`id`"),
    "an empty id": (item(id=""), "items[0].id"),
    "a long id": (item(id="x" * 201), "items[0].id"),
    "a number for an id": (item(id=1 << 70), "items[0].id"),
    "no type": ({"id": "x"}, "`type`"),
    "an unknown type": (item(type="x\x1b"), "items[0].type"),
    "a list for a type": (item(type=["message"]), "items[0].type"),
    "a role of a megabyte": (item(role="x" * 1_000_000), "items[0].role"),
    "a number for a role": (item(role=1.5), "items[0].role"),
    "a dict for a status": (item(status={}), "items[0].status"),
    "a number for a time": (item(timestamp=1764630000), "items[0].timestamp"),
    "a time before the first": (item(timestamp="0001-01-01T00:00:00+14:00"), "is no date"),
    "a time after the last": (item(timestamp="9999-12-31T23:59:59-14:00"), "is no date"),
    "no time at all": (item(timestamp="soon"), "is no date"),
    "a dict for content": (item(content={"text": "x"}), "list of objects"),
    "a number for content": (item(content=5), "list of objects"),
    "numbers for parts": (item(content=[1, 2.5]), "list of objects"),
    "texts for parts": (item(content=["hello"]), "list of objects"),
    "a dict for a text": (item(content=[{"text": {"a": "b"}}]), "must be a string"),
    "a number for a text": (item(content=[{"text": 5}]), "must be a string"),
    "deep content": (item(content=[{"a": json.loads("[" * 40 + "]" * 40)}]), "nested"),
    "deep output": (item(output=json.loads("[" * 400 + "]" * 400)), "nested"),
    "many values": (item(content=[{"a": [1] * 20_000}]), "values"),
    "a large item": (item(content=[{"text": "x" * MOST_ITEM}]), "larger than"),
    "an item that is large altogether": (item(params="x" * 40_000, output="x" * 40_000), "larger than"),
    "a dict for a name": (item(name={}), "items[0].name"),
    "a number for a call_id": (item(call_id=5), "items[0].call_id"),
    "a number beyond a double": (item(params="BEYOND"), "out of range"),
    "NaN": (item(params=float("nan")), "malformed"),
    "half a pair": (item(content=[{"text": "\ud800 half"}]), "surrogate"),
    "half a pair in a name": (item(content=[{"\udfff half": 1}]), "surrogate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_item_is_said(name: str) -> None:
    wrong, says = WRONG[name]
    body = json.dumps({"items": [wrong]}).replace('"BEYOND"', "1e999").encode()
    with pytest.raises(BadQuery) as refused:
        rows(body, Redactor(), NOW)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[", b"[]", b"{}", b'{"items":{}}', b'{"items":null}', b"[" * 100_000, b'{"items":' * 100_000],
)
def test_what_is_no_list_of_items_is_said(body: bytes) -> None:
    with pytest.raises(BadQuery, match="The body must be"):
        rows(body, Redactor(), NOW)


def test_so_many_and_no_more() -> None:
    many = [item(id=f"item_{number}") for number in range(1000)]
    assert len(made(*many)) == 1000
    with pytest.raises(BadQuery, match="1000"):
        made(*many, item(id="one_more"))


def test_too_many_items_are_refused_before_they_are_made() -> None:
    """Four times as many cost no more than what is read over."""

    def seconds(many: int) -> float:
        body = b'{"items":[' + b",".join([b'{"id":"a","type":"message"}'] * many) + b"]}"
        best = float("inf")
        for _ in range(3):
            began = time.thread_time()
            try:
                rows(body, Redactor(), NOW)
            except BadQuery:
                pass
            best = min(best, time.thread_time() - began)
        return best

    assert seconds(100_000) < 5 * seconds(MOST_ITEMS), "a hundred times as many items as are allowed cost more"


@pytest.mark.proof
@pytest.mark.e2e
def test_twice_as_much_takes_twice_as_long() -> None:
    def seconds(words: int) -> float:
        text = "4111 1111 1111 1112 said " * words
        items = [item(id=f"item_{number}", content=[{"text": text, "more": [text]}]) for number in range(50)]
        body = json.dumps({"items": items}).encode()
        best = float("inf")
        for _ in range(3):
            began = time.thread_time()
            rows(body, Redactor(), NOW)
            best = min(best, time.thread_time() - began)
        return best

    assert seconds(400) < 3.5 * seconds(200)
