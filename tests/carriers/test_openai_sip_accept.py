"""What OpenAI refuses of a session costs a call over SIP no more than a call over a socket of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from callflow.contracts import commands
from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.engine import Engine, EngineEvent, ErrorReported, SessionContext, SessionLost, SessionReady
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import LegIds
from callflow.engines.common.account import Account
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.engines.openai_realtime.session_fallback import AcceptOffer
from callflow.sandbox.openai_realtime import Pace, Quirks, Realtime, Script
from callflow.sandbox.openai_realtime.sip import SipCall
from carriers.openai_sip.carrier import OpenAISip, OpenAISipConfig
from tests.configs import realtime_config


SHOP: dict[str, Any] = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example"}
REFUSED = "my-transcriber"


class Line:
    """An emulated OpenAI, whose calls are taken as the product takes them, all with one account."""

    def __init__(self, realtime: Realtime, carrier: OpenAISip) -> None:
        self.realtime, self.carrier, self.account = realtime, carrier, Account()
        self.config: RealtimeConfig = realtime_config(
            url=realtime.url, api_key=realtime.api_key, voice="cedar", noise_reduction="near_field", tool_choice="none",
            transcription_model=REFUSED,
        )  # fmt: skip

    async def takes(self, *tools: dict[str, Any], account: Account | None = None) -> SipCall:
        """Let a telephone ring, and accept it."""
        call = await self.realtime.sip.ring()
        offer = AcceptOffer(self.config, self._context(call, tools), account or self.account)
        order = CarrierRequest(commands.Answer(), "id", "call", LegIds(control=call.id), offer=offer)
        await self.carrier.execute(order)
        return call

    @staticmethod
    def _context(call: SipCall | None, tools: tuple[dict[str, Any], ...]) -> SessionContext:
        return (
            SessionContext(call.id, remote=call.id, tools=tools)
            if call is not None
            else SessionContext("call", tools=tools)
        )

    @asynccontextmanager
    async def session(self, call: SipCall | None, *tools: dict[str, Any]) -> AsyncIterator[Spoken]:
        """The session beside a call; None: of a call over a socket of its own."""
        spoken = Spoken()
        spoken.engine = OpenAIRealtime(self.config, self._context(call, tools), spoken.hear, self.account)
        running = asyncio.create_task(spoken.engine.run())
        try:
            yield spoken
        finally:
            await spoken.engine.close()
            await running


class Spoken:
    """What an engine tells."""

    engine: Engine

    def __init__(self) -> None:
        self.told: list[EngineEvent] = []
        self._moved = asyncio.Event()

    def hear(self, event: EngineEvent) -> None:
        self.told.append(event)
        self._moved.set()

    async def ready(self) -> None:
        while SessionReady() not in self.told:
            self._moved.clear()
            await self._moved.wait()


@asynccontextmanager
async def line(**quirks: Any) -> AsyncIterator[Line]:
    vendor = Realtime(script=Script.silent(), pace=Pace.instant(), quirks=Quirks(**quirks))
    async with asyncio.timeout(10), vendor as realtime:
        realtime.sip.webhook_url = "http://127.0.0.1:9/"
        calls = f"{realtime.url.replace('ws', 'http', 1)}/calls"
        carrier = OpenAISip(
            OpenAISipConfig(
                api_key=realtime.api_key, webhook_secret=realtime.sip.secret, calls_url=calls, sip_uri="", seconds=2.0,
                retries=3,
            )
        )  # fmt: skip
        yield Line(realtime, carrier)
        await carrier.close()


def sound(session: dict[str, Any]) -> tuple[Any, ...]:
    of_input, output = session["audio"]["input"], session["audio"]["output"]
    return output["voice"], of_input["noise_reduction"], of_input["transcription"], session["tool_choice"]


async def test_a_refused_field_costs_a_call_over_sip_that_field_and_no_other() -> None:
    async with line() as one:
        async with one.session(None) as over_socket:
            await over_socket.ready()
            wanted = sound(one.realtime.sessions[0].config)
        assert wanted == ("cedar", {"type": "near_field"}, None, "none")

        one.account = Account()
        call = await one.takes()
        assert [status for action, _, status in call.commands if action == "accept"] == [400, 200]
        session = await call.wait_answered()
        assert sound(session.config) == wanted
        async with one.session(call) as beside:
            await session.wait_sent("session.updated")
            await beside.ready()
            assert sound(session.config) == wanted
            assert session.violations == []
            assert "transcribes" not in beside.engine.can
            assert [event.code for event in beside.told if isinstance(event, ErrorReported)] == ["left_out"]

        next_call = await one.takes()
        assert [status for _, _, status in next_call.commands] == [200], "it was refused once more"
        assert sound((await next_call.wait_answered()).config) == wanted


async def test_a_refused_tool_costs_a_call_over_sip_that_tool_alone() -> None:
    async with line() as one:
        call = await one.takes(SHOP, {**SHOP, "server_url": "https://other.example"})
        session = await call.wait_answered()
        assert [tool["server_url"] for tool in session.config["tools"]] == ["https://shop.example"]
        assert sound(session.config) == ("cedar", {"type": "near_field"}, None, "none")


async def test_what_another_process_has_accepted_a_call_with_does_not_make_the_sideband_lose_the_rest() -> None:
    """This process does not know what was refused: its own first update is, and then asks for less as any other."""
    async with line() as one:
        call = await one.takes(account=Account())
        session = await call.wait_answered()
        one.config = replace(one.config, instructions="You sell tea.")
        async with one.session(call) as beside:
            await session.wait_sent("session.updated")
            await beside.ready()
            assert session.config["instructions"] == "You sell tea."
            assert "transcribes" not in beside.engine.can
            assert not [event for event in beside.told if isinstance(event, SessionLost)]


@pytest.mark.parametrize("over_sip", [True, False])
async def test_that_the_caller_is_transcribed_is_what_the_server_says_and_not_what_was_asked(over_sip: bool) -> None:
    """A change that is refused changes nothing, and what was confirmed before holds."""
    async with line() as one:
        one.config = realtime_config(
            url=one.config.url, api_key=one.config.api_key, transcription_model="gpt-transcribe"
        )
        call = await one.takes() if over_sip else None
        async with one.session(call) as spoken:
            await spoken.ready()
            session = one.realtime.sessions[0]
            await session.wait_sent("session.updated")
            assert "transcribes" in spoken.engine.can
            spoken.engine.update({"transcription_model": "", "vad_threshold": 7.0})
            while not [event for event in spoken.told if isinstance(event, ErrorReported)]:
                spoken._moved.clear()
                await spoken._moved.wait()
            assert session.config["audio"]["input"]["transcription"] is not None
            assert "transcribes" in spoken.engine.can


@pytest.mark.e2e
async def test_the_session_of_a_call_over_sip_ends_after_an_hour_and_the_call_with_it() -> None:
    async with line(session_seconds=0.2) as one:
        call = await one.takes()
        session = await call.wait_answered()
        async with one.session(call) as beside:
            await call.wait_ended()
            assert (call.ended_by, beside.engine.can >= {"plays_itself"}) == ("carrier", True)
        assert [event.event["error"]["code"] for event in session.sent if event.type == "error"] == ["session_expired"]


async def test_a_vendor_who_refuses_accepts_is_left_alone_and_callers_hear_that_it_is_busy() -> None:
    async with line() as one:
        one.realtime.sip.fail_accepts[:] = [429] * 100

        async def refused() -> None:
            with pytest.raises(CarrierError):
                await one.takes()

        await asyncio.gather(*(refused() for _ in range(8)))
        assert one.account.is_open
        calls = list(one.realtime.sip.calls.values())
        assert all(len([one for one in call.commands if one[0] == "accept"]) == 1 for call in calls)
        await refused()
        late = list(one.realtime.sip.calls.values())[-1]
        assert late.commands == [("reject", {"status_code": 486}, 200)]


@pytest.mark.e2e
async def test_a_single_accept_that_fails_is_tried_again() -> None:
    async with line() as one:
        one.realtime.sip.fail_accepts[:] = [503, 429]
        call = await one.takes()
        accepts = [status for action, _, status in call.commands if action == "accept"]
        assert [status for status in accepts if status != 400] == [503, 429, 200]
        assert not one.account.is_open


@pytest.mark.e2e
async def test_a_vendor_who_refuses_sockets_beside_calls_is_left_alone() -> None:
    async with line() as one:
        calls = [await one.takes() for _ in range(3)]
        faults = one.realtime.faults
        faults.refuse_next, faults.refuse_status, faults.retry_after = -1, 429, ""
        before = one.realtime.connections_attempted
        one.config = replace(one.config, connect_seconds=1.0)
        told: list[EngineEvent] = []
        engines = [
            OpenAIRealtime(one.config, SessionContext(f"call {number}", remote=call.id), told.append, one.account)
            for number, call in enumerate(calls)
        ]
        await asyncio.gather(*(engine.run() for engine in engines))
        assert [type(event) for event in told] == [SessionLost] * 3
        assert one.account.is_open
        assert one.realtime.connections_attempted - before <= 6
