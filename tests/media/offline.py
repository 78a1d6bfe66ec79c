"""The relay without sockets of the system: a media socket, a protocol and a listener that only take notes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from callflow.contracts import events
from callflow.contracts.events import LegIds
from callflow.contracts.media import (
    CallerAudio,
    Cut,
    DtmfFrame,
    Frame,
    IgnoredFrame,
    MarkReceived,
    MediaError,
    SpeechSegmentId,
    StreamConnected,
    StreamStarted,
    StreamStopped,
)
from callflow.journal import notes
from callflow.media.clips import Clip
from callflow.media.media_config import MediaConfig
from callflow.media.relay import Relay
from tests.in_loop import settle


FRAME = bytes([0x55]) * 160
PAYLOAD = base64.b64encode(FRAME).decode()
A, B = SpeechSegmentId("item_a"), SpeechSegmentId("item_b")
CLIPS = {
    "sorry": Clip("sorry", "I am sorry.", bytes([0x41]) * 320),
    "one-moment": Clip("one-moment", "One moment.", bytes([0x42]) * 320),
}


class Socket:
    """A media socket: what the carrier sends is put into `incoming`, and what it is sent stands in `sent`."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.closed: list[tuple[int, str]] = []

    def start(
        self, message: Callable[[str | bytes], None], ended: Callable[[str], None], *, write_seconds: float
    ) -> None:
        async def read() -> None:
            while (text := await self.incoming.get()) is not None:
                message(text)
            ended("the carrier closed the media socket")

        self.reading = asyncio.create_task(read())

    def put(self, text: str, weight: int = 0) -> None:
        self.sent.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        self.reading.cancel()
        self.closed.append((code, reason))

    def ping(self, answered: Callable[[], None]) -> bool:
        return False

    async def finish(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


class Protocol:
    """Messages are JSON: `{"KIND": value}`."""

    def decode(self, text: str | bytes) -> Frame:
        message: dict[str, Any] = json.loads(text)
        match message:
            case {"start": dict(start)}:
                return StreamStarted(**{
                    "stream": "stream_1", "call": "control_1", "session": "", "encoding": "PCMU",
                    "sample_rate": 8000, "channels": 1, **start,
                })  # fmt: skip
            case {"media": payload}:
                return CallerAudio(message.get("chunk", 0), payload)
            case {"mark": name}:
                return MarkReceived(name)
            case {"dtmf": digit}:
                return DtmfFrame(digit)
            case {"error": code}:
                return MediaError(code, "a title")
            case {"stop": reason}:
                return StreamStopped(reason)
            case {"connected": secret}:
                return StreamConnected(secret)
        return IgnoredFrame("other")

    def audio(self, payload: str) -> str:
        return json.dumps({"media": payload})

    def mark(self, name: str) -> str:
        return json.dumps({"mark": name})

    def clear(self) -> str:
        return json.dumps({"clear": True})


class Listener:
    """A `MediaListener` that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.is_caller_speaking = False

    def caller_payload(self, payload: str, audio: bytes) -> None:
        self.told.append(("payload", payload))

    def caller_frame(self, audio: bytes) -> None:
        self.told.append(("frame", audio))

    def stream_started(self, now: float) -> None:
        self.told.append(("started",))

    def stream_paused(self) -> None:
        self.told.append(("paused",))

    def agent_silenced(self) -> None:
        self.told.append(("silenced",))

    def audio_sent(self, now: float, until: float, *, is_clip: bool) -> None:
        assert until > now
        self.told.append(("sent", is_clip))

    def began_to_be_heard(self, item: str, at: float) -> None:
        self.told.append(("began", item))

    def hearing(self, cut: Cut) -> None:
        self.told.append(("hearing", cut))

    def heard(self, key: SpeechSegmentId, ms: int) -> None:
        self.told.append(("heard", key, ms))

    def played_out(self) -> None:
        self.told.append(("played_out",))

    def cut_off(self, cuts: Sequence[Cut]) -> None:
        self.told.append(("cut_off", list(cuts)))

    def take(self, *names: str) -> list[tuple[Any, ...]]:
        """Return what was told so far, of these kinds only if any are given, and forget all of it."""
        told, self.told = self.told, []
        return [each for each in told if not names or each[0] in names]


class Line:
    """A relay, all that it talks to, and a clock that only moves when it is told to."""

    def __init__(self, make: type[Relay] = Relay, **config: Any) -> None:
        self.events: list[events.Event] = []
        self.notes: list[notes.Note] = []
        self.socket, self.listener = Socket(), Listener()
        chosen: dict[str, Any] = {
            "playout_lead_ms": 200, "mark_every_ms": 100, "reorder_frames": 2, "frame_batch_ms": 0, "warm_up_ms": 0,
            "start_frame_seconds": 5.0, "write_seconds": 5.0, **config,
        }  # fmt: skip
        self.relay = make(
            call="call_1",
            ids=lambda: LegIds(control="control_1", session="session_1"),
            config=MediaConfig(**chosen),
            clips=CLIPS,
            post=self.events.append,
            note=self.notes.append,
        )
        self.relay.listener = self.listener
        self.now = 100.0
        self.relay._clock = lambda: self.now
        self.serving: asyncio.Task[None] | None = None

    async def serve_socket(self, *, start: bool = True) -> None:
        """Connect a media socket, and let its stream start."""
        self.serving = asyncio.create_task(self.relay.serve_socket(self.socket, Protocol(), "secret"))
        await settle()
        if start:
            await self.receive({"start": {}})

    async def receive(self, *messages: dict[str, Any]) -> None:
        """Let the carrier send these messages."""
        for message in messages:
            self.socket.incoming.put_nowait(json.dumps(message))
        await settle()

    async def sent(self) -> list[Any]:
        """Return what the carrier was sent since the last time: bytes of audio, names of marks, "clear". The mark with
        which each stream begins is left out."""
        await settle()
        sent, self.socket.sent[:] = [each for each in self.socket.sent if each.get("mark") != "opening"], []
        return [base64.b64decode(each["media"]) if "media" in each else each.get("mark") or "clear" for each in sent]

    def say(self, key: SpeechSegmentId, ms: int, *, response: str = "resp_1", whole: bool = True) -> bool:
        """Let the engine say something of that length. Returns whether it is played."""
        added = self.relay.queue_speech(key, response, bytes([0x33]) * (8 * ms))
        self.relay.pump()
        if whole:
            self.relay.finish(key)
        return added


@contextlib.asynccontextmanager
async def line(*, start: bool = True, **config: Any) -> AsyncIterator[Line]:
    one = Line(**config)
    await one.serve_socket(start=start)
    one.listener.take("") if start else None
    try:
        yield one
    finally:
        await one.relay.close()
        if one.serving is not None:
            await one.serving
