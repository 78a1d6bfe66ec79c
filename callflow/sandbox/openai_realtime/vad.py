"""Turn detection of the emulated model, by the energy of 20 ms frames.

Vendor: https://platform.openai.com/docs/guides/realtime-vad
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import mul
from typing import Any, Final, Literal

from callflow.media.g711 import ALAW_TO_LINEAR, ULAW_TO_LINEAR


FRAME_MS: Final = 20
ONSET_FRAMES: Final = 3
"""So many frames (60 ms) above the threshold are speech; less is a click."""
_FULL_SCALE: Final = 32768.0**2
_ULAW_SQUARES: Final = tuple(sample * sample for sample in ULAW_TO_LINEAR)
_ALAW_SQUARES: Final = tuple(sample * sample for sample in ALAW_TO_LINEAR)
_SEMANTIC_SILENCE_MS: Final = {"high": 400, "medium": 800, "auto": 800, "low": 1600}
"""Silence that ends a turn, by eagerness. The real semantic_vad uses the words and waits at most 2 s, 4 s or 8 s."""


def _of_ulaw(frame: bytes) -> float:
    return sum(map(_ULAW_SQUARES.__getitem__, frame)) / 160


def _of_alaw(frame: bytes) -> float:
    return sum(map(_ALAW_SQUARES.__getitem__, frame)) / 160


def _of_pcm(frame: bytes) -> float:
    samples = array("h", frame)
    return float(sum(map(mul, samples, samples)) / 480)


BYTES_PER_MS: Final = {"audio/pcmu": 8, "audio/pcma": 8, "audio/pcm": 48}
"""G.711 has 8000 bytes a second; "audio/pcm" is 16 bit at 24 kHz."""
_ENERGY: Final[dict[str, Callable[[bytes], float]]] = {
    "audio/pcmu": _of_ulaw,
    "audio/pcma": _of_alaw,
    "audio/pcm": _of_pcm,
}


def _energy_at(decibels: float) -> float:
    return _FULL_SCALE * float(10 ** (decibels / 10))


@dataclass(frozen=True, slots=True)
class Speech:
    """The caller starts or stops speaking; `at_ms` counts all input audio since the session's start."""

    edge: Literal["started", "stopped"]
    at_ms: int


class Vad:
    """Finds where speech starts and stops.

    `threshold` 0…1 is mapped to -55…-30 dBFS (0.5: -42.5 dBFS), so that a line's comfort noise (-60…-50 dBFS) is
    silence and telephone speech (about -35…-15 dBFS) is speech. The noise floor adapts to louder noise, by 2 dB a
    second.

    Args:
        turn_detection: of the session object, with all defaults.
        audio_format: a key of BYTES_PER_MS.
        clock_ms: the time on the session's input clock at which the audio begins.
    """

    def __init__(self, turn_detection: dict[str, Any], audio_format: str, *, clock_ms: float = 0.0) -> None:
        if turn_detection["type"] == "semantic_vad":
            silence, prefix, threshold = _SEMANTIC_SILENCE_MS[turn_detection.get("eagerness") or "auto"], 300, 0.5
        else:
            silence = turn_detection["silence_duration_ms"]
            prefix = turn_detection["prefix_padding_ms"]
            threshold = turn_detection["threshold"]
        self.speaking = False
        self._silence_ms = int(silence)
        self._prefix_ms = int(prefix)
        self._level = _energy_at(-55.0 + 25.0 * float(threshold))
        self._floor = _energy_at(-70.0)
        self._frame_bytes = FRAME_MS * BYTES_PER_MS[audio_format]
        self._energy = _ENERGY[audio_format]
        self._rest = b""
        self._clock_ms = clock_ms
        self._earliest_ms = clock_ms
        """The end of the turn before, which the next one's padding does not reach."""
        self._loud_frames = 0
        self._quiet_ms = 0.0

    def feed(self, audio: bytes) -> Iterator[Speech]:
        """Take more audio and yield the starts and stops of speech in it."""
        audio = self._rest + audio
        size = self._frame_bytes
        whole = len(audio) - len(audio) % size
        for start in range(0, whole, size):
            edge = self._frame(self._energy(audio[start : start + size]))
            if edge is not None:
                yield edge
        self._rest = audio[whole:]

    def _frame(self, energy: float) -> Speech | None:
        self._clock_ms += FRAME_MS
        # 0.925 % a frame are 2 dB/s; the floor is lowered at the first pause between words.
        self._floor = max(_energy_at(-75.0), min(energy, self._floor * 1.00925, self._level * 4))
        loud_above = max(self._level, self._floor * 8)
        if not self.speaking:
            self._loud_frames = self._loud_frames + 1 if energy > loud_above else 0
            if self._loud_frames < ONSET_FRAMES:
                return None
            self.speaking = True
            self._quiet_ms = 0.0
            began = self._clock_ms - ONSET_FRAMES * FRAME_MS
            return Speech("started", round(max(self._earliest_ms, began - self._prefix_ms, 0.0)))
        quiet_below = max(self._level / 2.5, self._floor * 3)
        self._quiet_ms = self._quiet_ms + FRAME_MS if energy < quiet_below else 0.0
        if self._quiet_ms < max(self._silence_ms, FRAME_MS):
            return None
        self.speaking = False
        self._loud_frames = 0
        self._earliest_ms = self._clock_ms
        return Speech("stopped", round(self._clock_ms))
