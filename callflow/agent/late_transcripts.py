"""Transcripts that are still pending: during a call, and for a moment after its end.

A transcript comes up to two seconds after the words. If the caller hangs up right after a sentence, only the engine's
session stays open for the transcript; the rest of the call is released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from callflow.contracts.engine import (
    EngineEvent,
    ItemAdded,
    SessionLost,
    SpeechStarted,
    Transcript,
    TranscriptFailed,
    Usage,
)


TOO_LATE: Final = "the call ended before it was written down"
LEFT: Final = "the call went on in another process before it was written down"
_SESSION_OVER: Final = "its session of the model ended before it was written down"
UNPLACED: Final = "last_words"
"""The item id for words for which the engine has opened no item."""
_MOST: Final = 200
"""The most items remembered."""


class PendingTranscripts:
    """The caller's turns whose transcripts are pending. Pure."""

    def __init__(self) -> None:
        self._items: dict[str, None] = {}
        """Items of the present session."""
        self._never: dict[str, None] = {}
        """Items of sessions that are over."""
        self._settled: list[str] = []
        self.is_unplaced = False
        """The caller has spoken, and the engine has opened no item for it yet."""

    def __bool__(self) -> bool:
        """Whether a transcript is pending."""
        return bool(self._items) or self.is_unplaced

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def handle_event(self, event: EngineEvent) -> None:
        """Update the pending turns from an event of the present session."""
        match event:
            case SpeechStarted():
                self.is_unplaced = True
            case ItemAdded(who="caller", item=item):
                self.is_unplaced = False
                if item not in self._settled:
                    self._items[item] = None
                    if len(self._items) > _MOST:
                        del self._items[next(iter(self._items))]
            case Transcript(who="caller", item=item, final=True) | TranscriptFailed(item=item):
                self._settled.append(item)
                del self._settled[:-_MOST]
                self._items.pop(item, None)

    def session_over(self) -> None:
        """Note that the session has ended: its pending turns will get no transcript."""
        self._never.update(self._items)
        while len(self._never) > _MOST:
            del self._never[next(iter(self._never))]
        self._items.clear()
        self.is_unplaced = False

    def close(self, why: str) -> list[TranscriptFailed]:
        """Return the turns that will get no transcript, and forget them. `why`: the reason for turns of the present
        session."""
        left = [TranscriptFailed(item, _SESSION_OVER) for item in self._never]
        left += [TranscriptFailed(item, why) for item in self._items]
        if self.is_unplaced and why == TOO_LATE:  # otherwise the caller is still on the line
            left.append(TranscriptFailed(UNPLACED, why))
        self._never.clear()
        self._items.clear()
        self.is_unplaced = False
        return left


class LateTranscripts:
    """Handles the session's events after the call's end, until all transcripts have come."""

    def __init__(self, pending: PendingTranscripts, tell: Callable[[EngineEvent], None]) -> None:
        """`tell`: receives the events that belong in the journal."""
        self._pending, self._tell = pending, tell
        self._done = asyncio.Event()
        self._closed = False

    def handle_event(self, heard: EngineEvent) -> None:
        """Handle an event of the session."""
        if self._closed:
            return
        match heard:
            case Usage() | TranscriptFailed() | Transcript() | ItemAdded(who="caller"):
                self._tell(heard)
        self._pending.handle_event(heard)
        if isinstance(heard, SessionLost) or not self._pending:
            self._done.set()

    def give_up(self) -> None:
        """Stop waiting."""
        self._done.set()

    def close(self) -> None:
        """Ignore all events from now on."""
        self._closed = True

    async def come(self, seconds: float) -> None:
        """Wait until all transcripts have come, at most this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            pass
