"""Calls as the end-to-end tests have them: who is on the line, what was said, what arrived where."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from callflow.sandbox import telnyx, twilio
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Say, Session, Turn
from tests.e2e.product import Product, until


FAST: dict[str, Any] = {
    "vad_silence_ms": 120,
    "stream_seconds": 3.0,
    "stream_grace_seconds": 0.3,
    "start_frame_seconds": 9.0,
    "farewell_seconds": 0.5,
    "apology_text": "Sorry.",
    # How a call goes on in spite of what breaks is told in test_recovery.py.
    "engine_tries": 0,
    "stream_tries": 0,
}
"""Settings under which whatever takes long in life is over soon."""
BYTES_PER_MS = 8


def noise(ms: float, seed: int) -> bytes:
    """µ-law of which every frame is different."""
    return random.Random(seed).randbytes(round(ms * BYTES_PER_MS))


def saying(*items: bytes) -> Turn:
    return Turn(tuple(Say(f"Sentence number {number}.", audio) for number, audio in enumerate(items)))


@dataclass
class Talk:
    """One call whose greeting is under way."""

    call: telnyx.Call | twilio.Call
    stream: telnyx.MediaStream | twilio.MediaStream
    session: Session
    received: bytearray
    """All audio that arrived at the carrier."""

    @property
    def phone(self) -> Phone:
        return self.call.phone

    def truncates(self) -> dict[str, list[int]]:
        events = [one.event for one in self.session.received if one.event["type"] == "conversation.item.truncate"]
        cuts: dict[str, list[int]] = {}
        for event in events:
            assert event["content_index"] == 0
            cuts.setdefault(event["item_id"], []).append(event["audio_end_ms"])
        return cuts

    def agent_items(self) -> list[str]:
        added = [one.event["item"] for one in self.session.sent if one.type == "response.output_item.added"]
        return [item["id"] for item in added]

    def generated_ms(self, item: str) -> float:
        """Audio of an item that the model has sent."""
        sent = [one.bytes for one in self.session.sent if one.bytes and one.event.get("item_id") == item]
        return sum(sent) / BYTES_PER_MS

    def heard(self) -> bytes:
        """What has come out of the ear, without the gaps."""
        return b"".join(segment.audio for segment in self.phone.heard)


@dataclass
class Clock:
    """How badly this machine keeps time: everybody in a test shares one event loop, and a stall moves audio."""

    stall_ms: float = 0.0
    """The longest."""
    stalled_ms: float = 0.0
    """All that are longer than ten milliseconds, together."""

    async def watch(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            stall = (time.monotonic() - begun) * 1000 - 5
            self.stall_ms = max(self.stall_ms, stall)
            self.stalled_ms += stall if stall > 10 else 0.0


@contextlib.asynccontextmanager
async def clock() -> AsyncIterator[Clock]:
    """Measures the longest stall until it is left."""
    clock = Clock()
    watching = asyncio.create_task(clock.watch())
    try:
        yield clock
    finally:
        watching.cancel()


async def talk(the: Product, **options: Any) -> Talk:
    """Rings, and waits until the stream is up."""
    number = len(the.realtime.sessions) + 1
    received = bytearray()
    phone = Phone(on_media=lambda at, audio: received.extend(audio))
    call = await the.carrier.ring(phone=phone, **options)
    stream = await call.wait_streaming()
    return Talk(call, stream, await the.realtime.wait_session(number), received)


async def greeted(the: Product, one: Talk) -> None:
    """Wait until the caller has heard the greeting: on a busy machine it may begin after a silence."""
    await until(lambda: the.call.model.state == "streaming" and the.happened("agent_speaks"), "the greeting")
    await one.phone.hears_silence(300)


async def goodbye(the: Product, *talks: Talk) -> None:
    """Everybody hangs up; nothing may have been refused by anybody, but for one commit: where the model's word that the
    caller has stopped is very late, as on a busy machine, it meets ours that the turn is over."""
    for one in talks:
        await one.call.hang_up()
    await the.quiet()
    for one in talks:
        refused = one.session.violations
        met = len(refused) == 1 and refused[0].startswith("input_audio_buffer.commit: Error committing")
        assert refused == [] or met, f"the model refused: {refused}"
        assert one.stream.errors == [], f"the carrier refused: {one.stream.errors}"
    assert the.carrier.failures == []
