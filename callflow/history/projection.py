"""Writes each journal entry into the tables that people read.

The tables change in the same transaction as the journal, so that neither is written without the other. An entry of a
call without a `began` note changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from cachetools import FIFOCache
from sqlalchemy import Connection, select

from callflow.contracts import events
from callflow.contracts.event import LED
from callflow.contracts.printable import whole
from callflow.history import conversation_rows as rows
from callflow.history.tables import iso, steps
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import UnknownNote
from callflow.journal.timeline import broke_in


_RINGING: Final = "ringing"
_OVER: Final = "hangup"
_MOST_EARLY: Final = 1000
_COST_SECONDS: Final = 2 * 86400.0
"""How long ago a call began at most whose costs are told."""


def words_of(content: str) -> str:
    """Return a text as the content of a conversation's item, in JSON."""
    return json_of([{"type": "text", "text": content}])


def json_of(value: Any) -> str:
    """Return a value as JSON; halves of surrogate pairs, which no database takes, are replaced."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_readable(value)).decode()


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_readable(name): _readable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(each) for each in value]
    return whole(value) if isinstance(value, str) else value


def clean(value: Any) -> Any:
    """Return text that every database accepts: PostgreSQL has no NUL, and no database stores half a surrogate pair."""
    if not isinstance(value, str):
        return value
    return whole(value).replace("\x00", "")


class Projection:
    """For one kind of database, `sqlite` or `postgresql`. `apply` within a transaction, then `finish` once."""

    def __init__(self, dialect: str) -> None:
        self._statements = rows.statements(dialect)
        self._changed: dict[str, None] = {}
        self._worded: dict[str, None] = {}
        self._early: FIFOCache[tuple[str, str], str] = FIFOCache(_MOST_EARLY)
        """Latencies of answers, by call and item, that came before any word: an answer is heard before it is written
        down. They are kept after that, for a transaction that is rolled back."""

    def apply(self, connection: Connection, entry: JournalEntry) -> None:
        """Write one entry into the tables. Raises ValueError for an entry that makes no sense; a value of a wrong type
        may raise any other exception."""
        if entry.is_step and entry.before != entry.after:
            self._move(connection, entry)
        if not isinstance(entry.event.get("event", ""), str):
            raise ValueError("the name of an event or note is text")
        on_event, on_note = _EVENTS.get(entry.name), _NOTES.get(entry.name)
        if on_event is not None and (entry.taken or not entry.is_step or entry.name in _ALWAYS):
            on_event(self, connection, entry, entry.event)
        elif on_note is not None and not entry.is_step:
            note = entry.note
            if isinstance(note, UnknownNote):
                raise ValueError(note.why)
            on_note(self, connection, entry, note)

    def finish(self, connection: Connection) -> None:
        """Update the counts and the search words once for each conversation that changed in this transaction."""
        for call in self._changed:
            rows.COUNT.run(connection, {"call": call})
        for call in self._worded:
            for statement in self._statements.find_words:
                statement.run(connection, {"call": call})
        self._changed.clear()
        self._worded.clear()

    def forget(self) -> None:
        """Forget the changed conversations, because the transaction was rolled back."""
        self._changed.clear()
        self._worded.clear()

    # What the entries say

    def _began(self, connection: Connection, entry: JournalEntry, note: notes.Began) -> None:
        ours, theirs = note.to_number, note.from_number
        if note.direction == "outbound":
            ours, theirs = theirs, ours
        self._statements.begin.run(
            connection,
            {
                "stream_sid": entry.call,
                "call_id": entry.call,
                "phone_number": clean(ours),
                "phone_number_sid": clean(note.number or None),
                "caller_number": clean(theirs or None),
                "started_at": iso(entry.at),
                "created_at": iso(entry.at),
                "message_count": 0,
                "carrier": note.carrier or None,
                "carrier_call_id": clean(note.control),
                "carrier_leg_id": clean(note.leg),
                "carrier_session_id": clean(note.session),
                "direction": note.direction,
                "profile": clean(note.profile or None),
                "business": clean(note.business or None),
                "state": "ringing",
                "interruptions": 0,
            },
        )

    def _move(self, connection: Connection, entry: JournalEntry) -> None:
        rows.STATE.run(connection, {"call": entry.call, "new_state": entry.after})
        if entry.before == _RINGING and entry.after not in (_RINGING, _OVER):
            rows.ANSWERED.run(connection, {"call": entry.call, "answered": iso(entry.at)})
        self._statements.transition.run(
            connection,
            {
                "call": entry.call,
                "at": iso(entry.at),
                "event": entry.event.get("event", ""),
                "before": entry.before,
                "after": entry.after,
            },
        )

    def _ended(self, connection: Connection, entry: JournalEntry, note: notes.Ended) -> None:
        until = entry.at if note.until is None else note.until
        times: Sequence[Any] = rows.TIMES.first(connection, {"call": entry.call}) or (None, None)
        began, answered = times
        rows.END.run(
            connection,
            {
                "call": entry.call,
                "ended": iso(until),
                "seconds": _whole_seconds(began, until),
                "answered_seconds": _seconds(answered, until),
                "cause": clean(note.cause or None),
            },
        )
        rows.STOP_ITEMS.run(connection, {"call": entry.call})
        rows.STOP_STREAM.run(connection, {"call": entry.call, "ended": iso(until), "why": "the call is over"})

    def _number_id(self, connection: Connection, entry: JournalEntry, note: notes.NumberId) -> None:
        rows.NUMBER_ID.run(connection, {"call": entry.call, "number": clean(note.number or None)})

    def _ids(self, connection: Connection, entry: JournalEntry, note: notes.Ids) -> None:
        if note.of:  # the leg of a person: the call has the caller's
            return
        names = {"control": note.control, "leg": note.leg, "session": note.session}
        rows.IDS.run(connection, {"call": entry.call, **{name: clean(value) for name, value in names.items()}})

    def _hung_up(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        if event.get("leg", events.CALLER) != events.CALLER:  # a person who hangs up has not ended the caller's leg
            return
        rows.SOURCE.run(connection, {"call": entry.call, "source": clean(event.get("source") or None)})
        if event.get("unanswered"):  # our answer was on its way when the caller gave up
            rows.NOT_ANSWERED.run(connection, {"call": entry.call})
            return
        seconds = events.CallHangup(seconds=str(event.get("seconds", ""))).answered_seconds()
        if seconds:  # it was answered, if nobody has told us so
            rows.ANSWERED.run(connection, {"call": entry.call, "answered": iso(entry.at - seconds)})

    def _stream_began(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        name = clean(event.get("stream") or "")
        if not name:
            return
        self._statements.stream.run(connection, {"call": entry.call, "stream_sid": name, "started_at": iso(entry.at)})
        rows.NAME.run(connection, {"call": entry.call, "name": name})

    def _stream_ended(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        why = clean(event.get("reason", ""))
        rows.STOP_STREAM.run(connection, {"call": entry.call, "ended": iso(entry.at), "why": why})

    def _say(
        self,
        connection: Connection,
        entry: JournalEntry,
        item: str,
        role: str,
        words: str,
        status: str = "completed",
        *,
        ago_ms: float = 0,
    ) -> None:
        words = clean(words)
        at = iso(entry.at - ago_ms / 1000)
        self._statements.message.run(
            connection,
            {
                "call": entry.call, "item_id": clean(item), "item_type": "message", "status": status,
                "timestamp": at, "created_at": at, "role": role, "content": words_of(words), "text": words,
            },
        )  # fmt: skip
        if (parts := self._early.get((entry.call, clean(item)))) is not None:
            rows.LATENCY.run(connection, {"call": entry.call, "item": clean(item), "parts": parts})
        self._changed[entry.call] = self._worded[entry.call] = None

    def _turn(self, connection: Connection, entry: JournalEntry, note: notes.Turn) -> None:
        if note.text.strip():
            role = {"caller": "user", "agent": "assistant"}.get(note.who, "system")
            status = "completed" if note.whole else rows.STOPPED
            self._say(connection, entry, note.item, role, note.text, status, ago_ms=note.ago_ms)

    def _not_transcribed(self, connection: Connection, entry: JournalEntry, note: notes.NotTranscribed) -> None:
        words = f"(not transcribed: {note.reason})"
        self._say(connection, entry, note.item, "user", words, rows.STOPPED, ago_ms=note.ago_ms)

    def _told(self, connection: Connection, entry: JournalEntry, note: notes.Fact) -> None:
        """Write a fact that the model was given, such as digits from the keypad."""
        self._say(connection, entry, f"told_{entry.step}_{round(entry.at * 1000)}", "system", note.text)

    def _heard(self, connection: Connection, entry: JournalEntry, note: notes.Heard) -> None:
        """Write how much of an item the caller has heard, and the words known so far while its transcript is
        incomplete."""
        if note.so_far:
            self._say(connection, entry, note.item, "assistant", note.so_far, "in_progress")
        elif not note.done:
            return  # the tables get the final position only; positions in between are in the journal
        rows.HEARD.run(
            connection,
            {
                "call": entry.call,
                "item": clean(note.item),
                "heard": note.ms,
                "of": note.of_ms,
            },
        )

    def _interrupted(self, connection: Connection, entry: JournalEntry, note: notes.Interrupted | notes.CutOff) -> None:
        if broke_in(note):
            rows.INTERRUPTED.run(connection, {"call": entry.call})
        for cut in note.cuts:
            words = f"{cut.heard_text} {cut.unheard_text}".strip()
            if words:
                self._say(connection, entry, cut.item, "assistant", words, rows.STOPPED)
            rows.CUT.run(
                connection,
                {
                    "call": entry.call, "item": clean(cut.item), "heard": cut.heard_ms, "of": cut.received_ms,
                    "words": clean(cut.heard_text),
                },
            )  # fmt: skip
            self._worded[entry.call] = None  # also where the words were there before: now it is known who heard them

    def _first_word(self, connection: Connection, entry: JournalEntry, note: notes.FirstWord) -> None:
        rows.FIRST_WORD.run(connection, {"call": entry.call, "first_word": note.ms})

    def _latency(self, connection: Connection, entry: JournalEntry, note: notes.Latency) -> None:
        parts = {name: value for name, value in notes.to_json(note).items() if name not in ("event", "item")}
        told = {"call": entry.call, "item": clean(note.item), "parts": json_of(parts)}
        if not rows.LATENCY.run(connection, told):
            self._early[entry.call, told["item"]] = told["parts"]

    def _tool_called(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        self._do_tool(connection, entry, event, "function_call", "assistant", "running", event.get("arguments", ""))

    def _tool_finished(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        asked = {"call": entry.call, "item": clean(event["id"])}
        arguments = (rows.ARGUMENTS.first(connection, asked) or ("",))[0] or ""
        for kind, role in (("function_call", "assistant"), ("function_call_output", "tool")):
            self._do_tool(connection, entry, event, kind, role, "completed", arguments, event.get("output", ""))

    def _hosted_tool(self, connection: Connection, entry: JournalEntry, note: notes.HostedTool) -> None:
        told = {"id": note.id, "tool": note.name}
        for kind, role in (("function_call", "assistant"), ("function_call_output", "tool")):
            self._do_tool(connection, entry, told, kind, role, "completed", note.arguments, note.output)

    def _do_tool(
        self,
        connection: Connection,
        entry: JournalEntry,
        event: Mapping[str, Any],
        kind: str,
        role: str,
        status: str,
        arguments: str,
        output: str | None = None,
    ) -> None:
        at = iso(entry.at)
        self._statements.tool.run(
            connection,
            {
                "call": entry.call, "item_id": clean(event["id"] + ("" if kind == "function_call" else "_output")),
                "item_type": kind, "status": status, "timestamp": at, "created_at": at, "role": role, "content": "[]",
                "call_id": clean(event["id"]), "function_name": clean(event.get("tool", "")),
                "function_params": clean(arguments), "function_output": clean(output),
            },
        )  # fmt: skip

    def _usage(self, connection: Connection, entry: JournalEntry, note: notes.Usage) -> None:
        rows.USAGE.run(connection, {"call": entry.call, "used": json_of(note.total), "cost": note.usd})

    def _recorded(self, connection: Connection, entry: JournalEntry, note: notes.Recording) -> None:
        rows.RECORDING.run(connection, {"call": entry.call, "file": clean(note.file)})

    def _carrier_cost(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        """Add up what the legs of a call have cost, or of a caller who was led to us by SIP. What is told twice of a
        leg counts once."""
        of_legs = {str(event.get("of")): event}
        told = select(steps.c.event).where(steps.c.call == entry.call, steps.c.event.like("%carrier_cost%"))
        for row in connection.execute(told):
            earlier = msgspec.json.decode(row.event)
            if earlier.get("event") == events.CarrierCost.name:
                of_legs.setdefault(str(earlier.get("of")), earlier)
        # Another currency is in the journal only: dollars are not made of it here.
        usd = sum(float(one["amount"]) for one in of_legs.values() if one.get("currency") == "USD")
        if not rows.CARRIER_COST.run(connection, {"call": entry.call, "cost": usd}):
            led = {"leg": f"{LED}%:{entry.call}", "since": iso(entry.at - _COST_SECONDS), "cost": usd}
            rows.LED_COST.run(connection, led)

    def _carrier_recorded(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        began = event.get("began") or entry.at
        self._statements.recording.run(
            connection,
            {
                "call": entry.call, "recording_id": clean(event.get("recording", "")), "state": event["state"],
                "channels": event.get("channels") or None, "seconds": event.get("seconds"),
                "reason": clean(event.get("reason") or None), "created_at": iso(began),
            },
        )  # fmt: skip


_EVENTS: Final[dict[str, Callable[[Projection, Connection, JournalEntry, Mapping[str, Any]], None]]] = {
    events.CallHangup.name: Projection._hung_up,
    events.MediaStarted.name: Projection._stream_began,
    events.MediaLost.name: Projection._stream_ended,
    events.ToolCalled.name: Projection._tool_called,
    events.ToolFinished.name: Projection._tool_finished,
    events.CarrierRecording.name: Projection._carrier_recorded,
    events.CarrierCost.name: Projection._carrier_cost,
}
_ALWAYS: Final = frozenset({events.CarrierRecording.name, events.CarrierCost.name})
"""Events that are facts for people although the machine does nothing about them, also when the call is over."""
_NOTES: Final[dict[str, Callable[[Projection, Connection, JournalEntry, Any], None]]] = {
    notes.Began.kind: Projection._began,
    notes.Ended.kind: Projection._ended,
    notes.NumberId.kind: Projection._number_id,
    notes.Ids.kind: Projection._ids,
    notes.Turn.kind: Projection._turn,
    notes.Fact.kind: Projection._told,
    notes.NotTranscribed.kind: Projection._not_transcribed,
    notes.Heard.kind: Projection._heard,
    notes.Interrupted.kind: Projection._interrupted,
    notes.CutOff.kind: Projection._interrupted,
    notes.FirstWord.kind: Projection._first_word,
    notes.Latency.kind: Projection._latency,
    notes.Usage.kind: Projection._usage,
    notes.HostedTool.kind: Projection._hosted_tool,
    notes.Recording.kind: Projection._recorded,
}


def _seconds(since: str | None, at: float) -> float | None:
    return None if since is None else max(round(at - datetime.fromisoformat(since).timestamp(), 3), 0.0)


def _whole_seconds(since: str | None, at: float) -> int | None:
    seconds = _seconds(since, at)
    return None if seconds is None else int(seconds + 0.0005)
