"""The engine's audio: which format it really has, and the way from and to the telephone's.

The telephone speaks µ-law at 8 kHz, and that is what a session is asked for. Some servers confirm it and then send PCM
at 24 kHz all the same, which a caller hears as static. So the first audio of each response is looked at, not trusted.
"""

from __future__ import annotations

import binascii
from collections import Counter
from itertools import pairwise
from typing import Any, Final

from callflow.media import g711


PCMU, PCM24 = "pcmu", "pcm24"
NAMES: Final = {"audio/pcmu": PCMU, "audio/pcm": PCM24}
"""How the interface names them."""
LEAST_BYTES: Final = 320
"""Enough to tell one from the other."""
_SURE_BYTES: Final = 960
"""Enough to contradict what was declared."""
_SMOOTH: Final = 0.6
"""Of how much a sample differs from the one before, in parts of its size: speech at 24 kHz stays below."""
_APART: Final = 0.2
"""Speech in µ-law stays below, PCM of anything but silence lies above."""
_QUIET_ULAW: Final = bytes((*range(0x78, 0x80), *range(0xF8, 0x100)))
_SIGN_BYTES: Final = b"\x00\xff"


def looks_like(audio: bytes) -> str | None:
    """pcmu or pcm24, by the audio itself; None where it does not tell. It has to begin with a sample's first byte."""
    audio = audio[: len(audio) & ~1][:4800]
    if len(audio) < 2:
        return None
    low, high = audio[0::2], audio[1::2]
    quiet = len(audio) - len(audio.translate(None, _QUIET_ULAW))
    zeros = audio.count(0)
    if zeros > len(audio) * 0.4:
        return PCM24  # as µ-law the loudest there is, and standing still
    if quiet > len(audio) * 0.9:
        return PCMU
    signs = len(high) - len(high.translate(None, _SIGN_BYTES))
    others = len(low) - len(low.translate(None, _SIGN_BYTES))
    if signs > len(high) * 0.8 and others < len(low) * 0.5 and high.count(0) > len(high) * 0.1:
        return PCM24  # a quiet voice: its high bytes say little more than the sign
    if _apart(low, high) < _APART:
        return PCMU  # every byte is a sample of its own: those in even and in odd places are alike
    as_pcm, as_ulaw = _roughness(memoryview(audio).cast("h")), _roughness(_samples(audio))
    if as_pcm < _SMOOTH and as_pcm * 1.6 < as_ulaw:
        return PCM24
    return PCMU if as_ulaw < as_pcm else None


def _apart(low: bytes, high: bytes) -> float:
    """How differently the bytes in even and in odd places are distributed: 0 alike, 1 nothing in common."""
    counts = [Counter(byte >> 4 for byte in each) for each in (low, high)]
    return sum(abs(counts[0][nibble] - counts[1][nibble]) for nibble in range(16)) / (2 * len(low))


def _samples(audio: bytes) -> memoryview:
    return memoryview(g711.ulaw_to_pcm16(audio)).cast("h")


def _roughness(samples: Any) -> float:
    """How much a sample differs from the one before it, in parts of how large it is."""
    size = sum(map(abs, samples)) or 1
    values = samples.tolist()
    return float(sum(abs(after - before) for before, after in pairwise(values)) / size)


class ToTelephone:
    """One stretch of speech of the engine's, of whatever format, as µ-law. `end` when it is complete.

    Nothing is held back for the judgement: as long as too little has come, what comes is taken for what was declared.
    """

    def __init__(self, declared: str) -> None:
        self._declared = declared
        self.format = ""
        """What it turned out to be; "" as long as too little has come."""
        self._seen = b""
        self._odd = b""
        self._resampler: Any = None

    @property
    def is_odd(self) -> bool:
        """It is not what was declared."""
        return bool(self.format) and self.format != self._declared

    def feed(self, audio: bytes) -> bytes:
        if not self.format:
            audio = self._judge(audio)
        return audio if (self.format or self._declared) == PCMU else self._down(audio, last=False)

    def end(self) -> bytes:
        """What is still on its way."""
        return b"" if self._resampler is None else self._down(b"", last=True)

    def _judge(self, audio: bytes) -> bytes:
        passed = len(self._seen)
        self._seen += audio
        if len(self._seen) < LEAST_BYTES:
            return audio
        verdict = looks_like(self._seen) or self._declared
        if verdict != self._declared and len(self._seen) < _SURE_BYTES:
            return audio
        self.format, self._seen = verdict, b""
        starts_odd = self.is_odd and passed % 2  # in the middle of a sample, as it turns out
        return audio[1:] if starts_odd else audio

    def _down(self, audio: bytes, *, last: bool) -> bytes:
        audio = self._odd + audio
        odd = len(audio) & 1
        self._odd = audio[len(audio) - odd :] if odd else b""
        if self._resampler is None:
            self._resampler = _resampler(24000, 8000)
        return g711.pcm16_to_ulaw(_resampled(self._resampler, audio[: len(audio) - odd], last=last))


class FromTelephone:
    """The caller's µ-law as PCM at 24 kHz, frame by frame, base64 in and out."""

    def __init__(self) -> None:
        self._resampler = _resampler(8000, 24000)

    def feed(self, payload: str) -> str:
        pcm = g711.ulaw_to_pcm16(binascii.a2b_base64(payload))
        wide = _resampled(self._resampler, pcm, last=False)
        return binascii.b2a_base64(wide, newline=False).decode("ascii")


def _resampler(from_hz: int, to_hz: int) -> Any:
    import soxr  # here, because it brings numpy along, which a line that needs no transcoding never loads

    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality="MQ")


def _resampled(resampler: Any, pcm: bytes, *, last: bool) -> bytes:
    import numpy

    chunk = resampler.resample_chunk(numpy.frombuffer(pcm, dtype="<i2"), last=last)
    return bytes(chunk.astype("<i2").tobytes())
