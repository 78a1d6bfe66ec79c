"""How loud a recording is over time, so that it can be drawn without being decoded: a small file beside each WAV file.

The file has a header of 8 bytes (`CFPK`, version 1, 2 channels, 20 peaks a second) and then, for each 50 ms, one byte
for the caller and one for the agent: the largest sample of that time, from 0 to 255. It grows with the recording, and
is valid after every write. What a process that died has left out, and recordings that have no such file, are made up
for from the WAV file, when somebody asks.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from callflow.contracts.errors import BrokenRecording
from callflow.media.g711 import BYTES_PER_MS, ULAW_TO_LINEAR


PER_SECOND: Final = 20
"""Peaks of each channel."""
CHANNELS: Final = 2
SLOT: Final = BYTES_PER_MS * 1000 // PER_SECOND
"""Samples of a channel that one peak is of."""
_HEADER: Final = struct.pack("<4sBBH", b"CFPK", 1, CHANNELS, PER_SECOND)
WAV_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_WAV_FORM: Final = (1, CHANNELS, BYTES_PER_MS * 1000, 16)
"""Of the recordings that we make: PCM, channels, samples a second, bits of a sample."""
_FRAME: Final = 2 * CHANNELS
_SLICE: Final = PER_SECOND
"""Peaks that are made of a WAV file before other threads have their turn."""
_PAUSE_SECONDS: Final = 0.001


def level(sample: int) -> int:
    """Return the peak that a 16-bit sample is worth: 0 for silence alone, and 255 for the loudest."""
    return min(-(-abs(sample) // 128), 255)


_LEVELS: Final = bytes(level(sample) for sample in ULAW_TO_LINEAR)
"""By µ-law code."""


def file_of(recording: Path) -> Path:
    """Return where the peaks of a WAV file are."""
    return recording.with_suffix(".peaks")


class PeakMaker:
    """Makes peaks of audio that comes in pieces. Pure."""

    def __init__(self) -> None:
        self._left = self._right = b""

    def add(self, left: bytes, right: bytes) -> bytes:
        """Take µ-law of both channels, of the same length. Returns the peaks that are complete now."""
        left, right = self._left + left.translate(_LEVELS), self._right + right.translate(_LEVELS)
        whole = len(left) - len(left) % SLOT
        self._left, self._right = left[whole:], right[whole:]
        return _joined(left[:whole], right[:whole])

    def rest(self) -> bytes:
        """Return the peaks of what is left: less than 50 ms."""
        left, right = self._left, self._right
        self._left = self._right = b""
        return _joined(left, right)


def _joined(left: bytes, right: bytes) -> bytes:
    found = bytearray()
    for at in range(0, len(left), SLOT):
        found.append(max(left[at : at + SLOT]))
        found.append(max(right[at : at + SLOT]))
    return bytes(found)


class PeakFile:
    """The peaks of a recording that is being made, written as it grows. Blocking."""

    def __init__(self, recording: Path) -> None:
        self._path = file_of(recording)
        self._maker = PeakMaker()
        self._size = 0

    def add(self, left: bytes, right: bytes, *, is_last: bool) -> None:
        """Write the peaks of the next audio, after the audio itself. Raises OSError."""
        found = self._maker.add(left, right) + (self._maker.rest() if is_last else b"")
        if not self._size:
            found = _HEADER + found
        with os.fdopen(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600), "r+b") as file:
            file.seek(self._size)
            file.write(found)
        self._size += len(found)


@dataclass(frozen=True, slots=True)
class Peaks:
    """How loud a recording is over time."""

    seconds: float
    """How long it is."""
    data: bytes
    """For each 50 ms one byte of the caller, and one of the agent."""


def missing(recording: Path) -> int:
    """Return how many peaks have to be made of the WAV file itself. Blocking. Raises OSError, or
    BrokenRecording."""
    with recording.open("rb") as file:
        return max(-(-_samples(file) // SLOT) - len(_kept(recording)) // CHANNELS, 0)


def read(recording: Path, *, grows: bool) -> Peaks:
    """Return the peaks of a recording; those that are missing are made, and kept. Blocking, without keeping other
    threads from their work.

    `grows`: it is still being made, so that its last peak is left out until it is complete, and nothing is kept. Raises
    OSError, or BrokenRecording.
    """
    with recording.open("rb") as file:
        samples = _samples(file)
        kept = _kept(recording)
        wanted = samples // SLOT if grows else -(-samples // SLOT)
        found = bytearray(kept[: wanted * CHANNELS])
        if len(found) < wanted * CHANNELS:
            _make(file, found, wanted, samples)
            if not grows:
                _keep(recording, bytes(found))
    return Peaks(samples / (BYTES_PER_MS * 1000), bytes(found))


def of_kept(head: bytes, size: int, kept: bytes) -> Peaks:
    """Return the peaks of a recording that is whole and lies elsewhere. `head`: its first 44 bytes. `size`: of all of
    it, in bytes. `kept`: its file of peaks. Raises BrokenRecording."""
    samples = _told(head, size)
    return Peaks(samples / (BYTES_PER_MS * 1000), _of_file(kept)[: -(-samples // SLOT) * CHANNELS])


def _samples(file: BinaryIO) -> int:
    """Return how many samples each channel of a WAV file of ours has; those that its header does not tell of yet do
    not count."""
    return _told(file.read(WAV_HEADER.size), os.fstat(file.fileno()).st_size)


def _told(head: bytes, whole: int) -> int:
    try:
        told = WAV_HEADER.unpack(head)
    except struct.error:
        raise BrokenRecording("it is too short") from None
    riff, _, wave, fmt, _, pcm, channels, rate, _, _, bits, data, size = told
    is_ours = (riff, wave, fmt, data) == (b"RIFF", b"WAVE", b"fmt ", b"data")
    if not is_ours or (pcm, channels, rate, bits) != _WAV_FORM:
        raise BrokenRecording("it is no WAV file of the form that is made here")
    return max(min(int(size), whole - WAV_HEADER.size), 0) // _FRAME


def _kept(recording: Path) -> bytes:
    """Return the peaks that are on disk."""
    try:
        found = file_of(recording).read_bytes()
    except FileNotFoundError:
        return b""
    return _of_file(found)


def _of_file(found: bytes) -> bytes:
    if not found.startswith(_HEADER):
        return b""
    found = found[len(_HEADER) :]
    return found[: len(found) - len(found) % CHANNELS]


def _make(file: BinaryIO, found: bytearray, wanted: int, samples: int) -> None:
    """Add the peaks from the end of `found` on."""
    at = len(found) // CHANNELS
    file.seek(WAV_HEADER.size + at * SLOT * _FRAME)
    while at < wanted:
        end = min(at + _SLICE, wanted)
        both = array("h", file.read((min(end * SLOT, samples) - at * SLOT) * _FRAME))
        if not both:
            return
        if sys.byteorder == "big":
            both.byteswap()
        for begin in range(0, len(both), SLOT * CHANNELS):
            for channel in range(CHANNELS):
                some = both[begin + channel : begin + SLOT * CHANNELS : CHANNELS]
                found.append(level(max(max(some), -min(some))))
        at = end
        time.sleep(_PAUSE_SECONDS)


def _keep(recording: Path, found: bytes) -> None:
    """Keep the peaks of a recording that does not grow any more. If that cannot be done, they are made again."""
    new = _new(recording)
    with contextlib.suppress(OSError):
        with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(_HEADER + found)
        new.replace(file_of(recording))
        if not recording.exists():  # deleted meanwhile
            remove(recording)


def remove(recording: Path) -> None:
    """Delete the peaks of a recording. Raises OSError."""
    file_of(recording).unlink(missing_ok=True)
    _new(recording).unlink(missing_ok=True)


def _new(recording: Path) -> Path:
    return recording.with_suffix(".peaks-new")
