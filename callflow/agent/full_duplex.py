"""What stays open in a conversation with an engine that decides by itself when it speaks (`decides_itself`): whether it
answers the caller's last turn, and whether it goes on after a pause. Pure: moments are arguments, in seconds."""

from __future__ import annotations

from typing import Final


_ANSWER_SECONDS: Final = 8.0
"""After so long without a word it has left the caller's turn unanswered."""
PAUSE_SECONDS: Final = 2.0
"""After so long without a word it has finished. Such an engine tells no end: after less its turn is over, too, but it
may only have taken breath between two sentences, or the network may have been slow."""


class FullDuplexPace:
    """Both, for one call."""

    __slots__ = ("_asked_at", "_settles_at")

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._settles_at = 0.0

    def asked(self, now: float) -> None:
        """Note that the caller has said something that the engine may answer or not."""
        self._asked_at = now

    def answered(self) -> None:
        """Note that it has answered, or that the caller goes on."""
        self._asked_at = None

    def may_be_answered(self, now: float) -> bool:
        """Return whether an answer to the caller's last turn may still come."""
        return self._asked_at is not None and now - self._asked_at < _ANSWER_SECONDS

    def fell_silent(self, now: float) -> None:
        """Note that a turn of the engine's has ended, that the caller has heard the last of it, or that the caller has
        said something, to which the engine may say nothing."""
        self._settles_at = now + PAUSE_SECONDS

    def may_go_on(self, now: float) -> bool:
        """Return whether the engine may only have paused."""
        return now < self._settles_at
