"""The routes by which an operator steps into a live call: what they read, and what the call is asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.tools import ToolAnswer
from callflow.web.console.identity import Operator
from callflow.web.console.step_in import MOST_ANSWER, add_step_in
from tests.web.asgi import Answer
from tests.web.console.bare import Line, LiveCalls, bare_app, live_call, request


async def step_in(path: str, body: Any, why: str = "") -> tuple[Answer, list[tuple[Any, ...]]]:
    """Ask. `why`: why the call does not do it. Returns what the call was asked, too."""
    line, app = Line(why), bare_app()
    add_step_in(app, lambda: cast(Any, LiveCalls(c=live_call(line))), has_token=True)
    return await request(app, "POST", path, body, by=Operator("desk")), line.asked


@pytest.mark.parametrize("now", [False, True])
async def test_a_whisper_is_given_to_the_call_once(now: bool) -> None:
    answer, asked = await step_in("/api/calls/c/whisper", {"text": " Offer ten percent. ", "now": now})
    assert answer.status == 202
    assert (answer.json()["call"], answer.json()["now"]) == ("c", now)
    assert asked == [("whisper", "Offer ten percent.", "token desk", ("now", now))]


@pytest.mark.parametrize("body", [{}, {"text": " "}, {"text": 7}, {"text": "x" * 100_000}, {"text": "x", "now": "yes"}])
async def test_a_whisper_that_makes_no_sense_is_refused(body: Any) -> None:
    answer, asked = await step_in("/api/calls/c/whisper", body)
    assert (answer.status, asked) == (400, [])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"output": {"approved": True}}, ToolAnswer('{"approved":true}', ok=True)),
        ({"output": None}, ToolAnswer("null", ok=True)),
    ],
)
async def test_the_answer_to_a_tool_is_given_to_the_call(body: Any, told: ToolAnswer) -> None:
    answer, asked = await step_in("/api/calls/c/tools/t1", body)
    assert (answer.status, answer.json()["tool"]) == (202, "t1")
    ((name, tool, given, by),) = asked
    assert (name, tool, given.output, given.ok, by) == ("answer_tool", "t1", told.output, told.ok, "token desk")


async def test_an_operator_may_say_that_it_failed() -> None:
    _, ((_, _, given, _),) = await step_in("/api/calls/c/tools/t1", {"error": "Nobody is in."})
    assert not given.ok
    assert "Nobody is in." in given.output


@pytest.mark.parametrize("body", [{}, {"output": 1, "error": "x"}, {"error": 7}, {"output": "x" * (MOST_ANSWER + 1)}])
async def test_an_answer_that_makes_no_sense_is_refused(body: Any) -> None:
    answer, asked = await step_in("/api/calls/c/tools/t1", body)
    assert (answer.status, asked) == (400, [])


@pytest.mark.parametrize("path", ["/api/calls/c/whisper", "/api/calls/c/tools/t1"])
async def test_what_the_call_does_not_do_is_told(path: str) -> None:
    answer, _ = await step_in(path, {"text": "x"} if "whisper" in path else {"output": 1}, "The agent is silent.")
    assert (answer.status, answer.json()["error"]) == (409, "The agent is silent.")


async def test_what_an_operator_can_do_is_told() -> None:
    call = SimpleNamespace(
        config=SimpleNamespace(transfer_targets={"sales": "+15550100005"}),
        carrier=SimpleNamespace(can=frozenset({"transfers"})),
        requests=SimpleNamespace(
            line=SimpleNamespace(is_on_hold=True, muted=["caller"]), step_in=SimpleNamespace(waiting=list)
        ),
    )
    app = bare_app()
    add_step_in(app, lambda: cast(Any, LiveCalls(c=call)), has_token=True)
    expected = {"call": "c", "targets": ["sales"], "on_hold": True, "muted": ["caller"], "waiting": []}
    assert (await request(app, "GET", "/api/calls/c/acts")).json() == expected
    call.carrier.can = frozenset()
    assert (await request(app, "GET", "/api/calls/c/acts")).json() == {**expected, "targets": []}
    assert (await request(app, "GET", "/api/calls/gone/acts")).status == 404
