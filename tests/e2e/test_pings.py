"""Pings: to the engine, so that one that hangs is noticed; to the carrier, so that nothing in between forgets it."""

import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.frames import Opcode

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e.media_socket import media_socket, ring_by_hand
from tests.e2e.product import product
from tests.e2e.talk import goodbye, talk


MEDIA_SERVERS = ("picows", "websockets", "hypercorn")
CARRIERS = ("telnyx", "twilio")
SAMPLED = True


class Counting(ClientConnection):
    """A carrier's end that counts pings, and answers as many as `answers` says."""

    answers = 1 << 30
    pings = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        plain = self.protocol.send_frame

        def send_frame(frame: Any) -> None:
            if frame.opcode is Opcode.PONG:
                self.pings += 1
                if self.pings > self.answers:
                    return
            plain(frame)

        self.protocol.send_frame = send_frame  # type: ignore[method-assign]


class Deaf(Counting):
    answers = 0


class Tiring(Counting):
    answers = 2


async def counted(connection: type[Counting], **settings: Any) -> tuple[int, bool]:
    """How many pings came while the server sent a second of sound, and whether the socket is open after it."""
    async with product(media_ping_seconds=0.1, **settings) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id, create_connection=connection) as socket:
            await socket.start()
            await the.until(lambda: len(socket.heard) >= 4000, "the greeting", 5)
            since = time.monotonic()
            await the.until(lambda: time.monotonic() - since > 0.9, "nine pings' time", 3)
            pings = socket.connection.pings  # type: ignore[attr-defined]
            return pings, socket.is_open and call.state == "answered"


@pytest.mark.carrier("telnyx")
@pytest.mark.parametrize(
    ("connection", "least", "most"), [(Counting, 6, 18), (Deaf, 1, 1), (Tiring, 3, 3)], ids=["all", "none", "two"]
)
async def test_a_carrier_that_answers_pings_is_sent_more_and_one_that_does_not_loses_nothing(
    connection: type[Counting], least: int, most: int
) -> None:
    pings, is_up = await counted(connection)
    assert least <= pings <= most
    assert is_up, "no call ends for want of a pong"


@pytest.mark.carrier("telnyx")
async def test_pings_can_be_switched_off() -> None:
    async with product(media_ping_seconds=0) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id, create_connection=Counting) as socket:
            await socket.start()
            await the.until(lambda: len(socket.heard) >= 12000, "the greeting", 5)
            assert socket.connection.pings == 0  # type: ignore[attr-defined]


@pytest.mark.proof
async def test_an_engine_that_hangs_while_nobody_waits_for_it_is_noticed_by_its_pings() -> None:
    async with product(realtime=Realtime(script=Script.tone(0.3), pace=Pace.instant()), no_input_seconds=0) as the:
        one = await talk(the)
        await one.phone.hears(0.2, 5)
        assert not the.happened("engine_lost")
        one.session.freeze()
        await the.until(lambda: the.happened("engine_lost"), "the engine to be missed", 9)
        second = await the.realtime.wait_session(2)
        await second.wait_sent("session.updated")
        since = time.monotonic()
        one.phone.say(tone(700))
        await one.phone.hears(0.2, 5, since=since)
        await goodbye(the, one)
