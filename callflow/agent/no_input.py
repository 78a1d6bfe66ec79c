"""Counts the caller's silence. The agent asks a few times whether the caller is there, then says goodbye.

Counting starts when the caller's turn starts. An unbroken noise (hold music, an open microphone), sounds without a word
and a recording that plays again and again count as silence, too. The call's machine decides what follows each `NoInput`
event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from callflow.agent.repeated_speech import RepeatedSpeech
from callflow.contracts.events import NoInput
from callflow.timers import Timers


_SILENCE: Final = "silence"
_NOISE: Final = "noise"
_NOTHING_NEW: Final = "nothing new"
_NOTHING_NEW_SECONDS: Final = 120.0
"""After this time without a text that was not heard before, what is repeated is a recording: people who repeat
themselves give up sooner."""
_WORDLESS: Final = 3
"""This many sounds in a row without a word count as one silence."""


class NoInputTimer:
    """The timers for one caller's silence; posts `NoInput` events."""

    def __init__(
        self,
        *,
        seconds: float,
        asks: int,
        noise_seconds: float,
        tell: Callable[[NoInput], None],
        timers: Timers | None = None,
    ) -> None:
        """`seconds`: silence before each question; 0: no question. `asks`: questions before the goodbye.
        `noise_seconds`: an unbroken noise of this length counts as silence; 0: noise never does."""
        self._seconds, self._asks, self._noise_seconds = seconds, asks, noise_seconds
        self._tell = tell
        self._timers = timers or Timers()
        self._asked = self._asked_before = 0
        self._wordless = 0
        self._repeated, self._says_nothing_new = RepeatedSpeech(), False
        self._pauses: frozenset[str] = frozenset()

    @property
    def asked(self) -> int:
        """How often the caller was asked since they last said something."""
        return self._asked

    def pause(self, on: bool, why: str) -> None:
        """Count nothing while somebody is muted or on hold, or a person is rung for the caller (`why`, of which several
        may hold): a silence then says nothing of the caller."""
        self._pauses = self._pauses | {why} if on else self._pauses - {why}
        if on:
            self.close()

    def key_pressed(self) -> None:
        """Note that the caller has pressed a key: they are there, and may be typing on."""
        self._asked = self._asked_before = self._wordless = 0
        if self._timers.is_running(_SILENCE):
            self._timers.start(_SILENCE, self._seconds, self._is_silent)

    def count_silence(self) -> None:
        """Start counting the caller's silence, unless the timer runs already."""
        if not self._pauses and self._seconds > 0 and not self._timers.is_running(_SILENCE):
            self._timers.start(_SILENCE, self._seconds, self._is_silent)

    def stop(self) -> None:
        """Stop counting: somebody speaks, or it is the agent's turn."""
        self._timers.stop(_SILENCE)

    def noise_began(self) -> None:
        """Note that the engine hears the caller."""
        self.noise_ended(spoken=False)
        if self._noise_seconds > 0 and not self._pauses:
            self._timers.start(_NOISE, self._noise_seconds, self._is_noise)

    def noise_ended(self, *, spoken: bool = True) -> None:
        """Note that the caller has paused. The sound counts as speech (`spoken`) until a transcript shows otherwise."""
        if self._timers.stop(_NOISE) and spoken:
            self._asked_before, self._asked = self._asked, 0

    def heard_text(self, text: str, *, sounds_like_speech: bool) -> None:
        """Take the transcript of the caller's last sounds; it may be empty. A recording that plays over and over is
        nobody who speaks with the agent."""
        is_recording = self._repeated.hears(text)
        if not is_recording and text.strip():
            self._says_nothing_new = False
            self._timers.start(_NOTHING_NEW, _NOTHING_NEW_SECONDS, self._nothing_new)
        is_recording = is_recording and self._says_nothing_new
        self.heard_words((any(map(str.isalnum, text)) or sounds_like_speech) and not is_recording)

    def _nothing_new(self) -> None:
        self._says_nothing_new = True

    def heard_words(self, any_words: bool) -> None:
        """Note whether the caller's last sounds had words in them."""
        if any_words:
            self._asked = self._asked_before = self._wordless = 0
            return
        self._asked = max(self._asked, self._asked_before)
        self._wordless += 1
        if self._wordless >= _WORDLESS:
            self._wordless = 0
            self._ask("wordless")

    def close(self) -> None:
        """Stop all timers."""
        self.stop()
        self.noise_ended(spoken=False)
        self._timers.stop(_NOTHING_NEW)

    def _is_silent(self) -> None:
        self._ask("silence")

    def _is_noise(self) -> None:
        self._timers.start(_NOISE, self._noise_seconds, self._is_noise)
        self._asked = max(self._asked, self._asked_before)
        self._ask("noise")

    def _ask(self, why: str) -> None:
        if self._pauses:
            return
        self._asked += 1
        self._asked_before = self._asked
        self._tell(NoInput(time=self._asked, last=self._asked > self._asks, why=why))
