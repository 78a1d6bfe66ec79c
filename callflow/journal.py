"""The append-only record of every call: one record per step, with time, event, transition and commands together.

A step's commands take effect after its record is committed. Media acts (an interruption, a turn) are noted afterwards.
Here the journal lives in memory, behind the interface that a durable one will keep.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Record:
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


class Journal(Protocol):
    async def append(self, record: Record) -> None:
        """Returns once the record is committed."""

    def note(self, record: Record) -> None:
        """Record without waiting."""

    def read(self, call: str) -> list[Record]:
        """Everything about a call, in order; empty for an unknown one."""

    def calls(self) -> list[str]:
        """The calls on record, newest last."""


class MemoryJournal:
    """Keeps the newest `calls` calls, and of each the first `steps` records."""

    def __init__(self, *, calls: int = 100, steps: int = 2000) -> None:
        self._calls: OrderedDict[str, list[Record]] = OrderedDict()
        self._most_calls, self._most_steps = calls, steps
        self.dropped = 0
        """Records over the bound of their call."""

    async def append(self, record: Record) -> None:
        self.note(record)

    def note(self, record: Record) -> None:
        records = self._calls.setdefault(record.call, [])
        if len(records) < self._most_steps:
            records.append(record)
        else:
            self.dropped += 1
        while len(self._calls) > self._most_calls:
            self._calls.popitem(last=False)

    def read(self, call: str) -> list[Record]:
        return list(self._calls.get(call, ()))

    def calls(self) -> list[str]:
        return list(self._calls)
