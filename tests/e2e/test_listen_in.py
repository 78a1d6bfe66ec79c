"""Operators who listen to a live call, and who speak in it, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from unittest import mock

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callflow.call import take_over
from callflow.sandbox.common.phone import tone
from tests.e2e.product import Product, until
from tests.e2e.talk import greeted, noise, talk
from tests.e2e.test_live import asked, port, stage
from tests.media.test_listen_in_audio import pieces


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
OWNER, VIEWER = "the-token-of-the-owner-5678", "the-token-of-a-viewer-5678"


def listening(the: Product, what: str = "listen", call: str = "", **options: Any) -> Any:
    name = call or the.call.id
    return connect(f"ws://127.0.0.1:{port(the)}/api/calls/{name}/{what}", proxy=None, **options)


async def test_a_listener_gets_both_sides_and_can_send_nothing() -> None:
    async with stage() as the:
        one = await talk(the)
        relay = the.call.relay
        assert not relay.taps
        sides: dict[int, bytes] = {0: b"", 1: b"", 2: b""}
        async with listening(the) as socket:
            assert '"rate": 8000' in await socket.recv()

            async def read() -> None:
                with contextlib.suppress(ConnectionClosed):
                    async for message in socket:
                        for side, _, audio in pieces(message):
                            sides[side] += audio

            reading = asyncio.create_task(read(), name="telnyx sandbox listener")
            await asked(the, one)
            await until(lambda: noise(400, 2)[:1600] in sides[1], "the agent's answer")
            assert tone(500)[1600:2400] in sides[0]
            await socket.send(noise(100, 3))
            await until(reading.done, "the end of a listener who sends")
            assert (socket.close_code, socket.close_reason) == (1008, "A listener sends nothing.")
        await until(lambda: not relay.taps, "the end of the listening")
        assert [(one["state"], one["by"]) for one in the.happened("listen_in")] == [
            ("began", "operator"), ("ended", "operator"),
        ]  # fmt: skip
        assert noise(100, 3)[:800] not in one.heard()


async def test_who_may_only_look_does_not_listen() -> None:
    async with stage(console_token=OWNER, console_tokens=f"wall:view:{VIEWER}") as the:
        await talk(the)
        for token in (VIEWER, ""):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            with pytest.raises(InvalidStatus):
                async with listening(the, additional_headers=headers):
                    pass
        assert the.happened("listen_in") == []
        headers = {"Authorization": f"Bearer {OWNER}"}
        async with listening(the, call="nobody", additional_headers=headers) as socket:
            await socket.wait_closed()
            assert socket.close_code == 4404


async def test_a_caller_is_taken_over_and_given_back() -> None:
    async with stage() as the:
        one = await talk(the)
        await greeted(the, one)
        voice = noise(2000, 7)
        async with listening(the, "takeover") as socket:
            assert '"taken_over": true' in await socket.recv()
            async with listening(the, "takeover") as second:
                await second.wait_closed()
                assert second.close_code == 4409
            await until(lambda: "agent" in the.call.requests.line.muted, "the agent to be muted")
            await speak(socket, voice)
            await until(lambda: voice[4000:6000] in one.heard(), "the caller to hear the operator")
            assert len(the.realtime.sessions) == 2, "nobody writes down what the operator says"
            await socket.send(json.dumps({"give_back": True, "line": "The loaf is reserved."}))
            await socket.wait_closed()
            assert socket.close_reason == "The agent has the caller back."
        await until(lambda: not the.call.take_over.by, "the agent to have the caller back")
        assert [one["state"] for one in the.happened("take_over")] == ["began", "ended"]
        mutes = [(one["on"], one["by"]) for one in the.happened("mute_requested")]
        assert mutes == [(True, "take-over, operator"), (False, "take-over, operator")]
        told = " ".join(one["text"] for one in the.happened("told"))
        assert "The loaf is reserved." in told
        assert "The operator said to the caller" in told
        await until(lambda: noise(400, 2)[:1600] in one.heard(), "the agent to go on")


async def test_an_operator_who_is_lost_gives_back_by_that() -> None:
    with mock.patch.object(take_over, "_LOST_SECONDS", 0.3):
        async with stage() as the:
            one = await talk(the)
            await greeted(the, one)
            async with listening(the, "takeover") as socket:
                await socket.recv()
                socket.transport.abort()
            await until(lambda: the.happened("take_over"), "the take-over")
            await until(lambda: not the.call.take_over.by, "the agent to have the caller back")
            assert [one["state"] for one in the.happened("take_over")] == ["began", "lost", "ended"]
            assert the.call.requests.line.muted == []
            await until(lambda: noise(400, 2)[:1600] in one.heard(), "the agent to go on")


async def speak(socket: Any, voice: bytes) -> None:
    """As a microphone: 100 ms at a time."""
    for at in range(0, len(voice), 800):
        await socket.send(voice[at : at + 800])
        await asyncio.sleep(0.1)
