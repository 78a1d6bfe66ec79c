"""The tones of telephone keys (DTMF), as audio: for carriers that send no keys beside a media stream. Pure.

Frequencies are those of ITU-T Q.23. A tone and the pause behind it are 100 ms each: Q.24 asks for at least 40 ms of
either, and a codec on the way may blur some of that.
"""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from itertools import product
from typing import Final

from callflow.media.g711 import BYTES_PER_MS, ULAW_SILENCE, pcm16_to_ulaw


TONE_MS: Final = 100
PAUSE_MS: Final = 100
WAITS_MS: Final = {"w": 500, "W": 1000}
"""What is no key but a pause, as carriers write it."""
LOW: Final = (697, 770, 852, 941)
HIGH: Final = (1209, 1336, 1477, 1633)
"""Frequencies in Hz, by row and by column of the keypad."""
FREQUENCIES: Final = dict(zip("123A456B789C*0#D", product(LOW, HIGH), strict=True))
"""The two frequencies of each key."""
_LEAST_MS: Final = 40
"""Of a tone: what a receiver must take for the key (Q.24). Of a shorter piece it must not be certain."""
_LEVEL: Final = 0.22
"""Of full scale, for each of the two: about -10 dBm0 each."""


def tones(digits: str) -> bytes:
    """Return the audio of these keys and waits: µ-law, 8 kHz. Raises KeyError for anything else."""
    return b"".join(_sound(digit) for digit in digits)


def left_of(digits: str, heard_ms: int) -> str:
    """Return the keys that are still to be sent when playing stopped after `heard_ms`. A key of which 40 ms were heard
    counts as sent."""
    for number, digit in enumerate(digits):
        if heard_ms < (_LEAST_MS if digit in FREQUENCIES else WAITS_MS[digit]):
            return digits[number:]
        heard_ms -= _length_ms(digit)
    return ""


def _length_ms(digit: str) -> int:
    return TONE_MS + PAUSE_MS if digit in FREQUENCIES else WAITS_MS[digit]


@lru_cache(maxsize=len(FREQUENCIES) + len(WAITS_MS))
def _sound(digit: str) -> bytes:
    if digit in WAITS_MS:
        return bytes([ULAW_SILENCE]) * (WAITS_MS[digit] * BYTES_PER_MS)
    low, high = (2 * math.pi * hz / (BYTES_PER_MS * 1000) for hz in FREQUENCIES[digit])
    level = 32767 * _LEVEL
    samples = array("h", (
        round(level * (math.sin(low * at) + math.sin(high * at))) for at in range(TONE_MS * BYTES_PER_MS)
    ))  # fmt: skip
    return pcm16_to_ulaw(samples.tobytes()) + bytes([ULAW_SILENCE]) * (PAUSE_MS * BYTES_PER_MS)
