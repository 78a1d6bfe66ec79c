"""A coarse detector of the caller's speech, by energy. Pure: the audio itself is the clock.

The engine decides when somebody speaks. This detector finds what the engine misses: the caller has plainly spoken and
stopped, and the engine has not noticed the beginning, or the end. It also keeps clips from talking over a caller while
there is no engine, and gives evidence where a transcript is empty.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from callflow.media.g711 import BYTES_PER_MS, ULAW_TO_LINEAR
from callflow.media.speech_features import Verdict, judge


_LOUD: Final = 820
"""Samples (of 32,768) beyond this are plain speech: 32 dB below full scale, well above a quiet or a humming line."""
_QUIET_CODES: Final = bytes(code for code in range(256) if abs(ULAW_TO_LINEAR[code]) <= _LOUD)
_SPOKEN_MS: Final = 400
"""So much plain speech is no cough and no click."""
_TALKING_MS: Final = 400
_SOFT_MS: Final = 6000
_KEPT_FRAMES: Final = 250
"""5 s: enough to tell speech from music, and looked through in a millisecond."""

_BEFORE_FRAMES: Final = 100
"""2 s: so much of what was heard since the last end may belong to a beginning that the engine tells late."""

Unnoticed = Literal["", "speech", "end"]


class SpeechDetector:
    """Compares what the caller sends with what the engine has noticed of it."""

    def __init__(self, pause_ms: int = 1500, end_ms: int = 2500) -> None:
        self.pause_ms, self.end_ms = pause_ms, end_ms
        """Ms of quiet after which any engine would have noticed the speech, and its end."""
        self._pause, self._end = pause_ms * BYTES_PER_MS, end_ms * BYTES_PER_MS
        self._spoken = 0
        self._begun = False
        self._quiet = self._end
        self._frames: deque[bytes] = deque(maxlen=_KEPT_FRAMES)
        """What the caller's last sounds were made of."""
        self.verdict: Verdict = ""
        """What they were, at the last end that the engine has heard."""

    def feed(self, ulaw: bytes) -> Unnoticed:
        """Take a frame of µ-law. Returns what the engine has missed, or "".

        "speech", once: the caller has spoken and stopped, and the engine has noticed nothing. "end", repeatedly: the
        engine has noticed that the caller began, and not that they stopped.
        """
        size = len(ulaw)
        self._frames.append(ulaw)
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
        """Note that the engine has heard the caller begin to speak, so it must report the end, too."""
        self._spoken, self._begun = 0, True
        if self._quiet >= self._end:  # a voice too soft for this detector gets more time
            self._quiet = self._end - _SOFT_MS * BYTES_PER_MS
        while len(self._frames) > _BEFORE_FRAMES:
            self._frames.popleft()

    def forget(self) -> None:
        """Note that the engine's session is gone: the next one has heard no beginning."""
        self._begun = False

    def ended(self) -> None:
        """Note that the engine has heard the caller stop, and judge what was heard."""
        self._spoken, self._begun = 0, False
        self.verdict = self._judge()

    def _judge(self) -> Verdict:
        """Of all that was heard since it was last judged."""
        verdict = judge(self._frames)
        self._frames.clear()
        return verdict

    @property
    def is_alone(self) -> bool:
        """Whether somebody has plainly spoken just now, and the engine has not noticed it so far."""
        return not self._begun and self._spoken >= _SPOKEN_MS * BYTES_PER_MS and judge(self._frames) == "speech"

    @property
    def hears_speech(self) -> bool:
        """Whether somebody is plainly speaking now, or was within the last 0.4 s."""
        return self._quiet < _TALKING_MS * BYTES_PER_MS
