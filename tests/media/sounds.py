"""Sounds of a telephone line that are no speech."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable

from callflow.media.g711 import pcm16_to_ulaw
from callflow.sandbox.common.phone import SILENT_FRAME, tone


def synthetic(seconds: float, sample: Callable[[float], float]) -> bytes:
    samples = (max(-32767, min(32767, int(sample(n / 8000)))) for n in range(round(seconds * 8000)))
    return pcm16_to_ulaw(array("h", samples).tobytes())


def sines(at: float, *hertz: float) -> float:
    return sum(math.sin(2 * math.pi * one * at) for one in hertz)


DICE = random.Random(7)
SCALE = (262, 330, 392, 523, 440, 349, 294, 392)
NO_SPEECH: dict[str, bytes] = {
    "silence": SILENT_FRAME * 80,
    "a hum of the line": tone(3000, 100.0, 0.015),
    "a loud hum": synthetic(3, lambda at: 6000 * sines(at, 100) + 2000 * sines(at, 300)),
    "a click": tone(100),
    "a tone": tone(2000),
    "ringback": synthetic(3, lambda at: 6000 * sines(at, 440, 480) * (at % 0.8 < 0.4)),
    "beeps": synthetic(3, lambda at: 9000 * sines(at, 1000) * (at % 0.4 < 0.15)),
    "keys of the telephone": synthetic(3, lambda at: 7000 * sines(at, 697, 1209) * (at % 0.3 < 0.15)),
    "white noise": synthetic(3, lambda at: DICE.gauss(0, 4000)),
    "gusts": synthetic(4, lambda at: DICE.gauss(0, 5000) * (0.5 + 0.5 * sines(at, 1.3)) ** 2),
    "claps": synthetic(3, lambda at: DICE.gauss(0, 15000) * math.exp(-(at % 0.3) * 40)),
    "a keyboard": synthetic(3, lambda at: DICE.gauss(0, 9000) * (at % 0.22 < 0.02)),
    "a siren": synthetic(3, lambda at: 9000 * sines(at, 600 + 60 * sines(at, 0.5))),
    "a held chord": synthetic(3, lambda at: 3000 * sines(at, 262, 330, 392) * (0.6 + 0.4 * sines(at, 0.5))),
    "a melody": synthetic(
        3.2, lambda at: 9000 * math.exp(-(at % 0.4) * 4) * sines(at, SCALE[int(at / 0.4) % 8])
    ),
    "drums and chords": synthetic(
        4, lambda at: DICE.gauss(0, 9000) * math.exp(-(at % 0.5) * 25) + 1800 * sines(at, 220, 277, 330)
    ),
}  # fmt: skip
