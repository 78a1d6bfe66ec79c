"""Listens while a transferred caller talks with a person, so that the agent knows what was said when it has the caller
back.

It decides nothing about the call, and the machine does not know of it. As soon as the two are joined, both are told, in
the carrier's voice; then a media stream of its own is requested, on which nothing is said, and each side has a session
of the model that only writes down. Their words become facts of the conversation one by one, which the journal, later
sessions of the agent and later processes have as they have all others. A process that takes a call back in the middle
listens on, with a stream and sessions of its own, and says nothing to those who were told already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Literal

from callflow.call import machine
from callflow.call.legs import Legs
from callflow.call.stream_lease import StreamLease
from callflow.contracts import commands, events
from callflow.contracts.carrier import Carrier, CarrierRequest
from callflow.contracts.commands import Command
from callflow.contracts.engine import (
    Engine,
    EngineEvent,
    MakeEngine,
    SessionContext,
    SessionLost,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    Usage,
)
from callflow.contracts.errors import CarrierError, Refused
from callflow.contracts.event_tap import EventTap
from callflow.contracts.events import LegIds
from callflow.contracts.media import MediaProtocol, MediaSocket, StreamStarted
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media.bridged_stream import BridgedStream
from callflow.media.media_config import MediaConfig
from callflow.timers import SmallEvent


log = logging.getLogger(__name__)

FIRST: Final = 1_000_000
"""Ordinals of streams from here on are those that listen: no other stream of a call has a token of theirs."""
_SECONDS_PER_CHARACTER: Final = 0.1
"""A slow voice. Where the carrier does not tell when it has spoken, it has after this time."""
_SPOKEN_SECONDS: Final = 1.5
_MOST_LINES: Final = 400
Side = Literal["caller", "person"]


class WhenBridged:
    """Listens to one call once it is bridged. Until then nothing is made: few calls ever are."""

    __slots__ = ("_make", "made")

    def __init__(self, make: Callable[[], BridgedListening]) -> None:
        self._make = make
        self.made: BridgedListening | None = None

    def after(self, step: machine.Step) -> None:
        """Follow a step of the machine."""
        if self.made is not None or step.after == machine.BRIDGED:
            self._listening().after(step)

    def restore(self, steps: int) -> None:
        """See `BridgedListening.restore`."""
        self._listening().restore(steps)

    def claim(self, ordinal: int) -> BridgedListening:
        """See `BridgedListening.claim`. Raises Refused."""
        return self._listening().claim(ordinal)

    async def close(self) -> None:
        """See `BridgedListening.close`."""
        if self.made is not None:
            await self.made.close()

    def _listening(self) -> BridgedListening:
        if self.made is None:
            self.made = self._make()
        return self.made


class BridgedListening:
    """Listens to one call."""

    def __init__(
        self,
        call: str,
        carrier: Carrier,
        legs: Legs,
        lease: StreamLease,
        *,
        make: MakeEngine,
        media: MediaConfig,
        ids: Callable[[], LegIds],
        is_ours: Callable[[StreamStarted], bool],
        is_paused: Callable[[], bool],
        learn: Callable[[str], None],
        bill: Callable[[Usage], None],
        note: Callable[[Note], None],
        own: Callable[[Coroutine[Any, Any, None], str], None],
        seconds: float,
    ) -> None:
        """`lease`: for its own streams. `ids`: of the caller's leg. `is_paused`: nothing may be written down now.
        `learn`: takes a fact of the conversation. `own`: takes tasks that end with the call. `seconds`: how long last
        words are awaited."""
        self.call, self.counts, self.tap = call, Counter[str](), EventTap()
        self.frames_in = self.bytes_out = 0
        self._carrier, self._legs, self._lease = carrier, legs, lease
        lease.ordinal = max(lease.ordinal, FIRST)
        self._make, self._media, self._ids = make, media, ids
        self.is_ours, self._is_paused, self._learn, self._bill = is_ours, is_paused, learn, bill
        self._note, self._own, self._seconds = note, own, seconds
        self._is_bridged = False
        self._spoken = SmallEvent()
        self._wanted = False
        self._stream: BridgedStream | None = None
        self._engines: dict[Side, Engine] = {}
        self._speaking: set[Side] = set()
        self._lines = 0

    # The call

    def after(self, step: machine.Step) -> None:
        """Follow a step of the machine."""
        transfer = self._legs.transfer
        if isinstance(step.event, events.SpeakEnded) and step.event.leg == events.CALLER:
            self._spoken.set()
        is_joined = step.before != machine.BRIDGED or isinstance(step.event, events.CallRecovered)
        if step.after == machine.BRIDGED and is_joined and transfer is not None and transfer.requested.notice:
            self._is_bridged = True
            self._spoken.clear()
            self._own(self._begin("" if transfer.was_listened else transfer.requested.notice), "listening")
        elif step.before == machine.BRIDGED != step.after and self._is_bridged:
            self._is_bridged = False
            self._end()

    def restore(self, steps: int) -> None:
        """Continue a call of another process. `steps`: those of its machine. It has opened fewer streams here."""
        self._lease.ordinal = FIRST + steps

    async def _begin(self, notice: str) -> None:
        """`notice`: what is said to both before; "": they were told."""
        try:
            if notice and "speaks_beside_stream" in self._carrier.can:
                await self._carrier.execute(self._request(commands.Announce(both=True), notice))
            if notice:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SPOKEN_SECONDS + len(notice) * _SECONDS_PER_CHARACTER):
                        await self._spoken.wait()
            if not self._is_bridged:
                return
            self._lease.open()
            self._wanted = True
            await self._carrier.execute(self._request(commands.Listen()))
        except CarrierError as error:
            log.warning("call %s: listening stops while it is transferred: %s", self.call, error)
            self._wanted = False
            self._note(notes.Listening(state="failed", reason=str(error)))

    def _request(self, command: Command, text: str = "") -> CarrierRequest:
        lease = self._lease
        name = f"{command.name} {lease.ordinal} {self._legs.human.control}"
        return CarrierRequest(
            command=command, id=str(uuid.uuid5(uuid.UUID(self.call), name)), call=self.call, ids=self._ids(),
            other=self._legs.human, text=text, stream_url=lease.url, stream_secret=lease.secret,
            stream_name=lease.name,
        )  # fmt: skip

    def _end(self) -> None:
        """Stop listening, and wait for the words that are still being written down."""
        self._wanted = False
        stream, self._stream = self._stream, None
        if stream is not None:
            self._own(stream.close(1000, "nobody listens any more"), "listening-stream")
        for side, engine in self._engines.items():
            engine.wind_up(speaking=side in self._speaking)
            self._own(self._close_later(engine), "listening-end")
        self._engines.clear()

    async def close(self) -> None:
        """Close the stream, because the call is over, or goes on in another process, which asks for one of its own."""
        self._wanted = False
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close(1000, "nobody listens any more")

    async def _close_later(self, engine: Engine) -> None:
        try:
            await asyncio.sleep(self._seconds)
        finally:
            await engine.close()

    # Its media socket: as of the call itself, see `StreamHolder`

    def claim(self, ordinal: int) -> BridgedListening:
        """Reserve the stream for one socket, and return what serves it. Raises Refused."""
        if not self._wanted:
            raise Refused("this call is not listened to now")
        self._lease.claim(ordinal, has_socket=self._stream is not None)
        return self

    def unclaim_stream(self) -> None:
        """Release the reservation, because the socket was not opened after all."""
        self._lease.unclaim()

    async def serve_socket(self, socket: MediaSocket) -> None:
        """Listen to the socket for which the stream was reserved, until it closes or the caller comes back."""
        secret = self._lease.join()
        if not self._wanted:
            await socket.close(1000, "")
            return
        self._stream = stream = BridgedStream(
            self, socket, self._protocol(), secret, self._media, lambda payload: self._hear("person", payload)
        )
        stream.await_start()
        reason = await stream.run()
        if self._stream is stream:
            self._stream = None
            self._missed()
            self._note(notes.Listening(state="ended", reason=reason))

    def _protocol(self) -> MediaProtocol:
        return self._carrier.media_protocol()

    def started(self, stream: str, encoding: str) -> None:
        """Open a session for each side."""
        if not self._wanted or self._engines:
            return
        self._open("caller", 1)
        self._open("person", 2)
        if self._legs.transfer is not None:
            self._legs.transfer.was_listened = True
        self._note(notes.Listening(state="began"))

    def pass_caller_frame(self, payload: str, audio: bytes) -> None:
        """Hear 20 ms of the caller."""
        self._hear("caller", payload)

    def _hear(self, side: Side, payload: str) -> None:
        engine = self._engines.get(side)
        if engine is not None and not self._is_paused():
            engine.append(payload)

    def refused(self, reason: str) -> None:
        """Note that the stream cannot be read."""
        self._note(notes.Listening(state="failed", reason=reason))

    def marked(self, name: str) -> None:
        """Ignore a mark: none is sent."""

    def digit(self, digit: str) -> None:
        """Ignore a key, which is for the person."""

    # Its sessions

    def _open(self, side: Side, number: int) -> None:
        engine = self._make(SessionContext(self.call, session=FIRST + number), partial(self._told, side))
        self._engines[side] = engine
        self._own(self._run(engine), f"listening-{side}")

    async def _run(self, engine: Engine) -> None:
        try:
            await engine.run()
        finally:
            await engine.close()

    def _told(self, side: Side, told: EngineEvent) -> None:
        match told:
            case Transcript(who="caller", final=True, text=text) if text.strip():
                self._write_down(side, text.strip())
            case SpeechStarted():
                self._speaking.add(side)
            case SpeechStopped():
                self._speaking.discard(side)
            case Usage():
                self._bill(told)
            case SessionLost(reason=reason):
                if self._engines.pop(side, None) is not None:
                    self._missed()
                    self._note(notes.Listening(state="failed", reason=reason))

    def _missed(self) -> None:
        if self._legs.transfer is not None:
            self._legs.transfer.has_gaps = True

    def _write_down(self, side: Side, text: str) -> None:
        self._lines += 1
        if self._lines > _MOST_LINES:
            return
        target = self._legs.transfer.requested.target if self._legs.transfer is not None else ""
        person = target or "the person"
        who, whom = ("The caller", person) if side == "caller" else (person[:1].upper() + person[1:], "the caller")
        self._learn(f"{who} said to {whom} while you were not there (no instruction for you): “{text}”")
