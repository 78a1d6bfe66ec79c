"""Sounds of ours on a call's line that are no sentence: music while the caller is on hold, and tones of keys."""

from __future__ import annotations

from typing import Final, Protocol

from callflow.contracts.media import Cut
from callflow.media import dtmf_tones
from callflow.media.g711 import BYTES_PER_MS, ULAW_SILENCE
from callflow.timers import Timers


_MUSIC: Final = "music"
_KEYS: Final = "keys"
_AHEAD_SECONDS: Final = 1.0
"""The next round of the music is queued this long before the end of the one that plays."""
_PAUSE_SECONDS: Final = 8.0
"""Between two rounds of a spoken clip."""


class Line(Protocol):
    """The relay, as far as sounds are put on its line."""

    def put_sound(self, name: str, audio: bytes) -> str:
        """Queue audio behind what is queued. Returns the item under which it is played; "": it was not queued."""

    def pump(self) -> None:
        """Send the audio that is due."""

    def queued_seconds(self) -> float:
        """Return how much audio waits to be sent."""


class LineSounds:
    """The music and the keys of one call."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._timers = Timers()
        self._music = b""
        self._digits: dict[str, tuple[str, bool]] = {}
        """Keys that are being played, and whether they are secret, by item."""

    def play_music(self, audio: bytes, *, spoken: bool = False) -> None:
        """Play this audio (µ-law) again and again until `stop_music`. `spoken`: with pauses."""
        pause = bytes([ULAW_SILENCE]) * int(_PAUSE_SECONDS * 1000 * BYTES_PER_MS) if spoken else b""
        self._music = audio + pause
        self._play_on()

    def stop_music(self) -> None:
        """Queue no further round; what is queued must be cut."""
        self._music = b""
        self._timers.stop(_MUSIC)

    def _play_on(self) -> None:
        if not self._music:
            return
        if self._line.queued_seconds() <= _AHEAD_SECONDS:
            self._line.put_sound(_MUSIC, self._music)  # without a stream it is tried again
            self._line.pump()
        later = max(self._line.queued_seconds() - _AHEAD_SECONDS, _AHEAD_SECONDS / 2)
        self._timers.start(_MUSIC, later, self._play_on)

    def play_keys(self, digits: str, *, secret: bool) -> None:
        """Play the tones of these keys, once. `secret`: they are not recorded."""
        item = self._line.put_sound(_KEYS, dtmf_tones.tones(digits))
        if item:
            self._digits[item] = digits, secret
            self._line.pump()

    def cut(self, cuts: list[Cut]) -> None:
        """Play on after a cut: speech of the other end interrupts the agent, but not a number that is being dialled."""
        for cut in cuts:
            digits, secret = self._digits.pop(cut.key.item, ("", False))
            if left := dtmf_tones.left_of(digits, cut.heard_ms):
                self.play_keys(left, secret=secret)

    def heard(self, item: str) -> None:
        """Note that a sound was heard in full."""
        self._digits.pop(item, None)

    def recorded(self, item: str, audio: bytes) -> bytes:
        """Return the audio of an item as it may be recorded: silence in place of secret keys."""
        if self._digits and self._digits.get(item, ("", False))[1]:
            return bytes([ULAW_SILENCE]) * len(audio)
        return audio

    def close(self) -> None:
        """Stop for good."""
        self.stop_music()
        self._timers.close()
        self._digits.clear()
