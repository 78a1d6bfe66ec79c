"""Tells speech from noise, tones and music, by three measures of the sound. Pure.

Speech is a chain of syllables: its level dips every few frames, which steady noise and music do not, and loud voiced
sounds with few zero crossings take turns with hissing ones with many, which beeps, claps and hums do not. The result is
coarse: good enough to suspect that a silent engine has missed something, not to decide whose turn it is.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from callflow.media.g711 import FRAME_BYTES, ULAW_TO_LINEAR


_LEVELS: Final = bytes(min(255, round(8 * math.log2(1 + abs(ULAW_TO_LINEAR[code]) / 4))) for code in range(256))
"""Each code as a level: 8 steps are a factor of 2."""
_SIGNS: Final = bytes(int(ULAW_TO_LINEAR[code] >= 0) for code in range(256))
_PAIRS: Final = (1 << 8 * (FRAME_BYTES - 1)) - 1
_AT_ONCE: Final = 16 * FRAME_BYTES
"""Bytes of audio whose features are taken together."""
_DIP: Final = 16
"""A frame this many level steps below the loudest frames (12 dB) is a dip."""
_FAINT: Final = 24
_FAINTEST: Final = 40
"""The highest level of a line on which nobody makes a sound."""
_CLICK_FRAMES: Final = 3
_LEAST_FRAMES: Final = 10
_SHORT_FRAMES: Final = 40
"""Frames of a stretch that holds one or two words, and so may have no dips but at its edges."""
_DIPS: Final = (0.2, 0.68)
_SHORT_DIPS: Final = (0.04, 0.75)
_CROSSINGS: Final = (14.0, 62.0)
"""Zero crossings in 20 ms, on average: a hum has fewer, hiss has more."""
_VARIETY: Final = (0.16, 0.66)
"""Standard deviation of the crossings, as a share of their mean."""
_SHORT_VARIETY: Final = 0.1


Verdict = Literal["speech", "noise", ""]


class Features:
    """The features of each 20 ms of the last audio. The audio itself is not kept: 5 s of it would take 48 kB a call."""

    __slots__ = ("_crossings", "_levels", "_most", "_rest")

    def __init__(self, most: int) -> None:
        """`most`: how many pieces of 20 ms are kept, the newest ones."""
        self._most = most
        self._levels = array("H")
        """The sums of their levels."""
        self._crossings = bytearray()
        self._rest = bytearray()
        """The newest audio, not looked at yet."""

    def add(self, audio: bytes) -> None:
        """Add µ-law, in pieces of any size. Called 50 times a second."""
        self._rest += audio
        if len(self._rest) >= _AT_ONCE:
            self._look()

    def keep(self, most: int) -> None:
        """Forget all but the newest pieces."""
        self._look()
        older = max(len(self._levels) - most, 0)
        del self._levels[:older], self._crossings[:older]

    def clear(self) -> None:
        """Forget all audio."""
        del self._levels[:], self._crossings[:], self._rest[:]

    def verdict(self) -> Verdict:
        """Return "speech" or "noise" for all that is kept; "" if there is too little to tell."""
        self._look()
        return _verdict([level / FRAME_BYTES for level in self._levels], self._crossings)

    def _look(self) -> None:
        audio, end = bytes(self._rest), len(self._rest) // FRAME_BYTES * FRAME_BYTES
        levels, signs = audio.translate(_LEVELS), audio.translate(_SIGNS)
        for start in range(0, end, FRAME_BYTES):
            behind = start + FRAME_BYTES
            # The low half of this checksum is 1 plus the sum of the bytes, far below its modulus: four times quicker.
            self._levels.append((zlib.adler32(levels[start:behind]) & 0xFFFF) - 1)
            self._crossings.append(_changes(signs[start:behind]))
        del self._rest[:end]
        if len(self._levels) > self._most:
            del self._levels[: -self._most], self._crossings[: -self._most]


def judge(frames: Iterable[bytes]) -> Verdict:
    """Return "speech" or "noise" for a stretch of µ-law, in pieces of any size; "" if there is too little to tell."""
    audio = b"".join(frames)
    features = Features(len(audio))
    features.add(audio)
    return features.verdict()


def _verdict(levels: Sequence[float], crossed: Sequence[int]) -> Verdict:
    """`levels`, `crossed`: of each 20 ms, the mean level and the number of zero crossings."""
    if not levels or max(levels) < _FAINTEST:
        return ""
    # reference level: an eighth of the loud frames is at or above it, but at least two frames, as a word has few
    top = sorted(levels)[-max(min(2, len(levels)), sum(level > max(levels) - _DIP for level in levels) // 8)]
    loud = [number for number, level in enumerate(levels) if level > top - _DIP]
    if len(loud) < _CLICK_FRAMES:
        return ""
    levels, crossed = levels[loud[0] : loud[-1] + 1], crossed[loud[0] : loud[-1] + 1]
    dips = 1 - len(loud) / len(levels)
    crossings = [count for count, level in zip(crossed, levels, strict=True) if level > top - _FAINT]
    mean = sum(crossings) / len(crossings)
    variety = math.sqrt(sum((each - mean) ** 2 for each in crossings) / len(crossings)) / max(mean, 1.0)
    voiced = _CROSSINGS[0] <= mean <= _CROSSINGS[1]
    if len(loud) < _LEAST_FRAMES:  # at most half a syllable
        return "" if voiced and variety >= _SHORT_VARIETY else "noise"
    least, most = _SHORT_DIPS if len(levels) < _SHORT_FRAMES else _DIPS
    speaks = voiced and least <= dips <= most and _VARIETY[0] <= variety <= _VARIETY[1]
    if speaks:
        return "speech"
    in_doubt = len(levels) < _SHORT_FRAMES and voiced and variety >= _SHORT_VARIETY
    return "" if in_doubt else "noise"


def _changes(signs: bytes) -> int:
    """Return how often neighbours differ among bytes of 0 and 1."""
    number = int.from_bytes(signs, "big")
    return ((number ^ (number >> 8)) & _PAIRS).bit_count()
