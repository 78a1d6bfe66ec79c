"""The append-only record of every call: one record per step, with time, event, transition and commands together.

A step's commands take effect after its record is committed. Media acts (an interruption, a turn) are noted afterwards.
This is the interface, and the newest calls in memory; `callflow.history.journal_writer` keeps all of them for good.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol


BEGAN: Final = "began"
"""The note that comes before a call's first step: its carrier, its ids, and what its machine was set up with."""
ENDED: Final = "ended"
"""The note after its last one: all that the call owned is gone. A call on record without it was interrupted."""
NUMBER_ID: Final = "number_id"
"""The carrier's id of the number that was called, as far as it is known; it may come when the call is over."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step of one call, or (with `before` empty) a note about it."""

    call: str
    step: int
    """Counts the call's steps from 1; a note carries the number of the step before it."""
    at: float
    """Unix time, seconds."""
    event: dict[str, Any]
    before: str = ""
    after: str = ""
    taken: bool = False
    """False: the event was inert."""
    commands: Sequence[dict[str, Any]] = field(default_factory=tuple)

    @property
    def is_step(self) -> bool:
        return bool(self.before) and self.step > 0


class Journal(Protocol):
    async def append(self, record: JournalEntry) -> None:
        """Returns once the record is committed. Raises when that is known to have failed, or to be hopeless now."""

    def note(self, record: JournalEntry) -> None:
        """Record without waiting."""

    def read(self, call: str) -> list[JournalEntry]:
        """Everything about one of the newest calls, in order; empty for an unknown one."""

    def calls(self) -> list[str]:
        """The newest calls on record, newest last."""

    def seed(self, records: Sequence[JournalEntry]) -> None:
        """What is on record of a call already, from before this process."""


class MemoryJournal:
    """Keeps the newest `calls` calls, and of each the first `steps` records."""

    def __init__(self, *, calls: int = 100, steps: int = 2000) -> None:
        self._calls: OrderedDict[str, list[JournalEntry]] = OrderedDict()
        self._most_calls, self._most_steps = calls, steps
        self.dropped = 0
        """Records over the bound of their call."""

    async def append(self, record: JournalEntry) -> None:
        self.note(record)

    def note(self, record: JournalEntry) -> None:
        records = self._calls.setdefault(record.call, [])
        if len(records) < self._most_steps:
            records.append(record)
        else:
            self.dropped += 1
        while len(self._calls) > self._most_calls:
            self._calls.popitem(last=False)

    def read(self, call: str) -> list[JournalEntry]:
        return list(self._calls.get(call, ()))

    def is_full(self, call: str) -> bool:
        """There may be more about it than is kept here."""
        return len(self._calls.get(call, ())) >= self._most_steps

    def calls(self) -> list[str]:
        return list(self._calls)

    def seed(self, records: Sequence[JournalEntry]) -> None:
        for record in records:
            MemoryJournal.note(self, record)  # it is on record: whoever writes it down need not do so again
