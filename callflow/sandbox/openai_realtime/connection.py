"""One socket of the emulated OpenAI Realtime server: what was received and sent, in which order, and broken how."""

from __future__ import annotations

import asyncio
import random
import string
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from callflow.sandbox.openai_realtime.faults import NO_FAULTS, Faults
from callflow.sandbox.openai_realtime.script import Delta


T = TypeVar("T")
ALPHABET: Final = string.ascii_letters + string.digits


class ReceivedEvent(NamedTuple):
    """A client event. Those of audio are kept without it: `event` has no `audio`, `bytes` tells its decoded size."""

    at: float
    """Seconds on the event loop's clock."""
    event: dict[str, Any]
    bytes: int


class SentEvent(NamedTuple):
    """A server event as it was queued for the socket. Audio deltas are kept without `delta`; `bytes` is its size."""

    at: float
    type: str
    event: dict[str, Any]
    bytes: int


class _Close(NamedTuple):
    code: int | None
    """None = reset the TCP connection."""
    reason: str


class Wire:
    """Sends in order without ever making its caller wait, remembers both directions, lets tests await them."""

    def __init__(self, socket: ServerConnection, number: int, faults: Callable[[], Faults]) -> None:
        self.number = number
        self.received: list[ReceivedEvent] = []
        self.sent: list[SentEvent] = []
        self.closed = False
        self.close_code: int | None = None
        """What the closing handshake said; 1006 = there was none."""
        self.frames_sent = 0
        self._socket = socket
        self._faults = faults
        self._received_by_type: dict[str, list[ReceivedEvent]] = {}
        self._sent_by_type: dict[str, list[SentEvent]] = {}
        self._watchers: list[asyncio.Future[None]] = []
        self._outgoing: deque[str | bytes | _Close] = deque()
        self._more = asyncio.Event()
        self._frozen = False
        self._tail = "".join(random.choices(ALPHABET, k=14))
        self._ids = 0
        self._loop = asyncio.get_running_loop()

    @property
    def faults(self) -> Faults:
        """The server's faults as far as they concern this connection."""
        faults = self._faults()
        return faults if faults.hits(self.number) else NO_FAULTS

    def new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}_{self._tail}{self._ids:07d}"

    # -- what happened

    def note(self, event: dict[str, Any], size: int = 0) -> None:
        received = ReceivedEvent(self._loop.time(), event, size)
        self.received.append(received)
        self._received_by_type.setdefault(str(event.get("type")), []).append(received)
        self.notify()

    def notify(self) -> None:
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)
        self._watchers.clear()

    async def wait_for(
        self,
        event_type: str,
        count: int = 1,
        timeout: float = 10.0,
        *,
        where: Callable[[dict[str, Any]], bool] | None = None,
    ) -> ReceivedEvent:
        """The `count`-th client event of that type (of those for which `where` holds), from the session's start."""
        received: ReceivedEvent = await self._nth(self._received_by_type, event_type, count, timeout, where)
        return received

    async def wait_sent(
        self,
        event_type: str,
        count: int = 1,
        timeout: float = 10.0,
        *,
        where: Callable[[dict[str, Any]], bool] | None = None,
    ) -> SentEvent:
        """The `count`-th server event of that type, counted like `wait_for` does."""
        sent: SentEvent = await self._nth(self._sent_by_type, event_type, count, timeout, where)
        return sent

    async def wait_until(self, condition: Callable[[], T | None], timeout: float = 10.0, what: str = "it") -> T:
        """Whatever `condition` returns once that is neither None nor False; tried after every event, both ways.

        Raises TimeoutError, or ConnectionError when the session ended before.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    result = condition()
                    if result is not None and result is not False:
                        return result
                    if self.closed:
                        raise ConnectionError(
                            f"session {self.number} closed ({self.close_code}) before {what} happened"
                        )
                    watcher = self._loop.create_future()
                    self._watchers.append(watcher)
                    await watcher
        except TimeoutError:
            last = ", ".join(str(one.event.get("type")) for one in self.received[-5:])
            raise TimeoutError(
                f"{what} did not happen within {timeout} s; last received: {last or 'nothing'}"
            ) from None

    async def wait_closed(self, timeout: float = 10.0) -> int | None:
        """The close code, once the session is over."""
        await self.wait_until(lambda: self.closed, timeout, "the end of the session")
        return self.close_code

    async def _nth(
        self,
        by_type: dict[str, list[Any]],
        event_type: str,
        count: int,
        timeout: float,
        where: Callable[[dict[str, Any]], bool] | None,
    ) -> Any:
        def found() -> Any:
            events = by_type.get(event_type, [])
            if where is not None:
                events = [one for one in events if where(one.event)]
            return events[count - 1] if len(events) >= count else None

        return await self.wait_until(found, timeout, f"{event_type} number {count}")

    # -- sending

    def emit(self, event_type: str, **fields: Any) -> None:
        """Send an event; values may be changed afterwards, they are encoded at once."""
        self.send({"type": event_type, "event_id": self.new_id("event"), **fields})

    def send(self, event: dict[str, Any]) -> None:
        """Send any event, known or not (for tests that need one no fault makes)."""
        faults = self.faults
        if faults is not NO_FAULTS:
            event = broken(event, faults)
        frame = msgspec.json.encode(event).decode()
        self._record(msgspec.json.decode(frame), 0)
        self._enqueue(frame)

    def send_frame(self, frame: str | bytes) -> None:
        """Send a frame as it is, valid or not."""
        self._outgoing.append(frame)
        self._more.set()

    def emit_audio(self, place: dict[str, Any], delta: Delta) -> None:
        """Send `response.output_audio.delta` for that place (response, item, indexes): the frame is put together."""
        event_type = "response.output_audio.delta"
        if self.faults.beta_names:
            event_type = _BETA_TYPES[event_type]
        event = {"type": event_type, "event_id": self.new_id("event"), **place}
        frame = f'{msgspec.json.encode(event)[:-1].decode()},"delta":"{delta.base64}"}}'
        self._record(event, delta.size)
        self._enqueue(frame)

    def _record(self, event: dict[str, Any], size: int) -> None:
        sent = SentEvent(self._loop.time(), str(event["type"]), event, size)
        self.sent.append(sent)
        self._sent_by_type.setdefault(sent.type, []).append(sent)
        self.notify()

    def _enqueue(self, frame: str) -> None:
        faults = self.faults
        if faults.unknown_events:
            self._outgoing.append(
                '{"type":"response.telepathy.delta","event_id":"event_unknown","thought":{"of":[null]}}'
            )
        if faults.invalid_json:
            self._outgoing.append('{"type":"response.output_audio.delta","delta":"//')
        if faults.binary_frames:
            self._outgoing.append(b"\x00\xff\x00\xff")
        self.send_frame(frame)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close once everything before is sent."""
        self._outgoing.append(_Close(code, reason))
        self._more.set()

    def drop(self) -> None:
        """Reset the TCP connection now: no close frame, and what was not sent is lost."""
        self._socket.transport.abort()

    def freeze(self) -> None:
        """Hang: the socket stays open, and nothing is read or sent on it from now on."""
        self._frozen = True
        self._socket.transport.pause_reading()

    async def write(self) -> None:
        """The only writer of the socket; runs until the socket closes."""
        try:
            while True:
                while self._outgoing and not self._frozen:
                    frame = self._outgoing.popleft()
                    if isinstance(frame, _Close):
                        await self._socket.close(frame.code or 1000, frame.reason)
                        return
                    await self._socket.send(frame)
                    self.frames_sent += 1
                    limit = self.faults.drop_after_events
                    if limit is not None and self.frames_sent >= limit:
                        await self.end_by_fault()
                        return
                self._more.clear()
                await self._more.wait()
        except ConnectionClosed:
            return

    async def end_by_fault(self) -> None:
        faults = self.faults
        if faults.close_code is None:
            self.drop()
        else:
            await self._socket.close(faults.close_code, faults.close_reason)

    def ended(self) -> None:
        self.closed = True
        self.close_code = self._socket.close_code
        self.notify()


_BETA_TYPES: Final = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "conversation.item.added": "conversation.item.created",
    "output_text": "text",
    "output_audio": "audio",
}
_NULLED: Final = frozenset(
    {"transcript", "previous_item_id", "conversation_id", "object", "voice", "instructions", "code", "param", "message"}
)


def broken(event: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """The event with those faults that change its fields."""
    if faults.beta_names:
        event = _renamed(event)
    if faults.null_fields:
        event = _nulled(event)
        if "transcript" in str(event["type"]) and "delta" in event:
            event["delta"] = None
    if faults.unknown_events:
        event = {**event, "phase_of_the_moon": {"waning": True}}
    if faults.error_event_id_null and event["type"] == "error":
        event = {**event, "error": {**event["error"], "event_id": None}}
    return event


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _BETA_TYPES.get(entry, entry) if name == "type" and isinstance(entry, str) else _renamed(entry)
            for name, entry in value.items()
        }
    return [_renamed(entry) for entry in value] if isinstance(value, list) else value


def _nulled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: None if name in _NULLED else _nulled(entry) for name, entry in value.items()}
    return [_nulled(entry) for entry in value] if isinstance(value, list) else value
