"""The append-only journal of every call: an entry for each step, with time, event, transition and commands together.

A step's commands take effect after its entry is committed. What decides nothing (an interruption, a turn) is noted
afterwards: see `notes.py`. This is the interface, and the newest calls in memory; `callflow.history.journal_writer`
keeps all of them for good.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import msgspec

from callflow.contracts.events import KINDS as EVENTS
from callflow.journal import aliases, notes
from callflow.journal.notes import Note, UnknownNote


BEGAN: Final = notes.Began.kind
ENDED: Final = notes.Ended.kind


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step of one call, or (with `before` empty) a note about it."""

    call: str
    step: int
    """Counts the call's steps from 1; a note carries the number of the step before it."""
    at: float
    """Unix time, seconds."""
    event: dict[str, Any]
    """The event or note as plain data; its name is `event["event"]`."""
    before: str = ""
    after: str = ""
    taken: bool = False
    """False: the event was inert."""
    commands: Sequence[dict[str, Any]] = field(default_factory=tuple)

    @classmethod
    def of(cls, note: Note, *, call: str, at: float, step: int = 0) -> JournalEntry:
        """Make the entry of a note. What it says must have been redacted, or hold no words of people."""
        return cls(call, step, at, notes.to_json(note))

    @property
    def is_step(self) -> bool:
        """Whether it is a step of the machine, and not a note."""
        return bool(self.before) and self.step > 0

    @property
    def name(self) -> str:
        """The name of its event or note; "": it has none."""
        name = self.event.get("event", "")
        return name if isinstance(name, str) else ""

    @property
    def note(self) -> Note | UnknownNote | None:
        """Read the note that it holds. None: it is a step, or an event that came when the call was over."""
        return None if self.is_step or self.name in EVENTS else notes.read(self.event)

    def renewed(self) -> JournalEntry:
        """Return the entry under present names (`aliases`): the same object where nothing in it has another name."""
        event = aliases.event(self.event)
        commands: Sequence[dict[str, Any]] = [aliases.command(each) for each in self.commands]
        if all(new is old for new, old in zip(commands, self.commands, strict=True)):
            commands = self.commands
        if event is self.event and commands is self.commands:
            return self
        return replace(self, event=event, commands=commands)


class Journal(Protocol):
    """Where calls write down what happens to them, and where it is read again."""

    async def append(self, entry: JournalEntry) -> None:
        """Write an entry, and return once it is committed. Raises JournalError when that is known to have failed, or to
        be hopeless now."""

    def note(self, entry: JournalEntry) -> None:
        """Write down without waiting."""

    def read(self, call: str) -> list[JournalEntry]:
        """Return everything about one of the newest calls, in order; empty for an unknown one."""

    def calls(self) -> list[str]:
        """Return the newest calls in the journal, newest last."""

    def seed(self, entries: Sequence[JournalEntry]) -> None:
        """Take over what an earlier process wrote about a call. It is not written again."""


class MemoryJournal:
    """Keeps the newest `calls` calls, and of each the first `steps` entries."""

    def __init__(self, *, calls: int = 100, steps: int = 2000) -> None:
        self._calls: OrderedDict[str, _Kept] = OrderedDict()
        self._most_calls, self._most_steps = calls, steps
        self.dropped = 0
        """Entries over the bound of their call."""

    async def append(self, entry: JournalEntry) -> None:
        self.note(entry)

    def note(self, entry: JournalEntry) -> None:
        kept = self._calls.get(entry.call)
        if kept is None:
            kept = self._calls[entry.call] = _Kept(begins=entry.name == BEGAN)
        if kept.count < self._most_steps:
            kept.add(entry)
        else:
            self.dropped += 1
        while len(self._calls) > self._most_calls:
            self._calls.popitem(last=False)

    def read(self, call: str) -> list[JournalEntry]:
        """Return what is kept about a call, in order. Takes 3 µs for each entry, and may be called by a thread."""
        kept = self._calls.get(call)
        return [] if kept is None else kept.entries(call)

    def has(self, call: str) -> bool:
        """Return whether there is anything to read about it."""
        return call in self._calls

    def is_whole(self, call: str) -> bool:
        """Return whether all that there is about it is kept here, from its beginning on."""
        kept = self._calls.get(call)
        return kept is not None and kept.begins and kept.count < self._most_steps

    def count(self, call: str) -> int:
        """Return how many entries of a call `read` returns now."""
        kept = self._calls.get(call)
        return 0 if kept is None else kept.count

    def calls(self) -> list[str]:
        return list(self._calls)

    def seed(self, entries: Sequence[JournalEntry]) -> None:
        for call in {entry.call for entry in entries}:  # what was kept of it here is among them
            self._calls.pop(call, None)
        for entry in entries:
            MemoryJournal.note(self, entry)


class _Kept:
    """The entries of one call as lines of JSON: they are read rarely, and take 0.1 kB each so, instead of 0.5."""

    __slots__ = ("_lines", "_odd", "begins", "count")

    def __init__(self, *, begins: bool) -> None:
        """`begins`: the first of them is the beginning of the call."""
        self.begins = begins
        self._lines = bytearray()
        self._odd: dict[int, JournalEntry] = {}
        """Entries that JSON cannot hold, by their place."""
        self.count = 0

    def add(self, entry: JournalEntry) -> None:
        fields = (entry.step, entry.at, entry.event, entry.before, entry.after, entry.taken, entry.commands)
        try:
            self._lines += msgspec.json.encode(fields)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._odd[self.count] = entry
        self._lines += b"\n"  # which JSON itself never holds
        self.count += 1

    def entries(self, call: str) -> list[JournalEntry]:
        lines = bytes(self._lines).splitlines()
        return [
            JournalEntry(call, *msgspec.json.decode(line)) if line else self._odd[number]
            for number, line in enumerate(lines)
        ]
