"""The media WebSocket: the emulated carrier is the client and sends a call's audio to the product as JSON text frames.

Here is what is the same for every carrier: the queue to the product and its delays, the playout clock with its marks,
the log, the ways in which a socket ends, and the faults. The form of the frames is in each carrier's media.py. Times
are `time.monotonic()` seconds.
"""

from __future__ import annotations

import asyncio
import base64
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.protocol import State

from callflow.sandbox.common.faults import CarrierFaults
from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.playout import Playout


MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
MAX_BACKLOG: Final = 1500
"""Frames (30 s) that are queued for a product that does not read; later ones are dropped, as RTP would be."""
CLOSE_S: Final = 1.0
"""Seconds that an orderly close may take before the connection is cut."""

GARBAGE: Final[dict[str, Callable[[], str | bytes]]] = {
    "text": lambda: "this is not JSON",
    "json": lambda: '["a", "list"]',
    "unknown": lambda: '{"event":"weather","weather":{"sky":"clear"}}',
    "binary": lambda: random.randbytes(320),
    "huge": lambda: '{"event":"media","media":{"payload":"' + "A" * (4 * 1024 * 1024) + '"}}',
}


class Frame(NamedTuple):
    """One line of a stream's log. `at` is in monotonic seconds; `size` is of the audio or the message, in bytes."""

    at: float
    event: str
    size: int
    name: str = ""


class Cleared(NamedTuple):
    """A `clear` of the product: when it came, and how many bytes had been played and received by then."""

    at: float
    played: int
    received: int


def b64(audio: bytes) -> str:
    """Encode audio for a frame's payload."""
    return base64.b64encode(audio).decode("ascii")


class MediaSocket(ABC):
    """One WebSocket to the product. Its call gives it the caller's frames and decides when it ends.

    A carrier's subclass defines the form of the frames: `media_text`, `event_text`, `stop_fields` and `receive`.
    `faults()` is asked each time, because faults may change during a call.
    """

    def __init__(
        self, stream_id: str, *, faults: Callable[[], CarrierFaults], tasks: Tasks, changed: Callable[[], None]
    ) -> None:
        self.stream_id = stream_id
        self.playout = Playout("media")
        self._echoes = 0
        self.log_out: list[Frame] = []
        """Frames to the product, with the time at which they were sent."""
        self.log_in: list[Frame] = []
        """Frames from the product, with the time at which they arrived."""
        self.clear_log: list[Cleared] = []
        self.errors: list[tuple[int, str]] = []
        """What the product did wrong: the carrier's code and why."""
        self.odd_frames = 0
        """Media frames of the product that were no multiple of 20 ms."""
        self.lost_frames = 0
        """Caller frames that were dropped because the product did not read."""
        self.connected = False
        self.started = False
        self.started_at: float | None = None
        self.ended = ""
        """Why it is over: "stopped" (by the call), "closed" (by the product), "lost", "failed" (to open); or ""."""
        self.faults = faults
        self.changed = changed
        self.sequence = 0
        self.chunks = {"inbound": 0, "outbound": 0}
        self._tasks = tasks
        self._ws: ClientConnection | None = None
        self._writer: asyncio.Task[None] | None = None
        self._out: asyncio.Queue[tuple[float, str | bytes | None, Frame]] = asyncio.Queue()
        self._last_due = 0.0
        self._late: deque[tuple[float, str | bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._window: list[tuple[str, Frame]] = []
        self._garbage_sent = False
        self._over = asyncio.Event()

    # The form of the frames, defined by each carrier

    @abstractmethod
    def media_text(self, track: str, chunk: int, ulaw: bytes) -> str:
        """Encode one media frame of 20 ms; `chunk` is its number in its track, from 1."""

    @abstractmethod
    def event_text(self, event: str, content: Mapping[str, Any]) -> str:
        """Encode any other frame that has a sequence number."""

    @abstractmethod
    def stop_fields(self) -> Mapping[str, Any]:
        """Return the content of the `stop` frame."""

    @abstractmethod
    def receive(self, message: str | bytes, at: float) -> None:
        """Act on a message of the product, which arrived at that time."""

    @property
    def received_bytes(self) -> int:
        """Bytes of audio that the product has sent."""
        return self.playout.received_bytes

    @property
    def played_bytes(self) -> int:
        """Bytes of audio that the caller has heard."""
        return self.playout.played_bytes

    @property
    def cleared_bytes(self) -> int:
        """Bytes of audio that were dropped unheard."""
        return self.playout.cleared_bytes

    @property
    def clears(self) -> int:
        """How many times the product sent `clear`."""
        return self.playout.clears

    @property
    def underruns(self) -> int:
        """How many times playing stopped for lack of audio, within an utterance."""
        return self.playout.underruns

    @property
    def max_queued_ms(self) -> float:
        """The most audio that was ever queued, in ms."""
        return self.playout.max_queued_ms

    # Life of the socket

    async def open(self, url: str, headers: Mapping[str, str], timeout: float, **where: Any) -> bool:
        """Open the socket. Returns False if the call ended meanwhile. Raises what `websockets.connect` raises.

        `where`: the host and port to connect to, if they are not those of the URL.
        """
        self._ws = await connect(
            url,
            additional_headers=dict(headers),
            compression=None,
            open_timeout=timeout,
            close_timeout=0.5,
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
            proxy=None,
            **where,
        )
        if self.ended:
            self._ws.transport.abort()
            return False
        self.connected = True
        self._writer = self._tasks.spawn(self._write(self._ws), "media writer")
        self._tasks.spawn(self._read(self._ws), "media reader")
        return True

    def begin(self, start: Mapping[str, Any]) -> None:
        """Send `start`; from now on the caller's frames are sent."""
        self.event("start", start=start)
        self.started = True
        self.started_at = monotonic()
        self.changed()

    def finish(self) -> None:
        """End the stream from the call's side: send `stop`, then close the socket in order."""
        if self.ended or not self.connected:
            self._end("stopped")
            return
        self._send_window()
        if not self.faults().no_stop and self.started:
            self.event("stop", stop=self.stop_fields())
        self._put(None, Frame(0, "close", 0))
        self.playout.stop(monotonic())
        self.ended = "stopped"
        # A product that no longer reads would keep the close from ever being sent.
        self._cut = asyncio.get_running_loop().call_later(CLOSE_S + self.faults().link_ms / 1000, self.drop)

    def drop(self) -> None:
        """Cut the TCP connection without a close frame."""
        if self._writer is not None:
            self._writer.cancel()
        if self._ws is not None:
            self._ws.transport.abort()
        self._end("lost")

    def fail(self) -> None:
        """Mark the stream as one that could not be opened."""
        self._end("failed")

    async def over(self) -> str:
        """Wait until the socket is gone. Returns `ended`."""
        await self._over.wait()
        return self.ended

    def _end(self, why: str) -> None:
        self.ended = self.ended or why
        self.playout.stop(monotonic())
        for timer in (self._timer, self._cut):
            if timer is not None:
                timer.cancel()
        self._over.set()
        self.changed()

    # To the product

    def send_raw(self, message: str | bytes) -> None:
        """Send any message, also one that is not part of the protocol."""
        self.send("raw", message)

    def send_media(self, track: str, ulaw: bytes) -> None:
        """Send 20 ms of audio, as the media faults allow."""
        faults = self.faults()
        self.sequence += 1
        self.chunks[track] += 1
        chunk = self.chunks[track]
        text = self.media_text(track, chunk, ulaw)
        if faults.media_lose_every and chunk % faults.media_lose_every == 0:
            return
        frame = Frame(0, "media", len(ulaw), str(chunk))
        copies = 2 if faults.media_duplicate_every and chunk % faults.media_duplicate_every == 0 else 1
        self._window += [(text, frame)] * copies
        if len(self._window) >= faults.media_shuffle:
            self._send_window()

    def _send_window(self) -> None:
        faults = self.faults()
        if faults.media_shuffle:
            random.shuffle(self._window)
        for text, frame in self._window:
            self._put(text, frame, faults.media_jitter_ms)
        self._window.clear()

    def event(self, event: str, **content: Any) -> None:
        """Send a frame that has a sequence number."""
        self.sequence += 1
        self.send(event, self.event_text(event, content), content.get("mark", {}).get("name", ""))

    def send(self, event: str, message: str | bytes, name: str = "") -> None:
        """Send a message; `event` and `name` are for the log."""
        self._put(message, Frame(0, event, len(message), name))

    def _put(self, message: str | bytes | None, frame: Frame, jitter_ms: float = 0.0) -> None:
        if self.ended:
            return
        if frame.event == "media" and self._out.qsize() >= MAX_BACKLOG:
            self.lost_frames += 1
            return
        delay = self.faults().link_ms + (random.uniform(0, jitter_ms) if jitter_ms else 0.0)
        self._last_due = max(self._last_due, monotonic() + delay / 1000) if delay else self._last_due
        self._out.put_nowait((self._last_due, message, frame))

    async def _write(self, ws: ClientConnection) -> None:
        try:
            while True:
                due, message, frame = await self._out.get()
                if (wait := due - monotonic()) > 0:
                    await asyncio.sleep(wait)
                if message is None:
                    break
                await ws.send(message)
                self.log_out.append(frame._replace(at=monotonic()))
            await ws.close(1000)
        except ConnectionClosed:
            pass  # the reader finds out why
        except AttributeError:
            # When a connection is lost websockets 17 aborts its transport a second time, and asyncio raises this then.
            if ws.state is State.OPEN:
                raise
        finally:
            if self.ended == "stopped":
                self._end("stopped")

    def apply_faults(self, at: float) -> None:
        """Apply the faults that come at a certain age of the stream (`garbage`, `drop_socket_after_s`)."""
        faults = self.faults()
        age = at - (self.started_at or at)
        if faults.garbage and not self._garbage_sent and age >= faults.garbage_after_s:
            self._garbage_sent = True
            for kind in faults.garbage:
                self.send_raw(GARBAGE[kind]())
        if faults.drop_socket_after_s is not None and age >= faults.drop_socket_after_s:
            self.drop()

    # From the product

    async def _read(self, ws: ClientConnection) -> None:
        try:
            while True:
                message = await ws.recv()
                stop_s = self.faults().stop_reading_after_s
                if stop_s is not None and self.started_at is not None and monotonic() - self.started_at >= stop_s:
                    await self._over.wait()
                    return
                link_s = self.faults().link_ms / 1000
                if link_s or self._late:
                    self._late.append((monotonic() + link_s, message))
                    if len(self._late) == 1:
                        asyncio.get_running_loop().call_later(link_s, self._arrive_late)
                else:
                    self.receive(message, monotonic())
        except ConnectionClosedOK:
            self._end("closed")
        except ConnectionClosed as closed:
            # Some servers close without a status (1005): that is still a close, not a loss.
            self._end("closed" if closed.rcvd is not None else "lost")

    def _arrive_late(self) -> None:
        while self._late and self._late[0][0] <= monotonic():
            due, message = self._late.popleft()
            self.receive(message, due)
        if self._late and not self._over.is_set():
            asyncio.get_running_loop().call_later(max(0.0, self._late[0][0] - monotonic()), self._arrive_late)

    def mark(self, name: str, at: float) -> None:
        """Act on the product's `mark`: it is echoed when the audio before it has been played."""
        self.log_in.append(Frame(at, "mark", 0, name))
        self.playout.mark(name, at)
        self._echo_due()

    def clear(self, at: float) -> None:
        """Act on the product's `clear`: drop what is queued and echo all pending marks."""
        self.log_in.append(Frame(at, "clear", 0))
        self.clear_log.append(Cleared(at, self.playout.played(at), self.playout.received_bytes))
        self._echo(self.playout.clear(at))

    def _echo_due(self) -> None:
        """Echo the marks whose audio has been played, and set a timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._echo(self.playout.due(monotonic()))
        if (due := self.playout.next_due) is not None and not self.ended:
            wait = max(0.0, due - monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._echo_due)

    def _echo(self, names: list[str]) -> None:
        faults = self.faults()
        if faults.no_marks:
            return
        for name in names:
            self._echoes += 1
            if faults.mark_jitter_ms and self._echoes % 3 == 0:
                late = random.uniform(0, faults.mark_jitter_ms) / 1000
                asyncio.get_running_loop().call_later(late, self._echo_one, name)
            else:
                self._echo_one(name)

    def _echo_one(self, name: str) -> None:
        self.event("mark", mark={"name": name})
