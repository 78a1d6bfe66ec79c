"""A coarse ear of our own for the caller's side of the line. Pure: its clock is the audio itself.

The engine decides when somebody speaks. This ear only finds out whether the engine is deaf: somebody has plainly spoken
and stopped, and the engine has said nothing about it. It also keeps our own sentences from talking over a caller whom
the engine cannot hear just now.
"""

from __future__ import annotations

from typing import Final

from callflow.media.g711 import BYTES_PER_MS, ULAW_TO_LINEAR


_LOUD: Final = 820
"""Samples (of 32,768) beyond this are plain speech: 32 dB below full scale, well above a quiet or a humming line."""
_QUIET_CODES: Final = bytes(code for code in range(256) if abs(ULAW_TO_LINEAR[code]) <= _LOUD)
_SPOKEN_MS: Final = 400
"""So much plain speech is no cough and no click."""
_TALKING_MS: Final = 400


class Ear:
    """`feed` it with every frame; it returns True once when the caller has spoken, has stopped, and was not noticed."""

    def __init__(self, pause_ms: int = 1500) -> None:
        self.pause_ms = pause_ms
        """So much quiet, and any engine would have noticed."""
        self._pause = pause_ms * BYTES_PER_MS
        self._spoken = 0
        self._begun = False
        self._quiet = self._pause

    def feed(self, ulaw: bytes) -> bool:
        size = len(ulaw)
        if len(ulaw.translate(None, _QUIET_CODES)) * 5 > size:
            self._spoken += size
            self._quiet = 0
            return False
        before = self._quiet
        self._quiet += size
        if before < self._pause <= self._quiet:
            unnoticed = self._begun or self._spoken >= _SPOKEN_MS * BYTES_PER_MS
            self._spoken = 0
            return unnoticed
        return False

    def began(self) -> None:
        """The engine has heard the caller begin to speak, and owes us the end."""
        self._spoken, self._begun = 0, True

    def ended(self) -> None:
        """It has heard the caller stop."""
        self._spoken, self._begun = 0, False

    @property
    def hears_speech(self) -> bool:
        """Somebody is plainly speaking now, or was a moment ago."""
        return self._quiet < _TALKING_MS * BYTES_PER_MS
