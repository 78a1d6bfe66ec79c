"""Writes the steps and notes of one call into journal, log and live feed, redacted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final

from callflow.call import machine
from callflow.call.dtmf import MASK
from callflow.call.recording_pause import PauseRedactor
from callflow.call.services import CallServices
from callflow.contracts import commands, events
from callflow.contracts.errors import CallElsewhere
from callflow.contracts.events import Event
from callflow.contracts.rate_limit import RateLimit
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Note, UnknownNote


log = logging.getLogger(__name__)
_unwritten_warnings: Final = RepeatedWarnings(log, logging.ERROR)
"""While the database is in trouble there would be one for each step of each call."""

_DIAL_SECONDS: Final = 5.0
"""How long a step that dials waits for its commit."""
_NOTES_A_SECOND: Final = 10.0
_NOTES_AT_ONCE: Final = 300
"""Of one kind."""
_AT_ONCE: Final = {"turn": 3000}
"""At the end of a call all turns that are left are written at once."""
_LINES_A_SECOND: Final = 1.0
_LINES_AT_ONCE: Final = 20
"""Log lines for notes of one kind; further notes appear in the journal only."""
_SHOWN: Final = (
    "deadline", "reason", "why", "cause", "sip_cause", "command", "what", "kind", "clip", "tool", "ok", "ms", "of_ms",
    "session", "quiet", "item", "status", "detail", "final", "code", "message", "server", "approved", "file", "retry",
    "by", "on", "state", "engine", "found", "direction", "encoding", "source", "time",
)  # fmt: skip
"""Fields of events and notes that the log shows: no phone numbers, nothing that was said or typed."""
_TROUBLE: Final = (
    "engine_lost", "engine_unable", "media_refused", "stream_failed", "speak_failed", "recording_failed",
)  # fmt: skip
_TOLD: Final = (
    "call_refused", "call_turned_away", "budget_reached", "call_hangup", "not_ours", "call_recovered",
    "deadline_passed", "media_lost", "engine_ready",
    "engine_rotated", "end_requested", "goodbye_requested", "hangup_requested", "goodbye_interrupted", "no_input",
    "record_requested", "pause_requested", "recording", "response_failed", "session_changed", "mcp_approval",
    "hosted_tool", "engine_chosen",
)  # fmt: skip
"""Events and notes that end, replace or refuse something: logged at level info even without a change of state."""
_MOST_VALUE: Final = 300
_BLANK: Final = PauseRedactor()


class CallLog:
    """Writes what one call does into the journal, the log and the live feed, and numbers its steps."""

    def __init__(self, call: str, services: CallServices) -> None:
        self._call, self._services = call, services
        self.steps = 0
        """Steps taken, earlier processes included."""
        self._paces: dict[str, RateLimit] = {}
        self._lines: dict[str, RateLimit] = {}
        self._dropped = 0
        self.hides: Callable[[Mapping[str, Any], float], bool] = lambda told, at: False
        """Returns whether no word of an event or a note may be written. The second argument: Unix time, seconds."""

    def note(self, note: Note | UnknownNote) -> None:
        """Write a note, which decides nothing.

        Notes that come faster than a conversation can cause (from an engine that complains without end) are only
        counted.
        """
        kind = note.kind
        if log.isEnabledFor(level := _level(kind)) and self._may_tell(kind):
            log.log(level, "call %s: %s", self._call, in_words(self._redacted(note)))
        pace = self._paces.get(kind)
        if pace is None:
            pace = self._paces[kind] = RateLimit(per_second=_NOTES_A_SECOND, at_once=_AT_ONCE.get(kind, _NOTES_AT_ONCE))
        if not pace.take(monotonic()):
            self._dropped += 1
            return
        entry = self.entry(note)
        self._services.journal.note(entry)
        data = {name: value for name, value in entry.event.items() if name != "event"}
        self._services.live.publish(entry.at, self._call, kind, **data)

    def _may_tell(self, kind: str) -> bool:
        lines = self._lines.get(kind)
        if lines is None:
            lines = self._lines[kind] = RateLimit(per_second=_LINES_A_SECOND, at_once=_LINES_AT_ONCE)
        return lines.take(monotonic())

    @property
    def notes_dropped(self) -> int:
        """Notes that came too fast, and were not written."""
        return self._dropped

    def entry(self, note: Note | UnknownNote) -> JournalEntry:
        """Make the entry for a note, without writing it."""
        return JournalEntry(self._call, self.steps, self._services.now(), self._redacted(note))

    def _redacted(self, note: Note | UnknownNote) -> dict[str, Any]:
        return self._seen(notes.to_json(note))

    def _seen(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event or a note as it may be written."""
        if not self.hides(told, self._services.now()):
            return self._services.redact.fields(told)
        return _BLANK.fields({**told, **({"digit": MASK} if "digit" in told else {})})

    def masks(self, event: Event) -> bool:
        """Return whether an event tells of a key that may not be written down."""
        return isinstance(event, events.Dtmf) and self._seen(events.to_json(event)).get("digit") == MASK

    async def step(self, step: machine.Step) -> tuple[JournalEntry, bool]:
        """Write a step. Returns when the step is committed (True), or after `journal_seconds`; a step that dials waits
        longer, because nothing is dialled that is not written down."""
        self.steps += 1
        told = events.to_json(step.event)
        # A key that decides, such as that of a person who takes the call, is no part of what a pause keeps out.
        decides = step.taken and isinstance(step.event, events.Dtmf)
        entry = JournalEntry(
            self._call,
            self.steps,
            self._services.now(),
            self._services.redact.fields(told) if decides else self._seen(told),
            step.before,
            step.after,
            step.taken,
            [commands.to_json(command) for command in step.commands],
        )
        dials = any(isinstance(command, commands.Dial) for command in step.commands)
        return entry, await self.commit(entry, max(_DIAL_SECONDS if dials else 0.0, self._services.journal_seconds))

    async def commit(self, entry: JournalEntry, seconds: float | None = None) -> bool:
        """Write an entry, and wait at most `seconds` for its commit; None: `journal_seconds`. Returns whether it is
        committed. Never raises."""
        try:
            async with asyncio.timeout(self._services.journal_seconds if seconds is None else seconds):
                await self._services.journal.append(entry)
        except CallElsewhere:
            log.warning("call %s: another node has this call, so this node drops it", self._call)
            return False
        except Exception as error:
            # repr: the error itself would hold on to the call for as long as somebody keeps the log
            text = "call %s: step %d is not in the journal (%s); the call goes on"
            _unwritten_warnings.say("step", text, self._call, entry.step, repr(error))
            return False
        return True

    def late(self, event: Event, state: str) -> None:
        """Write an event that came after the end of the call, or, without a `state`, when another node had it."""
        told = self._seen(events.to_json(event))
        if log.isEnabledFor(logging.DEBUG):
            log.debug("call %s: %s, after its end", self._call, in_words(told))
        self._services.journal.note(JournalEntry(self._call, self.steps, self._services.now(), told, state, state))

    def publish(self, entry: JournalEntry, model: machine.Model, **more: Any) -> None:
        """Send a step to log and live feed."""
        name, moved = entry.name, entry.before != entry.after
        level = max(_level(name), logging.INFO) if moved else _level(name) if entry.taken else logging.DEBUG
        if log.isEnabledFor(level):
            where = f"{entry.before} -> {entry.after}" if moved else f"{entry.before}"
            if model.cause:
                where += f", cause {model.cause}"
            does = ""
            if log.isEnabledFor(logging.DEBUG) and entry.commands:
                does = f"; to do: {_list(entry.commands)}"
            log.log(level, "call %s: %s (%s)%s", self._call, where, in_words(entry.event), does)
        self._services.live.publish(
            entry.at, self._call, "step", event=entry.event, before=entry.before, after=entry.after,
            commands=entry.commands, cause=model.cause, **more,
        )  # fmt: skip


def in_words(event: Mapping[str, Any]) -> str:
    """Return an event or a note as text for the log: no phone numbers, nothing that was said or typed."""
    told = [(name, event[name]) for name in _SHOWN if event.get(name) not in (None, "") and name in event]
    shown = ", ".join(f"{name} {str(value)[:_MOST_VALUE]}" for name, value in told)
    return f"{event['event']}: {shown}" if shown else str(event["event"])


def _level(name: str) -> int:
    return logging.WARNING if name in _TROUBLE else logging.INFO if name in _TOLD else logging.DEBUG


def _list(commands: Iterable[Mapping[str, Any]]) -> str:
    shown = ("command", "deadline", "about", "clip", "sentence")
    return ", ".join(" ".join(str(one[name]) for name in shown if name in one) for one in commands)
