"""A model whose every event a test says itself: over the emulated model's socket, whose own answers are silenced."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from callflow.sandbox.common.phone import Phone, tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Session, Turn
from callflow.sandbox.openai_realtime.items import Item
from tests.e2e.product import Product, product
from tests.e2e.talk import saying


QUICK: dict[str, Any] = {"vad_silence_ms": 120, "apology_text": "Sorry."}


class Puppet:
    """The model of one call that was greeted and is quiet."""

    def __init__(self, the: Product, call: Any, session: Session) -> None:
        self.the, self.call, self.session = the, call, session
        self.answered = 0
        """Requests for a response that were seen to."""
        self._count = 0

    @property
    def phone(self) -> Phone:
        found: Phone = self.call.phone
        return found

    def emit(self, kind: str, **fields: Any) -> None:
        self.session.emit(kind, **fields)

    def name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count}"

    # The caller's turn

    async def turn(self, transcript: str | None = "What time?", *, ms: float = 300) -> str:
        """`U`: the caller has spoken, as this model says. Returns the item."""
        self.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id=(item := self.name("user")))
        await asyncio.sleep(ms / 1000)  # how long they speak
        self.stopped(item)
        if transcript is not None:
            self.transcribed(item, transcript)
        return item

    def stopped(self, item: str) -> None:
        self.emit("input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=item)
        self.emit("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        shown = {"id": item, "object": "realtime.item", "type": "message", "role": "user", "status": "completed"}
        self.emit("conversation.item.added", previous_item_id=None, item={**shown, "content": []})

    def transcribed(self, item: str, transcript: str) -> None:
        kind = "conversation.item.input_audio_transcription.completed"
        self.emit(kind, item_id=item, content_index=0, transcript=transcript)

    # Responses

    def begin(self) -> str:
        response = self.name("resp")
        self.emit("response.created", response={"id": response, "status": "in_progress", "output": []})
        return response

    def message(self, response: str) -> str:
        item = self.name("item")
        shown = {"id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        self.emit("response.output_item.added", response_id=response, output_index=0, item=shown)
        self.emit("conversation.item.added", previous_item_id=None, item=shown)
        return item

    def sound(self, response: str, item: str, audio: bytes) -> None:
        place = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        for start in range(0, len(audio), 1600):
            delta = base64.b64encode(audio[start : start + 1600]).decode()
            self.emit("response.output_audio.delta", **place, delta=delta)

    def say(self, response: str, text: str, audio: bytes, *, done: bool = True) -> str:
        item = self.message(response)
        place = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        self.emit("response.output_audio_transcript.delta", **place, delta=text)
        self.sound(response, item, audio)
        if done:
            self.emit("response.output_audio.done", **place)
            self.emit("response.output_audio_transcript.done", **place, transcript=text)
        return item

    def write(self, response: str, text: str) -> str:
        """Text without a sound."""
        item = self.message(response)
        self.emit("response.output_text.done", response_id=response, item_id=item, output_index=0, content_index=0,
                  text=text)  # fmt: skip
        return item

    def done(self, response: str, status: str = "completed", output: Any = (), **details: Any) -> None:
        for item in output:
            if isinstance(item, dict) and item.get("type") == "mcp_approval_request":
                self.session.conversation.append(Item(item))  # only what was asked can be answered
        shown = {"id": response, "status": status, "output": list(output), "status_details": details or None}
        self.emit("response.done", response=shown)

    def answer(self, text: str = "Until four.", ms: float = 400) -> str:
        """An ordinary response, in full."""
        response = self.begin()
        item = self.say(response, text, tone(ms, 500.0))
        self.done(response, output=[{"id": item, "type": "message", "role": "assistant", "content": []}])
        return item

    # What is asked of it

    def creates(self) -> list[str]:
        """What all requests for a response ask for; "": simply an answer."""
        return [str((event.get("response") or {}).get("instructions", "")) for event in self.sent("response.create")]

    async def asked(self, timeout: float = 3.0) -> str:
        """The next request for a response that was not seen to yet."""
        self.answered += 1
        number = self.answered
        await self.the.until(lambda: len(self.creates()) >= number, f"request {number} for a response", timeout)
        return self.creates()[number - 1]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [one.event for one in self.session.received if one.event.get("type") == kind]

    async def rest(self) -> None:
        """Until nothing is said any more."""
        await self.phone.hears_silence(300, timeout=8)


@contextlib.asynccontextmanager
async def puppet(
    *, greeted: bool = True, others: asyncio.Barrier | None = None, **settings: Any
) -> AsyncIterator[Puppet]:
    """A call that is greeted and quiet; or one whose greeting is asked for just now.

    `others`: of scenes that are played together, whose servers are to be up before anybody calls."""
    greeting = saying(tone(200, 900.0))
    realtime = Realtime(
        script=Script.of(*([greeting] if greeted else []), otherwise=Turn.silence()), pace=Pace.instant()
    )
    async with product(realtime=realtime, **{**QUICK, **settings}) as the:
        if others is not None:
            await asyncio.wait_for(others.wait(), 30)
        call = await the.carrier.ring()
        await call.wait_streaming()
        one = Puppet(the, call, await the.realtime.wait_session())
        await one.session.wait_for("response.create", 1)
        if greeted:
            await one.phone.hears(0.15)
            await one.rest()
            one.answered = 1
        one.session.config["audio"]["input"]["turn_detection"] = None  # the test says who speaks
        one.session.caller.configure()
        yield one
        await call.hang_up()
        await the.quiet(6)


async def cause(one: Puppet, timeout: float = 8.0) -> str:
    """Why the call has ended by itself."""
    await one.call.wait_ended(timeout)
    await one.the.until(lambda: one.the.happened("ended"), "the call to be let go of")
    return str(one.the.happened("ended")[0]["cause"])
