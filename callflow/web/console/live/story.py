"""The story of one call: every entry of its journal, from the first on, for everybody who watches this call.

It is read and encoded once, when the first viewer comes; what is written down later is added to it. A viewer is a place
in it, so that one who comes late or comes back misses nothing and gets nothing twice.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from callflow.agent.conversation import Turn
from callflow.call.call import Call
from callflow.contracts.json_slices import PIECE
from callflow.history.history import History
from callflow.journal.journal import JournalEntry
from callflow.journal.redaction import Redactor
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live.entries import Encoder
from callflow.web.console.live.single_events import SingleEvents
from callflow.web.console.live.sse import HEARTBEAT, Signal, frame, news
from callflow.web.console.masking import masked_growing


_LOOK_SECONDS: Final = 0.2
_LAST_TURNS: Final = 6
"""Turns that may still grow."""


class Story:
    """The frames of one call, while anybody watches it."""

    def __init__(self, call: str, redact: Redactor, now: Callable[[], float]) -> None:
        self.call = call
        self.viewers = 0
        self.encoder = Encoder(call)
        self.of_singles = 0
        """Viewers of single events."""
        self.numbers: list[int] = []
        self.frames: list[bytes] = []
        self.is_known = asyncio.Event()
        """What was written down before has been read."""
        self.failed: Exception | None = None
        """Why that could not be read."""
        self.signal = signal = Signal()
        encoder = self.encoder
        self.singles = SingleEvents(redact, news=signal.set, now=now, began=lambda: encoder.began)
        self.partials: dict[str, tuple[int, bytes, bytes]] = {}
        """By item: a number that rises, and the frame of words that are being spoken, as it is and for those who may
        only view."""
        self.spoken = 0
        """The number of the newest of them."""
        self.pending: list[tuple[int, JournalEntry]] = []
        """What was written down while the rest was read."""
        self.reading: asyncio.Task[None] | None = None
        self.is_closed = False

    @property
    def over(self) -> bytes | None:
        """The last frame of a call that is over."""
        return None if self.encoder.over is None else frame("over", self.encoder.over)

    def take(self, key: int, entry: JournalEntry) -> None:
        """Add what was written down just now."""
        if not self.is_known.is_set():
            self.pending.append((key, entry))
            return
        self.add(entry)
        self.signal.set()

    def add(self, entry: JournalEntry) -> None:
        """Encode an entry behind the others."""
        self.frames.append(self.encoder.encode(entry))
        self.numbers.append(self.encoder.number)

    def piece(self, at: int) -> tuple[bytes, int]:
        """Return frames from a place on, and the place behind them."""
        end, size = at, 0
        while end < len(self.frames) and size < PIECE:
            size += len(self.frames[end])
            end += 1
        return b"".join(self.frames[at:end]), end

    def speak(self, item: str, who: str, text: str) -> None:
        """Tell words that are being spoken."""
        self.spoken += 1
        plain, veiled = (
            frame("partial", {"who": who, "item": item, "text": each}) for each in (text, masked_growing(text))
        )
        self.partials[item] = self.spoken, plain, veiled

    def spoken_since(self, number: int, *, veiled: bool) -> bytes:
        """Return the words that are being spoken now and are newer than this number."""
        return b"".join(hidden if veiled else plain for at, plain, hidden in self.partials.values() if at > number)


class Stories:
    """The stories that somebody watches. The journal tells them what is written down."""

    def __init__(self, switchboard: Callable[[], Switchboard], history: History, redact: Redactor) -> None:
        self._switchboard, self._history, self._redact = switchboard, history, redact
        self._open: dict[str, Story] = {}
        self._speaking: asyncio.Task[None] | None = None
        self._told: dict[str, dict[str, str]] = {}
        """Of each call, the words that were told of items that still grow."""
        self.is_closed = False
        self.encoded = 0
        """Entries that were encoded as they came; for tests."""
        history.journal.on_put = self._take

    def _take(self, key: int, entry: JournalEntry) -> None:
        story = self._open.get(entry.call)
        if story is not None:
            story.take(key, entry)

    def close(self) -> None:
        """End all streams."""
        self.is_closed = True
        for story in self._open.values():
            story.is_closed = True
            story.is_known.set()
            story.signal.set()

    # Viewers

    async def watch(
        self, call: str, after: int, *, singles: bool = False, veiled: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """Yield what a viewer of one call gets, until the call is over. `call`: our id of it. `after`: the number of
        the entry that the viewer has got last; 0: none. `singles`: with the single events of engine and stream.
        `veiled`: no telephone number can be put together from words that are being spoken."""
        story = await self.enter(call)
        story.of_singles += singles
        try:
            if singles:
                self._tap(story)
            at = bisect_right(story.numbers, after)
            heard, single = 0, story.singles.first
            while not story.is_closed:
                event = story.signal.waiting()
                if at < len(story.frames):
                    told, at = story.piece(at)
                    yield told
                    if at < len(story.frames):
                        await asyncio.sleep(0)  # frames come between, also while the viewer takes all that there is
                elif (over := story.over) is not None:
                    yield over
                    return
                elif heard < story.spoken:
                    told, heard = story.spoken_since(heard, veiled=veiled), story.spoken
                    if told:
                        yield told
                elif singles and single < story.singles.end:
                    told, single = story.singles.piece(single)
                    yield told
                    if single < story.singles.end:
                        await asyncio.sleep(0)
                elif not await news(event):
                    yield HEARTBEAT
        finally:
            story.of_singles -= singles
            if not story.of_singles:
                story.singles.detach()
            self.leave(story)

    async def enter(self, call: str) -> Story:
        """Return the story of a call, as soon as it is known. Raises what reading it raises. `leave` it afterwards."""
        story = self._open.get(call)
        if story is None:
            story = self._open[call] = Story(call, self._redact, self._history.now)
            story.reading = asyncio.create_task(self._read(story), name=f"story of {call}")
        story.viewers += 1
        try:
            await story.is_known.wait()
            if story.failed is not None:
                raise story.failed
        except BaseException:
            self.leave(story)
            raise
        if self._speaking is None:
            self._speaking = asyncio.create_task(self._listen(), name="words being spoken")
        return story

    def leave(self, story: Story) -> None:
        """Note that a viewer is gone."""
        story.viewers -= 1
        if story.viewers:
            return
        if self._open.get(story.call) is story:
            del self._open[story.call]
        self._told.pop(story.call, None)
        if story.reading is not None:
            story.reading.cancel()
        if not self._open and self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None

    async def is_told(self, call: str, after: int) -> bool:
        """Return whether a call is over, and a viewer who has got the entry with this number has got its end. Raises
        what reading it raises."""
        story = await self.enter(call)
        try:
            return story.over is not None and after >= story.encoder.last
        finally:
            self.leave(story)

    # What was written down before

    async def _read(self, story: Story) -> None:
        try:
            entries = await self._written(story)

            def encoded() -> tuple[list[int], list[bytes]]:
                found = story.encoder.encode_all(entries)
                entries.clear()  # here, because freeing thousands of them takes its time, too
                return found

            story.numbers, story.frames = await asyncio.to_thread(encoded)
            for _, entry in story.pending:
                story.add(entry)
        except Exception as error:
            story.failed = error
            if self._open.get(story.call) is story:  # whoever comes next tries again
                del self._open[story.call]
        story.pending.clear()
        story.is_known.set()

    async def _written(self, story: Story) -> list[JournalEntry]:
        """Return what the journal has so far; what is written from now on is in `pending`, and of that only the rest
        stays there."""
        call, journal = story.call, self._history.journal
        count = journal.count(call)
        story.pending.clear()  # what came before this moment is among the `count`, and in the database or on its way
        if journal.is_whole(call):
            return (await asyncio.to_thread(journal.read, call))[:count]
        waiting = dict(journal.waiting_of(call))
        keyed = await self._history.store.keyed_journal(call)

        def merged() -> dict[int, JournalEntry]:
            return dict(sorted((dict(keyed) | waiting).items()))

        rows = await asyncio.to_thread(merged)
        story.pending = [(key, entry) for key, entry in story.pending if key not in rows]
        return list(rows.values())

    # Words that are being spoken

    async def _listen(self) -> None:
        while True:
            board = self._switchboard()
            for story in list(self._open.values()):
                live = board.live(story.call)
                if live is not None and story.is_known.is_set():
                    self._look_at(story, live)
                    self._tap(story)
                    story.singles.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def _tap(self, story: Story) -> None:
        """Watch the single events of a live call, if anybody wants them."""
        live = self._switchboard().live(story.call)
        if story.of_singles and live is not None:
            story.singles.attach(live)

    def _look_at(self, story: Story, call: Call) -> None:
        """Tell the words of turns that are not written down yet, where there are more of them."""
        told = self._told.setdefault(story.call, {})
        growing = {turn.item: turn for turn in call.agent.conversation.turns[-_LAST_TURNS:] if _grows(turn)}
        for item in [item for item in told if item not in growing]:
            del told[item]
            story.partials.pop(item, None)
        for item, turn in growing.items():
            if told.get(item) == turn.text or _is_hidden(call, turn, self._history.now()):
                continue
            told[item] = turn.text
            story.speak(item, turn.who, self._redact.unfinished(turn.text))
            story.signal.set()


def _grows(turn: Turn) -> bool:
    return bool(turn.item and turn.text) and not turn.is_written and turn.who != "system"


def _is_hidden(call: Call, turn: Turn, now: float) -> bool:
    """Return whether the note of this turn, if it were written now, would be without its words."""
    told: dict[str, Any] = {"event": "turn", "item": turn.item, "ago_ms": call.agent.transcripts.age_ms(turn.item)}
    return call.recordings.pause.hides(told, now)
