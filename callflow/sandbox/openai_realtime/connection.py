"""One socket of the emulated OpenAI Realtime server: what it sends and receives, and its faults."""

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
    """A client event. Audio is not kept: `event` has no `audio`, and `bytes` is its decoded size."""

    at: float
    """Seconds on the event loop's clock."""
    event: dict[str, Any]
    bytes: int


class SentEvent(NamedTuple):
    """A server event as it was queued for the socket. Audio is not kept: it has no `delta`, `bytes` is its size."""

    at: float
    """Seconds on the event loop's clock."""
    type: str
    event: dict[str, Any]
    bytes: int


class _Close(NamedTuple):
    code: int | None
    """None = reset the TCP connection."""
    reason: str


class Connection:
    """Queues what is to be sent, so that no caller waits; keeps both directions, and lets tests wait for events."""

    def __init__(self, socket: ServerConnection, number: int, faults: Callable[[], Faults]) -> None:
        self.number = number
        self.received: list[ReceivedEvent] = []
        """Every client event, in order."""
        self.sent: list[SentEvent] = []
        """Every server event, in order."""
        self.closed = False
        self.close_code: int | None = None
        """The code of the closing handshake; 1006: there was none."""
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
        """The server's faults, or none if `only_connections` leaves this one out."""
        faults = self._faults()
        return faults if faults.hits(self.number) else NO_FAULTS

    def new_id(self, prefix: str) -> str:
        """Make an id such as "item_…", which is unique among all connections."""
        self._ids += 1
        return f"{prefix}_{self._tail}{self._ids:07d}"

    # -- what happened

    def note(self, event: dict[str, Any], size: int = 0) -> None:
        """Add a client event to `received`; `size` is that of its audio in bytes."""
        received = ReceivedEvent(self._loop.time(), event, size)
        self.received.append(received)
        self._received_by_type.setdefault(str(event.get("type")), []).append(received)
        self.notify()

    def notify(self) -> None:
        """Wake up everything that waits for a condition."""
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
        """Wait for the `count`-th client event of that type since the session's start and return it.

        Only events for which `where` holds are counted. Raises TimeoutError or ConnectionError.
        """
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
        """Wait at most `timeout` seconds for the `count`-th server event of that type and return it. Raises as
        `wait_for`."""
        sent: SentEvent = await self._nth(self._sent_by_type, event_type, count, timeout, where)
        return sent

    async def wait_until(self, condition: Callable[[], T | None], timeout: float = 10.0, what: str = "it") -> T:
        """Wait at most `timeout` seconds until `condition` returns something other than None and False, and return
        that.

        It is tried after every event in either direction. Raises TimeoutError, or ConnectionError when the session
        ended before; `what` stands in their messages.
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
        """Wait at most `timeout` seconds until the session is over, and return the close code. Raises TimeoutError."""
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
        """Send an event. It is encoded at once, so its values may be changed afterwards."""
        self.send({"type": event_type, "event_id": self.new_id("event"), **fields})

    def send(self, event: dict[str, Any]) -> None:
        """Send any event, also one that is not OpenAI's."""
        faults = self.faults
        if faults is not NO_FAULTS:
            event = with_faults(event, faults)
        frame = msgspec.json.encode(event).decode()
        self._add_sent(msgspec.json.decode(frame), 0)
        self._enqueue(frame)

    def send_frame(self, frame: str | bytes) -> None:
        """Send a frame unchanged, also one that is not JSON."""
        self._outgoing.append(frame)
        self._more.set()

    def emit_audio(self, place: dict[str, Any], delta: Delta) -> None:
        """Send `response.output_audio.delta`. `place`: response_id, item_id, output_index and content_index."""
        event_type = "response.output_audio.delta"
        if self.faults.beta_names:
            event_type = _BETA_TYPES[event_type]
        event = {"type": event_type, "event_id": self.new_id("event"), **place}
        frame = f'{msgspec.json.encode(event)[:-1].decode()},"delta":"{delta.base64}"}}'
        self._add_sent(event, delta.size)
        self._enqueue(frame)

    def _add_sent(self, event: dict[str, Any], size: int) -> None:
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
        """Close the socket after everything before has been sent."""
        self._outgoing.append(_Close(code, reason))
        self._more.set()

    def drop(self) -> None:
        """Reset the TCP connection now, without a close frame; what was not sent is lost."""
        self._socket.transport.abort()

    def freeze(self) -> None:
        """Read and send nothing more, and leave the socket open."""
        self._frozen = True
        self._socket.transport.pause_reading()

    async def write(self) -> None:
        """Send what is queued until the socket closes. Nothing else writes to it."""
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
        """End the connection as `close_code` and `close_reason` of the faults say."""
        faults = self.faults
        if faults.close_code is None:
            self.drop()
        else:
            await self._socket.close(faults.close_code, faults.close_reason)

    def set_closed(self) -> None:
        """Note that the socket is closed, and with which code."""
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


def with_faults(event: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Return the event with those faults that change its fields."""
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
