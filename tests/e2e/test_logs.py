"""The WebSocket `/logs` of an earlier system's page, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.product import Product, until
from tests.e2e.talk import talk
from tests.e2e.test_live import GREETING, asked, port, stage
from tests.e2e.viewer import watching


CARRIERS = ("telnyx", "twilio")
SAMPLED = True

OWNER, VIEWER, DESK = "the-token-of-the-owner-5678", "the-token-of-a-viewer-5678", "the-token-of-a-desk-567890"
TOKENS = {"console_token": OWNER, "console_tokens": f"wall:view:{VIEWER},front-desk:operate:{DESK}"}
ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "The shop closes at six."}]}


@dataclass
class Tab:
    socket: ClientConnection
    told: list[dict[str, Any]] = field(default_factory=list)
    is_closed: bool = False

    def of(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        return [one for one in self.told if one["type"] == kind and fields.items() <= one.items()]

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        await until(lambda: self.of(kind, **fields), f"{kind} {fields}")
        return self.of(kind, **fields)[0]

    async def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request."""
        before = len(self.told)
        await self.socket.send(json.dumps(request))

        def answers() -> list[dict[str, Any]]:
            return [one for one in self.told[before:] if one["type"] in ("error", "request.taken")]

        await until(answers, "an answer")
        return answers()[0]

    async def read(self) -> None:
        try:
            async for message in self.socket:
                self.told.append(json.loads(message))
        except ConnectionClosed:
            pass
        self.is_closed = True


@contextlib.asynccontextmanager
async def tab(the: Product, token: str = "") -> AsyncIterator[Tab]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(f"ws://127.0.0.1:{port(the)}/logs", additional_headers=headers, proxy=None) as socket:
        opened = Tab(socket)
        reading = asyncio.create_task(opened.read(), name="telnyx sandbox tab")
        try:
            yield opened
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_two_tabs_stay_connected_and_a_late_one_sees_the_whole() -> None:
    async with stage() as the, tab(the) as one, tab(the) as other:
        call = await talk(the)
        stream = (await one.until("call.started", callId=the.call.id))["streamSid"]
        assert stream
        await asked(the, call)
        await other.until("transcription", transcript="Have you got rye bread?", streamSid=stream)
        await other.until("response.output_audio_transcript.done", transcript=GREETING)
        await one.until("call.state", state="streaming")
        await until(lambda: len(one.told) == len(other.told), "both tabs to know the same")
        async with tab(the) as late:
            await late.until("transcription", transcript="Have you got rye bread?")

            def whole(each: Tab) -> list[dict[str, Any]]:
                return [told for told in each.told if not told["type"].endswith(".delta")]

            await until(lambda: whole(late) == whole(one), "the late tab to know the same")
            await call.call.hang_up()
            for each in (one, other, late):
                ended = await each.until("call.ended", streamSid=stream)
                assert (ended["message"], ended["result"]) == ("Call ended", "success")
                assert not each.is_closed
        assert all(told["streamSid"] == stream for told in one.told)
    assert one.told == other.told


async def test_a_request_reaches_the_one_call_that_it_names() -> None:
    async with stage() as the, tab(the) as one:
        first, second = await talk(the), await talk(the)
        name, other = [call.id for call in the.app.switchboard.calls]
        for each in (name, other):
            await one.until("call.started", callId=each)
        refused = await one.ask(type="conversation.item.create", item=ITEM)
        assert "Several calls are live" in refused["error"]["message"]
        refused = await one.ask(type="input_audio_buffer.append", callId=name, audio="AAAA")
        assert "takes session.update and conversation.item.create" in refused["error"]["message"]
        refused = await one.ask(type="session.update", callId="nobody", session={"speed": 0.9})
        assert "no live call" in refused["error"]["message"]
        stream = one.of("call.started", callId=name)[0]["streamSid"]
        taken = await one.ask(type="conversation.item.create", streamSid=stream, item=ITEM)
        assert taken == {"type": "request.taken", "request": "conversation.item.create", "callId": name}
        slow = {"type": "realtime", "audio": {"output": {"speed": 0.9}}}
        taken = await one.ask(type="session.update", callId=name, session=slow)
        assert (taken["type"], taken["warnings"]) == ("request.taken", [])
        await one.until("session.updated", callId=name, session={"speed": 0.9})
        texts = [
            [part.get("text") for event in talked.session.received for part in parts(event.event)]
            for talked in (first, second)
        ]
        assert "The shop closes at six." in texts[0]
        assert "The shop closes at six." not in texts[1]
        assert not one.of("session.updated", callId=other, session={"speed": 0.9})


def parts(event: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (event.get("item") or {}).get("content") or []
    return found


async def test_what_somebody_asks_is_written_down_with_their_name() -> None:
    async with stage(**TOKENS) as the, tab(the, DESK) as desk, tab(the, OWNER) as owner:
        await talk(the)
        name = (await desk.until("call.started"))["callId"]
        for each, speed in ((desk, 0.9), (owner, 1.1)):
            assert (await each.ask(type="conversation.item.create", item=ITEM))["type"] == "request.taken"
            assert not (await each.ask(type="session.update", callId=name, session={"speed": speed}))["warnings"]
        assert [told["by"] for told in the.happened("told")] == ["token front-desk", "console"]
        assert [changed["by"] for changed in the.happened("session_changed")] == ["token front-desk", "console"]
        the.call.agent.respond_to("Nobody in particular.", shown="Nobody in particular.")
        assert "by" not in the.happened("told")[-1]


async def test_a_session_without_an_address_is_kept_for_coming_calls() -> None:
    async with stage() as the, tab(the) as one:
        taken = await one.ask(type="session.update", session={"speed": 0.9})
        assert taken["type"] == "request.taken"
        assert the.app.configs.rules.overrides == {"speed": 0.9}
        refused = await one.ask(type="session.update", session={"voice": 5})
        assert refused["type"] == "error"


async def test_only_those_with_a_token_are_let_in_and_viewers_only_look() -> None:
    async with stage(**TOKENS) as the:
        with pytest.raises(InvalidStatus) as refusal:
            async with tab(the):
                pass
        assert refusal.value.response.status_code == 401
        async with tab(the, VIEWER) as viewer:
            await talk(the)
            started = await viewer.until("call.started")
            assert started["from"] == "+1555•••0001"
            refused = await viewer.ask(type="conversation.item.create", item=ITEM)
            assert "may view" in refused["error"]["message"]
        async with tab(the, OWNER) as owner:
            assert (await owner.ask(type="conversation.item.create", item=ITEM))["type"] == "request.taken"
            assert (await owner.ask(type="session.update", session="loud"))["type"] == "error"


async def test_who_may_only_view_puts_no_number_together_from_words_that_are_being_spoken() -> None:
    async with stage(**TOKENS) as the, tab(the, OWNER) as owner, tab(the, VIEWER) as viewer:
        await talk(the)
        path, delta = f"/api/live/{the.call.id}/events", "response.output_audio_transcript.delta"
        async with contextlib.AsyncExitStack() as stack:
            whole, veiled = [
                await stack.enter_async_context(watching(port(the), path, Authorization=f"Bearer {token}"))
                for token in (OWNER, VIEWER)
            ]
            await owner.until("response.output_audio_transcript.done", transcript=GREETING)
            story = the.app.live_service.stories._open[the.call.id]
            for text in ("You are +1", "You are +1 (555"):
                story.speak("grows", "agent", text)
                story.signal.set()
                await whole.until("partial", text=text)
            assert (await veiled.until("partial", item="grows"))["text"] == "You are +•••"
            await owner.until(delta, item_id="grows")
            assert (await viewer.ask(type="conversation.item.create", item=ITEM))["type"] == "error"
        assert not viewer.of(delta), "nothing of it came before the answer"


async def test_a_server_that_stops_lets_its_tabs_come_back() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with stage() as the:
            one = await stack.enter_async_context(tab(the))
            await talk(the)
            await one.until("call.started")
        await until(lambda: one.is_closed, "the end")
        assert one.socket.close_code == 1013
