"""What a list of calls tells of each: in Twilio's words, and alike whether the call is live, over, or about to be
written down. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callflow.contracts.call_status import Direction, call_status
from callflow.contracts.events import CALLER, CallHangup
from callflow.contracts.hangup_causes import ended, why
from callflow.history.tables import iso
from callflow.history.views import OUTBOUND, numbers_of
from callflow.journal import notes
from callflow.journal.journal import JournalEntry


_OVER, _RINGING = "hangup", "ringing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCall:
    """One call. Times are ISO 8601 in UTC; None: it has not come to that, or that is not known."""

    id: str
    """Ours; of a call of an earlier system, its stream's."""
    carrier_id: str
    """The carrier's; "": not known yet."""
    carrier: str | None
    direction: Direction
    caller: str | None
    """The number that called, and the one that was called, as on the telephone network: of an outbound call `caller` is
    our number."""
    called: str | None
    state: str
    """The machine's; of a call of an earlier system `hangup`."""
    cause: str = ""
    cause_text: str | None = None
    began: str
    answered: str | None = None
    over: str | None = None
    seconds: int | None = None
    """From the answer to the end."""
    business: str = ""
    """Whose call it is; "": nobody's in particular."""

    @property
    def sid(self) -> str:
        """The carrier's id of the call, or ours as long as the carrier has told none."""
        return self.carrier_id or self.id

    def to_json(self) -> dict[str, Any]:
        """Return the call as the API tells it."""
        status = call_status(
            state=self.state, cause=self.cause, direction=self.direction, was_answered=self.answered is not None,
            is_at_carrier=bool(self.carrier_id),
        )  # fmt: skip
        return {
            "sid": self.sid,
            "id": self.id,
            "carrier": self.carrier,
            "to": self.called,
            "from": self.caller,
            "status": status,
            "direction": self.direction,
            "startTime": self.began,
            "endTime": self.over,
            "duration": self.seconds,
            "cause": self.cause or None,
            "causeText": self.cause_text,
        }


def of_live(described: Mapping[str, Any]) -> ListedCall | None:
    """Read a live call as `Call.describe` tells it. None: it is over, and only being let go of."""
    if described["state"] == _OVER:
        return None
    began = iso(described["began"])
    return ListedCall(
        id=described["id"],
        carrier_id=described["carrier_id"],
        carrier=described["carrier"],
        direction=_direction(described["direction"]),
        caller=described["from"] or None,
        called=described["to"] or None,
        state=described["state"],
        began=began,
        answered=None if described["state"] == _RINGING else began,
        business=described["business"],
    )


def of_row(row: Mapping[str, Any]) -> ListedCall:
    """Read a conversation, as `Store.newest_calls` finds it."""
    caller, called = numbers_of(row)
    is_ours = row["call_id"] is not None
    is_over = row["state"] == _OVER or row["ended_at"] is not None or not is_ours
    over = row["ended_at"] or row["hung_up_at"]
    answered = row["answered_at"] if is_ours else row["started_at"]  # an earlier system kept what was answered
    return ListedCall(
        id=row["call_id"] or row["stream_sid"],
        carrier_id=row["carrier_call_id"] or "",
        carrier=row["carrier"],
        direction=_direction(row["direction"]),
        caller=caller,
        called=called,
        state=_OVER if is_over else row["state"] or _RINGING,
        cause=row["hangup_cause"] or "",
        cause_text=ended(row) if is_over else None,
        began=row["started_at"],
        answered=answered,
        over=over,
        seconds=_seconds(answered, over),
        business=row["business"] or "",
    )


def of_entries(call: str, entries: Sequence[JournalEntry]) -> ListedCall | None:
    """Read a call from its journal. None: it did not begin there, and is none of ours."""
    began: tuple[float, notes.Began] | None = None
    carrier_id, state, source = "", _RINGING, ""
    answered = over = None
    end: notes.Ended | None = None
    for entry in entries:
        if entry.is_step:
            state = entry.after
            if entry.before == _RINGING and state not in (_RINGING, _OVER):
                answered = answered or iso(entry.at)
            if state == _OVER:
                over = over or iso(entry.at)
            if entry.name == CallHangup.name and entry.event.get("leg", CALLER) == CALLER:
                source = str(entry.event.get("source") or "") if entry.taken else source
                answered = None if entry.event.get("unanswered") else answered
        elif entry.name in (notes.Began.kind, notes.Ids.kind, notes.Ended.kind):
            match entry.note:
                case notes.Began() as note:
                    began, carrier_id = (entry.at, note), note.control
                case notes.Ids(control=control, of=""):
                    carrier_id = control or carrier_id
                case notes.Ended() as end:
                    state, over = _OVER, iso(entry.at if end.until is None else end.until)
    if began is None:
        return None
    at, first = began
    direction = _direction(first.direction)
    cause = end.cause if end is not None else ""
    is_written = {"ended_at": None, "call_id": call, "state": state}
    text = why(cause, source, direction) if end is not None else ended(is_written) if state == _OVER else None
    return ListedCall(
        id=call, carrier_id=carrier_id, carrier=first.carrier or None, direction=direction,
        caller=first.from_number or None, called=first.to_number or None, state=state, cause=cause, cause_text=text,
        began=iso(at), answered=answered, over=over, seconds=_seconds(answered, over), business=first.business,
    )  # fmt: skip


def newest(calls: Sequence[ListedCall], most: int) -> list[ListedCall]:
    """Return the newest calls, newest first, each once: of two with the same id, the first that is given."""
    found: dict[str, ListedCall] = {}
    for call in calls:
        found.setdefault(call.id, call)
    return sorted(found.values(), key=lambda call: call.began, reverse=True)[:most]


def _direction(direction: str | None) -> Direction:
    return "outbound" if direction == OUTBOUND else "inbound"


def _seconds(answered: str | None, over: str | None) -> int | None:
    if answered is None or over is None:
        return None
    try:
        return max(int((datetime.fromisoformat(over) - datetime.fromisoformat(answered)).total_seconds() + 0.0005), 0)
    except (ValueError, TypeError):  # what an earlier system wrote
        return None
