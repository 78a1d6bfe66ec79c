"""The media stream: Telnyx as the WebSocket client that carries a call's audio as JSON text frames."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.protocol import State

from callflow.media.g711 import FRAME_BYTES, FRAME_MS
from callflow.sandbox.phone import SILENT_FRAME, Phone, Playout
from callflow.sandbox.telnyx.codecs import ENCODERS, SAMPLE_RATES, decode
from callflow.sandbox.telnyx.faults import Faults, Timing
from callflow.sandbox.telnyx.frames import (
    ERROR_TITLES,
    GARBAGE,
    Frame,
    FrameError,
    Mark,
    Media,
    StreamOptions,
    b64,
    check_length,
    parse,
)
from callflow.sandbox.telnyx.http import Tasks
from callflow.sandbox.telnyx.webhooks import timestamp


AUTH_HEADER: Final = "x-telnyx-streaming-auth-token"
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
MAX_BACKLOG: Final = 1500
"""Frames (30 s) that wait for a product that does not read; later ones are lost, as RTP would be."""
CLOSE_S: Final = 1.0
"""How long an orderly close may take before the connection is cut."""


class Cleared(NamedTuple):
    """A `clear` as it arrived: how many bytes had come out of the ear by then, and how many had been received."""

    at: float
    played: int
    received: int


class MediaStream:
    """One WebSocket to the product. Its call feeds it the caller's frames and decides when it ends.

    `ears()` gives the phones that hear what the product sends; with none (mode mp3, or `opposite` without a second leg)
    the media is accepted and thrown away, which is what Telnyx does.
    """

    def __init__(
        self,
        options: StreamOptions,
        *,
        leg_codec: str,
        start: Mapping[str, Any],
        ears: Callable[[], list[Phone]],
        faults: Callable[[], Faults],
        tasks: Tasks,
        timing: Timing,
        changed: Callable[[], None],
    ) -> None:
        self.options = options
        self.stream_id = str(uuid.uuid4())
        self.playout = Playout("media")
        self.log_out: list[Frame] = []
        """Frames to the product, when they were put on the wire."""
        self.log_in: list[Frame] = []
        """Frames from the product, when they arrived."""
        self.clear_log: list[Cleared] = []
        self.errors: list[tuple[int, str]] = []
        """Error frames sent: code and detail."""
        self.odd_frames = 0
        """Media frames that were no multiple of 20 ms."""
        self.ignored_bytes = 0
        """Audio that nobody could hear."""
        self.lost_frames = 0
        """Caller frames given up because the product did not read."""
        self.connected = False
        self.started = False
        self.started_at: float | None = None
        self.ended = ""
        """Why it is over: "stopped" (by the call), "closed" (by the product), "lost"; "failed" if it never was."""
        wanted = faults().media_format or (leg_codec if options.codec == "default" else options.codec)
        self.encoding = wanted
        self._encode = ENCODERS.get(wanted, ENCODERS["OPUS"])
        self._silence = b64(self._encode(SILENT_FRAME))
        self._start = dict(start)
        self._ears = ears
        self._faults = faults
        self._tasks = tasks
        self._timing = timing
        self._changed = changed
        self._ws: ClientConnection | None = None
        self._writer: asyncio.Task[None] | None = None
        self._out: asyncio.Queue[tuple[float, str | bytes | None, Frame]] = asyncio.Queue()
        self._last_due = 0.0
        self._late: deque[tuple[float, str | bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._window: list[tuple[str, Frame]] = []
        self._sequence = 0
        self._chunks = {"inbound": 0, "outbound": 0}
        self._garbage_sent = False
        self._over = asyncio.Event()

    @property
    def received_bytes(self) -> int:
        return self.playout.received_bytes

    @property
    def played_bytes(self) -> int:
        return self.playout.played_bytes

    @property
    def cleared_bytes(self) -> int:
        return self.playout.cleared_bytes

    @property
    def clears(self) -> int:
        return self.playout.clears

    @property
    def underruns(self) -> int:
        return self.playout.underruns

    @property
    def max_queued_ms(self) -> float:
        return self.playout.max_queued_ms

    # Life of the socket.

    async def connect(self) -> None:
        """Opens the socket and says `connected`. Raises whatever goes wrong."""
        token = self.options.auth_token
        self._ws = await connect(
            self.options.url,
            additional_headers={AUTH_HEADER: token} if token else None,
            compression=None,
            open_timeout=self._timing.connect_timeout_s,
            close_timeout=0.5,
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
            proxy=None,
        )
        if self.ended:  # the call ended meanwhile
            self._ws.transport.abort()
            return
        self.connected = True
        self._writer = self._tasks.spawn(self._write(self._ws), "media writer")
        self._tasks.spawn(self._read(self._ws), "media reader")
        hello: dict[str, Any] = {"event": "connected", "version": "1.0.0"}
        if token:
            hello["connected"] = {AUTH_HEADER: token}
        self._send("connected", msgspec.json.encode(hello).decode())
        self._changed()

    def start(self) -> None:
        """Says `start`; from now on the caller's frames flow."""
        rate = SAMPLE_RATES.get(self.encoding, 8000)
        media_format = {"encoding": self.encoding, "sample_rate": rate, "channels": 1}
        extra = {"custom_parameters": self.options.custom_parameters, "media_format": media_format}
        if (foreign := self._faults().foreign_call_control_id) is not None:
            extra["call_control_id"] = foreign
        self._event("start", start={**self._start, **extra})
        self.started = True
        self.started_at = monotonic()
        self._changed()

    def finish(self) -> None:
        """The call ends the stream: `stop`, then an orderly close."""
        if self.ended or not self.connected:
            self._end("stopped")
            return
        self._send_window()
        if not self._faults().no_stop and self.started:
            stop = {"user_id": self._start.get("user_id"), "call_control_id": self._start["call_control_id"]}
            self._event("stop", stop=stop)
        self._put(None, Frame(0, "close", 0))
        self.playout.stop(monotonic())
        self.ended = "stopped"
        # A product that no longer reads keeps the goodbye from being sent.
        self._cut = asyncio.get_running_loop().call_later(CLOSE_S + self._faults().link_ms / 1000, self.drop)

    def drop(self) -> None:
        """Cuts the TCP connection without a word."""
        if self._writer is not None:
            self._writer.cancel()
        if self._ws is not None:
            self._ws.transport.abort()
        self._end("lost")

    def fail(self) -> None:
        """It never came to be."""
        self._end("failed")

    async def over(self) -> str:
        """Waits until the socket is gone. Returns `ended`."""
        await self._over.wait()
        return self.ended

    def _end(self, why: str) -> None:
        self.ended = self.ended or why
        self.playout.stop(monotonic())
        for timer in (self._timer, self._cut):
            if timer is not None:
                timer.cancel()
        self._over.set()
        self._changed()

    # To the product.

    def send_caller(self, ulaw: bytes, at: float, heard: Callable[[float, float], bytes]) -> None:
        """The 20 ms that left the caller's mouth at `at`; `heard(since, until)` is for the outbound track."""
        if not self.started or self.ended:
            return
        self._misbehave(at)
        if self.options.track != "outbound_track":
            self._send_media("inbound", ulaw)
        if self.options.track != "inbound_track":
            audio = heard(at - FRAME_MS / 1000, at)[:FRAME_BYTES]
            self._send_media("outbound", audio.ljust(FRAME_BYTES, SILENT_FRAME[:1]))

    def send_dtmf(self, digit: str) -> None:
        if self.started and not self.ended:
            self._event("dtmf", occurred_at=timestamp(), dtmf={"digit": digit})

    def send_raw(self, message: str | bytes) -> None:
        """Puts anything on the wire."""
        self._send("raw", message)

    def _send_media(self, track: str, ulaw: bytes) -> None:
        faults = self._faults()
        self._sequence += 1
        self._chunks[track] += 1
        chunk = self._chunks[track]
        payload = self._silence if ulaw is SILENT_FRAME else b64(self._encode(ulaw))
        # The unit of the timestamp is not documented (unknown): milliseconds of audio here.
        text = (
            f'{{"event":"media","sequence_number":"{self._sequence}","stream_id":"{self.stream_id}","media":'
            f'{{"track":"{track}","chunk":"{chunk}","timestamp":"{chunk * FRAME_MS}","payload":"{payload}"}}}}'
        )
        if faults.media_lose_every and chunk % faults.media_lose_every == 0:
            return
        frame = Frame(0, "media", len(ulaw), str(chunk))
        copies = 2 if faults.media_duplicate_every and chunk % faults.media_duplicate_every == 0 else 1
        self._window += [(text, frame)] * copies
        if len(self._window) >= faults.media_shuffle:
            self._send_window()

    def _send_window(self) -> None:
        faults = self._faults()
        if faults.media_shuffle:
            random.shuffle(self._window)
        for text, frame in self._window:
            self._put(text, frame, faults.media_jitter_ms)
        self._window.clear()

    def _event(self, event: str, **content: Any) -> None:
        self._sequence += 1
        message = {"event": event, "sequence_number": str(self._sequence), "stream_id": self.stream_id, **content}
        mark = content.get("mark", {})
        self._send(event, msgspec.json.encode(message).decode(), mark.get("name", ""))

    def _error(self, code: int, detail: str) -> None:
        self.errors.append((code, detail))
        payload = {"code": code, "title": ERROR_TITLES[code], "detail": detail}
        message = {"event": "error", "stream_id": self.stream_id, "payload": payload}
        self._send("error", msgspec.json.encode(message).decode(), str(code))
        self._changed()

    def _send(self, event: str, message: str | bytes, name: str = "") -> None:
        self._put(message, Frame(0, event, len(message), name))

    def _put(self, message: str | bytes | None, frame: Frame, jitter_ms: float = 0.0) -> None:
        if self.ended:
            return
        if frame.event == "media" and self._out.qsize() >= MAX_BACKLOG:
            self.lost_frames += 1
            return
        delay = self._faults().link_ms + (random.uniform(0, jitter_ms) if jitter_ms else 0.0)
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
            # To say that a connection is lost websockets 17 aborts its transport once more, which asyncio cannot bear.
            if ws.state is State.OPEN:
                raise
        finally:
            if self.ended == "stopped":
                self._end("stopped")

    def _misbehave(self, at: float) -> None:
        """What the faults ask for at a certain age of the stream."""
        faults = self._faults()
        age = at - (self.started_at or at)
        if faults.garbage and not self._garbage_sent and age >= faults.garbage_after_s:
            self._garbage_sent = True
            for kind in faults.garbage:
                self.send_raw(GARBAGE[kind]())
        if faults.drop_socket_after_s is not None and age >= faults.drop_socket_after_s:
            self.drop()

    # From the product.

    async def _read(self, ws: ClientConnection) -> None:
        try:
            while True:
                message = await ws.recv()
                stop_s = self._faults().stop_reading_after_s
                if stop_s is not None and self.started_at is not None and monotonic() - self.started_at >= stop_s:
                    await self._over.wait()
                    return
                link_s = self._faults().link_ms / 1000
                if link_s or self._late:
                    self._late.append((monotonic() + link_s, message))
                    if len(self._late) == 1:
                        asyncio.get_running_loop().call_later(link_s, self._arrive_late)
                else:
                    self._receive(message, monotonic())
        except ConnectionClosedOK:
            self._end("closed")
        except ConnectionClosed as closed:
            # Some servers close without a status (1005): that is still a close, not a loss.
            self._end("closed" if closed.rcvd is not None else "lost")

    def _arrive_late(self) -> None:
        while self._late and self._late[0][0] <= monotonic():
            due, message = self._late.popleft()
            self._receive(message, due)
        if self._late and not self._over.is_set():
            asyncio.get_running_loop().call_later(max(0.0, self._late[0][0] - monotonic()), self._arrive_late)

    def _receive(self, message: str | bytes, at: float) -> None:
        if self.ended:
            return
        try:
            frame = parse(message)
            if isinstance(frame, Media):
                self.log_in.append(Frame(at, "media", len(frame.audio)))
                self._play(frame.audio, at)
            elif isinstance(frame, Mark):
                self.log_in.append(Frame(at, "mark", 0, frame.name))
                self.playout.mark(frame.name, at)
                self._echo_due()
            else:
                self.log_in.append(Frame(at, "clear", 0))
                self.clear_log.append(Cleared(at, self.playout.played(at), self.playout.received_bytes))
                self._echo(self.playout.clear(at))
        except FrameError as error:
            self._error(error.code, error.detail)

    def _play(self, audio: bytes, at: float) -> None:
        # One-way audio, the most common mistake: without mode rtp all is accepted, no error is sent, nothing is heard.
        options = self.options
        ears = self._ears() if options.mode == "rtp" else []
        if options.mode == "rtp":
            self.odd_frames += not check_length(audio, options)
        ulaw = decode(options.bidirectional_codec, options.sampling_rate, audio)
        if ulaw is None or not ears:
            self.ignored_bytes += len(audio)
            return
        for phone in ears:
            phone.plug(f"media {self.stream_id}", self.playout)
            if phone.on_media is not None:
                phone.on_media(at, ulaw)
        self.playout.play(ulaw, at)

    def _echo_due(self) -> None:
        """Telnyx docs: a mark comes back when the media before it has been played, at once if nothing is queued."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._echo(self.playout.due(monotonic()))
        if (due := self.playout.next_due) is not None and not self.ended:
            wait = max(0.0, due - monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._echo_due)

    def _echo(self, names: list[str]) -> None:
        if not self._faults().no_marks:
            for name in names:
                self._event("mark", mark={"name": name})
