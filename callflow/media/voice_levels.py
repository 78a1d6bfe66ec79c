"""How loud both sides of a call are, for those who watch. Pure.

Each frame is looked at in a few places, by one table of 256 entries; while nobody watches, nothing of this runs.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from callflow.media.g711 import ULAW_TO_LINEAR


_FLOOR_DB: Final = -54.0
"""Of full scale: what is softer has the level 0. A quiet line hums below it."""
_EVERY: Final = 8
"""One sample of so many is looked at: 20 of a frame of 20 ms, on average two of each period of a voice."""


def _level(sample: int) -> int:
    if sample == 0:
        return 0
    decibels = 20 * math.log10(abs(sample) / 32768)
    return max(0, min(255, round(255 * (1 - decibels / _FLOOR_DB))))


_LEVELS: Final = bytes(_level(ULAW_TO_LINEAR[code]) for code in range(256))
"""By µ-law code: 0 for silence, 255 for full scale, in decibels between them."""


class AudioTap(Protocol):
    """Gets the audio of both sides as it passes, on the loop that carries it: it must neither wait nor raise."""

    def caller(self, audio: bytes) -> None:
        """Take a frame of the caller, µ-law."""

    def agent(self, audio: bytes) -> None:
        """Take audio that was sent to the caller, µ-law."""

    def cut(self) -> None:
        """Note that the caller will not hear what of it is still to be played."""


class VoiceLevels:
    """The loudest moments of both sides since they were last asked for."""

    __slots__ = ("_agent", "_caller")

    def __init__(self) -> None:
        self._caller = self._agent = 0

    def caller(self, audio: bytes) -> None:
        """Take a frame of the caller, µ-law."""
        level = max(audio[::_EVERY].translate(_LEVELS), default=0)
        if level > self._caller:
            self._caller = level

    def agent(self, audio: bytes) -> None:
        """Take audio that was sent to the caller, µ-law."""
        level = max(audio[::_EVERY].translate(_LEVELS), default=0)
        if level > self._agent:
            self._agent = level

    def cut(self) -> None:
        """Ignore the cut: a level that was shown stays."""

    def take(self) -> tuple[float, float]:
        """Return the levels of caller and agent since the last time, each 0 to 1."""
        found = round(self._caller / 255, 2), round(self._agent / 255, 2)
        self._caller = self._agent = 0
        return found
