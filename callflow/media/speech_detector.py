"""A coarse detector of the caller's speech, by energy. Pure: the audio itself is the clock.

The engine decides when the caller speaks. This detector finds turns whose beginning or end the engine has missed. It
also keeps clips from talking over the caller while there is no engine, and is evidence where a transcript is empty.
"""

from __future__ import annotations

from typing import Final, Literal

from callflow.media.g711 import BYTES_PER_MS, ULAW_TO_LINEAR
from callflow.media.speech_features import Features, Verdict


_LOUD: Final = 820
"""Samples (of 32,768) above this level are plain speech: 32 dB below full scale, well above a quiet or humming line."""
_QUIET_CODES: Final = bytes(code for code in range(256) if abs(ULAW_TO_LINEAR[code]) <= _LOUD)
_SPOKEN_MS: Final = 400
"""Plain speech of at least this length is no cough and no click."""
_TALKING_MS: Final = 400
_SOFT_MS: Final = 6000
_KEPT_FRAMES: Final = 250
"""5 s: enough to distinguish speech from music, and analysed in a millisecond."""

_BEFORE_FRAMES: Final = 100
"""2 s: this much audio before a beginning that the engine reports late may belong to the same turn."""

Unnoticed = Literal["", "speech", "end"]


class SpeechDetector:
    """Compares the caller's audio with the engine's reports about it."""

    def __init__(self, pause_ms: int = 1500, end_ms: int = 2500) -> None:
        self.pause_ms, self.end_ms = pause_ms, end_ms
        """Ms of quiet after which the engine must have noticed speech (`pause_ms`), and its end (`end_ms`)."""
        self._pause, self._end = pause_ms * BYTES_PER_MS, end_ms * BYTES_PER_MS
        self._spoken = 0
        self._begun = False
        self._quiet = self._end
        self._features = Features(_KEPT_FRAMES)
        """Of the caller's last audio."""
        self.verdict: Verdict = ""
        """The verdict on the audio before the last end that the engine reported."""

    def feed(self, ulaw: bytes) -> Unnoticed:
        """Process a frame of µ-law. Returns what the engine has missed; "": nothing.

        "speech", once: the caller has spoken and stopped, and the engine has missed it. "end", repeatedly: the engine
        has noticed the beginning of the caller's speech, but not its end.
        """
        size = len(ulaw)
        self._features.add(ulaw)
        if len(ulaw.translate(None, _QUIET_CODES)) * 5 > size:
            self._spoken += size
            self._quiet = 0
            return ""
        before = self._quiet
        self._quiet += size
        if self._begun:
            return "end" if self._quiet >= self._end and before // self._end < self._quiet // self._end else ""
        if before < self._pause <= self._quiet:
            long, self._spoken = self._spoken >= _SPOKEN_MS * BYTES_PER_MS, 0
            return "speech" if long and self._judge() == "speech" else ""
        return ""

    def began(self) -> None:
        """Note that the engine has reported the beginning of speech, so it must report the end, too."""
        self._spoken, self._begun = 0, True
        if not self.hears_speech:  # a voice too soft for this detector: allow more time, whatever was loud before
            self._quiet = self._end - _SOFT_MS * BYTES_PER_MS  # less than 0: not heard here
        self._features.keep(_BEFORE_FRAMES)

    def forget(self) -> None:
        """Note that the engine's session is gone: the next session has reported no beginning."""
        self._begun = False

    def ended(self) -> None:
        """Note that the engine has reported the end of speech, and judge the audio before it."""
        self._spoken, self._begun = 0, False
        self._quiet = self._quiet if self._quiet >= 0 else self._end
        self.verdict = self._judge()

    def _judge(self) -> Verdict:
        """Return the verdict on the audio since the last verdict."""
        verdict = self._features.verdict()
        self._features.clear()
        return verdict

    @property
    def is_alone(self) -> bool:
        """Whether the caller has plainly spoken just now, and the engine has not noticed it so far."""
        return not self._begun and self._spoken >= _SPOKEN_MS * BYTES_PER_MS and self._features.verdict() == "speech"

    @property
    def hears_speech(self) -> bool:
        """Whether the caller speaks plainly, now or within the last 0.4 s."""
        return 0 <= self._quiet < _TALKING_MS * BYTES_PER_MS
