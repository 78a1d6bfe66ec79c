"""What one call tells the journal and whoever watches: its steps, and notes in between, but for what is private."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Any, Final

from callflow import commands, events, machine
from callflow.events import Event
from callflow.journal import Record
from callflow.pace import Pace
from callflow.rooms import Rooms


log = logging.getLogger(__name__)

_NOTES_A_SECOND: Final = 10.0
_NOTES_AT_ONCE: Final = 300
"""Of one kind."""
_AT_ONCE: Final = {"turn": 3000}
"""At the end of a call all that is left is written."""


class Logbook:
    def __init__(self, call: str, rooms: Rooms) -> None:
        self._call, self._rooms = call, rooms
        self.steps = 0
        """How many were taken, also in processes before this one."""
        self._paces: dict[str, Pace] = {}
        self._dropped = 0

    def note(self, kind: str, **data: Any) -> None:
        """Something worth remembering that decides nothing. What comes faster than a conversation makes it (an engine
        that complains without end) is only counted."""
        pace = self._paces.get(kind)
        if pace is None:
            pace = self._paces[kind] = Pace(per_second=_NOTES_A_SECOND, at_once=_AT_ONCE.get(kind, _NOTES_AT_ONCE))
        if not pace.take(monotonic()):
            self._dropped += 1
            return
        record = self.make(kind, **data)
        self._rooms.journal.note(record)
        self._rooms.live.tell(record.at, self._call, kind, **{key: record.event[key] for key in data})

    def summary(self) -> dict[str, int]:
        return {"notes_dropped": self._dropped} if self._dropped else {}

    def make(self, kind: str, **data: Any) -> Record:
        """A note that is not written yet."""
        return Record(self._call, self.steps, self._rooms.now(), self._rooms.redact.fields({"event": kind, **data}))

    async def step(self, step: machine.Step) -> Record:
        """Returns when it is committed; or when it was waited for long enough."""
        self.steps += 1
        record = Record(
            self._call,
            self.steps,
            self._rooms.now(),
            self._rooms.redact.fields(events.to_record(step.event)),
            step.before,
            step.after,
            step.taken,
            [commands.to_record(command) for command in step.commands],
        )
        await self.commit(record)
        return record

    async def commit(self, record: Record) -> None:
        try:
            async with asyncio.timeout(self._rooms.journal_seconds):
                await self._rooms.journal.append(record)
        except Exception as error:
            # repr: the error itself would hold on to the call for as long as somebody keeps the log
            log.error("call %s: step %d is not on record (%s); the call goes on", self._call, record.step, repr(error))

    def late(self, event: Event, state: str) -> None:
        """What came after the end."""
        told = self._rooms.redact.fields(events.to_record(event))
        self._rooms.journal.note(Record(self._call, self.steps, self._rooms.now(), told, state, state))

    def tell(self, record: Record, model: machine.Model, **more: Any) -> None:
        """A step, to whoever watches."""
        if record.before != record.after:
            log.info("call %s: %s -> %s (%s)", self._call[:8], record.before, record.after, record.event["event"])
        self._rooms.live.tell(
            record.at, self._call, "step", event=record.event, before=record.before, after=record.after,
            commands=record.commands, cause=model.cause, **more,
        )  # fmt: skip
