"""The route that says an operator's words to the caller."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from callflow.call.line_requests import MOST_TEXT
from callflow.web.console.say import add_say
from tests.web.asgi import Answer
from tests.web.console.bare import Line, LiveCalls, bare_app, live_call, request


def said(body: Any) -> tuple[Answer, list[tuple[Any, ...]]]:
    line, app = Line(), bare_app()
    add_say(app, lambda: cast(Any, LiveCalls(c=live_call(line))), has_token=True)
    return asyncio.run(request(app, "POST", "/api/calls/c/say", body)), line.asked


@pytest.mark.parametrize(
    ("text", "spoken"),
    [("Hello.", "Hello."), ("  Hello. \n", "Hello."), ("x" * MOST_TEXT, "x" * MOST_TEXT), ("日本語 🚕", "日本語 🚕")],
    ids=["plain", "blanks", "long", "others"],
)
def test_a_text_is_said_word_for_word(text: str, spoken: str) -> None:
    answer, asked = said({"text": text})
    assert (answer.status, answer.json()) == (202, {"call": "c"})
    assert asked == [("say", spoken, "console")]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"text": ""}, {"text": " \n\t\u2003"}, {"text": None}, {"text": 5}, {"text": ["Hello."]}, b"",
        {"text": "x" * (MOST_TEXT + 1)}, {"words": "Hello."}, b'{"text": "\\ud800"}', {"text": "Hello.", "now": True},
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused(body: Any) -> None:
    answer, asked = said(body)
    assert (answer.status, asked) == (400, [])
    assert len(answer.json()["error"]) < 300
