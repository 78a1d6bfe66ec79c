"""Hears telephone keys in audio, as a receiver does: by the power at the eight frequencies (Goertzel)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from callflow.media.dtmf_tones import FREQUENCIES, HIGH, LOW
from callflow.media.g711 import ULAW_TO_LINEAR


_WINDOW = 160
"""Samples: 20 ms."""
_RATE = 8000


def power(samples: Sequence[int], hz: float) -> float:
    """The power at one frequency, in units of the square of full scale."""
    step = 2 * math.cos(2 * math.pi * hz / _RATE)
    one = two = 0.0
    for sample in samples:
        one, two = sample / 32768 + step * one - two, one
    return (one * one + two * two - step * one * two) * 4 / len(samples) ** 2


def key_in(samples: Sequence[int]) -> str:
    """The key whose two tones, and no others, are in these 20 ms; "": none."""
    low, high = ({hz: power(samples, hz) for hz in group} for group in (LOW, HIGH))
    first, second = max(low, key=low.__getitem__), max(high, key=high.__getitem__)
    total = sum(sample * sample for sample in samples) * 2 / len(samples) / 32768**2
    if total < 1e-4 or low[first] + high[second] < 0.7 * total or not 0.2 < low[first] / high[second] < 5:
        return ""
    return next(key for key, pair in FREQUENCIES.items() if pair == (first, second))


def keys_in(ulaw: bytes) -> str:
    """The keys in this audio, in order: each was there for 40 ms at least."""
    samples = [ULAW_TO_LINEAR[code] for code in ulaw]
    found = [key_in(samples[at : at + _WINDOW]) for at in range(0, len(samples) - _WINDOW + 1, _WINDOW)]
    keys, last, times = "", "", 0
    for key in found:
        times = times + 1 if key == last else 1
        last = key
        if key and times == 2:
            keys += key
    return keys
