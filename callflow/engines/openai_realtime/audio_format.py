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
_KNOWN_BYTES: Final = 160
"""Enough to find what the session has sent before."""
_SURE_BYTES: Final = 960
"""Enough to contradict what was declared."""
_MOST_BYTES: Final = 2400
"""Whatever does not tell by then is taken for what was declared: 50 ms of PCM, in which a voice has begun."""
_END_BYTES: Final = 64
"""What ends sooner than that tells nothing."""
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

    Nothing is played as long as its format is undecided: it is held back, and then all of it is played in the right
    one. That takes the first 40 ms of µ-law, or 20 ms where `known` says what the session has sent before; servers send
    more than that at once. A run of 0xFF is the same silence in both, and passes.
    """

    def __init__(self, declared: str, known: str = "") -> None:
        self._declared, self._known = declared, known
        self.format = ""
        """What it turned out to be; "" as long as too little has come."""
        self.is_proved = False
        """By its own sound, and not for want of anything better."""
        self.response = ""
        """What it is a part of, if the engine says so."""
        self._seen = b""
        self._odd = b""
        self._resampler: Any = None

    @property
    def is_odd(self) -> bool:
        """It is not what was declared."""
        return bool(self.format) and self.format != self._declared

    def declare(self, declared: str) -> None:
        """The server has confirmed another format: what comes from here on may be in either."""
        if declared == self._declared:
            return
        self._declared = declared
        if self.format not in ("", declared):
            self._seen, self._odd = self._odd, b""
            self.format, self._known, self.is_proved = "", "", False

    def feed(self, audio: bytes) -> bytes:
        if self.format:
            return self._as(self.format, audio)
        self._seen += audio
        silence = self._silence()
        self.format = self._decided()
        if self.format == "":
            return silence
        held, self._seen = self._seen, b""
        return silence + self._as(self.format, held)

    def end(self) -> bytes:
        """What is still on its way."""
        held, self._seen = self._seen, b""
        if not self.format:
            verdict = looks_like(held) if len(held) >= _END_BYTES else None
            self.format = verdict or self._known or self._declared
        return self._as(self.format, held) + self._rest()

    def _silence(self) -> bytes:
        """The whole samples of a run of 0xFF at the beginning: as PCM the smallest there is."""
        run = len(self._seen) - len(self._seen.lstrip(b"\xff")) & ~1
        silence, self._seen = self._seen[:run], self._seen[run:]
        return self._as(self._known or self._declared, silence) if silence else b""

    def _decided(self) -> str:
        size = len(self._seen)
        if size < (_KNOWN_BYTES if self._known else LEAST_BYTES):
            return ""
        verdict = looks_like(self._seen)
        expected = self._known or self._declared
        if verdict == expected or (verdict is not None and size >= _SURE_BYTES):
            self.is_proved = True
            return verdict
        return expected if verdict is None and (self._known or size >= _MOST_BYTES) else ""

    def _as(self, form: str, audio: bytes) -> bytes:
        return self._rest() + audio if form == PCMU else self._down(audio, last=False)

    def _rest(self) -> bytes:
        """What is left inside the resampler."""
        if self._resampler is None:
            return b""
        rest, self._resampler, self._odd = self._down(b"", last=True), None, b""
        return rest

    def _down(self, audio: bytes, *, last: bool) -> bytes:
        audio = self._odd + audio
        odd = len(audio) & 1
        self._odd = audio[len(audio) - odd :] if odd else b""
        if self._resampler is None:
            self._resampler = _resampler(24000, 8000)
        return g711.pcm16_to_ulaw(_resampled(self._resampler, audio[: len(audio) - odd], last=last))


class FromTelephone:
    """The caller's µ-law as PCM at 24 kHz, frame by frame, base64 in and out. What comes out may be empty."""

    def __init__(self) -> None:
        self._resampler = _resampler(8000, 24000)
        self._inside = b""
        """The end of what was fed, of which the resampler still has some."""
        self._fed = self._came = 0

    def feed(self, payload: str) -> str:
        ulaw = binascii.a2b_base64(payload)
        pcm = _resampled(self._resampler, g711.ulaw_to_pcm16(ulaw), last=False)
        self._fed += len(ulaw)
        self._came += len(pcm)
        self._inside = (self._inside + ulaw)[-_MOST_INSIDE:]
        return binascii.b2a_base64(pcm, newline=False).decode("ascii")

    def rest(self) -> str:
        """What has not come out, as the µ-law that it was."""
        left = max(self._fed - self._came // _WIDER, 0)
        return binascii.b2a_base64(self._inside[len(self._inside) - left :], newline=False).decode("ascii")


_WIDER: Final = 6
"""Bytes of PCM at 24 kHz for one of µ-law."""
_MOST_INSIDE: Final = 1600


def _resampler(from_hz: int, to_hz: int) -> Any:
    import soxr  # here, because it brings numpy along, which a line that needs no transcoding never loads

    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality="MQ")


def _resampled(resampler: Any, pcm: bytes, *, last: bool) -> bytes:
    import numpy

    chunk = resampler.resample_chunk(numpy.frombuffer(pcm, dtype="<i2"), last=last)
    return bytes(chunk.astype("<i2").tobytes())
