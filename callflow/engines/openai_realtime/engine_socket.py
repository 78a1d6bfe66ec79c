"""The WebSocket of one session, without a task or a queue of its own: messages are handed over as they are read, and
events are written as they are sent.

Handshake, proxies, pings and the closing handshake are those of `websockets`
(https://websockets.readthedocs.io/en/stable/howto/sansio.html).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State


_TURN_SECONDS: Final = 0.002
"""How long the messages of one connection are handled before other calls get their turn on the event loop."""
_MOST_BACKLOG: Final = 64
"""Messages that wait for their turn before reading pauses."""
_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class EngineSocket(ClientConnection):
    """A connection to the model; `websockets.connect` makes it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._message: Callable[[bytes], None] | None = None
        self._ended: Callable[[str], None] | None = None
        self._backlog: deque[bytes] = deque()
        """Messages that wait: for `start`, or because they came with too many others."""
        self._parts: list[bytes] = []
        """The fragments of an unfinished message (RFC 6455, section 5.4)."""
        self._turn_ends = 0.0
        self._has_turn = self._reading_paused = False
        """A turn for the backlog is scheduled; and reading waits for it."""
        self._is_held = False
        self._reason = ""
        """Why the connection has ended; "": it has not."""
        self._write_seconds = 0.0
        self._most_waiting = 0
        self._write_deadline: asyncio.TimerHandle | None = None

    def start(
        self, message: Callable[[bytes], None], ended: Callable[[str], None], *, write_seconds: float, most_waiting: int
    ) -> None:
        """Hand over each message, from the first one on, and then, once, the reason of the end.

        `write_seconds`: how long the server may read nothing while much waits for it. `most_waiting`: bytes that may
        wait at most.
        """
        self._message, self._ended = message, ended
        self._write_seconds, self._most_waiting = write_seconds, most_waiting
        if self._backlog or self._reason:
            self._schedule()

    def put(self, text: str) -> None:
        """Send a text message. It is dropped if the connection is over."""
        if self._reason or self.protocol.state is not State.OPEN:
            return
        self.protocol.send_text(text.encode())
        self.send_data()
        if self.paused and self.transport.get_write_buffer_size() > self._most_waiting:
            self._break("the peer does not read")

    @property
    def is_open(self) -> bool:
        """Whether nothing shows that the connection is over."""
        return not self._reason and self.protocol.state is State.OPEN and not self.transport.is_closing()

    @property
    def first_waiting(self) -> bytes | None:
        """The first message that waits for `start`; None: none has come."""
        return self._backlog[0] if self._backlog else None

    def hold(self) -> None:
        """Hand over nothing until `release`. Reading pauses when too many messages wait."""
        self._is_held = True

    def release(self) -> None:
        """Hand over again, first what has come meanwhile."""
        self._is_held = False
        self._schedule()

    # Called by websockets

    def data_received(self, data: bytes) -> None:
        """Handle what was read."""
        self._turn_ends = self.loop.time() + _TURN_SECONDS
        super().data_received(data)

    def process_event(self, event: Any) -> None:
        """Handle the answer to the handshake, or one frame."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
        elif event.fin and not self._parts:
            self._in_turn(bytes(event.data))
        else:  # websockets bounds the size of the whole message, and has refused fragments out of place
            self._parts.append(bytes(event.data))
            if event.fin:
                whole, self._parts = b"".join(self._parts), []
                self._in_turn(whole)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is over; what has been read is handed over before that is told."""
        super().connection_lost(error)
        self._stop_write_deadline()
        self._reason = self._reason or f"the engine closed the connection: {self.close_exc}"
        if self.protocol.parser_exc is not None:  # its frames hold the protocol, and that the error
            self.protocol.parser_exc.__traceback__ = None
        self._schedule()

    def pause_writing(self) -> None:
        """Note that the server does not read: it has `write_seconds` to go on."""
        super().pause_writing()
        if self._write_seconds:
            reason = f"one write took longer than {self._write_seconds:g} s"
            self._write_deadline = self.loop.call_later(self._write_seconds, self._break, reason)

    def resume_writing(self) -> None:
        """Note that the server reads again."""
        super().resume_writing()
        self._stop_write_deadline()

    # Inside

    def _stop_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _in_turn(self, message: bytes) -> None:
        waits = self._is_held or bool(self._backlog) or self.loop.time() >= self._turn_ends
        if self._message is not None and not waits:
            self._message(message)
            return
        self._backlog.append(message)
        if self._message is not None:
            self._schedule()
        if len(self._backlog) >= _MOST_BACKLOG and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _taken_by(self) -> Callable[[bytes], None] | None:
        """Return who takes messages now."""
        return None if self._is_held else self._message

    def _schedule(self) -> None:
        if not self._has_turn:
            self._has_turn = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Hand over messages that wait, for the time of one turn."""
        self._has_turn = False
        ends = self.loop.time() + _TURN_SECONDS
        while self._backlog and (message := self._taken_by()) is not None:
            message(self._backlog.popleft())
            if self._backlog and self.loop.time() >= ends:
                self._schedule()
                return
        if self._taken_by() is None:
            return
        if self._reading_paused:
            self._reading_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        if self._reason and self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self._reason)

    def _break(self, reason: str) -> None:
        """End the connection at once: the server does not read."""
        if not self._reason:
            self._reason = reason
            self._stop_write_deadline()
            self.transport.abort()
            self._schedule()
