"""What one call tells the journal and whoever watches: its steps, and notes in between, but for what is private."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, Final

from callflow.call import machine
from callflow.call.services import CallServices
from callflow.contracts import commands, events
from callflow.contracts.events import Event
from callflow.contracts.rate_limit import RateLimit
from callflow.journal.journal import JournalEntry


log = logging.getLogger(__name__)

_NOTES_A_SECOND: Final = 10.0
_NOTES_AT_ONCE: Final = 300
"""Of one kind."""
_AT_ONCE: Final = {"turn": 3000}
"""At the end of a call all that is left is written."""
_LINES_A_SECOND: Final = 1.0
_LINES_AT_ONCE: Final = 20
"""Lines of the log about notes of one kind: more are on record only."""
_SHOWN: Final = (
    "deadline", "reason", "why", "cause", "sip_cause", "command", "what", "kind", "clip", "tool", "ok", "ms", "of_ms",
    "session", "quiet", "item", "status", "detail", "final", "code", "message", "server", "approved", "file", "retry",
    "by", "found", "direction", "encoding", "source", "time",
)  # fmt: skip
"""What the log shows of an event or a note, beside its name: no numbers of people, nothing that was said or typed."""
_TROUBLE: Final = (
    "engine_lost", "engine_unable", "media_refused", "stream_failed", "speak_failed", "recording_failed",
)  # fmt: skip
_TOLD: Final = (
    "call_refused", "call_hangup", "not_ours", "call_recovered", "deadline_passed", "media_lost", "engine_ready",
    "engine_rotated", "end_requested", "goodbye_requested", "hangup_requested", "goodbye_interrupted", "no_input",
    "recording", "response_failed", "session_changed", "mcp_approval",
)  # fmt: skip
"""What ends, replaces or refuses something: it stands in the log though the call stays where it is."""
_MOST_VALUE: Final = 300


class CallLog:
    def __init__(self, call: str, services: CallServices) -> None:
        self._call, self._services = call, services
        self.steps = 0
        """How many were taken, also in processes before this one."""
        self._paces: dict[str, RateLimit] = {}
        self._lines: dict[str, RateLimit] = {}
        self._dropped = 0

    def note(self, kind: str, **data: Any) -> None:
        """Something worth remembering that decides nothing. What comes faster than a conversation makes it (an engine
        that complains without end) is only counted."""
        if log.isEnabledFor(level := _level(kind)) and self._may_tell(kind):
            log.log(level, "call %s: %s", self._call, in_words(self._services.redact.fields({"event": kind, **data})))
        pace = self._paces.get(kind)
        if pace is None:
            pace = self._paces[kind] = RateLimit(per_second=_NOTES_A_SECOND, at_once=_AT_ONCE.get(kind, _NOTES_AT_ONCE))
        if not pace.take(monotonic()):
            self._dropped += 1
            return
        record = self.make(kind, **data)
        self._services.journal.note(record)
        self._services.live.tell(record.at, self._call, kind, **{key: record.event[key] for key in data})

    def _may_tell(self, kind: str) -> bool:
        lines = self._lines.get(kind)
        if lines is None:
            lines = self._lines[kind] = RateLimit(per_second=_LINES_A_SECOND, at_once=_LINES_AT_ONCE)
        return lines.take(monotonic())

    def summary(self) -> dict[str, int]:
        return {"notes_dropped": self._dropped} if self._dropped else {}

    def make(self, kind: str, **data: Any) -> JournalEntry:
        """A note that is not written yet."""
        return JournalEntry(
            self._call, self.steps, self._services.now(), self._services.redact.fields({"event": kind, **data})
        )

    async def step(self, step: machine.Step) -> JournalEntry:
        """Returns when it is committed; or when it was waited for long enough."""
        self.steps += 1
        record = JournalEntry(
            self._call,
            self.steps,
            self._services.now(),
            self._services.redact.fields(events.to_record(step.event)),
            step.before,
            step.after,
            step.taken,
            [commands.to_record(command) for command in step.commands],
        )
        await self.commit(record)
        return record

    async def commit(self, record: JournalEntry) -> None:
        try:
            async with asyncio.timeout(self._services.journal_seconds):
                await self._services.journal.append(record)
        except Exception as error:
            # repr: the error itself would hold on to the call for as long as somebody keeps the log
            log.error("call %s: step %d is not on record (%s); the call goes on", self._call, record.step, repr(error))

    def late(self, event: Event, state: str) -> None:
        """What came after the end."""
        told = self._services.redact.fields(events.to_record(event))
        if log.isEnabledFor(logging.DEBUG):
            log.debug("call %s: %s, when it is over", self._call, in_words(told))
        self._services.journal.note(JournalEntry(self._call, self.steps, self._services.now(), told, state, state))

    def tell(self, record: JournalEntry, model: machine.Model, **more: Any) -> None:
        """A step, to whoever watches."""
        name, moved = record.event["event"], record.before != record.after
        level = max(_level(name), logging.INFO) if moved else _level(name) if record.taken else logging.DEBUG
        if log.isEnabledFor(level):
            where = f"{record.before} -> {record.after}" if moved else f"{record.before}"
            if model.cause:
                where += f", cause {model.cause}"
            does = ""
            if log.isEnabledFor(logging.DEBUG) and record.commands:
                does = f"; to do: {_list(record.commands)}"
            log.log(level, "call %s: %s (%s)%s", self._call, where, in_words(record.event), does)
        self._services.live.tell(
            record.at, self._call, "step", event=record.event, before=record.before, after=record.after,
            commands=record.commands, cause=model.cause, **more,
        )  # fmt: skip


def in_words(event: Mapping[str, Any]) -> str:
    """An event or a note, as the log shows it."""
    told = [(name, event[name]) for name in _SHOWN if event.get(name) not in (None, "") and name in event]
    shown = ", ".join(f"{name} {str(value)[:_MOST_VALUE]}" for name, value in told)
    return f"{event['event']}: {shown}" if shown else str(event["event"])


def _level(name: str) -> int:
    return logging.WARNING if name in _TROUBLE else logging.INFO if name in _TOLD else logging.DEBUG


def _list(commands: Iterable[Mapping[str, Any]]) -> str:
    shown = ("command", "deadline", "about", "clip", "sentence")
    return ", ".join(" ".join(str(one[name]) for name in shown if name in one) for one in commands)
