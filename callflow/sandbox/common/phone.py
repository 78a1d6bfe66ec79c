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
import io
import math
import os
import wave
from array import array
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

from callflow.media.g711 import (
    BYTES_PER_MS,
    FRAME_BYTES,
    FRAME_MS,
    ULAW_SILENCE,
    ULAW_TO_LINEAR,
    pcm16_to_ulaw,
)
from callflow.sandbox.common.playout import BYTES_PER_SECOND, Playout, Segment, bytes_between, mixed


SILENT_FRAME: Final = bytes([ULAW_SILENCE]) * FRAME_BYTES

SPEECH_HZ: Final = 620.0
"""The tone that stands for the carrier's text to speech."""
PLAYBACK_HZ: Final = 880.0
"""The tone that stands for audio files which the carrier plays."""
RINGING_HZ: Final = 400.0
"""The tone that a caller hears while another phone rings."""
MUSIC_HZ: Final = 520.0
"""The tone that stands for music on hold."""

LOUD: Final = 330
"""Samples up to this absolute value (of 32,768: 40 dB below full scale) are a quiet line."""
_QUIET_CODES: Final = bytes(code for code in range(256) if abs(ULAW_TO_LINEAR[code]) <= LOUD)

_POLL_S: Final = 0.005
_MOST_WAIT_S: Final = 0.25
"""Whoever waits for a time that has to pass at least looks that often whether the time limit has passed."""


def is_loud(ulaw: bytes) -> bool:
    """Return whether a human could hear this: more than a tenth of the samples are above the noise of a quiet line."""
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
        self.message_at: float | None = None
        """When a voicemail began to record, behind its beep."""
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
        """Wait at most `timeout` seconds until everything is said: the carrier has taken the last frame. Raises
        TimeoutError."""
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

    def loud_ms(self, since: float = -math.inf, until: float | None = None, source: str | None = None) -> float:
        """Return how long something other than silence was heard between two times, in ms; `source`: on that line
        only."""
        return loud_bytes(self.heard_between(since, monotonic() if until is None else until, source)) / BYTES_PER_MS

    async def hears(
        self, seconds: float = 0.1, timeout: float = 10.0, since: float | None = None, source: str | None = None
    ) -> None:
        """Wait until `seconds` of audio that is not silence were heard from `since` (now) on. Raises TimeoutError.

        `source`: on that line only, such as `Leg.voice` of another leg.
        """
        start = monotonic() if since is None else since
        deadline = monotonic() + timeout
        while (missing := seconds - self.loud_ms(start, source=source) / 1000) > 1e-9:
            if monotonic() > deadline:
                raise TimeoutError(
                    f"heard {seconds - missing:.2f} s instead of {seconds:g} s within {timeout:g} s; {self._story()}"
                )
            await asyncio.sleep(min(max(missing, _POLL_S), _MOST_WAIT_S))

    async def hears_silence(self, ms: float = 500, timeout: float = 10.0) -> None:
        """Wait until only silence was heard for `ms`, which may have passed already. Raises TimeoutError."""
        deadline = monotonic() + timeout
        first = monotonic() if self.connected_at is None else self.connected_at
        while True:
            now = monotonic()
            missing = max(first, self._loud_until(now - ms / 1000, now)) + ms / 1000 - now
            if missing <= 1e-9:
                return
            if now > deadline:
                raise TimeoutError(f"no {ms:g} ms of silence within {timeout:g} s; {self._story()}")
            await asyncio.sleep(min(max(missing, _POLL_S), _MOST_WAIT_S))

    def _loud_until(self, since: float, until: float) -> float:
        """Return when the last loud frame between two times had ended, on any line; `since`: there was none."""
        latest = since
        for line in self.lines.values():
            for segment in reversed(line.segments):
                if segment.ends <= latest:
                    break
                begins = max(segment.at, since)
                audio = bytes(segment.audio[bytes_between(segment.at, begins) : bytes_between(segment.at, until)])
                for end in range(len(audio), 0, -FRAME_BYTES):
                    if is_loud(audio[max(0, end - FRAME_BYTES) : end]):
                        latest = max(latest, begins + end / BYTES_PER_SECOND)
                        break
        return latest

    def begin_message(self) -> None:
        """Record from now on what is heard, as a voicemail does: from the end of what was said last (its beep)."""
        self.message_at = max(self.said[-1].ends, self.connected_at or 0.0) if self.said else monotonic()

    @property
    def message(self) -> bytes:
        """What was heard since the beep, up to now, without gaps: µ-law. Nothing before the beep."""
        if self.message_at is None:
            return b""
        return self.heard_between(self.message_at, monotonic() if self.ended_at is None else self.ended_at)

    def write_wav(self, path: str | os.PathLike[str]) -> None:
        """Write the call as stereo, 8 kHz, 16-bit PCM: on the left what was said, on the right what was heard.

        Both are aligned on the call's clock, which runs from the first ring to the end (or to now).
        """
        Path(path).write_bytes(self.wav())

    def wav(self, since: float | None = None, until: float | None = None, channels: int = 2) -> bytes:
        """Return the call between two times (by default: from its first ring to its end or to now) as a WAV file.

        8 kHz, 16 bit. With two channels the left one is what was said, the right one what was heard; with one they are
        added.
        """
        heard = self.heard
        firsts = [piece.at for piece in (*self.said, *heard)]
        begin = self.connected_at if self.connected_at is not None else min(firsts, default=0.0)
        begin = begin if since is None else since
        end = self.ended_at if until is None else until
        if end is None:
            end = max([begin, *(piece.ends for piece in (*self.said, *heard))])
            if self.connected_at is not None:
                end = max(end, monotonic())
        count = bytes_between(begin, end)
        if channels == 1:
            samples = mixed([*self.said, *heard], begin, count)
        else:
            samples = array("h", bytes(4 * count))
            samples[0::2] = mixed(self.said, begin, count)
            samples[1::2] = mixed(heard, begin, count)
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(2)
            out.setframerate(BYTES_PER_SECOND)
            out.writeframes(samples.tobytes())
        return file.getvalue()

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

    def heard_between(self, since: float, until: float, source: str | None = None) -> bytes:
        """Return what was heard between two times, without the gaps, one line after the other (or one line only)."""
        pieces: list[bytes] = []
        for name, line in self.lines.items():
            if source not in (None, name):
                continue
            of_line = []
            for segment in reversed(line.segments):
                if segment.ends <= since:
                    break
                first = bytes_between(segment.at, since) if since > segment.at else 0
                of_line.append(bytes(segment.audio[first : bytes_between(segment.at, until)]))
            pieces += reversed(of_line)
        return b"".join(pieces)

    def _story(self) -> str:
        parts = [f"{name}: {line.played_bytes / BYTES_PER_MS:.0f} ms played" for name, line in self.lines.items()]
        return f"{self.frames_taken} frames said, " + (", ".join(parts) or "nothing was ever played")
