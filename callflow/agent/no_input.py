"""How long a caller may say nothing: asked once, asked twice, then goodbye. On the call's own clock.

Silence counts from when it became the caller's turn. An unbroken noise counts as silence, too (hold music, an open
microphone), and so do sounds in which nobody finds a word. What follows is the machine's to decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from callflow.contracts.events import NoInput


_WORDLESS: Final = 3
"""So many sounds in a row without a word in them are no conversation."""

Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


class NoInputTimer:
    def __init__(
        self, *, seconds: float, asks: int, hold_seconds: float, later: Later, tell: Callable[[NoInput], None]
    ) -> None:
        self._seconds, self._asks, self._hold_seconds = seconds, asks, hold_seconds
        self._later, self._tell = later, tell
        self._timer: asyncio.TimerHandle | None = None
        self._noise: asyncio.TimerHandle | None = None
        self._asked = self._asked_before = 0
        self._wordless = 0

    def rest(self) -> None:
        """It is the caller's turn, and nobody speaks. May be said as often as one likes."""
        if self._timer is None and self._seconds > 0:
            self._timer = self._later(self._seconds, self._is_silent)

    def stop(self) -> None:
        """It is not, or somebody does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def noise_began(self) -> None:
        self.noise_ended(spoken=False)
        if self._hold_seconds > 0:
            self._noise = self._later(self._hold_seconds, self._is_noise)

    def noise_ended(self, *, spoken: bool = True) -> None:
        """The caller has paused. That was speech, unless it turns out to be wordless."""
        if self._noise is not None:
            self._noise.cancel()
            self._noise = None
            if spoken:
                self._asked_before, self._asked = self._asked, 0

    def heard_words(self, any_words: bool) -> None:
        """What the caller's last sounds meant."""
        if any_words:
            self._asked = self._asked_before = self._wordless = 0
            return
        self._asked = max(self._asked, self._asked_before)
        self._wordless += 1
        if self._wordless >= _WORDLESS:
            self._wordless = 0
            self._ask("wordless")

    def close(self) -> None:
        self.stop()
        self.noise_ended(spoken=False)

    def _is_silent(self) -> None:
        self._timer = None
        self._ask("silence")

    def _is_noise(self) -> None:
        self._noise = self._later(self._hold_seconds, self._is_noise)
        self._asked = max(self._asked, self._asked_before)
        self._ask("noise")

    def _ask(self, why: str) -> None:
        self._asked += 1
        self._asked_before = self._asked
        self._tell(NoInput(time=self._asked, last=self._asked > self._asks, why=why))
