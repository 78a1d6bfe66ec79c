"""The route that mutes the caller or the agent."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from callflow.web.console.mute import add_mute
from tests.web.asgi import Answer
from tests.web.console.bare import Line, LiveCalls, bare_app, live_call, request


def muted(body: Any, line: Line | None = None) -> tuple[Answer, list[tuple[Any, ...]]]:
    line, app = line or Line(), bare_app()
    add_mute(app, lambda: cast(Any, LiveCalls(c=live_call(line))), has_token=True)
    return asyncio.run(request(app, "POST", "/api/calls/c/mute", body)), line.asked


@pytest.mark.parametrize("party", ["caller", "agent"])
def test_each_party_can_be_muted_and_be_heard_again(party: str) -> None:
    for given, on in (({}, True), ({"on": True}, True), ({"on": False}, False)):
        answer, asked = muted({"party": party, **given})
        assert (answer.status, answer.json()) == (202, {"call": "c", "party": party, "on": on})
        assert asked == [("mute", party, on, "console")]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"on": True}, {"party": "Caller"}, {"party": ""}, {"party": None}, {"party": ["caller"]}, {"party": 0},
        {"party": "caller", "on": None}, {"party": "caller", "on": 1}, {"party": "caller", "on": "true"},
        {"party": "caller", "off": True}, {"party": "both"}, {"party": {"caller": 1}},
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_nobody_is_muted(body: Any) -> None:
    answer, asked = muted(body)
    assert (answer.status, asked) == (400, [])
    assert answer.json()["error"]
