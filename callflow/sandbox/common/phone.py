"""The human's telephone: what it says, what it hears, and the playout clock between.

A phone is at the human's end of an emulated line and is the same for every carrier. Audio is µ-law at 8 kHz, so 8 bytes
are 1 ms. The emulated carrier takes one 20 ms frame after the other from the microphone (`next_frame`) and plays what
the product sends on a `line`. Times are `time.monotonic()` seconds.

What has been heard is computed from the clock and from when audio was queued, never from how often a task ran: asked
twice for the same instant the phone gives the same answer, however late the event loop is.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import wave
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from callflow.media.g711 import (
    BYTES_PER_MS,
    FRAME_BYTES,
    FRAME_MS,
    ULAW_SILENCE,
    ULAW_TO_LINEAR,
    pcm16_to_ulaw,
    ulaw_to_pcm16,
)


BYTES_PER_SECOND: Final = BYTES_PER_MS * 1000
SILENT_FRAME: Final = bytes([ULAW_SILENCE]) * FRAME_BYTES

SPEECH_HZ: Final = 620.0
"""The tone that stands for the carrier's text to speech."""
PLAYBACK_HZ: Final = 880.0
"""The tone that stands for audio files which the carrier plays."""

LOUD: Final = 330
"""Samples up to this absolute value (of 32,768: 40 dB below full scale) are a quiet line."""
_QUIET_CODES: Final = bytes(code for code in range(256) if abs(ULAW_TO_LINEAR[code]) <= LOUD)

UNDERRUN_MS: Final = 500
"""A gap of up to so many ms in what is played is an underrun; a longer one is a pause between two utterances."""

_POLL_S: Final = 0.005


def is_loud(ulaw: bytes) -> bool:
    """Whether a human could hear this: more than a tenth of the samples are above the noise of a quiet line."""
    return len(ulaw.translate(None, _QUIET_CODES)) * 10 > len(ulaw)


def loud_bytes(ulaw: bytes) -> int:
    """Count the bytes in those 20 ms frames of `ulaw` that are loud."""
    frames = (ulaw[i : i + FRAME_BYTES] for i in range(0, len(ulaw), FRAME_BYTES))
    return sum(len(frame) for frame in frames if is_loud(frame))


@functools.lru_cache(maxsize=64)
def tone(ms: float, hz: float = 440.0, level: float = 0.3) -> bytes:
    """Make a µ-law sine of `ms` milliseconds; `level` 0…1 is its amplitude, 1 is full scale."""
    count = round(ms * BYTES_PER_MS)
    step = 2 * math.pi * hz / BYTES_PER_SECOND
    samples = array("h", (round(32767 * level * math.sin(step * i)) for i in range(count)))
    return pcm16_to_ulaw(samples.tobytes())


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
        return Segment(self.at, self.audio[: _bytes_between(self.at, now)], self.source)


def _bytes_between(start: float, end: float) -> int:
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
            heard = min(len(last.audio), _bytes_between(last.at, now))
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

    @property
    def pending_marks(self) -> list[str]:
        """The names of the marks that are not due yet."""
        return [mark.name for mark in self._marks]

    def queued_ms(self, now: float | None = None) -> float:
        """How much audio is waiting to be played, in ms."""
        return max(0.0, (self._ends - (monotonic() if now is None else now)) * 1000)

    def played(self, now: float | None = None) -> int:
        """How many bytes have been heard."""
        now = monotonic() if now is None else now
        unplayed = 0
        for segment in reversed(self.segments):
            if segment.ends <= now:
                break
            unplayed += len(segment.audio) - min(len(segment.audio), _bytes_between(segment.at, now))
        return self.received_bytes - self.cleared_bytes - unplayed

    @property
    def played_bytes(self) -> int:
        """How many bytes have been heard up to now."""
        return self.played()


class Phone:
    """The telephone of a caller or of a person who is called.

    Args:
        source: replaces what `say` queues: it is called with the number of each frame, from 1, and returns 160 bytes.
        on_media: called with the time of arrival and the audio of every media frame, before it is played. Both are
            for measurements.
    """

    def __init__(
        self,
        *,
        source: Callable[[int], bytes] | None = None,
        on_media: Callable[[float, bytes], None] | None = None,
    ) -> None:
        self.source = source
        self.on_media = on_media
        self.lines: dict[str, Playout] = {}
        """What can be heard, by name; all lines are heard at the same time."""
        self.said: list[Segment] = []
        """What was said, without the silence between."""
        self.frames_taken = 0
        self.connected_at: float | None = None
        self.ended_at: float | None = None
        self._unsaid = bytearray()
        self._quiet = asyncio.Event()
        self._quiet.set()

    # The human's side

    def say(self, ulaw: bytes) -> None:
        """Queue speech behind what is still being said. It starts when the carrier takes the first frame of it."""
        self._unsaid += ulaw
        if self._unsaid:
            self._quiet.clear()

    def stop_speaking(self) -> None:
        """Drop what has not been said yet."""
        self._unsaid.clear()
        self._quiet.set()

    @property
    def is_speaking(self) -> bool:
        """Whether something is still to be said."""
        return bool(self._unsaid)

    async def spoken(self, timeout: float | None = None) -> None:
        """Wait until everything is said: the carrier has taken the last frame. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout):
                await self._quiet.wait()
        except TimeoutError:
            left = len(self._unsaid) / BYTES_PER_MS
            raise TimeoutError(
                f"the caller still has {left:.0f} ms to say after {timeout:g} s; {self._story()}"
            ) from None

    @property
    def heard(self) -> list[Segment]:
        """What was heard up to now, in order of time."""
        now = monotonic()
        pieces = [segment.until(now) for line in self.lines.values() for segment in line.segments if segment.at <= now]
        return sorted((piece for piece in pieces if piece.audio), key=lambda piece: piece.at)

    @property
    def heard_bytes(self) -> int:
        """How many bytes were heard up to now, on all lines."""
        return sum(line.played_bytes for line in self.lines.values())

    @property
    def heard_ms(self) -> float:
        """How much was heard up to now, in ms, on all lines."""
        return self.heard_bytes / BYTES_PER_MS

    def loud_ms(self, since: float = -math.inf, until: float | None = None) -> float:
        """How long something other than silence was heard between two times, in ms."""
        return loud_bytes(self.heard_between(since, monotonic() if until is None else until)) / BYTES_PER_MS

    async def hears(self, seconds: float = 0.1, timeout: float = 10.0, since: float | None = None) -> None:
        """Wait until `seconds` of audio that is not silence were heard from `since` (now) on. Raises TimeoutError."""
        start = monotonic() if since is None else since
        deadline = monotonic() + timeout
        while self.loud_ms(start) < seconds * 1000 - 1e-6:
            if monotonic() > deadline:
                heard = self.loud_ms(start) / 1000
                raise TimeoutError(
                    f"heard {heard:.2f} s instead of {seconds:g} s within {timeout:g} s; {self._story()}"
                )
            await asyncio.sleep(_POLL_S)

    async def hears_silence(self, ms: float = 500, timeout: float = 10.0) -> None:
        """Wait until only silence was heard for `ms`, which may have passed already. Raises TimeoutError."""
        deadline = monotonic() + timeout
        first = monotonic() if self.connected_at is None else self.connected_at
        while True:
            now = monotonic()
            if now - first >= ms / 1000 and self.loud_ms(now - ms / 1000, now) == 0:
                return
            if now > deadline:
                raise TimeoutError(f"no {ms:g} ms of silence within {timeout:g} s; {self._story()}")
            await asyncio.sleep(_POLL_S)

    def write_wav(self, path: str | os.PathLike[str]) -> None:
        """Write the call as stereo, 8 kHz, 16-bit PCM: on the left what was said, on the right what was heard.

        Both are aligned on the call's clock, which runs from the first ring to the end (or to now).
        """
        heard = self.heard
        firsts = [piece.at for piece in (*self.said, *heard)]
        begin = self.connected_at if self.connected_at is not None else min(firsts, default=0.0)
        end = self.ended_at
        if end is None:
            end = max([begin, *(piece.ends for piece in (*self.said, *heard))])
            if self.connected_at is not None:
                end = max(end, monotonic())
        count = _bytes_between(begin, end)
        both = array("h", bytes(4 * count))
        both[0::2] = _mixed(self.said, begin, count)
        both[1::2] = _mixed(heard, begin, count)
        with wave.open(os.fspath(path), "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(BYTES_PER_SECOND)
            out.writeframes(both.tobytes())

    # The carrier's side

    def connect(self, now: float | None = None) -> None:
        """Start the call's clock: the phone rings."""
        self.connected_at = monotonic() if now is None else now
        self.ended_at = None

    def disconnect(self, now: float | None = None) -> None:
        """End the call: what is queued is never heard, and nothing more is said."""
        self.ended_at = monotonic() if now is None else now
        for line in self.lines.values():
            line.stop(self.ended_at)
        self.stop_speaking()

    def line(self, name: str = "media") -> Playout:
        """Return the line of that name; it is made when it is asked for the first time."""
        return self.lines.setdefault(name, Playout(name))

    def attach(self, name: str, playout: Playout) -> None:
        """Add a playout that belongs to a media stream as a line."""
        self.lines[name] = playout

    def next_frame(self, at: float) -> bytes:
        """Return the 160 bytes that are said at time `at`; SILENT_FRAME when there is nothing to say."""
        self.frames_taken += 1
        if self.source is not None:
            frame = self.source(self.frames_taken)
        elif self._unsaid:
            frame = bytes(self._unsaid[:FRAME_BYTES])
            del self._unsaid[:FRAME_BYTES]
            if not self._unsaid:
                self._quiet.set()
        else:
            return SILENT_FRAME
        if len(frame) != FRAME_BYTES:
            frame = frame[:FRAME_BYTES].ljust(FRAME_BYTES, SILENT_FRAME[:1])
        if self.said and abs(self.said[-1].ends - at) < FRAME_MS / 4000:
            self.said[-1].audio += frame
        else:
            self.said.append(Segment(at, bytearray(frame), "microphone"))
        return frame

    def heard_between(self, since: float, until: float) -> bytes:
        """Return what was heard between two times, without the gaps, one line after the other."""
        pieces = []
        for line in self.lines.values():
            for segment in reversed(line.segments):
                if segment.ends <= since:
                    break
                first = _bytes_between(segment.at, since) if since > segment.at else 0
                pieces.append(bytes(segment.audio[first : _bytes_between(segment.at, until)]))
        return b"".join(pieces)

    def _story(self) -> str:
        parts = [f"{name}: {line.played_bytes / BYTES_PER_MS:.0f} ms played" for name, line in self.lines.items()]
        return f"{self.frames_taken} frames said, " + (", ".join(parts) or "nothing was ever played")


def _mixed(segments: Iterable[Segment], begin: float, count: int) -> array[int]:
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
