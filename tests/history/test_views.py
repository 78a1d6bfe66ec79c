"""Conversations and their items as they are shown: who called, and which words were heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.history.views import UNHEARD, content_of, heard_of, numbers_of, plain


def item(
    content: Any = "Hello there.", *, heard: str | None = None, kind: str = "message", **more: Any
) -> dict[str, Any]:
    if isinstance(content, str):
        content = json.dumps([{"type": "text", "text": content}])
    elif content is not None and not isinstance(content, bytes):
        content = json.dumps(content)
    elif isinstance(content, bytes):
        content = content.decode()
    usual = {
        "function_name": None,
        "function_params": None,
        "function_output": None,
        "role": "assistant",
        "timestamp": "t",
    }
    return {**usual, "content": content, "heard_text": heard, "item_type": kind, **more}


@pytest.mark.parametrize(
    ("direction", "numbers"),
    [("inbound", ("them", "us")), (None, ("them", "us")), ("", ("them", "us")), ("outbound", ("us", "them"))],
)
def test_who_called_depends_on_who_dialled(direction: str | None, numbers: tuple[str, str]) -> None:
    row = {"phone_number": "us", "caller_number": "them", "direction": direction}
    assert numbers_of(row) == numbers
    assert numbers_of({**row, "phone_number": "", "caller_number": None}) == (None, None)


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        (None, ("Hello there.", "")), ("", ("", "Hello there.")), ("Hello", ("Hello", "there.")),
        ("Hello there.", ("Hello there.", "")), ("Hello there. More", ("Hello there. More", "")),
        ("Hallo", ("Hallo", "there.")), ("Hello th", ("Hello th", "ere.")),
    ],
)  # fmt: skip
def test_words_are_divided_into_those_that_were_heard_and_the_rest(heard: str | None, found: tuple[str, str]) -> None:
    assert heard_of(item(heard=heard)) == found


@settings(max_examples=20)
@given(st.text(st.sampled_from("ab. "), max_size=20), st.integers(0, 20))
def test_what_was_heard_and_the_rest_are_the_whole(text: str, cut: int) -> None:
    heard, unheard = heard_of(item(text, heard=text[:cut]))
    assert (heard + unheard).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "content",
    [None, "", b"", b"{", b"null", b"7", b'"text"', b"{}", b"[]", b'[7, null, "x"]', b'[{"text": null}]', b"[" * 5000],
)
def test_content_that_cannot_be_read_has_no_words(content: Any) -> None:
    one = item(content) if content != "" else {**item(), "content": ""}
    assert heard_of(one) == ("", "")
    assert plain(one)["content"] == ""


def test_half_a_surrogate_pair_of_an_earlier_system_can_be_encoded() -> None:
    words, _ = heard_of(item(b'[{"type": "text", "text": "a\\ud800b"}]'))
    assert words.encode() == b"a?b"
    words, _ = heard_of(item(b'[{"type": "text", "text": "\\ud83d\\ude95"}]'))
    assert words == "\U0001f695"


def test_words_that_nobody_heard_were_never_said() -> None:
    assert [part["type"] for part in content_of(item(heard=""))] == [UNHEARD]
    assert [part["type"] for part in content_of(item(heard="Hello"))] == ["text"]
    assert [part["type"] for part in content_of(item(heard="", kind="function_call"))] == ["text"]


def test_an_item_as_plain_text() -> None:
    assert plain(item(heard="Hello"))["content"] == "Hello (not heard: there.)"
    assert plain(item(heard=""))["content"] == "(not heard: Hello there.)"
    call = item(None, kind="function_call", function_name="pay", function_params='{"a": 1}')
    assert plain(call) == {"role": "assistant", "content": 'pay({"a": 1})', "timestamp": "t", "type": "function_call"}
    assert plain(item(None, kind="function_call", function_name="end"))["content"] == "end()"
    assert plain(item(None, kind="function_call_output", function_output=None))["content"] == ""
