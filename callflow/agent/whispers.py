"""Finds the answers in which an operator's whispers were taken up.

A whisper is in the context of the first response that begins after it. Of responses nothing of which can be heard, such
as one that only calls a tool, the whisper waits for the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from callflow.contracts.engine import ResponseDone
from callflow.journal.notes import Note, WhisperUsed


_MOST: Final = 64


class Whispers:
    """The whispers of one call that no answer has taken up yet."""

    __slots__ = ("_had", "_note", "_waiting")

    def __init__(self, note: Callable[[Note], None]) -> None:
        self._note = note
        self._waiting: tuple[str, ...] = ()
        self._had: tuple[tuple[str, tuple[str, ...]], ...] = ()
        """Responses that have not ended, and the whispers that each began with."""

    def given(self, name: str) -> None:
        """Note that the model was given a whisper. Beyond 64 the oldest is forgotten."""
        self._waiting = (*self._waiting, name)[-_MOST:]

    def response_began(self, response: str) -> None:
        """Note the beginning of a response."""
        if self._waiting:
            self._had = (*self._had, (response, self._waiting))
            self._waiting = ()

    def response_ended(self, done: ResponseDone) -> None:
        """Journal what this response took up."""
        if not self._had:
            return
        had = tuple(name for response, names in self._had if response == done.response for name in names)
        self._had = tuple(each for each in self._had if each[0] != done.response)
        if done.sounds and done.items:
            for name in had:
                self._note(WhisperUsed(id=name, item=done.items[0]))
        else:
            self._waiting = had + self._waiting

    def session_lost(self) -> None:
        """Note that no response goes on: the next session knows the whispers, too."""
        self._waiting = (*(name for _, names in self._had for name in names), *self._waiting)
        self._had = ()
