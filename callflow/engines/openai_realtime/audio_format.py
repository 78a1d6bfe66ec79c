"""Audio formats of a session: detects the real format of the server's audio, and converts from and to the telephone's.

The telephone's format is µ-law at 8 kHz, which we request from the server. Some servers confirm µ-law and nevertheless
send PCM at 24 kHz, which a caller hears as static. So the format of the first audio of each response is detected. What
the server has confirmed is overruled only by speech in the other format (`is_speech`): silence, tones and made-up bytes
prove nothing.
"""

from __future__ import annotations

import binascii
import threading
from collections import Counter
from itertools import pairwise
from typing import Any, Final

from callflow.media import g711


PCMU, PCM24 = "pcmu", "pcm24"
NAMES: Final = {"audio/pcmu": PCMU, "audio/pcm": PCM24}
"""The interface's names. Vendor: https://platform.openai.com/docs/api-reference/realtime-sessions"""
LEAST_BYTES: Final = 320
"""Bytes that are enough to distinguish the formats."""
_KNOWN_BYTES: Final = 160
"""Bytes that are enough to recognise the session's earlier format."""
_SURE_BYTES: Final = 960
"""Bytes that are enough to contradict the declared format, if they are speech in the other one."""
_MOST_BYTES: Final = 2400
"""After this many bytes, ambiguous audio counts as the declared format: 50 ms of PCM, in which a voice has begun."""
_WATCHED_BYTES: Final = 24_000
"""Within this many bytes, 0.5 s of PCM, speech in the other format is looked for."""
HOLD_SECONDS: Final = 0.05
"""How long audio may wait for its format to be detected: a server that sends PCM sends more than enough by then."""
_SMOOTH: Final = 0.6
"""Largest roughness (see `_roughness`) of speech in PCM at 24 kHz."""
_DIFFERENT: Final = 0.2
"""Largest difference (see `_difference`) of speech in µ-law; PCM of anything but silence lies above."""
_LEAST_SIZE: Final = 100
"""Smallest mean size of a sample of speech that overrules a format."""
_QUIET_ULAW: Final = bytes((*range(0x78, 0x80), *range(0xF8, 0x100)))
_SIGN_BYTES: Final = b"\x00\xff"


def looks_like(audio: bytes) -> str | None:
    """Detect the format of audio, which must begin with the first byte of a sample: PCMU or PCM24; None: ambiguous."""
    audio = audio[: len(audio) & ~1][:4800]
    if len(audio) < 2:
        return None
    low, high = audio[0::2], audio[1::2]
    quiet = len(audio) - len(audio.translate(None, _QUIET_ULAW))
    zeros = audio.count(0)
    if zeros > len(audio) * 0.4:
        return PCM24  # as µ-law, 0 is the loudest sample, and speech does not stay there
    if quiet > len(audio) * 0.9:
        return PCMU
    signs = len(high) - len(high.translate(None, _SIGN_BYTES))
    others = len(low) - len(low.translate(None, _SIGN_BYTES))
    if signs > len(high) * 0.8 and others < len(low) * 0.5 and high.count(0) > len(high) * 0.1:
        return PCM24  # a quiet voice: its high bytes are little more than the sign
    if _difference(low, high) < _DIFFERENT:
        return PCMU  # each byte is a sample: even and odd ones have the same distribution
    as_pcm, as_ulaw = _roughness(memoryview(audio).cast("h")), _roughness(_samples(audio))
    if as_pcm < _SMOOTH and as_pcm * 1.6 < as_ulaw:
        return PCM24
    return PCMU if as_ulaw < as_pcm else None


def is_speech(form: str, audio: bytes) -> bool:
    """Return whether audio, which must begin with the first byte of a sample, can only be speech in this format: it is
    loud, smooth, never leaps from one extreme to the other, swings both ways, and does not repeat itself."""
    audio = audio[: len(audio) & ~1]
    if form == PCM24:
        low, high = audio[0::2], audio[1::2]
        signs, others = (len(each) - len(each.translate(None, _SIGN_BYTES)) for each in (high, low))
        swings = min(map(high.count, _SIGN_BYTES)) > len(high) * 0.1
        if swings and signs > len(high) * 0.8 and others < len(low) * 0.5:
            return True  # a quiet voice
    samples = memoryview(audio).cast("h") if form == PCM24 else _samples(audio)
    values = samples.tolist()
    loudness = sum(map(abs, values))
    below = sum(value < 0 for value in values)
    if loudness < _LEAST_SIZE * len(values) or not 0.15 < below / len(values) < 0.85:
        return False
    if len(set(values)) <= len(values) / 8:
        return False
    steps = [abs(after - before) for before, after in pairwise(values)]
    return sum(steps) < _SMOOTH * loudness and max(steps) < 1.2 * max(map(abs, values))


def _difference(low: bytes, high: bytes) -> float:
    """Return how much the distributions of even and odd bytes differ: 0 not at all, 1 entirely."""
    counts = [Counter(byte >> 4 for byte in each) for each in (low, high)]
    return sum(abs(counts[0][nibble] - counts[1][nibble]) for nibble in range(16)) / (2 * len(low))


def _samples(audio: bytes) -> memoryview:
    return memoryview(g711.ulaw_to_pcm16(audio)).cast("h")


def _roughness(samples: Any) -> float:
    """Return the mean difference of a sample from the one before, divided by the mean size of a sample."""
    size = sum(map(abs, samples)) or 1
    values = samples.tolist()
    return float(sum(abs(after - before) for before, after in pairwise(values)) / size)


class ToTelephone:
    """Converts one stretch of the model's speech to µ-law, whatever its format is.

    Audio is held back until its format is detected, but not for long: call `assume` after `HOLD_SECONDS`. Detection
    takes the first 40 ms of µ-law, or 20 ms if `known` is the session's earlier format; servers send more at once. A
    run of 0xFF is silence in both formats and passes. Where a format was only assumed, speech in the other one is still
    found, within the first half second. Call `end` when the stretch is complete.
    """

    def __init__(self, declared: str, known: str = "") -> None:
        self._declared, self._known = declared, known
        self.format = ""
        """The format in which the audio is played; "" until that is known or assumed."""
        self.is_detected = False
        """The format was detected from the audio; False: it was assumed."""
        self.response = ""
        """The response of the stretch, if the server names it."""
        self._is_watched = False
        """Speech in the other format would overrule the one that was assumed."""
        self._seen = b""
        """Audio without a verdict, from the first byte of a sample on: held back, or already played as assumed."""
        self._judged = 0
        """Bytes of it, or before it, that are not speech in the other format."""
        self._unread = b""
        """PCM that waits for the resampler to be loaded."""
        self._odd = b""
        self._resampler: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether all audio from here on is µ-law, as was declared, so that `feed` would return it as it is."""
        return self.format == PCMU == self._declared and self._resampler is None and not self._is_watched

    @property
    def is_held(self) -> bool:
        """Whether audio waits for its format to be detected."""
        return not self.format and bool(self._seen)

    @property
    def awaits_resampler(self) -> bool:
        """Whether audio is held back until `load` has been called; `feed` returns it then."""
        return bool(self._unread)

    @property
    def is_unexpected(self) -> bool:
        """Return whether the format differs from the declared format."""
        return bool(self.format) and self.format != self._declared

    def declare(self, declared: str) -> None:
        """Note that the server has confirmed another format: audio from here on may have either format."""
        if declared == self._declared:
            return
        self._declared = declared
        if self.format not in ("", declared):
            self._seen, self._odd = self._odd, b""
            self.format, self._known, self.is_detected = "", "", False
            self._is_watched, self._judged = False, 0

    def feed(self, audio: bytes) -> bytes:
        """Add audio, and return µ-law as far as the format is known; perhaps none."""
        if self._is_watched:
            self._watch(audio)
        if self.format:
            return self._as(self.format, audio)
        self._seen += audio
        silence = self._silence()
        return silence + (self._as(self.format, self._taken()) if self._decides() else b"")

    def assume(self) -> bytes:
        """Return the audio that was held back, as µ-law: in the expected format, since no more has come to tell."""
        if not self.is_held:
            return b""
        self._settle(self._expected, is_detected=False)
        return self._as(self.format, self._taken())

    def end(self) -> bytes:
        """Return the µ-law that was held back."""
        held = b""
        if not self.format:
            held, self._seen = self._seen, b""
            enough = len(held) >= LEAST_BYTES and looks_like(held) == self._other
            self.format = self._other if enough and is_speech(self._other, held) else self._expected
            if self.format == PCM24:
                load()  # on the loop, and only for a stretch of less than 40 ms that is the session's first
        return self._as(self.format, held) + self._rest()

    @property
    def _expected(self) -> str:
        return self._known or self._declared

    @property
    def _other(self) -> str:
        return PCMU if self._expected == PCM24 else PCM24

    def _silence(self) -> bytes:
        """Remove a run of 0xFF from the beginning, in whole PCM samples: in PCM 0xFF is the smallest amplitude."""
        run = len(self._seen) - len(self._seen.lstrip(b"\xff")) & ~1
        silence, self._seen = self._seen[:run], self._seen[run:]
        return self._as(self._expected, silence) if silence else b""

    def _decides(self) -> bool:
        """Decide about the format of the audio that is held back, if it can be. Returns whether it could."""
        size = len(self._seen)
        if size < (_KNOWN_BYTES if self._known else LEAST_BYTES):
            return False
        verdict = looks_like(self._seen)
        if verdict == self._expected or self._is_other():
            self._settle(self._expected if verdict == self._expected else self._other, is_detected=True)
        elif size >= _WATCHED_BYTES or (verdict is None and (self._known or size >= _MOST_BYTES)):
            self._settle(self._expected, is_detected=False)
        else:
            return False
        return True

    def _is_other(self) -> bool:
        """Look for speech in the format that is not expected, in audio that was not looked at yet."""
        while len(self._seen) - self._judged >= _SURE_BYTES and self._judged < _WATCHED_BYTES:
            if is_speech(self._other, self._seen[self._judged : self._judged + _SURE_BYTES]):
                return True
            self._judged += _SURE_BYTES
        return False

    def _settle(self, form: str, *, is_detected: bool) -> None:
        self.format, self.is_detected = form, is_detected
        self._is_watched = not is_detected and len(self._seen) < _WATCHED_BYTES

    def _taken(self) -> bytes:
        """Return the audio that was held back, which is not held any more."""
        held = self._seen
        if not self._is_watched:
            self._seen = b""
        return held

    def _watch(self, audio: bytes) -> None:
        """Look at audio that follows upon an assumed format, and change to the other one if it is speech in that."""
        played = len(self._seen)
        self._seen += audio
        unjudged = self._seen[self._judged :]
        if len(unjudged) >= LEAST_BYTES and looks_like(unjudged) == self.format:
            self._settle(self.format, is_detected=True)
        elif self._is_other():
            self._odd = self._seen[played - (played & 1) : played]
            self._settle(self._other, is_detected=True)
        elif self._judged >= _WATCHED_BYTES:
            self._is_watched = False
        if not self._is_watched:
            self._seen = b""

    def _as(self, form: str, audio: bytes) -> bytes:
        if form == PCMU:
            return self._rest() + audio
        audio, self._unread = self._unread + audio, b""
        if is_loaded():
            return self._down(audio, last=False)
        self._unread = audio
        return b""

    def _rest(self) -> bytes:
        """Return the audio left in the resampler."""
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
    """Converts the caller's audio from µ-law to PCM at 24 kHz: base64 in, base64 out."""

    def __init__(self) -> None:
        self._resampler = _resampler(8000, 24000)
        self._inside = b""
        """The last input, part of which is still in the resampler."""
        self._fed = self._came = 0
        """Bytes of µ-law in, bytes of PCM out."""

    def feed(self, payload: str) -> str:
        """Convert one frame. The result may be empty: the resampler delays audio by a few ms."""
        ulaw = binascii.a2b_base64(payload)
        pcm = _resampled(self._resampler, g711.ulaw_to_pcm16(ulaw), last=False)
        self._fed += len(ulaw)
        self._came += len(pcm)
        self._inside = (self._inside + ulaw)[-_MOST_INSIDE:]
        return binascii.b2a_base64(pcm, newline=False).decode("ascii")

    def rest(self) -> str:
        """Return the input left in the resampler, as µ-law."""
        left = max(self._fed - self._came // _PCM_BYTES, 0)
        return binascii.b2a_base64(self._inside[len(self._inside) - left :], newline=False).decode("ascii")


_PCM_BYTES: Final = 6
"""Bytes of PCM at 24 kHz for one byte of µ-law."""
_MOST_INSIDE: Final = 1600
"""Bytes of µ-law, more than the resampler ever delays."""


_loaded: Final = threading.Event()


def load() -> None:
    """Load soxr and numpy, which resample. Takes about 0.1 s, so do not call this on the event loop during calls."""
    import numpy  # noqa: F401
    import soxr  # noqa: F401

    _loaded.set()


def is_loaded() -> bool:
    """Return whether `load` has been called, and has ended."""
    return _loaded.is_set()


def _resampler(from_hz: int, to_hz: int) -> Any:
    load()
    import soxr

    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality="MQ")


def _resampled(resampler: Any, pcm: bytes, *, last: bool) -> bytes:
    import numpy

    chunk = resampler.resample_chunk(numpy.frombuffer(pcm, dtype="<i2"), last=last)
    return bytes(chunk.astype("<i2").tobytes())
