"""A model that cannot be had, in whatever manner, at whatever moment: with the settings that everybody begins with, the
caller has heard the apology and the call is over ten seconds after. And the log says so in a few lines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from callflow.media import clips
from callflow.sandbox.openai_realtime import Faults, Pace, Realtime, Script
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.e2e.product import PUBLIC, Exchange, product, run, together, until
from tests.e2e.talk import clock, noise, saying, talk
from tests.sample import Sample


SORRY = clips.load("en")["sorry"].audio
MOST_SECONDS = 10.0
MOMENTS = ("from the start", "while nobody speaks", "in a sentence")
MOST_WARNINGS = 6


class Doorway:
    """A TCP port in front of the model, which can be shut."""

    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._hole: list[socket.socket] = []
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = urlsplit(self._realtime.url)
        inner, out = await asyncio.open_connection(place.hostname, place.port)
        self._open |= {writer, out}
        with contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, out), _copy(inner, writer))

    def shut(self, how: str) -> None:
        """refused: nobody listens any more. hole: no packet is answered. hangs: taken, and never answered."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        if how == "refused":
            return
        listener = socket.create_server(("127.0.0.1", self.port), backlog=100 if how == "hangs" else 0)
        self._hole.append(listener)
        for _ in range(8 if how == "hole" else 0):
            one = socket.socket()
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", self.port))
            self._hole.append(one)

    async def close(self) -> None:
        for one in self._hole:
            one.close()
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def doorway(realtime: Realtime) -> AsyncIterator[Doorway]:
    door = Doorway(realtime)
    await door.start()
    try:
        yield door
    finally:
        await door.close()


MANNERS: dict[str, str | dict[str, Any]] = {
    "connection refused": "refused",
    "no packet is answered": "hole",
    "the handshake is never answered": "hangs",
    **{f"HTTP {status}": {"refuse_next": -1, "refuse_status": status} for status in (401, 403, 429, 500)},
    "429, to wait a minute": {"refuse_next": -1, "refuse_status": 429, "retry_after": "60"},
    "closed at once": {"drop_after_s": 0.0},
    "never ready": {"no_session_updated": True},
    "ready, and dies after half a second, again and again": {"drop_after_s": 0.5},
    "ready, and dies after a second and a half, again and again": {"drop_after_s": 1.5},
}


def carrier_of(name: str) -> Exchange:
    return Twilio(PUBLIC) if name == "twilio" else Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_s")


async def away(carrier: str, manner: str | dict[str, Any], moment: str, caplog: pytest.LogCaptureFixture) -> None:
    script = Script.of(saying(noise(5000 if moment == "in a sentence" else 600, 4)), otherwise=saying(noise(5000, 5)))
    realtime = Realtime(script=script, pace=Pace(first_byte_ms=50, speed=1.5))
    received = bytearray()
    async with doorway(realtime) as door:
        url = f"ws://127.0.0.1:{door.port}/v1/realtime"
        async with (
            product(carrier=carrier_of(carrier), realtime=realtime, openai_realtime_url=url) as the,
            clock() as watched,
        ):
            one = None
            if moment != "from the start":
                one = await talk(the)
                await one.phone.hears(0.3, timeout=8)
                if moment == "while nobody speaks":
                    await one.phone.hears_silence(400, timeout=8)
            began, watched.stalled_ms = time.monotonic(), 0.0
            if isinstance(manner, str):
                door.shut(manner)
            else:
                realtime.faults = Faults.from_json(manner)
                if one is not None:
                    one.session.drop()
            call = one.call if one is not None else await the.carrier.ring()
            if one is None:
                call.phone.on_media = lambda at, audio: received.extend(audio)
            await call.wait_ended(25)
            if one is None and isinstance(manner, dict):
                began += manner.get("drop_after_s", 0.0)
            seconds = (call.ended_at or 0.0) - began - watched.stalled_ms / 1000
            heard = one.received if one is not None else received
            assert SORRY in heard or call.spoken, f"no apology: {the.timeline()}"
            assert seconds < MOST_SECONDS, f"over after {seconds:.1f} s"
            await until(lambda: not the.app.switchboard.calls, "the call to be let go")
            (name,) = the.app.journal.calls()
            (ended,) = the.happened("ended")
            assert ended["cause"] in ("engine_lost", "engine_timeout")
            mine = [record for record in caplog.records if name in record.getMessage()]
            warnings = [each.getMessage() for each in mine if each.levelno >= logging.WARNING]
            assert len(warnings) <= MOST_WARNINGS, warnings
            last = [each.getMessage() for each in mine if "-> hangup" in each.getMessage()]
            assert last
            assert ended["cause"] in last[-1], last


@pytest.mark.proof
@pytest.mark.parametrize("carrier", ["telnyx", "twilio"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_model_that_is_away_for_good_ends_the_call_within_ten_seconds(
    carrier: str, moment: str, caplog: pytest.LogCaptureFixture, some: Sample
) -> None:
    """Each manner over one carrier at one or two of the moments, a sample of them over the other; all with --long."""
    caplog.set_level(logging.INFO, "callflow")
    others = list(MANNERS.items())
    first = MOMENTS.index(moment) % 2
    manners = some([*others[first:], *others[:first]], 2 if carrier == "telnyx" else 6)
    run(together({name: away(carrier, manner, moment, caplog) for name, manner in manners}))
