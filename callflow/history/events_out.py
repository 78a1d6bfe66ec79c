"""Makes the events that are sent to EVENTS_URL, from the journal entries that cause them, and from rows of campaigns
that are done with.

An event is a row of the table `events_out`, written in the transaction of its journal entry, after the tables that
people read, or in that of the row's end: neither is there without the other. Its id follows from the call and from what
happened, so that what is written twice makes one event. `history/delivery/` sends them.

They hold ids, numbers, causes and figures; words that were said, typed or handed to a tool only if that is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from callflow.contracts import commands, events, hangup_causes
from callflow.history.idempotency_keys import call_of, key_of
from callflow.history.projection import clean, json_of
from callflow.history.tables import campaigns, conversations, iso, items, recordings
from callflow.history.tables import events_out as table
from callflow.history.views import heard_of
from callflow.journal import notes
from callflow.journal.journal import JournalEntry


log = logging.getLogger(__name__)

STARTED: Final = "call.started"
ANSWERED: Final = "call.answered"
ENDED: Final = "call.ended"
RECORDING_READY: Final = "recording.ready"
RECORDING_FAILED: Final = "recording.failed"
TOOL_FAILED: Final = "tool.failed"
TRANSFER_ENDED: Final = "transfer.ended"
CAMPAIGN_ROW_DONE: Final = "campaign.row_done"
ALERT_OPENED: Final = "alert.opened"
ALERT_CLOSED: Final = "alert.closed"
TYPES: Final = (
    STARTED, ANSWERED, ENDED, RECORDING_READY, RECORDING_FAILED, TOOL_FAILED, TRANSFER_ENDED, CAMPAIGN_ROW_DONE,
    ALERT_OPENED, ALERT_CLOSED,
)  # fmt: skip
"""Every type that is made."""

WAITING: Final = "waiting"
DELIVERED: Final = "delivered"
DEAD: Final = "dead"

_RINGING, _HANGUP = "ringing", "hangup"
_BRIDGED: Final = "bridged"
_UNDER_WAY: Final = "rings"
"""The outcome of a transfer that has begun."""
_REFERRED: Final = "referred"
_NOT_BEGUN: Final = "carrier's command"
_MOST_WORDS: Final = 100_000
"""Characters of a transcript in an event; receivers commonly take 256 kB. All of it is behind the link."""


class EventMaker:
    """For one kind of database, `sqlite` or `postgresql`. `apply` within a transaction, behind the projection's. All
    times are Unix time, in seconds."""

    def __init__(
        self, dialect: str, *, redact: Callable[[Any], Any], recordings: Path, moved: bool = False, words: bool = False
    ) -> None:
        """`redact`: takes out of words what the journal must not hold either. `recordings`: their folder. `moved`: they
        leave it when they are whole. `words`: whether events hold words."""
        insert: Any = importlib.import_module(f"sqlalchemy.dialects.{dialect}").insert
        self._insert = insert(table).on_conflict_do_nothing(index_elements=["id"])
        self._redact, self._recordings, self._moved, self._words = redact, recordings, moved, words
        self._made = 0

    def apply(self, connection: Connection, entry: JournalEntry) -> None:
        """Write the events of one entry; most entries have none. An entry of a call that the history lacks makes none.

        Raises what the driver raises. Another fault costs the event and a line in the log: the journal goes on."""
        try:
            self._apply(connection, entry)
        except SQLAlchemyError:
            raise
        except Exception:
            log.exception("call %s: an event cannot be made because of an internal error, and is not sent", entry.call)

    def _apply(self, connection: Connection, entry: JournalEntry) -> None:
        if entry.is_step:
            if entry.before == _RINGING and entry.after not in (_RINGING, _HANGUP):
                self._add(connection, entry, ANSWERED)
            self._transfer_ended(connection, entry)
        elif entry.name == notes.Began.kind:
            self._add(connection, entry, STARTED)
        elif entry.name == notes.RecordingFailed.kind:
            self._recording_failed(connection, entry, self._redact(entry.event.get("reason", "")))
        elif entry.name == notes.Ended.kind:
            self._ended(connection, entry)
        if entry.name == events.CarrierRecording.name:
            self._carrier_recorded(connection, entry)
        elif entry.name == events.CommandFailed.name and entry.event.get("command") == commands.Record.name:
            self._carrier_failed(connection, entry, _NOT_BEGUN, "")
        if entry.name == events.ToolFinished.name and entry.event.get("ok") is False:
            self._tool_failed(connection, entry, entry.event.get("tool", ""))
        elif entry.name == notes.HostedTool.kind and entry.event.get("ok") is False:
            self._tool_failed(connection, entry, f"{entry.event.get('server')}.{entry.event.get('tool')}")

    def rows_done(self, connection: Connection, rows: Sequence[Mapping[str, Any]], now: float) -> None:
        """Write an event for each of these rows of one campaign, which have come to their end. Raises what the driver
        raises."""
        if not rows:
            return
        list_of = select(campaigns.c.asked, campaigns.c.business).where(campaigns.c.id == rows[0]["campaign"])
        found = connection.execute(list_of).first()
        order = json.loads(found.asked or "{}").get("call", {}) if found is not None else {}
        business = found.business if found is not None else ""
        names = {row["row"]: _call_of_row(row) for row in rows}
        wanted = select(conversations).where(conversations.c.call_id.in_(names.values()))
        calls = {each["call_id"]: dict(each) for each in connection.execute(wanted).mappings()}
        values = []
        for row in rows:
            name = names[row["row"]]
            call = calls.get(name, {})
            event = event_id(row["campaign"], CAMPAIGN_ROW_DONE, str(row["row"]))
            body = {
                "id": event,
                "type": CAMPAIGN_ROW_DONE,
                "created_at": iso(now),
                "call": name if row["tries"] else "",
                "carrier": call.get("carrier") or order.get("carrier", ""),
                "carrier_call": call.get("carrier_call_id") or "",
                "direction": "outbound",
                **_our_number(call, order),
                "to": row["number"],
                "profile": call.get("profile") or order.get("profile", ""),
                "business": call.get("business") or business,
                "campaign": row["campaign"],
                "row": row["row"],
                "line": row["line"],
                "state": row["state"],
                "outcome": row["outcome"],
                "cause": call.get("hangup_cause") or "",
                "cause_text": hangup_causes.ended(call) if call else "",
                "reason": self._redact(row["reason"]),
                "attempts": row["tries"],
            }
            values.append(_values(event, name, CAMPAIGN_ROW_DONE, now, body))
        connection.execute(self._insert, values)
        self._made += len(values)

    def alert(self, connection: Connection, kind: str, alert: Mapping[str, Any], now: float) -> None:
        """Write the event that an alert, a row of its table, has opened or closed. Its `call` is the alert, so that the
        two arrive in order. Raises what the driver raises."""
        name = event_id(alert["id"], kind)
        body = {
            "id": name,
            "type": kind,
            "created_at": iso(now),
            "alert": alert["id"],
            "key": alert["key"],
            "severity": alert["severity"],
            "about": alert["about"],
            "what": alert["what"],
            "remedy": alert["remedy"],
            "opened_at": iso(alert["opened_at"]),
            "closed_at": iso(alert["closed_at"]) if alert["closed_at"] is not None else None,
            "closed_by": alert["closed_by"],
        }
        added = connection.execute(self._insert, _values(name, alert["id"], kind, now, body))
        self._made += max(added.rowcount, 0)

    def taken(self) -> int:
        """Return how many events were made since the last time, and count anew."""
        made, self._made = self._made, 0
        return made

    def _tool_failed(self, connection: Connection, entry: JournalEntry, tool: str) -> None:
        if entry.is_step and not entry.taken:
            return
        ran = entry.event.get("id", "")
        told = {"tool": tool, "tool_call": ran, "ms": entry.event.get("ms", 0)}
        if self._words:
            told["output"] = self._redact(entry.event.get("output", ""))
        self._add(connection, entry, TOOL_FAILED, key=str(ran), **told)

    def _transfer_ended(self, connection: Connection, entry: JournalEntry) -> None:
        """The machine says when a transfer ends, and how (`commands.TellTransfer`)."""
        told = [each.get("outcome") for each in entry.commands if each.get("command") == commands.TellTransfer.name]
        for outcome in told:
            if outcome != _UNDER_WAY:
                connected = entry.before == _BRIDGED or outcome == _REFERRED
                self._add(connection, entry, TRANSFER_ENDED, key=str(entry.step), outcome=outcome, connected=connected)

    def _recording_failed(self, connection: Connection, entry: JournalEntry, reason: str) -> None:
        self._add(connection, entry, RECORDING_FAILED, key=f"{entry.step} {round(entry.at * 1000)}", reason=reason)

    def _carrier_recorded(self, connection: Connection, entry: JournalEntry) -> None:
        told, name = entry.event, str(entry.event.get("recording", ""))
        if told.get("state") == "ready":
            link = f"/api/recordings/{quote(name, safe='')}/audio"
            self._add(
                connection, entry, RECORDING_READY,
                key=f"carrier {name}", source="carrier", recording=[link], recording_id=name,
                channels=told.get("channels") or None, duration_seconds=told.get("seconds"),
            )  # fmt: skip
        elif told.get("state") == "failed":
            self._carrier_failed(connection, entry, f"carrier {name}", name)

    def _carrier_failed(self, connection: Connection, entry: JournalEntry, key: str, name: str) -> None:
        reason = self._redact(entry.event.get("reason", ""))
        self._add(
            connection, entry, RECORDING_FAILED, key=key, source="carrier", recording_id=name, reason=reason
        )  # fmt: skip

    def _ended(self, connection: Connection, entry: JournalEntry) -> None:
        row = self._conversation(connection, entry.call)
        if row is None:
            return
        words: dict[str, Any] = {"words": self._transcript(connection, row["id"])} if self._words else {}
        self._add(
            connection, entry, ENDED,
            row=row,
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            duration_seconds=row["duration_seconds"],
            cause=row["hangup_cause"] or "",
            cause_text=hangup_causes.ended(row),
            cost_usd=row["cost_usd"],
            transcript=f"/api/conversations/stream/{quote(row['stream_sid'], safe='')}",
            **words,
        )  # fmt: skip
        if row["recording"] and not self._own_has_failed(connection, row):
            self._recorded(connection, entry, row["recording"].split(","))

    def _recorded(self, connection: Connection, entry: JournalEntry, files: Sequence[str]) -> None:
        """A process that is killed within the first second of a recording leaves no file: that is no recording. (Of an
        earlier part that has moved, nobody asks the store here: it counts.)"""
        last = len(files)
        parts = [
            number
            for number, name in enumerate(files, start=1)
            if (self._recordings / name).is_file() or (self._moved and number < last)
        ]
        if parts:
            links = [f"/api/calls/{quote(entry.call, safe='')}/recording?part={part}" for part in parts]
            self._add(connection, entry, RECORDING_READY, recording=links)
        else:
            self._recording_failed(connection, entry, "the file is not there")

    def _own_has_failed(self, connection: Connection, row: Mapping[str, Any]) -> bool:
        """Whether our own recording has failed; the carrier's may have failed, too."""
        of_it = recordings.c.conversation_id == row["id"]
        keys = [
            f"carrier {name}" for name in connection.execute(select(recordings.c.recording_id).where(of_it)).scalars()
        ]
        theirs = [event_id(row["call_id"], RECORDING_FAILED, key) for key in (*keys, _NOT_BEGUN)]
        failed = select(table.c.seq).where(table.c.call == row["call_id"], table.c.type == RECORDING_FAILED)
        return connection.execute(failed.where(table.c.id.not_in(theirs)).limit(1)).first() is not None

    def _transcript(self, connection: Connection, conversation: int) -> list[dict[str, Any]]:
        """Return what was said, in order; of a turn that was cut, what the caller heard of it."""
        wanted = select(items).where(items.c.conversation_id == conversation, items.c.item_type == "message")
        order = (items.c.timestamp, items.c.created_at, items.c.id)
        told: list[dict[str, Any]] = []
        left = _MOST_WORDS
        for item in connection.execute(wanted.order_by(*order)).mappings():
            said = str(self._redact(heard_of(dict(item))[0]))
            if len(said) > left:
                told.append({"role": "system", "text": "(the rest is behind the link `transcript`)", "at": None})
                break
            left -= len(said)
            if said:
                told.append({"role": item["role"], "text": said, "at": item["timestamp"]})
        return told

    def _conversation(self, connection: Connection, call: str) -> Mapping[str, Any] | None:
        found = connection.execute(select(conversations).where(conversations.c.call_id == call)).mappings().first()
        return dict(found) if found is not None else None

    def _add(
        self,
        connection: Connection,
        entry: JournalEntry,
        kind: str,
        *,
        key: str = "",
        row: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Write one event. `key`: what tells it apart from others of its type in this call. `row`: the conversation,
        if it is known. `more`: the fields of its type."""
        row = row or self._conversation(connection, entry.call)
        if row is None:
            return
        name = event_id(entry.call, kind, key)
        theirs, ours = row["caller_number"] or "", row["phone_number"]
        outbound = row["direction"] == "outbound"
        body = {
            "id": name,
            "type": kind,
            "created_at": iso(entry.at),
            "call": entry.call,
            "carrier": row["carrier"] or "",
            "carrier_call": row["carrier_call_id"] or "",
            "direction": row["direction"] or "inbound",
            "from": ours if outbound else theirs,
            "to": theirs if outbound else ours,
            "profile": row["profile"] or "",
            "business": row["business"] or "",
            **more,
        }
        added = connection.execute(self._insert, _values(name, entry.call, kind, entry.at, body))
        self._made += max(added.rowcount, 0)


def _values(name: str, call: str, kind: str, at: float, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new row of the table. `call`: in whose order it is sent."""
    return {
        "id": name, "call": call, "type": kind, "at": at, "body": json_of(body), "state": WAITING, "tries": 0,
        "since": at, "next_at": at,
    }  # fmt: skip


def _our_number(call: Mapping[str, Any], order: Mapping[str, Any]) -> dict[str, str]:
    """Return the number of a row's call, or the one that would have called, as `from`; nothing: nobody knows it, in a
    campaign of an earlier version."""
    own = call.get("phone_number") or order.get("from") or order.get("shown")
    return {"from": own} if own else {}


def _call_of_row(row: Mapping[str, Any]) -> str:
    """Return the id of the newest call of a row of a campaign; of a row that was not called, that of the call it would
    have had, which stands for the order of its events alone."""
    return call_of(key_of(row["campaign"], row["row"], max(row["tries"] - 1, 0)))


def event_id(call: str, kind: str, key: str = "") -> str:
    """Return the id of an event: the same whenever the same thing is written down again. It holds nothing of what it
    is made from, and no dot, which the signature's text has between its parts."""
    told = clean(f"{call}\n{kind}\n{key}").encode()
    return f"evt_{hashlib.sha256(told).hexdigest()[:32]}"
