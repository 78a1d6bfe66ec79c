"""Both sides of a call for one person who listens to it now: bounded, and lost rather than late. Pure.

What was sent ahead of its time has the position at which the caller hears it, and is taken back when it is cut off.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from callflow.media.audio_gates import silence
from callflow.media.g711 import BYTES_PER_MS


_RATE: Final = BYTES_PER_MS * 1000
_JUMP: Final = _RATE // 10
"""Frames of the caller follow each other without gaps, unless one comes so many samples after the end of the last."""
_MOST: Final = 200
"""Pieces that wait: 2 s of both sides."""
_LONGEST: Final = 65_440
"""Bytes of a piece, whose length has two of its own in its head."""
_CALLER: Final = 0
_AGENT: Final = 1
_CUT: Final = 2
_HEAD: Final = struct.Struct(">BIH")
"""Before the audio of each piece: whose it is, its first sample since the listening began, its length in bytes."""


class ListenInAudio:
    """An `AudioTap` that keeps what its listener has not got yet."""

    __slots__ = ("_agent", "_began", "_caller", "_clock", "_is_hidden", "_kept", "_wake", "lost")

    def __init__(self, clock: Callable[[], float], is_hidden: Callable[[], bool], wake: Callable[[], object]) -> None:
        """`is_hidden`: returns whether nothing may be kept of the call now. `wake`: called when there is something."""
        self._clock, self._is_hidden, self._wake = clock, is_hidden, wake
        self._began = clock()
        self._caller = self._agent = 0
        self._kept: deque[bytes] = deque(maxlen=_MOST)
        self.lost = 0
        """Pieces that the listener was too slow for."""

    def caller(self, audio: bytes) -> None:
        """Take a frame of the caller, µ-law."""
        here = max(self._now() - len(audio), 0)
        if here - self._caller > _JUMP:
            self._caller = here
        self._put(_CALLER, self._caller, audio)
        self._caller += len(audio)

    def agent(self, audio: bytes) -> None:
        """Take audio that was sent to the caller, µ-law."""
        self._agent = max(self._agent, self._now())
        self._put(_AGENT, self._agent, audio)
        self._agent += len(audio)

    def cut(self) -> None:
        """Take back what the caller will not hear of the audio that was sent."""
        now = self._now()
        if self._agent > now:
            self._agent = now
            self._keep(_HEAD.pack(_CUT, now & 0xFFFFFFFF, 0))

    def take(self) -> bytes:
        """Return all that waits, as one message; b"": nothing does."""
        message = b"".join(self._kept)
        self._kept.clear()
        return message

    def _now(self) -> int:
        return round((self._clock() - self._began) * _RATE)

    def _put(self, side: Literal[0, 1], at: int, audio: bytes) -> None:
        shown = silence(len(audio))[1] if self._is_hidden() else audio
        for start in range(0, len(shown), _LONGEST):
            piece = shown[start : start + _LONGEST]
            self._keep(_HEAD.pack(side, (at + start) & 0xFFFFFFFF, len(piece)) + piece)

    def _keep(self, piece: bytes) -> None:
        if len(self._kept) == _MOST:
            self.lost += 1
        self._kept.append(piece)
        self._wake()
