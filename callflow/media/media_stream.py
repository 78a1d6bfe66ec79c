"""One media socket: its protocol, and the order of its frames.

Frames of the carrier become ordered µ-law for the relay, and audio of the relay becomes frames. An unusable stream is
closed with a reason; a single unreadable frame is counted and dropped.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from callflow.contracts.errors import Malformed
from callflow.contracts.event_tap import EventTap, unchanged
from callflow.contracts.loose_base64 import loosely_decoded
from callflow.contracts.media import (
    CallerAudio,
    DtmfFrame,
    Frame,
    IgnoredFrame,
    MarkReceived,
    MediaError,
    MediaProtocol,
    MediaSocket,
    OtherAudio,
    StreamConnected,
    StreamStarted,
    StreamStopped,
)
from callflow.media import g711
from callflow.media.malformed_frames import shape_of
from callflow.media.media_config import MediaConfig
from callflow.media.playout import Playout
from callflow.media.reorder_buffer import ReorderBuffer
from callflow.timers import SmallEvent, Timers


log = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 0.3
_HEAR_OUT_SECONDS: Final = 0.25
"""How long a carrier may take to close its side. The caller is not heard meanwhile."""
_BURST: Final = 4
"""How many times as many frames may be held as come within the wait for a missing one: a burst comes at once."""
_READABLE: Final = ("PCMU", "PCMA")
_MOST_COMPLAINTS: Final = 10
"""Complaints in a row after which the carrier is taken to play nothing of what we send."""
_ACCEPTED_BYTES: Final = 2 * 8000
"""Audio that the carrier took without a complaint ends such a row: 2 s. A mark that comes back does not, because with
nothing to play it comes back at once."""


class StreamOwner(Protocol):
    """The relay, as a media stream uses it. All methods are called on the event loop."""

    call: str
    counts: Counter[str]
    frames_in: int
    bytes_out: int
    tap: EventTap

    def pass_caller_frame(self, payload: str, audio: bytes) -> None:
        """Process a frame of the caller: base64 of µ-law, and the same audio decoded."""

    def is_ours(self, start: StreamStarted) -> bool:
        """Return whether the stream belongs to this call."""

    def started(self, stream: str, encoding: str) -> None:
        """Note that the stream has started. `stream`: the carrier's id; `encoding`: `PCMU` or `PCMA`."""

    def refused(self, reason: str) -> None:
        """Note that the stream is closed because its audio cannot be read."""

    def marked(self, name: str) -> None:
        """Note that a mark came back."""

    def digit(self, digit: str) -> None:
        """Note that the caller has pressed a key."""


class MediaStream:
    """One media socket: its protocol and the order of its frames."""

    def __init__(
        self,
        relay: StreamOwner,
        socket: MediaSocket,
        protocol: MediaProtocol,
        secret: str,
        config: MediaConfig,
        playout: Playout | None = None,
    ) -> None:
        """`playout`: what is played on the stream; None: nothing is."""
        self._relay, self._socket, self._protocol, self._secret = relay, socket, protocol, secret
        self._config, self._playout = config, playout
        self._counts = relay.counts
        self._loop = asyncio.get_running_loop()
        self._reorder = ReorderBuffer(config.reorder_frames * _BURST)
        self._put = socket.put
        self._over: asyncio.Future[str] = self._loop.create_future()
        self.gone = SmallEvent()
        """Set by the relay when the stream has ended and the relay has released it."""
        self._timers = Timers()
        self._is_over = self._is_holding = False
        """The stream has ended; the timer for a missing frame is running."""
        self._alaw = False
        self.started = False
        self._shows = log.isEnabledFor(logging.DEBUG)
        self._complaints = self._complained_at = 0
        """Complaints of the carrier in a row; how many bytes had been sent at the last one."""

    async def run(self) -> str:
        """Serve the socket until the stream ends. Returns the reason."""
        self._socket.start(self._message, self._ended_there, write_seconds=self._config.write_seconds)
        try:
            return await self._over
        finally:
            self._is_over = True
            self._timers.close()
            await self._close_socket(1000, "")

    def _count_order(self) -> None:
        """Add what the order of the frames was to the call's counts."""
        for name, count in (("late_frames", self._reorder.late), ("reordered_frames", self._reorder.ahead)):
            if count:
                self._counts[name] += count

    def await_start(self) -> None:
        """Close the stream if its `start` frame does not come within `start_frame_seconds`."""
        if not self.started and not self._timers.is_running("start"):
            seconds = self._config.start_frame_seconds
            self._timers.start("start", seconds, self._refuse, f"no start frame within {seconds:g} s")

    async def close(self, code: int, reason: str) -> None:
        """Close the socket with a WebSocket close code (RFC 6455, section 7.4), and end the stream."""
        await self._close_socket(code, reason)
        self._end(reason)

    async def hear_out(self) -> None:
        """Close the socket, and take what the carrier had sent before it knew. Returns when the carrier has closed it,
        too: before, it opens no other stream of this call."""
        try:
            async with asyncio.timeout(_HEAR_OUT_SECONDS):
                await self._socket.finish(1000, "the call goes on elsewhere")
                await asyncio.wait([self._over])
        except (TimeoutError, OSError, RuntimeError) as error:
            log.info("call %s: the carrier is slow to close its media socket: %r", self._relay.call, error)
        await self.close(1000, "the call goes on elsewhere")

    async def end(self, reason: str) -> None:
        """End the stream, and wait until the relay has released it."""
        self._end(reason)
        await self.gone.wait()

    def send_audio(self, audio: bytes) -> None:
        """Queue µ-law audio for the carrier, a multiple of 20 ms."""
        payload = binascii.b2a_base64(audio, newline=False).decode("ascii")
        self._put(self._protocol.audio(payload), len(audio))
        self._relay.bytes_out += len(audio)

    def send_mark(self, name: str) -> None:
        """Queue a mark; the carrier returns it after playing the audio before it."""
        if self._shows:
            log.debug("call %s: media out: mark %s", self._relay.call, name)
        if (watcher := self._relay.tap.watcher) is not None:
            watcher.event("to_media", "mark", {"name": name}, unchanged)
        self._put(self._protocol.mark(name))

    def ping(self, playout: Playout, now: float) -> None:
        """Send a ping beside a mark, if it is wanted and the carrier answers pings: see `ping_evidence.py`."""
        if playout.wants_ping(now) and self._socket.ping(partial(self._ponged, playout)):
            playout.pinged(now)

    def _ponged(self, playout: Playout) -> None:
        if not self._is_over:
            playout.ponged(self._loop.time())

    def clear(self, probe: str = "") -> None:
        """Queue a `clear`; the carrier then discards the audio it holds. `probe`: a mark that goes before it; "": none
        does."""
        if self.started:
            if probe:
                self.send_mark(probe)
            if self._shows:
                log.debug("call %s: media out: clear", self._relay.call)
            if (watcher := self._relay.tap.watcher) is not None:
                watcher.event("to_media", "clear", {}, unchanged)
            self._put(self._protocol.clear())

    def _message(self, message: str | bytes) -> None:
        """Handle one message of the carrier's. Called 50 times a second."""
        if self._is_over:
            return
        try:
            frame = self._protocol.decode(message)
            if isinstance(frame, CallerAudio):
                if self.started:
                    ready = self._reorder.push(frame.chunk, frame.payload)
                    for payload in ready:
                        self._pass_on(payload)
                    if self._is_holding or self._reorder.held:
                        self._hold(moved=bool(ready))
            else:
                self._other(frame)
        except Malformed as error:
            self._unreadable(f"{error}: {shape_of(message)}")
        except Exception as error:
            log.exception("call %s: the media reader failed", self._relay.call)
            self._end(f"the media reader failed: {type(error).__name__}")

    def _pass_on(self, payload: str) -> None:
        try:
            audio = binascii.a2b_base64(payload, strict_mode=True)
        except ValueError:
            lenient = loosely_decoded(payload)
            if lenient is None:
                self._unreadable(f"its payload of {len(payload)} characters is not base64")
                return
            audio = lenient
            payload = binascii.b2a_base64(audio, newline=False).decode("ascii")
        self._relay.frames_in += 1
        if self._alaw:
            audio = g711.alaw_to_ulaw(audio)
            payload = binascii.b2a_base64(audio, newline=False).decode("ascii")
        if audio:
            self._relay.pass_caller_frame(payload, audio)

    def _unreadable(self, what: str) -> None:
        """Count an unreadable frame, and log the first such frame of a call, without its content."""
        self._counts["malformed_frames"] += 1
        if self._counts["malformed_frames"] == 1:
            log.warning("call %s: a frame of its media cannot be read: %s (others are counted)", self._relay.call, what)

    def _hold(self, *, moved: bool) -> None:
        """Start a timer for the missing frame. Each missing frame gets the full time."""
        if moved or not self._reorder.held:
            self._timers.stop("holding")
            self._is_holding = False
        if self._reorder.held and not self._is_holding:
            self._is_holding = True
            wait = self._config.reorder_frames * g711.FRAME_MS / 1000
            self._timers.start("holding", wait, self._stop_holding)

    def _stop_holding(self) -> None:
        self._is_holding = False
        for payload in self._reorder.flush():
            self._pass_on(payload)

    def _other(self, frame: Frame) -> None:
        if self._shows and not isinstance(frame, (IgnoredFrame, OtherAudio)):  # of an outbound track come 50 a second
            log.debug("call %s: media in: %s", self._relay.call, _in_words(frame))
        if (watcher := self._relay.tap.watcher) is not None and type(frame) in _SHOWN:
            watcher.event("from_media", *_SHOWN[type(frame)](frame), unchanged)
        match frame:
            case MarkReceived(name=name):
                self._relay.marked(name)
            case StreamStarted():
                self._start(frame)
            case StreamStopped(reason=reason):
                self._ended_there(reason)
            case DtmfFrame(digit=digit):
                self._relay.digit(digit)
            case StreamConnected(secret=secret):
                if secret and not hmac.compare_digest(secret.encode(), self._secret.encode()):
                    self._refuse("the stream's secret is wrong")
            case MediaError(code=code, detail=detail):
                self._counts["carrier_complaints"] += 1
                if self._counts["carrier_complaints"] == 1:
                    log.warning(
                        "call %s: the carrier complains about our media: %s %s (others of this call are counted)",
                        self._relay.call, code, detail[:80],
                    )  # fmt: skip
                self._complained(code)
            case _:
                self._counts["ignored_frames"] += 1

    def _complained(self, code: str) -> None:
        """End a stream whose audio the carrier rejects piece by piece: the caller hears nothing of the agent. Another
        stream may do better; when that one is rejected, too, the caller is told that this line cannot serve them."""
        sent = self._relay.bytes_out
        self._complaints = self._complaints + 1 if sent - self._complained_at <= _ACCEPTED_BYTES else 1
        self._complained_at = sent
        if self._complaints == _MOST_COMPLAINTS:
            reason = f"the carrier rejects what we send, {_MOST_COMPLAINTS} times in a row ({code})"
            self._counts["rejected_streams"] += 1
            if self._counts["rejected_streams"] > 1:
                self._relay.refused(reason)
            self._refuse(reason)

    def _start(self, start: StreamStarted) -> None:
        if self.started:
            self._counts["ignored_frames"] += 1
            return
        if not self._relay.is_ours(start):
            self._refuse(f"the stream belongs to another call, or to another account: {start.call[:80]}")
            return
        if start.encoding not in _READABLE or start.sample_rate != 8000 or start.channels != 1:
            reason = f"cannot read {start.encoding} at {start.sample_rate} Hz with {start.channels} channel(s)"
            self._relay.refused(reason)
            self._refuse(reason)
            return
        self._alaw = start.encoding == "PCMA"
        self.started = True
        self._timers.stop("start")
        if self._playout is not None and (mark := self._playout.open(self._loop.time())):
            self.send_mark(mark)
        self._relay.started(start.stream, start.encoding)

    def _refuse(self, reason: str) -> None:
        """End the stream from this side, and log why."""
        if not self._over.done():
            log.warning("call %s: its media socket is closed here: %s", self._relay.call, reason)
        self._end(reason)

    def _ended_there(self, reason: str) -> None:
        """End the stream as the carrier has: no missing frame comes any more, and those that wait for one are the
        caller's last words."""
        try:
            if not self._is_over:
                self._stop_holding()
        finally:
            self._end(reason)

    def _end(self, reason: str) -> None:
        self._is_over = True
        if not self._over.done():
            self._count_order()
            self._over.set_result(reason)

    async def _close_socket(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.close(code, reason)
        except (TimeoutError, OSError, RuntimeError) as error:
            log.debug("call %s: its media socket did not close cleanly: %r", self._relay.call, error)


_SHOWN: Final[Mapping[type, Callable[[Any], tuple[str, dict[str, Any]]]]] = {
    StreamConnected: lambda frame: ("connected", {}),
    StreamStarted: lambda frame: (
        "start",
        {
            "stream": frame.stream,
            "call": frame.call,
            "encoding": frame.encoding,
            "sample_rate": frame.sample_rate,
            "channels": frame.channels,
        },
    ),
    MarkReceived: lambda frame: ("mark", {"name": frame.name}),
    StreamStopped: lambda frame: ("stop", {"reason": frame.reason}),
    DtmfFrame: lambda frame: ("dtmf", {"digit": frame.digit}),
    MediaError: lambda frame: ("error", {"code": frame.code, "detail": frame.detail}),
}
"""Frames as single events, which show neither digits nor secrets: see `EventWatcher`."""


def _in_words(frame: Frame) -> str:
    """Describe a frame for the log, without digits and secrets."""
    match frame:
        case StreamStarted(stream=stream, call=call, encoding=encoding):
            return f"start, stream {stream[:80]}, call {call[:80]}, {encoding[:40]}"
        case MarkReceived(name=name):
            return f"mark {name[:80]}"
        case StreamStopped(reason=reason):
            return f"stop: {reason[:80]}"
        case DtmfFrame():
            return "dtmf"
        case MediaError(code=code, detail=detail):
            return f"error {code} {detail[:80]}"
    return type(frame).__name__.lower()
