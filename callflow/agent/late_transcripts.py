"""What the caller has said and nobody has written down yet: in a call, and for a moment after its end.

The words of a turn come up to a second or two after it was spoken. Whoever hangs up right behind their last sentence is
gone by then; the engine's session, and nothing else of the call, stays for so long.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
"""Stands for the item of words of which the engine has made none."""
_MOST: Final = 200
"""Items that are remembered, of an engine that opens them without end."""


class OwedTranscripts:
    """Which of the caller's words are still to come. Pure."""

    def __init__(self) -> None:
        self._items: dict[str, None] = {}
        """Items of the present session."""
        self._never: dict[str, None] = {}
        """Items of sessions that are over."""
        self._settled: deque[str] = deque(maxlen=_MOST)
        self.is_unplaced = False
        """The caller has said something that has no item yet."""

    def __bool__(self) -> bool:
        """Something is still to come."""
        return bool(self._items) or self.is_unplaced

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def heard(self, event: EngineEvent) -> None:
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
                self._items.pop(item, None)

    def session_over(self) -> None:
        """Another one speaks from now on, and knows nothing of these."""
        self._never.update(self._items)
        while len(self._never) > _MOST:
            del self._never[next(iter(self._never))]
        self._items.clear()
        self.is_unplaced = False

    def close(self, why: str) -> list[TranscriptFailed]:
        """Nothing more will come: what never came."""
        left = [TranscriptFailed(item, _SESSION_OVER) for item in self._never]
        left += [TranscriptFailed(item, why) for item in self._items]
        if self.is_unplaced and why == TOO_LATE:  # else they are on the line still
            left.append(TranscriptFailed(UNPLACED, why))
        self._never.clear()
        self._items.clear()
        self.is_unplaced = False
        return left


class LateTranscripts:
    """Listens to the session of a call that is over, until nothing is owed any more."""

    def __init__(self, owed: OwedTranscripts, tell: Callable[[EngineEvent], None]) -> None:
        """`tell`: told what is for the record, and nothing else."""
        self._owed, self._tell = owed, tell
        self._done = asyncio.Event()
        self._closed = False

    def hear(self, heard: EngineEvent) -> None:
        if self._closed:
            return
        match heard:
            case Usage() | TranscriptFailed() | Transcript() | ItemAdded(who="caller"):
                self._tell(heard)
        self._owed.heard(heard)
        if isinstance(heard, SessionLost) or not self._owed:
            self._done.set()

    def give_up(self) -> None:
        self._done.set()

    def close(self) -> None:
        """What comes now is too late."""
        self._closed = True

    async def come(self, seconds: float) -> None:
        """Until they have, or that long."""
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            pass
