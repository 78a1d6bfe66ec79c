"""Frames whose number can still be read when a program has decoded, resampled or cut their audio.

Peers do that, so the bytes of a frame do not come back as they were. Of each ten frames one is a code, the others are
silence. A code is 20 pulses of 1 ms: the first is positive, each further one is a bit. Pure.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from typing import Final

from callflow.media.g711 import FRAME_BYTES


EVERY: Final = 10
"""One frame of so many is a code: five a second."""
_PULSES: Final = 20
_SAMPLES: Final = FRAME_BYTES // _PULSES
"""Of one pulse, at 8000 samples a second."""
_CALL_BITS, _NUMBER_BITS = 9, 10
MOST_CALLS: Final = (1 << _CALL_BITS) - 1
_HIGH, _LOW, _SILENCE = b"\x90", b"\x10", b"\xff"
"""µ-law of about +16000 and -16000, and of nothing."""
_LOUD: Final = 6000
_MASK: Final = (1 << _NUMBER_BITS) - 1


def frame(call: int, chunk: int) -> bytes:
    """Return 20 ms of µ-law: the code of this chunk of this call (from 1), or silence."""
    if chunk % EVERY:
        return _SILENCE * FRAME_BYTES
    value = call << _NUMBER_BITS | (chunk // EVERY & _MASK)
    bits = [value >> place & 1 for place in reversed(range(_CALL_BITS + _NUMBER_BITS))]
    return b"".join((_HIGH if bit else _LOW) * _SAMPLES for bit in [1, *bits])


class Reader:
    """Finds the codes in one stream of samples (16 bits each, little-endian)."""

    def __init__(self, rate: int) -> None:
        """`rate`: samples a second, a multiple of 8000."""
        self._pulse = _SAMPLES * rate // 8000
        self._samples: array[int] = array("h")
        self._arrivals: deque[tuple[int, float]] = deque()
        """Up to which sample of what is kept each piece goes, and when it came."""

    def feed(self, pcm: bytes, at: float) -> list[tuple[int, int, float]]:
        """Take a piece that came `at` this moment, in seconds. Returns call, number of the code (modulo 1024), and when
        its beginning came, of each code that is complete now."""
        piece = array("h", pcm)
        if sys.byteorder == "big":
            piece.byteswap()
        self._samples += piece
        self._arrivals.append((len(self._samples), at))
        found: list[tuple[int, int, float]] = []
        done = 0
        while (begin := self._loud(done)) is not None and begin + self._pulse * (_PULSES + 1) <= len(self._samples):
            value = 0
            for pulse in range(1, _PULSES):
                first = begin + pulse * self._pulse + self._pulse // 4
                value = value << 1 | (sum(self._samples[first : first + self._pulse // 2]) > 0)
            found.append((value >> _NUMBER_BITS, value & _MASK, self._at(begin)))
            done = begin + self._pulse * (_PULSES + 1)
        self._forget(done if begin is None or begin < done else begin)
        return found

    def _loud(self, start: int) -> int | None:
        samples = self._samples
        return next((place for place in range(start, len(samples)) if abs(samples[place]) > _LOUD), None)

    def _at(self, place: int) -> float:
        return next(at for end, at in self._arrivals if place < end)

    def _forget(self, wanted: int) -> None:
        """Drop what lies before `wanted`, or all of it if there is no code under way."""
        count = wanted if self._loud(wanted) is not None else len(self._samples)
        del self._samples[:count]
        self._arrivals = deque((end - count, at) for end, at in self._arrivals if end > count)


def chunk_of(number: int, newest: int) -> int:
    """Return the chunk with the code of this number: the last one up to the newest chunk that was sent."""
    last = newest // EVERY
    return (last - ((last - number) & _MASK)) * EVERY
