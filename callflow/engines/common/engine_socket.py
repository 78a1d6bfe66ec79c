"""The WebSocket of one session, without a task or a queue of its own: messages are handed over as they are read, and
events are written as they are sent.

Whole text messages, 50 a second each way, are framed here (RFC 6455, section 5.2). Everything else is left to
`websockets` (https://websockets.readthedocs.io/en/stable/howto/sansio.html): the handshake, proxies, pings, fragments,
violations of the protocol, and the closing handshake.
"""

from __future__ import annotations

import secrets
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]
from websockets.protocol import State

from callflow.timers import Timer


_TURN_SECONDS: Final = 0.002
"""How long the messages of one connection are handled before other calls get their turn on the event loop."""
_MOST_BACKLOG: Final = 64
"""Messages that wait for their turn before reading pauses."""
_MOST_PARTS: Final = 4096
"""Fragments of one message: those of the largest one then have 1 kB."""
_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_WHOLE_TEXT: Final = 0x81
"""The first byte of the frame of a whole text message: FIN, no reserved bits, opcode 1."""
_MASKS: Final = 64
"""How many are made at once."""
_PIECE: Final = 256
"""Bytes that `websockets` is given at once of what is not framed here: 128 frames at most."""
_OPCODES: Final = frozenset(Opcode)
_HEAD_ENDS: Final = b"\r\n\r\n"


class EngineSocket(ClientConnection):
    """A connection to the model; `websockets.connect` makes it."""

    # With these in the dict of `websockets`, Python would keep a hash table of 1.5 kB for each connection.
    __slots__ = (
        "_allowed", "_backlog", "_ended", "_has_turn", "_head", "_is_behind", "_is_framed", "_is_held", "_message",
        "_most_message", "_most_waiting", "_needed", "_parts", "_parts_size", "_reading_paused", "_reason",
        "_takes_text", "_turn_ends", "_unread", "_write_deadline", "_write_seconds", "clock_ahead",
    )  # fmt: skip

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.clock_ahead = 0.0
        """By how many seconds our clock is ahead of the server's, as far as the answer to the handshake tells it."""
        self._message: Callable[[bytes], None] | None = None
        self._ended: Callable[[str], None] | None = None
        self._backlog: list[bytes] = []
        """Messages that wait: for `start`, or because they came with too many others."""
        self._parts: list[bytes] = []
        """The fragments of an unfinished message (RFC 6455, section 5.4)."""
        self._parts_size = 0
        """Bytes of them, all together."""
        self._head: bytes | None = b""
        """The last bytes of the server's answer to the handshake; None: it is complete."""
        self._most_message = self.protocol.max_message_size or sys.maxsize
        self._is_framed = self._takes_text = False
        """We tell frames apart, and write them; False: `websockets` does. Neither, once a side has begun to close."""
        self._unread = bytearray()
        """The beginning of a frame, or what waits for the next turn."""
        self._needed = 0
        """Bytes that `_unread` must have before it is looked at again."""
        self._turn_ends = 0.0
        self._has_turn = self._reading_paused = False
        """A turn for what waits is scheduled; and reading waits for it."""
        self._is_behind = False
        """Frames in `_unread` wait for that turn."""
        self._is_held = False
        self._reason = ""
        """Why the connection has ended; "": it has not."""
        self._write_seconds = 0.0
        self._most_waiting = self._allowed = 0
        self._write_deadline = Timer(self.loop)

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

    def allow(self, size: int) -> None:
        """Let so many bytes more wait until what waits is gone, because a message of that size is to be sent."""
        self._allowed = (self._allowed if self.paused else 0) + size * 2  # audio comes behind it

    def put(self, text: str) -> None:
        """Send a text message. It is dropped if the connection is over."""
        if self._reason or not self._takes_text:
            return
        self.transport.write(text_frame(text.encode()))
        if self.paused and self.transport.get_write_buffer_size() > self._most_waiting + self._allowed:
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
        if self._is_behind:
            self._unread += data
        elif self._is_framed:
            self._read(data)
        elif self._head is None:
            self._leave_to_websockets(data)
        else:
            self._read_head(self._head, data)

    def send_data(self) -> None:
        """Write what `websockets` has to write. It calls this whenever the state of the connection may have changed."""
        if self.protocol.state is not State.OPEN:
            self._is_framed = self._takes_text = False
        super().send_data()

    def process_event(self, event: Any) -> None:
        """Handle the answer to the handshake, or one frame."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
        elif event.fin and not self._parts:
            self._in_turn(bytes(event.data))
        else:  # websockets bounds the size of the whole message, and has refused fragments out of place
            self._parts.append(bytes(event.data))
            self._parts_size += len(event.data)
            if event.fin:
                whole, self._parts, self._parts_size = b"".join(self._parts), [], 0
                self._in_turn(whole)
            elif len(self._parts) > _MOST_PARTS:
                self._break(f"the engine sent a message in more than {_MOST_PARTS} fragments")

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is over; what has been read is handed over before that is told."""
        super().connection_lost(error)
        self._write_deadline.stop()
        self._unread.clear()
        self._is_behind = False
        self._reason = self._reason or f"the engine closed the connection: {self.close_exc}"
        if self.protocol.parser_exc is not None:  # its frames hold the protocol, and that the error
            self.protocol.parser_exc.__traceback__ = None
        self._schedule()

    def pause_writing(self) -> None:
        """Note that the server does not read: it has `write_seconds` to go on."""
        super().pause_writing()
        if self._write_seconds:
            reason = f"one write took longer than {self._write_seconds:g} s"
            self._write_deadline.start(self._write_seconds, partial(self._break, reason))

    def resume_writing(self) -> None:
        """Note that the server reads again."""
        super().resume_writing()
        self._allowed = 0
        self._write_deadline.stop()

    # Inside

    def _read_head(self, before: bytes, data: bytes) -> None:
        """Handle a part of the answer to the handshake, and what follows it."""
        ends = (before + data).find(_HEAD_ENDS)
        if ends < 0:
            self._head = (before + data)[1 - len(_HEAD_ENDS) :]
            super().data_received(data)
            return
        self._head = None
        ends += len(_HEAD_ENDS) - len(before)
        super().data_received(data[:ends])
        self._is_framed = self._takes_text = self.protocol.state is State.OPEN
        if len(data) > ends:
            self.data_received(data[ends:])

    def _read(self, data: bytes) -> None:
        """Hand over the whole text messages, and give all other frames to `websockets`, each as a whole. What is left
        when the time of the turn is over waits for the next one."""
        unread = self._unread
        if unread:
            unread += data
            if len(unread) < self._needed:
                return
            data = self._take_unread()
        at, size = 0, len(data)
        while size >= at + 2:
            kind, length, begins = data[at], data[at + 1], at + 2
            is_known = kind == _WHOLE_TEXT or kind & 15 in _OPCODES
            if length > 127 or not is_known or not self._is_framed:
                self._leave_to_websockets(data[at:])  # masked, or behind a close frame
                return
            if length == 126:
                begins += 2
                length = int.from_bytes(data[at + 2 : begins], "big")
            elif length > 126:
                begins += 8
                length = int.from_bytes(data[at + 2 : begins], "big")
            ends = begins + length
            if size < begins:
                self._needed = begins - at
                break
            if length > self._most_message - self._parts_size:
                self._leave_to_websockets(data[at:])
                return
            if size < ends:
                self._needed = ends - at
                break
            if is_whole := kind == _WHOLE_TEXT and not self._parts:
                self._in_turn(data[begins:ends])
            else:
                super().data_received(data[at:ends])
            at = ends
            if (self._backlog or not is_whole) and at < size and self._must_wait():
                self._wait_with(data[at:])
                return
        else:
            self._needed = 2
        if at < size:
            unread += data[at:]

    def _leave_to_websockets(self, data: bytes) -> None:
        """Leave this and all that follows to `websockets`, which refuses it or throws it away; while it waits for the
        answer to our close frame, it handles it. What is left when the time of the turn is over waits for the next."""
        self._is_framed = False
        for at in range(0, len(data), _PIECE):
            super().data_received(data[at : at + _PIECE])
            if at + _PIECE < len(data) and self._must_wait():
                self._wait_with(data[at + _PIECE :])
                return

    def _in_turn(self, message: bytes) -> None:
        waits = self._is_held or bool(self._backlog) or self.loop.time() >= self._turn_ends
        if self._message is not None and not waits:
            self._message(message)
            return
        self._backlog.append(message)
        if self._message is not None:
            self._schedule()
        if len(self._backlog) >= _MOST_BACKLOG:
            self._pause()

    def _must_wait(self) -> bool:
        return len(self._backlog) >= _MOST_BACKLOG or bool(self._reason) or self.loop.time() >= self._turn_ends

    def _take_unread(self) -> bytes:
        data = bytes(self._unread)
        self._unread.clear()
        return data

    def _wait_with(self, rest: bytes) -> None:
        """Go on with this in the next turn."""
        if not self._reason:
            self._unread += rest
            self._needed, self._is_behind = 0, True
            self._pause()

    def _pause(self) -> None:
        """Read no more before the next turn."""
        if not self._reading_paused:
            self._reading_paused = True
            if not self.transport.is_closing():
                self.transport.pause_reading()
        self._schedule()

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
            message(self._backlog.pop(0))
            if self._backlog and self.loop.time() >= ends:
                self._schedule()
                return
        if self._is_behind and len(self._backlog) < _MOST_BACKLOG:
            self._is_behind, self._turn_ends = False, ends
            self._read(b"") if self._is_framed else self._leave_to_websockets(self._take_unread())
        if self._reading_paused and not self._is_behind and len(self._backlog) < _MOST_BACKLOG:
            self._reading_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        if self._backlog or self._is_behind or self._taken_by() is None:
            return
        if self._reason and self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self._reason)

    def _break(self, reason: str) -> None:
        """End the connection at once: the server does not read, or sends what it must not."""
        if not self._reason:
            self._reason = reason
            self._unread.clear()
            self._is_behind = False
            self._write_deadline.stop()
            self.transport.abort()
            self._schedule()


def text_frame(data: bytes) -> bytes:
    """Return the frame in which a client sends a text message (RFC 6455, sections 5.2 and 5.3)."""
    size = len(data)
    if size < 126:
        head = bytes((_WHOLE_TEXT, 128 | size))
    elif size < 65536:
        head = bytes((_WHOLE_TEXT, 254, size >> 8, size & 255))
    else:
        head = bytes((_WHOLE_TEXT, 255)) + size.to_bytes(8, "big")
    mask = _masks.popleft() if _masks else _new_mask()
    return head + mask + apply_mask(data, mask)


_masks: Final[deque[bytes]] = deque()


def _new_mask() -> bytes:
    """Return four random bytes, and make more: asking the system for each mask alone would take longer than all the
    rest."""
    fresh = secrets.token_bytes(4 * _MASKS)
    _masks.extend([fresh[at : at + 4] for at in range(4, len(fresh), 4)])
    return fresh[:4]
