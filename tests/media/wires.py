"""The two ends of a media socket without a socket: what it writes, and the frames of a peer."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, cast

from callflow.media.direct_socket import DirectSocket


class Wire:
    """A transport that writes down what it is told."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.waiting = 0
        """Bytes that the peer has not read."""
        self.told: list[str] = []
        self.is_over = False

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.told.append("eof")

    def close(self) -> None:
        self.is_over = True
        self.told.append("close")

    def abort(self) -> None:
        self.is_over = True
        self.told.append("abort")

    def is_closing(self) -> bool:
        return self.is_over

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def take(self) -> bytes:
        """Return what was written since the last time."""
        written, self.written = bytes(self.written), bytearray()
        return written

    def as_transport(self) -> asyncio.Transport:
        return cast(asyncio.Transport, self)


class Stream:
    """What takes the messages of a socket."""

    def __init__(self, socket: DirectSocket) -> None:
        self.messages: list[str | bytes] = []
        self.ended: list[str] = []
        self.socket = socket

    def start(self, *, write_seconds: float = 5.0) -> None:
        self.socket.start(self.messages.append, self.ended.append, write_seconds=write_seconds)


def frame(kind: int, payload: bytes, *, fin: bool = True, mask: bytes | None = b"\x11\x22\x33\x44") -> bytes:
    """A frame, masked as a client's is; `mask` None: as a server's (RFC 6455, section 5.2)."""
    size, bit = len(payload), 0x80 if mask is not None else 0
    if size < 126:
        length = bytes([bit | size])
    elif size <= 0xFFFF:
        length = bytes([bit | 126]) + struct.pack(">H", size)
    else:
        length = bytes([bit | 127]) + struct.pack(">Q", size)
    if mask is not None:
        payload = mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([(0x80 if fin else 0) | kind]) + length + payload
