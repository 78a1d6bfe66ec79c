"""Tells speech from noise, tones and music, by three measures of the sound. Pure.

Speech is a chain of syllables: its level dips every few frames, which steady noise and music do not, and loud voiced
sounds with few zero crossings take turns with hissing ones with many, which beeps, claps and hums do not. The result is
coarse: good enough to suspect that a silent engine has missed something, not to decide whose turn it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal

from callflow.media.g711 import FRAME_BYTES, ULAW_TO_LINEAR


_LEVELS: Final = bytes(min(255, round(8 * math.log2(1 + abs(ULAW_TO_LINEAR[code]) / 4))) for code in range(256))
"""Each code as a level: 8 steps are a factor of 2."""
_SIGNS: Final = bytes(int(ULAW_TO_LINEAR[code] >= 0) for code in range(256))
_PAIRS: Final = (1 << 8 * (FRAME_BYTES - 1)) - 1
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


def judge(frames: Iterable[bytes]) -> Verdict:
    """Return "speech" or "noise" for a stretch of µ-law, in pieces of any size; "" if there is too little to tell."""
    audio = b"".join(frames)
    cut = [audio[start : start + FRAME_BYTES] for start in range(0, len(audio) - FRAME_BYTES + 1, FRAME_BYTES)]
    levels = [sum(frame.translate(_LEVELS)) / FRAME_BYTES for frame in cut]
    if not levels or max(levels) < _FAINTEST:
        return ""
    # reference level: an eighth of the loud frames is at or above it, but at least two frames, as a word has few
    top = sorted(levels)[-max(min(2, len(levels)), sum(level > max(levels) - _DIP for level in levels) // 8)]
    loud = [number for number, level in enumerate(levels) if level > top - _DIP]
    if len(loud) < _CLICK_FRAMES:
        return ""
    levels, cut = levels[loud[0] : loud[-1] + 1], cut[loud[0] : loud[-1] + 1]
    dips = 1 - len(loud) / len(levels)
    crossings = [_crossings(frame) for frame, level in zip(cut, levels, strict=True) if level > top - _FAINT]
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


def _crossings(frame: bytes) -> int:
    signs = int.from_bytes(frame.translate(_SIGNS), "big")
    return ((signs ^ (signs >> 8)) & _PAIRS).bit_count()
