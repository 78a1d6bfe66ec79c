"""The session of a call over SIP: it begins with the accept, hears and speaks on a telephone, and may have sockets
beside it, one after another or several.

Vendor: https://platform.openai.com/docs/guides/realtime-sip
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, cast

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import config as settings
from callflow.sandbox.openai_realtime.connection import SentEvent
from callflow.sandbox.openai_realtime.faults import Faults, Quirks
from callflow.sandbox.openai_realtime.items import Tokens
from callflow.sandbox.openai_realtime.output_buffer import OutputBuffer
from callflow.sandbox.openai_realtime.response import Response
from callflow.sandbox.openai_realtime.script import Delta, Pace, Script
from callflow.sandbox.openai_realtime.session import Session


_FRAME_SECONDS: Final = 0.02
_PCMU: Final = {"type": "audio/pcmu"}


class _Sideband:
    """One socket beside the call."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.frames: deque[str | bytes] = deque()
        self.more = asyncio.Event()


class SipSession(Session):
    """A session whose audio goes over SIP.

    Args:
        body: of the accept. Raises Refusal where that cannot be a session.
    """

    def __init__(
        self,
        phone: Phone,
        body: dict[str, Any],
        number: int,
        *,
        script: Script,
        pace: Pace,
        quirks: Quirks,
        faults: Callable[[], Faults],
        keep_audio: bool,
    ) -> None:
        self._sidebands: list[_Sideband] = []
        self._only: _Sideband | None = None
        """The one socket that gets what is sent now; None: all."""
        super().__init__(
            cast(ServerConnection, None),
            number,
            model=str(body.get("model") or "gpt-realtime-2.1"),
            transcription=False,
            script=script,
            pace=pace,
            quirks=quirks,
            faults=faults,
            keep_audio=keep_audio,
        )
        self.config = settings.updated(self.config, body, quirks, voice_locked=False)
        for side in self.config["audio"].values():
            side["format"] = dict(_PCMU)  # as SIP has agreed on it
        self.caller.configure()
        self.opened = 0
        """How many sockets were beside the call so far."""
        self.phone = phone
        self._buffer = OutputBuffer(phone, self.emit, self._truncated)
        self._hearing: asyncio.Task[None] | None = None
        self._expired: Callable[[], object] | None = None

    # The call

    def begin(self, expired: Callable[[], object]) -> None:
        """Answer the call: hear its telephone from now on. `expired`: called when the session's time is over."""
        self._hearing, self._expired = self.spawn(self._hear()), expired
        self._timers.append(self._loop.call_later(self.quirks.session_seconds, self._expire))
        self._hosted.named(self.config["tools"])

    async def _hear(self) -> None:
        at = monotonic()
        while True:
            self.caller.append(base64.b64encode(self.phone.next_frame(at)).decode())
            self.caller.listen()
            at += _FRAME_SECONDS
            await asyncio.sleep(max(at - monotonic(), 0.0))

    async def end(self) -> None:
        """End the session, because the call is over: its sockets close without a word."""
        self._buffer.close()
        self.caller.disarm_idle()
        for timer in self._timers:
            timer.cancel()
        await self.cancel_tasks()
        for beside in list(self._sidebands):
            beside.socket.transport.abort()
        self.closed, self.close_code = True, 1006
        self.notify()

    def _expire(self) -> None:
        super()._expire()
        if self._expired is not None:
            self._expired()

    def press(self, digit: str) -> None:
        """Press a key of the caller's telephone. The event has no id."""
        self.send({"type": "input_audio_buffer.dtmf_event_received", "event": digit, "received_at": int(time.time())})

    # Its sockets

    async def serve_sideband(self, socket: ServerConnection) -> None:
        """Serve one socket until it closes."""
        beside = _Sideband(socket)
        self._sidebands.append(beside)
        self.opened += 1
        writer = asyncio.create_task(self._write(beside))
        try:
            if not self.faults.no_session_created:
                self._only = beside  # the others have been told, each when it came
                self.emit("session.created", session=self.config)
                self._only = None
            while True:
                self._frame(await socket.recv())
        except ConnectionClosed:
            pass
        finally:
            self._sidebands.remove(beside)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self.notify()

    async def _write(self, beside: _Sideband) -> None:
        try:
            while True:
                while beside.frames:
                    await beside.socket.send(beside.frames.popleft())
                beside.more.clear()
                await beside.more.wait()
        except ConnectionClosed:
            return

    @property
    def has_sideband(self) -> bool:
        """Whether a socket is beside the call now."""
        return bool(self._sidebands)

    def send_frame(self, frame: str | bytes) -> None:
        """Send a frame to every socket; without one it is lost."""
        for beside in self._sidebands if self._only is None else [self._only]:
            beside.frames.append(frame)
            beside.more.set()

    def drop(self) -> None:
        """Reset the connections of all sockets. The call goes on."""
        for beside in self._sidebands:
            beside.socket.transport.abort()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close all sockets."""
        for beside in list(self._sidebands):
            self.spawn(beside.socket.close(code, reason))

    # What is played

    def emit_audio(self, place: dict[str, Any], delta: Delta) -> None:
        """Play audio; no socket gets it."""
        event = {"type": "response.output_audio.delta", **place}
        self.sent.append(SentEvent(self._loop.time(), event["type"], event, delta.size))
        self._buffer.play(place["response_id"], place["item_id"], base64.b64decode(delta.base64))
        self.notify()

    def interrupt(self, reason: str) -> None:
        """Stop the response under way, and what is played of it."""
        super().interrupt(reason)
        if self._buffer.is_playing:
            self._buffer.clear()

    def _truncated(self, item: str, ms: int) -> None:
        found = self.conversation.find(item)
        if found is not None:
            found.truncate(min(ms, int(found.audio_ms)))
        self.emit("conversation.item.truncated", item_id=item, content_index=0, audio_end_ms=ms)

    def _response_ended(self, response: Response, tokens: Tokens) -> None:
        self._buffer.done(response.id)
        super()._response_ended(response, tokens)

    def _output_clear(self, event: dict[str, Any]) -> None:
        if self._buffer.is_playing:
            self._buffer.clear()
        else:
            self.emit("output_audio_buffer.cleared", response_id=self.responses[-1].id if self.responses else "")

    _HANDLERS = {**Session._HANDLERS, "output_audio_buffer.clear": _output_clear}  # type: ignore[dict-item]  # noqa: RUF012

    def _frame(self, frame: str | bytes) -> None:
        if '"input_audio_buffer.append"' in (frame if isinstance(frame, str) else ""):
            self.violations.append("input_audio_buffer.append: on a sideband socket")
            self.fail("invalid_value", "The audio of a SIP call cannot be sent over its sideband socket.")
            return
        super()._frame(frame)
