"""Records a call as a stereo WAV file: the caller on the left; on the right the audio that the caller heard, at the
time of hearing.

What operators did is marked: a WAV cue with a label for each, behind the audio. They are written when the recording is
closed, before the header says so; a recording of a process that died has none, and is valid.

`Tape` is pure: it gets audio and times, and returns finished audio. `CallRecorder` writes the finished audio to disk
at once and then once a second, in another thread, and beside it how loud it is (`media/waveform_peaks.py`); both files
are valid after each time, even if the process dies. A failure ends the recording only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from callflow.config import private_files
from callflow.media.g711 import BYTES_PER_MS, ULAW_SILENCE, ulaw_to_pcm16
from callflow.media.waveform_peaks import WAV_HEADER, PeakFile
from callflow.timers import Timer


log = logging.getLogger(__name__)

_RATE: Final = BYTES_PER_MS * 1000
_JUMP_SECONDS: Final = 0.5
"""The caller's frames are joined without gaps; only after a pause of this length is a frame placed at its time of
arrival."""
_EVERY_SECONDS: Final = 1.0
_BEHIND_SECONDS: Final = 0.75
"""Newer audio is not written yet, because it may change: frames arrive late, and interruptions remove agent audio."""
_SHIFT_SAMPLES: Final = 160
"""20 ms: what the belief of how far the carrier is behind may change without consequence."""
_CUE: Final = struct.Struct("<II4sIII")
_MOST_MARKS: Final = 500
_MOST_LABEL: Final = 200


class Tape:
    """The part of a recording not yet on disk. Audio is µ-law; times are seconds of one monotonic clock."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._taken = 0
        """Samples per channel already taken."""
        self._caller: list[tuple[int, bytes]] = []
        self._agent: list[tuple[int, bytes]] = []
        self._agent_end = 0
        """Where the agent's last audio ends."""
        self._next = 0

    def caller(self, audio: bytes, now: float) -> None:
        """Add the caller's next frame, which arrived at `now`."""
        here = max(self.at(now) - len(audio), 0)
        if here - self._next > _JUMP_SECONDS * _RATE:
            self._next = here
        self._caller.append((self._next, audio))
        self._next += len(audio)

    def skip(self, audio: bytes, now: float) -> None:
        """Leave silence in place of the caller's next frame, which arrived at `now`."""
        self.caller(bytes([ULAW_SILENCE]) * len(audio), now)

    def agent(self, audio: bytes, at: float) -> None:
        """Add audio that the caller hears from `at` on.

        No audio is ever laid over other audio of the agent. If this is heard before the last has ended, the carrier is
        not as far behind as was believed before: the last is brought forward, as far as it is not taken yet.
        """
        place = self.at(at)
        if place < self._agent_end - _SHIFT_SAMPLES:
            self._bring_forward(self._agent_end - place)
        place = max(place, self._agent_end)
        self._agent.append((place, audio))
        self._agent_end = place + len(audio)

    def _bring_forward(self, samples: int) -> None:
        """Move the agent's last audio, back to the last pause in it, to an earlier time."""
        first, begin = len(self._agent), self._agent_end
        while first and self._agent[first - 1][0] + len(self._agent[first - 1][1]) == begin:
            first -= 1
            begin = self._agent[first][0]
        before = self._agent[first - 1] if first else (self._taken, b"")
        samples = max(min(samples, begin - max(before[0] + len(before[1]), self._taken)), 0)
        self._agent[first:] = [(place - samples, audio) for place, audio in self._agent[first:]]
        self._agent_end -= samples

    def cut(self, at: float) -> None:
        """Remove the agent's audio after `at`, because an interruption kept the caller from hearing it."""
        end = self.at(at)
        self._agent = [(place, audio[: end - place]) for place, audio in self._agent if place < end]
        self._agent_end = max((place + len(audio) for place, audio in self._agent), default=self._taken)

    def take(self, until: float) -> tuple[bytes, bytes]:
        """Remove and return both channels up to `until`, of the same length."""
        end = max(self.at(until), self._taken)
        left, self._caller = self._lay_out(self._caller, end)
        right, self._agent = self._lay_out(self._agent, end)
        self._taken = end
        return left, right

    def at(self, time: float) -> int:
        """Return the sample at this time."""
        return max(round((time - self._began) * _RATE), 0)

    def _lay_out(self, pieces: list[tuple[int, bytes]], end: int) -> tuple[bytes, list[tuple[int, bytes]]]:
        begin = self._taken
        laid = bytearray([ULAW_SILENCE]) * (end - begin)
        left: list[tuple[int, bytes]] = []
        for place, audio in pieces:
            skipped = max(begin - place, 0)
            here = audio[skipped : end - place] if end > place else b""
            laid[place + skipped - begin : place + skipped - begin + len(here)] = here
            if place + len(audio) > end:
                rest = max(end - place, 0)
                left.append((place + rest, audio[rest:]))
        return bytes(laid), left


def interleaved(left: bytes, right: bytes) -> bytes:
    """Return the µ-law of two channels of the same length as 16-bit little-endian stereo."""
    both = array("h", bytes(4 * len(left)))
    for channel, audio in enumerate((left, right)):
        samples = array("h")
        samples.frombytes(ulaw_to_pcm16(audio))
        both[channel::2] = samples
    return both.tobytes()


def cues(marks: Sequence[tuple[int, str]]) -> bytes:
    """Return the chunks `cue ` and `LIST` (`adtl`) for marks, each a sample and what happened there; b"": there are
    none."""
    if not marks:
        return b""
    points, labels = struct.pack("<I", len(marks)), b"adtl"
    for number, (sample, label) in enumerate(marks, 1):
        points += _CUE.pack(number, sample, b"data", 0, 0, sample)
        text = label.encode() + b"\0"
        labels += struct.pack("<4sII", b"labl", 4 + len(text), number) + text + b"\0" * (len(text) % 2)
    return struct.pack("<4sI", b"cue ", len(points)) + points + struct.pack("<4sI", b"LIST", len(labels)) + labels


def header(samples: int, more: int = 0) -> bytes:
    """Return the 44-byte header of a WAV file with so many 16-bit stereo samples at 8 kHz, and `more` bytes behind
    them."""
    size = samples * 4
    return WAV_HEADER.pack(
        b"RIFF", 36 + size + more, b"WAVE", b"fmt ", 16, 1, 2, _RATE, _RATE * 4, 4, 16, b"data", size
    )  # fmt: skip


class CallRecorder:
    """The recording of one call: written to disk at once and then once a second, in another thread."""

    def __init__(self, path: Path, clock: Callable[[], float], failed: Callable[[str], Any]) -> None:
        """`failed`: called once, with the reason, if the file cannot be written; this ends the recording."""
        self.path, self._clock, self._failed = path, clock, failed
        self._tape: Tape | None = Tape(clock())
        self._samples = 0
        self._peaks: PeakFile | None = PeakFile(path)
        self._marks: list[tuple[int, str]] = []
        self._is_paused = False
        self._loop = asyncio.get_running_loop()
        self._is_made = False
        self._timer = Timer(self._loop)
        self._writing: asyncio.Task[None] | None = None
        self._tick()  # the history names the file at once: it is there, whenever this process dies

    def caller(self, audio: bytes) -> None:
        """Record a frame of the caller, which arrived now."""
        if self._tape is not None:
            (self._tape.skip if self._is_paused else self._tape.caller)(audio, self._clock())

    def agent(self, audio: bytes, at: float) -> None:
        """Record audio that the caller hears from `at` on."""
        if self._tape is not None and not self._is_paused:
            self._tape.agent(audio, at)

    def pause(self, *, on: bool) -> None:
        """Record silence from now on, or sound again. What the caller would have heard after the beginning of a pause
        is left out, too."""
        if on and not self._is_paused and self._tape is not None:
            self._tape.cut(self._clock())
        self._is_paused = on

    def cut(self, at: float) -> None:
        """Remove the agent's audio after `at`, because it was interrupted."""
        if self._tape is not None:
            self._tape.cut(at)

    def mark(self, label: str) -> None:
        """Mark this moment. Beyond 500 marks, and of a label beyond 200 characters, nothing is kept."""
        if self._tape is not None and len(self._marks) < _MOST_MARKS:
            self._marks.append((self._tape.at(self._clock()), " ".join(label.replace("\0", " ").split())[:_MOST_LABEL]))

    async def close(self) -> None:
        """Write the rest, and end the recording."""
        self._timer.stop()
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._tape is not None:
            await self._write(self._clock(), is_last=True)
            self._tape = None

    def _tick(self) -> None:
        if self._tape is None:
            return
        if self._writing is None or self._writing.done():  # otherwise the disk is slow, and the audio waits in memory
            self._writing = self._loop.create_task(self._write(self._clock() - _BEHIND_SECONDS), name="recording")
        self._timer.start(_EVERY_SECONDS, self._tick)

    async def _write(self, until: float, *, is_last: bool = False) -> None:
        if self._tape is None:
            return
        left, right = self._tape.take(until)
        try:
            await asyncio.to_thread(self._append, left, right, self._marks if is_last else (), is_last=is_last)
        except OSError as error:
            self._tape = None
            log.error("the recording %s ends: %s", self.path, error)
            self._failed(str(error.strerror or error))

    def _append(self, left: bytes, right: bytes, marks: Sequence[tuple[int, str]], *, is_last: bool) -> None:
        if not self._is_made:
            private_files.make_ours(self.path.parent)
        # Not made again when it is gone: a process that was frozen for long is not to put a hole in place of what its
        # successors have moved to the store of the recordings.
        handle = os.open(self.path, os.O_RDWR | (0 if self._is_made else os.O_CREAT), 0o600)
        self._is_made = True
        with os.fdopen(handle, "r+b") as file:
            file.seek(WAV_HEADER.size + self._samples * 4)
            file.write(interleaved(left, right))
            self._samples += len(left)
            behind = cues([(min(sample, self._samples), label) for sample, label in marks])
            file.write(behind)
            file.seek(0)
            file.write(header(self._samples, len(behind)))
        self._add_peaks(left, right, is_last=is_last)

    def _add_peaks(self, left: bytes, right: bytes, *, is_last: bool) -> None:
        """Write how loud this is. Without that the recording is as good: it is found out when somebody looks."""
        if self._peaks is None:
            return
        try:
            self._peaks.add(left, right, is_last=is_last)
        except OSError as error:
            self._peaks = None
            log.warning("the waveform of the recording %s cannot be written: %s", self.path, error)
