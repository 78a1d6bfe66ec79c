"""What a telephone plays: a queue of audio on the playout clock, with marks and clear; and how segments are mixed.

Audio is µ-law at 8 kHz, so 8 bytes are 1 ms. Times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from callflow.media.g711 import BYTES_PER_MS, ulaw_to_pcm16


BYTES_PER_SECOND: Final = BYTES_PER_MS * 1000
UNDERRUN_MS: Final = 500
"""A gap of up to so many ms in what is played is an underrun; a longer one is a pause between two utterances."""


@dataclass(slots=True)
class Segment:
    """Audio without a gap. `at` is when its first byte was said or heard."""

    at: float
    audio: bytearray
    source: str = ""

    @property
    def ms(self) -> float:
        """Its length in ms."""
        return len(self.audio) / BYTES_PER_MS

    @property
    def ends(self) -> float:
        """When its last byte has been said or heard."""
        return self.at + len(self.audio) / BYTES_PER_SECOND

    def until(self, now: float) -> Segment:
        """Return the part of it before the time `now`."""
        return Segment(self.at, self.audio[: bytes_between(self.at, now)], self.source)


def bytes_between(start: float, end: float) -> int:
    """Count the bytes of audio between two times."""
    # The tenth of a byte makes up for floats: 20 ms after a start must be 160 bytes, not 159.
    return max(0, math.floor((end - start) * BYTES_PER_SECOND + 0.1))


@dataclass(slots=True)
class _Mark:
    due: float
    name: str


@dataclass(slots=True)
class Playout:
    """A queue that plays in order at exactly 8,000 bytes per second, with marks and clear.

    `play`, `mark` and `clear` are given the time at which they arrive; everything else is computed from that.
    """

    source: str = "media"
    segments: list[Segment] = field(default_factory=list)
    received_bytes: int = 0
    cleared_bytes: int = 0
    clears: int = 0
    underruns: int = 0
    gaps_ms: list[float] = field(default_factory=list)
    """The length of every underrun, in ms."""
    max_queued_ms: float = 0.0
    pause_ms: float = 0.0
    """It pauses for this long after each second of audio, and so falls behind until it runs empty."""
    _ends: float = -math.inf
    _until_pause: int = BYTES_PER_SECOND
    _marks: deque[_Mark] = field(default_factory=deque)

    def play(self, ulaw: bytes, now: float) -> None:
        """Queue audio behind what is still being played."""
        if not ulaw:
            return
        if not self.segments or now - self._ends >= 1e-6:
            gap_ms = (now - self._ends) * 1000
            if self.segments and gap_ms <= UNDERRUN_MS:
                self.underruns += 1
                self.gaps_ms.append(gap_ms)
            self._ends = now
            self.segments.append(Segment(now, bytearray(), self.source))
        self.received_bytes += len(ulaw)
        while self.pause_ms and len(ulaw) >= self._until_pause:
            self.segments[-1].audio += ulaw[: self._until_pause]
            ulaw = ulaw[self._until_pause :]
            self._until_pause = BYTES_PER_SECOND
            self.segments.append(Segment(self.segments[-1].ends + self.pause_ms / 1000, bytearray(), self.source))
        self._until_pause -= len(ulaw)
        self.segments[-1].audio += ulaw
        self._ends = self.segments[-1].ends
        self.max_queued_ms = max(self.max_queued_ms, self.queued_ms(now))

    def mark(self, name: str, now: float) -> None:
        """Queue a mark behind the audio; with nothing queued it is due at once."""
        self._marks.append(_Mark(max(now, self._ends), name))

    def clear(self, now: float) -> list[str]:
        """Drop what has not been played. Returns the names of all pending marks, which are due now."""
        self.clears += 1
        self.stop(now)
        names = [mark.name for mark in self._marks]
        self._marks.clear()
        return names

    def stop(self, now: float) -> None:
        """Drop what has not been played. Pending marks stay due at the times that they had."""
        while self.segments and self._ends > now:
            last = self.segments[-1]
            heard = min(len(last.audio), bytes_between(last.at, now))
            self.cleared_bytes += len(last.audio) - heard
            del last.audio[heard:]
            if last.audio or len(self.segments) == 1 or self.segments[-2].ends <= now:
                # Silence between a clear and the next utterance is no underrun.
                self._ends = -math.inf if not last.audio else now - (UNDERRUN_MS + 1) / 1000
            if not last.audio:
                self.segments.pop()

    def due(self, now: float) -> list[str]:
        """Return the marks whose audio has been played, in order; each is returned once."""
        names = []
        while self._marks and self._marks[0].due <= now + 1e-6:
            names.append(self._marks.popleft().name)
        return names

    @property
    def next_due(self) -> float | None:
        """When the next pending mark is due."""
        return self._marks[0].due if self._marks else None

    def queued_ms(self, now: float | None = None) -> float:
        """Return how much audio is waiting to be played, in ms."""
        return max(0.0, (self._ends - (monotonic() if now is None else now)) * 1000)

    def played(self, now: float | None = None) -> int:
        """Return how many bytes have been heard."""
        now = monotonic() if now is None else now
        unplayed = 0
        for segment in reversed(self.segments):
            if segment.ends <= now:
                break
            unplayed += len(segment.audio) - min(len(segment.audio), bytes_between(segment.at, now))
        return self.received_bytes - self.cleared_bytes - unplayed

    @property
    def played_bytes(self) -> int:
        """How many bytes have been heard up to now."""
        return self.played()


def mixed(segments: Iterable[Segment], begin: float, count: int) -> array[int]:
    """Mix segments into `count` samples from the time `begin` on; where two overlap they are added."""
    samples = array("h", bytes(2 * count))
    filled = 0
    for segment in segments:
        pcm = array("h", ulaw_to_pcm16(bytes(segment.audio)))
        start = round((segment.at - begin) * BYTES_PER_SECOND)
        pcm = pcm[max(0, -start) :]
        start = max(0, start)
        pcm = pcm[: max(0, count - start)]
        for i in range(min(len(pcm), max(0, filled - start))):
            pcm[i] = max(-32768, min(32767, pcm[i] + samples[start + i]))
        samples[start : start + len(pcm)] = pcm
        filled = max(filled, start + len(pcm))
    return samples
