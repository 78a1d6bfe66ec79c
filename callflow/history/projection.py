"""Writes each journal entry into the tables that people read.

The tables change in the same transaction as the journal, so that neither is written without the other. An entry of a
call without a `began` note changes nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    case,
    literal,
    select,
    update,
)

from callflow.contracts import events
from callflow.contracts.printable import whole
from callflow.history import recording_rows
from callflow.history.tables import MESSAGES, conversations, find_words, iso, items, streams, transitions
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import UnknownNote
from callflow.journal.timeline import broke_in


_CALL: Final = conversations.c.call_id == bindparam("call")
_OURS: Final = select(conversations.c.id).where(_CALL).scalar_subquery()
_STOPPED: Final = "incomplete"
"""The status of an item that was cut off: the model's own word."""


def words_of(content: str) -> str:
    return json_of([{"type": "text", "text": content}])


def json_of(value: Any) -> str:
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
        self._is_sqlite = dialect == "sqlite"
        insert: Any = importlib.import_module(f"sqlalchemy.dialects.{dialect}").insert
        self._begin = insert(conversations).on_conflict_do_nothing()
        self._message = self._upsert(insert, "role", "content", "text", keep_stopped=True)
        self._tool = self._upsert(
            insert,
            "role",
            "content",
            "call_id",
            "function_name",
            "function_params",
            "function_output",
            keep_stopped=False,
        )
        self._stream = _insert_of(insert, streams, "stream_sid", "started_at")
        self._transition = _insert_of(insert, transitions, "at", "event", "before", "after")
        self._recording = recording_rows.upsert(insert)
        self._find_words = find_words(self._is_sqlite, "call_id = :call")
        self._changed: dict[str, None] = {}
        self._worded: dict[str, None] = {}

    def _upsert(self, insert: Any, *fields: str, keep_stopped: bool) -> Any:
        names = ("item_id", "item_type", "status", "timestamp", "created_at", *fields)
        statement = _insert_of(insert, items, *names)
        status: Any = statement.excluded.status
        if keep_stopped:
            status = case((items.c.status == _STOPPED, items.c.status), else_=status)
        return statement.on_conflict_do_update(
            index_elements=["conversation_id", "item_id"],
            set_={"status": status, **{name: getattr(statement.excluded, name) for name in fields}},
        )

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
            connection.execute(_COUNT, {"call": call})
        for call in self._worded:
            for statement in self._find_words:
                connection.execute(statement, {"call": call})
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
        connection.execute(
            self._begin,
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
        connection.execute(_STATE, {"call": entry.call, "new_state": entry.after})
        connection.execute(
            self._transition,
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
        began = connection.execute(select(conversations.c.started_at).where(_CALL), {"call": entry.call}).scalar()
        connection.execute(
            _END,
            {
                "call": entry.call,
                "ended": iso(until),
                "seconds": _seconds_between(began, until),
                "cause": clean(note.cause or None),
            },
        )
        connection.execute(_STOP_ITEMS, {"call": entry.call})
        connection.execute(_STOP_STREAM, {"call": entry.call, "ended": iso(until), "why": "the call is over"})
        self._changed[entry.call] = self._worded[entry.call] = None

    def _number_id(self, connection: Connection, entry: JournalEntry, note: notes.NumberId) -> None:
        connection.execute(_NUMBER_ID, {"call": entry.call, "number": clean(note.number or None)})

    def _ids(self, connection: Connection, entry: JournalEntry, note: notes.Ids) -> None:
        names = {"control": note.control, "leg": note.leg, "session": note.session}
        connection.execute(_IDS, {"call": entry.call, **{name: clean(value) for name, value in names.items()}})

    def _hung_up(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        connection.execute(_SOURCE, {"call": entry.call, "source": clean(event.get("source") or None)})

    def _stream_began(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        name = clean(event.get("stream") or "")
        if not name:
            return
        connection.execute(self._stream, {"call": entry.call, "stream_sid": name, "started_at": iso(entry.at)})
        connection.execute(_NAME, {"call": entry.call, "name": name})

    def _stream_ended(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        why = clean(event.get("reason", ""))
        connection.execute(_STOP_STREAM, {"call": entry.call, "ended": iso(entry.at), "why": why})

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
        connection.execute(
            self._message,
            {
                "call": entry.call, "item_id": clean(item), "item_type": "message", "status": status,
                "timestamp": at, "created_at": at, "role": role, "content": words_of(words), "text": words,
            },
        )  # fmt: skip
        self._changed[entry.call] = self._worded[entry.call] = None

    def _turn(self, connection: Connection, entry: JournalEntry, note: notes.Turn) -> None:
        if note.text.strip():
            role = {"caller": "user", "agent": "assistant"}.get(note.who, "system")
            status = "completed" if note.whole else _STOPPED
            self._say(connection, entry, note.item, role, note.text, status, ago_ms=note.ago_ms)

    def _not_transcribed(self, connection: Connection, entry: JournalEntry, note: notes.NotTranscribed) -> None:
        words = f"(not transcribed: {note.reason})"
        self._say(connection, entry, note.item, "user", words, _STOPPED, ago_ms=note.ago_ms)

    def _told(self, connection: Connection, entry: JournalEntry, note: notes.Told) -> None:
        """Write a fact that the model was given, such as digits from the keypad."""
        self._say(connection, entry, f"told_{entry.step}_{round(entry.at * 1000)}", "system", note.text)

    def _heard(self, connection: Connection, entry: JournalEntry, note: notes.Heard) -> None:
        """Write how much of an item the caller has heard, and the words known so far while its transcript is
        incomplete."""
        if note.so_far:
            self._say(connection, entry, note.item, "assistant", note.so_far, "in_progress")
        elif not note.done:
            return  # the tables get the final position only; positions in between are in the journal
        connection.execute(
            _HEARD,
            {
                "call": entry.call,
                "item": clean(note.item),
                "heard": note.ms,
                "of": note.of_ms,
            },
        )

    def _interrupted(self, connection: Connection, entry: JournalEntry, note: notes.Interrupted | notes.CutOff) -> None:
        if broke_in(note):
            connection.execute(_INTERRUPTED, {"call": entry.call})
        for cut in note.cuts:
            words = f"{cut.heard_text} {cut.unheard_text}".strip()
            if words:
                self._say(connection, entry, cut.item, "assistant", words, _STOPPED)
            connection.execute(
                _CUT,
                {
                    "call": entry.call, "item": clean(cut.item), "heard": cut.heard_ms, "of": cut.received_ms,
                    "words": clean(cut.heard_text),
                },
            )  # fmt: skip

    def _first_word(self, connection: Connection, entry: JournalEntry, note: notes.FirstWord) -> None:
        connection.execute(_FIRST_WORD, {"call": entry.call, "first_word": note.ms})

    def _latency(self, connection: Connection, entry: JournalEntry, note: notes.Latency) -> None:
        parts = {name: value for name, value in notes.to_json(note).items() if name not in ("event", "item")}
        connection.execute(_LATENCY, {"call": entry.call, "item": clean(note.item), "parts": json_of(parts)})

    def _tool_called(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        self._do_tool(connection, entry, event, "function_call", "assistant", "running", event.get("arguments", ""))

    def _tool_finished(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        asked = select(items.c.function_params).where(
            items.c.conversation_id == _OURS, items.c.item_id == bindparam("item")
        )
        arguments = connection.execute(asked, {"call": entry.call, "item": clean(event["id"])}).scalar() or ""
        for kind, role in (("function_call", "assistant"), ("function_call_output", "tool")):
            self._do_tool(connection, entry, event, kind, role, "completed", arguments, event.get("output", ""))

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
        connection.execute(
            self._tool,
            {
                "call": entry.call, "item_id": clean(event["id"] + ("" if kind == "function_call" else "_output")),
                "item_type": kind, "status": status, "timestamp": at, "created_at": at, "role": role, "content": "[]",
                "call_id": clean(event["id"]), "function_name": clean(event.get("tool", "")),
                "function_params": clean(arguments), "function_output": clean(output),
            },
        )  # fmt: skip

    def _usage(self, connection: Connection, entry: JournalEntry, note: notes.Usage) -> None:
        connection.execute(_USAGE, {"call": entry.call, "used": json_of(note.total), "cost": note.usd})

    def _recorded(self, connection: Connection, entry: JournalEntry, note: notes.Recording) -> None:
        connection.execute(_RECORDING, {"call": entry.call, "file": clean(note.file)})

    def _carrier_recorded(self, connection: Connection, entry: JournalEntry, event: Mapping[str, Any]) -> None:
        began = event.get("began") or entry.at
        connection.execute(
            self._recording,
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
}
_ALWAYS: Final = frozenset({events.CarrierRecording.name})
"""Events that are facts for people although the machine does nothing about them, also when the call is over."""
_NOTES: Final[dict[str, Callable[[Projection, Connection, JournalEntry, Any], None]]] = {
    notes.Began.kind: Projection._began,
    notes.Ended.kind: Projection._ended,
    notes.NumberId.kind: Projection._number_id,
    notes.Ids.kind: Projection._ids,
    notes.Turn.kind: Projection._turn,
    notes.Told.kind: Projection._told,
    notes.NotTranscribed.kind: Projection._not_transcribed,
    notes.Heard.kind: Projection._heard,
    notes.Interrupted.kind: Projection._interrupted,
    notes.CutOff.kind: Projection._interrupted,
    notes.FirstWord.kind: Projection._first_word,
    notes.Latency.kind: Projection._latency,
    notes.Usage.kind: Projection._usage,
    notes.Recording.kind: Projection._recorded,
}


def _insert_of(insert: Any, table: Table, *names: str) -> Any:
    """INSERT … SELECT the conversation's id and these parameters: nothing where there is no such conversation."""
    row: list[ColumnElement[Any]] = [conversations.c.id, *(bindparam(name, type_=table.c[name].type) for name in names)]
    return insert(table).from_select(["conversation_id", *names], select(*row).where(_CALL))


def _seconds_between(began: str | None, at: float) -> int | None:
    return None if began is None else max(int(at - datetime.fromisoformat(began).timestamp() + 0.0005), 0)


_ITEM: Final = (items.c.conversation_id == _OURS) & (items.c.item_id == bindparam("item"))
_STATE: Final = update(conversations).where(_CALL).values(state=bindparam("new_state"))
_SOURCE: Final = update(conversations).where(_CALL).values(hangup_source=bindparam("source"))
_NUMBER_ID: Final = (
    update(conversations)
    .where(_CALL, conversations.c.phone_number_sid.is_(None))
    .values(phone_number_sid=bindparam("number"))
)
_IDS: Final = (
    update(conversations)
    .where(_CALL)
    .values(
        carrier_call_id=bindparam("control"),
        carrier_leg_id=bindparam("leg"),
        carrier_session_id=bindparam("session"),
    )
)
_NAME: Final = (
    update(conversations)
    .where(_CALL, conversations.c.stream_sid == bindparam("call"))
    .where(~select(literal(1)).where(conversations.alias("other").c.stream_sid == bindparam("name")).exists())
    .values(stream_sid=bindparam("name"))
)
_STOP_STREAM: Final = (
    update(streams)
    .where(streams.c.conversation_id == _OURS, streams.c.ended_at.is_(None))
    .values(ended_at=bindparam("ended"), reason=bindparam("why"))
)
_END: Final = (
    update(conversations)
    .where(_CALL, conversations.c.ended_at.is_(None))
    .values(
        ended_at=bindparam("ended"),
        duration_seconds=bindparam("seconds"),
        hangup_cause=bindparam("cause"),
        state="hangup",
    )
)
_STOP_ITEMS: Final = (
    update(items)
    .where(items.c.conversation_id == _OURS, items.c.status.in_(("in_progress", "running")))
    .values(status=_STOPPED)
)
_FIRST_WORD: Final = (
    update(conversations)
    .where(_CALL, conversations.c.first_word_ms.is_(None))
    .values(first_word_ms=bindparam("first_word"))
)
_INTERRUPTED: Final = update(conversations).where(_CALL).values(interruptions=conversations.c.interruptions + 1)
_HEARD: Final = update(items).where(_ITEM).values(heard_ms=bindparam("heard"), of_ms=bindparam("of"))
_CUT: Final = (
    update(items).where(_ITEM).values(heard_ms=bindparam("heard"), of_ms=bindparam("of"), heard_text=bindparam("words"))
)
_LATENCY: Final = update(items).where(_ITEM).values(latency=bindparam("parts"))
_USAGE: Final = update(conversations).where(_CALL).values(usage=bindparam("used"), cost_usd=bindparam("cost"))
_RECORDING: Final = update(conversations).where(_CALL).values(recording=bindparam("file"))
_COUNT: Final = update(conversations).where(_CALL).values(message_count=MESSAGES)
