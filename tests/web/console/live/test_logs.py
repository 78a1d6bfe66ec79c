"""The WebSocket `/logs`: what it takes, for which call, and what it says of what it does not take.

What it tells is tested in test_log_feed.py; with live calls, in tests/e2e/test_logs.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart import Quart

from callflow.cluster.node_paths import FORWARDED
from callflow.config.session_changes import Asked
from callflow.contracts.errors import DatabaseError, PeerAway, SessionRefused
from callflow.web.console.identity import OPERATE, VIEW, Operator
from callflow.web.console.live.logs import add_logs
from callflow.web.console.live.sse import Seats
from callflow.web.console.request_body import OF_SESSION
from callflow.web.console.step_in import MOST_ANSWER
from tests.in_loop import in_loop
from tests.web.console.bare import LiveCalls, bare_app, socket


UPDATE, ITEM = "session.update", "conversation.item.create"


def words(*texts: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "input_text", "text": text} for text in texts], **more}


class FakeCall:
    """Notes what it is asked. `why`: why a tool's answer is not taken."""

    def __init__(self, name: str, business: str = "", why: str = "") -> None:
        self.id, self.why = name, why
        self.config = SimpleNamespace(business=business)
        self.asked: list[Any] = []
        self.agent = SimpleNamespace(respond_to=self._respond_to)
        self.requests = SimpleNamespace(step_in=SimpleNamespace(change=self._change, answer_tool=self._answer_tool))

    def _respond_to(self, text: str, *, shown: str, by: str) -> None:
        self.asked.append(("told", text, shown, by))

    def _change(self, changes: Mapping[str, Any], by: str) -> list[str]:
        self.asked.append(("changed", dict(changes), by))
        return ["left out"]

    def _answer_tool(self, name: str, answer: Any, by: str) -> str:
        self.asked.append(("answered", name, answer.output, by))
        return self.why


class Stage:
    """`/logs` of a server with these calls, and `elsewhere`: calls of another node, by name."""

    def __init__(self, *calls: FakeCall, elsewhere: Mapping[str, str] | None = None) -> None:
        self.calls, self.away = {call.id: call for call in calls}, dict(elsewhere or {})
        self.kept: list[Any] = []
        self.error: Exception | None = None
        self.led: list[Any] = []
        self.waits = asyncio.Event()
        self.seats = Seats(1)
        self.history = SimpleNamespace(is_readable=True)

    def app(self) -> Quart:
        app, logs = bare_app(), SimpleNamespace(
            messages=self._messages, call=self._call, elsewhere=self._elsewhere,
            count_elsewhere=lambda business: len(self.away),
        )  # fmt: skip
        service = SimpleNamespace(seats=self.seats, logs=logs, redact=SimpleNamespace(text=str.upper))
        add_logs(
            app, cast(Any, service), lambda: cast(Any, LiveCalls(**self.calls)), cast(Any, self.history),
            cast(Any, SimpleNamespace(change=self._keep)), self._checked,
            cast(Any, SimpleNamespace(ask=self._lead)) if self.away else None, has_token=True,
        )  # fmt: skip
        return app

    async def _messages(self, business: str, *, own: bool, deltas: bool) -> AsyncGenerator[str, None]:
        yield json.dumps({"business": business, "own": own, "deltas": deltas})
        await self.waits.wait()

    def _call(self, name: str, business: str) -> Any:
        found = self.calls.get(name)
        return found if found is not None and business in ("", found.config.business) else None

    def _elsewhere(self, name: str, business: str) -> tuple[str, str]:
        return (name, self.away[name]) if name in self.away else ("", "")

    async def _lead(self, node: str, call: str, request: Any, headers: Any) -> dict[str, Any]:
        if node == "dead":
            raise PeerAway("gone", sent=False)
        self.led.append((node, call))
        return {"type": "request.taken", "callId": call}

    @staticmethod
    def _checked(session: Mapping[str, Any]) -> Asked:
        if "voice" in session:
            raise SessionRefused(["There is no such voice."])
        return Asked({name: value for name, value in session.items() if name != "odd"}, ["odd"] * ("odd" in session))

    async def _keep(self, session: Mapping[str, Any], *, by: str) -> None:
        if self.error is not None:
            raise self.error
        self.kept.append((dict(session), by))

    async def ask(self, *requests: Any, by: Operator | None = None, by_node: str = "") -> list[Any]:
        """What is answered to these requests, one after another. `by_node`: which has led the socket here."""
        async with socket(self.app(), "/logs", by=by, **({FORWARDED: by_node} if by_node else {})) as page:
            await page.told()
            answers = []
            for request in requests:
                page.send(request)
                answers.append(await page.told())
            return answers


def sentence(answer: Any) -> str:
    assert (answer["type"], answer["error"]["type"]) == ("error", "invalid_request_error"), answer
    return str(answer["error"]["message"])


@in_loop
async def test_words_and_changes_reach_the_only_call_and_are_answered() -> None:
    call = FakeCall("c")
    the = Stage(call)
    told, changed, named = await the.ask(
        {"type": ITEM, "item": words("We close", "at six.")},
        {"type": UPDATE, "session": {"speed": 0.9, "odd": 1}, "streamSid": "", "callId": ""},
        {"type": UPDATE, "session": {"speed": 1.1}, "callId": "c"},
        by=Operator("desk"),
    )
    assert told == {"type": "request.taken", "request": ITEM, "callId": "c"}
    assert (changed["callId"], changed["warnings"]) == ("c", ["odd", "left out"])
    assert call.asked == [
        ("told", "We close at six.", "WE CLOSE AT SIX.", "token desk"),
        ("changed", {"speed": 0.9}, "token desk"),
        ("changed", {"speed": 1.1}, "token desk"),
    ]
    assert the.kept == [({"speed": 0.9, "odd": 1}, "token desk")], "without a name it is for coming calls, too"
    assert named["warnings"] == ["left out"]


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("", "JSON object"), (b"", "JSON object"), ("[]", "JSON object"), ("{", "JSON object"),
        (b"\xff", "JSON object"), ('"\\ud800"', "JSON object"), ("[" * 5000, "JSON object"),
        (json.dumps({"type": ITEM, "x": "x" * OF_SESSION}), f"at most {OF_SESSION} bytes"),
        (json.dumps({"type": ITEM, "x": "é" * (OF_SESSION // 2)}, ensure_ascii=False), f"at most {OF_SESSION} bytes"),
        ({}, "as type"), ({"type": 7}, "as type"), ({"type": "response.create"}, "response.create"),
        ({"type": UPDATE}, "needs a session"), ({"type": UPDATE, "session": []}, "needs a session"),
        ({"type": UPDATE, "session": {"voice": 5}}, "no such voice"),
        ({"type": ITEM, "item": words("x"), "callId": "gone"}, "no live call"),
        ({"type": ITEM, "item": words("x"), "callId": 5}, "no live call"),
        ({"type": ITEM, "item": words("x"), "streamSid": ["c"]}, "no live call"),
    ],
)  # fmt: skip
@in_loop
async def test_what_is_not_taken_is_answered_with_a_reason_and_the_socket_goes_on(message: Any, part: str) -> None:
    call = FakeCall("c")
    refused, taken = await Stage(call).ask(message, {"type": ITEM, "item": words("x")})
    assert part in sentence(refused)
    assert taken["type"] == "request.taken"
    assert len(call.asked) == 1


@pytest.mark.parametrize(
    "item",
    [
        None, [], {}, words(), words(""), words(" "), words("x" * 2001), words("x", type="function_call"),
        {"type": "message", "content": "x"}, {"type": "message", "content": [{"type": "input_audio"}]},
        {"type": "message", "content": [{"type": "input_text", "text": "x"}, "y"]}, words("x", 7), words("x", None),
    ],
)  # fmt: skip
@in_loop
async def test_an_item_is_a_message_of_words_alone_and_none_of_them_is_passed_over(item: Any) -> None:
    call = FakeCall("c")
    (refused,) = await Stage(call).ask({"type": ITEM, "item": item})
    assert "message of input_text" in sentence(refused)
    assert call.asked == []


@pytest.mark.parametrize(
    ("output", "given"),
    [('{"approved": true}', '{"approved": true}'), ("Yes.", '"Yes."'), ("", '""'), ("x" * MOST_ANSWER, None)],
)
@in_loop
async def test_an_answer_for_a_tool_is_json_or_becomes_a_text_of_it(output: str, given: str | None) -> None:
    call = FakeCall("c")
    item = {"type": "function_call_output", "call_id": "t1", "output": output}
    (taken,) = await Stage(call).ask({"type": ITEM, "item": item})
    assert taken["type"] == "request.taken"
    assert call.asked == [("answered", "t1", given or json.dumps(output), "console")]


@pytest.mark.parametrize("more", [{"output": 7}, {"output": "x" * (MOST_ANSWER + 1)}, {"call_id": None}, {}])
@in_loop
async def test_an_answer_for_no_tool_or_of_no_text_is_refused(more: dict[str, Any]) -> None:
    call = FakeCall("c")
    item = {"type": "function_call_output", **({"call_id": "t1", "output": "x", **more} if more else {})}
    (refused,) = await Stage(call).ask({"type": ITEM, "item": item})
    assert "call_id and an output" in sentence(refused)
    assert call.asked == []


@in_loop
async def test_why_a_call_does_not_take_an_answer_is_told() -> None:
    item = {"type": "function_call_output", "call_id": "t1", "output": "1"}
    (refused,) = await Stage(FakeCall("c", why="Nothing waits.")).ask({"type": ITEM, "item": item})
    assert sentence(refused) == "Nothing waits."


@in_loop
async def test_which_call_is_meant_when_several_or_none_are_live_and_whose_they_are() -> None:
    item, baker = {"type": ITEM, "item": words("x")}, Operator("oven", "bakery", OPERATE)
    bakery, taxis = FakeCall("b", "bakery"), FakeCall("t", "taxis")
    the = Stage(bakery, taxis)
    (refused,) = await the.ask(item)
    assert "Several calls are live" in sentence(refused)
    assert (await the.ask(item, by=baker))[0]["callId"] == "b", "the others' calls do not exist for it"
    assert "no live call" in sentence((await the.ask({**item, "callId": "t"}, by=baker))[0])
    assert "no live call" in sentence((await Stage().ask(item))[0])
    the = Stage(FakeCall("b", "bakery"))
    (taken,) = await the.ask({"type": UPDATE, "session": {"speed": 0.9}}, by=baker)
    assert (taken["callId"], the.kept) == ("b", []), "one business does not change what is said to all"
    the = Stage()
    assert "cannot be changed here" in sentence((await the.ask({"type": UPDATE, "session": {}}, by=baker))[0])
    assert (await the.ask({"type": UPDATE, "session": {"speed": 0.9}}))[0]["type"] == "request.taken"
    assert the.kept == [({"speed": 0.9}, "console")]


@pytest.mark.parametrize("error", [DatabaseError("gone"), OSError("disk")])
@in_loop
async def test_a_history_that_is_away_is_told(error: Exception) -> None:
    the = Stage()
    the.error = error
    assert "try again" in sentence((await the.ask({"type": UPDATE, "session": {"speed": 1}}))[0])
    the.history.is_readable = False
    assert "cannot be changed here" in sentence((await the.ask({"type": UPDATE, "session": {"speed": 1}}))[0])


@in_loop
async def test_a_call_of_another_node_is_asked_there_and_only_once() -> None:
    the = Stage(FakeCall("c"), elsewhere={"w": "w2", "x": "dead"})
    there, away, unnamed = await the.ask(*({"type": ITEM, "item": words("x"), **of} for of in (
        {"streamSid": "w"}, {"callId": "x"}, {},
    )))  # fmt: skip
    assert (there["callId"], the.led) == ("w", [("w2", "w")])
    assert "does not answer" in sentence(away)
    assert "one at another node" in sentence(unnamed)
    (led_here,) = await the.ask({"type": ITEM, "item": words("x"), "callId": "w"}, by_node="w3")
    assert "no live call" in sentence(led_here), "what another node has led here is not led on"
    assert len(the.led) == 1


@in_loop
async def test_who_may_only_view_changes_nothing_and_what_is_sent_follows_from_the_role() -> None:
    call = FakeCall("c")
    the = Stage(call)
    (refused,) = await the.ask({"type": ITEM, "item": words("x")}, by=Operator("wall", "", VIEW))
    assert "may view" in sentence(refused)
    assert call.asked == []
    for by, shown in (
        (Operator("wall", "bakery", VIEW), {"business": "bakery", "own": False, "deltas": False}),
        (Operator("desk", "", OPERATE), {"business": "", "own": False, "deltas": True}),
    ):
        async with socket(the.app(), "/logs", by=by) as page:
            assert await page.told() == shown


@in_loop
async def test_one_viewer_too_many_is_asked_to_come_back_and_so_are_all_when_it_ends() -> None:
    the = Stage()
    app = the.app()
    async with socket(app, "/logs") as page:
        await page.told()
        async with socket(app, "/logs") as another:
            assert await another.closed() == (1013, "there are too many viewers")
        the.waits.set()
        assert (await page.closed())[0] == 1013
    async with socket(app, "/logs") as page:
        await page.told()
