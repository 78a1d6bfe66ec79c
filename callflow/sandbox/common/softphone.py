"""A person's own voice at an emulated line: what a microphone sends is said, and what is heard comes out in 20 ms.

The call itself is any leg of an emulated carrier. Audio is µ-law at 8 kHz.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from time import monotonic
from typing import Any, Final, Protocol

from callflow.media.g711 import FRAME_BYTES, FRAME_MS, pcm16_to_ulaw, ulaw_to_pcm16
from callflow.sandbox.common.media_socket import MediaSocket
from callflow.sandbox.common.phone import SILENT_FRAME, Phone
from callflow.sandbox.common.playout import BYTES_PER_SECOND


_FRAME_S: Final = FRAME_MS / 1000
_AHEAD: Final = 3 * FRAME_BYTES
"""So much of a microphone waits before it is said, to level out how it arrives."""
_MOST_AHEAD: Final = 20 * FRAME_BYTES
_KEPT_S: Final = 5.0
"""So long is kept what was heard: a call may take hours."""
_LATE_S: Final = 0.5
"""When the loop is that late, what was heard meanwhile is left out."""


class RingingLeg(Protocol):
    """The part of a leg that a person uses. Times are `time.monotonic()` seconds."""

    answered_at: float | None
    ended_at: float | None
    ended_by: str | None

    @property
    def streams(self) -> Sequence[MediaSocket]: ...

    async def press(self, digit: str) -> None: ...

    async def hang_up(self) -> None: ...


class Rings(Protocol):
    """The part of an emulated carrier that a person uses."""

    async def ring(self, *, from_number: str, to_number: str, phone: Phone) -> Any: ...

    def forget_ended(self) -> None: ...


class Microphone:
    """What somebody says, as it comes in, taken in frames of 20 ms."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._is_filling = True

    def feed(self, ulaw: bytes) -> None:
        """Take audio; the oldest is lost where it comes faster than it is said."""
        self._waiting += ulaw
        if len(self._waiting) > _MOST_AHEAD:
            del self._waiting[: len(self._waiting) - _AHEAD]

    def frame(self, number: int) -> bytes:
        """Return the next 160 bytes; silence while too little is there. `number`: see `Phone.source`."""
        if len(self._waiting) < (_AHEAD if self._is_filling else FRAME_BYTES):
            self._is_filling = True
            return SILENT_FRAME
        self._is_filling = False
        frame = bytes(self._waiting[:FRAME_BYTES])
        del self._waiting[:FRAME_BYTES]
        return frame


def heard_frame(phone: Phone, at: float) -> bytes:
    """Return the 20 ms that are heard at this telephone from a time on, of all its lines."""
    found: list[bytes] = []
    for line in phone.lines.values():
        for segment in reversed(line.segments):
            start = round((at - segment.at) * BYTES_PER_SECOND)
            if start >= len(segment.audio):
                break
            piece = bytes(segment.audio[max(0, start) : max(0, start + FRAME_BYTES)])
            if piece:
                found.append((SILENT_FRAME[: max(0, -start)] + piece).ljust(FRAME_BYTES, SILENT_FRAME[:1]))
    if len(found) < 2:
        return found[0] if found else SILENT_FRAME
    samples = zip(*(array("h", ulaw_to_pcm16(each)) for each in found), strict=True)
    return pcm16_to_ulaw(array("h", (max(-32768, min(32767, sum(each))) for each in samples)).tobytes())


class SoftphoneCall:
    """One call that a person makes."""

    def __init__(self, leg: RingingLeg, phone: Phone, microphone: Microphone, number: str, to_number: str) -> None:
        self.number, self.to_number = number, to_number
        """From which it comes, and which is rung."""
        self._leg, self._phone, self._microphone = leg, phone, microphone

    @property
    def is_answered(self) -> bool:
        """Whether the call was answered."""
        return self._leg.answered_at is not None

    @property
    def ended_by(self) -> str:
        """Who has ended the call; "": it goes on."""
        return "" if self._leg.ended_at is None else self._leg.ended_by or "carrier"

    def speak(self, ulaw: bytes) -> None:
        """Say what a microphone has heard."""
        self._microphone.feed(ulaw)

    async def press(self, digit: str) -> None:
        """Press a key."""
        if self.is_answered and not self.ended_by:
            await self._leg.press(digit)

    async def hang_up(self) -> None:
        """End the call; nothing happens where it has ended."""
        if not self.ended_by:
            await self._leg.hang_up()

    async def heard(self) -> AsyncIterator[bytes]:
        """Yield what is heard, 20 ms at a time as it is heard, until the call ends."""
        at = monotonic()
        forgets_at = at + _KEPT_S
        while not self.ended_by:
            await asyncio.sleep(max(0.0, at + _FRAME_S - monotonic()))
            if monotonic() - at > _LATE_S:
                at = monotonic() - _FRAME_S
            yield heard_frame(self._phone, at)
            at += _FRAME_S
            if at > forgets_at:
                forgets_at = at + _KEPT_S
                self._forget_before(at - _KEPT_S)

    def _forget_before(self, at: float) -> None:
        """Let go of what was said and heard before a time, which a test would look at, and of each frame's record."""
        self._phone.said.clear()
        for line in self._phone.lines.values():
            while len(line.segments) > 1 and line.segments[0].ends < at:
                del line.segments[0]
        for stream in self._leg.streams:
            for record in (stream.log_in, stream.log_out, stream.clear_log):
                record.clear()


class Softphone:
    """A telephone from which anybody rings the application through an emulated carrier."""

    mount: Any = None
    """Its webhooks come in where those of any carrier do."""

    def __init__(self, carrier: Rings, *, to_number: str = "+15550100002", model: str = "emulated") -> None:
        """`to_number`: the one that is rung if no other is asked for. `model`: what is told of the voice model behind
        it."""
        self._carrier, self._to, self._model = carrier, to_number, model

    @property
    def about(self) -> Mapping[str, Any]:
        """What the page is told of it: `{"carrier", "to", "model", "numbers"}`."""
        return {"carrier": type(self._carrier).__name__, "to": self._to, "model": self._model, "numbers": []}

    async def ring(self, to_number: str = "", from_number: str = "") -> SoftphoneCall:
        """Begin a call. `from_number` "": from a number of its own, so that it can be found among others."""
        self._carrier.forget_ended()
        microphone, number = Microphone(), from_number or f"+1555010{random.randrange(1000, 9999)}"
        phone, to_number = Phone(source=microphone.frame), to_number or self._to
        leg = await self._carrier.ring(from_number=number, to_number=to_number, phone=phone)
        return SoftphoneCall(leg, phone, microphone, number, to_number)
