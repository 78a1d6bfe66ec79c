"""The record of a call in words for people, a line for each thing that happened. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from callflow.journal.journal import JournalEntry


_PLAIN: Final = frozenset({"event", "leg"})
_WHO: Final = {"user": "caller", "assistant": "agent"}


def lines(
    records: Sequence[JournalEntry], began: str, items: Iterable[Mapping[str, Any]] = ()
) -> list[tuple[float, str]]:
    """What happened, with the seconds since it began. Of a call without a journal, as an earlier system kept them, what
    was said: `items`, as `history.shown.plain` tells them."""
    if records:
        first = records[0].at
        found = [(round(record.at - first, 3), told(record)) for record in records]
    else:
        found = [(_seconds(began, item["timestamp"]), _said(item)) for item in items]
    return [(at, line) for at, line in found if line]


def local(at: str) -> str:
    """A moment on record in the time of this machine; what is no moment, as it stands there."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError):  # what an earlier system wrote, or the ends of time
        return str(at)


def _seconds(began: str, at: str) -> float:
    try:
        return round(max((datetime.fromisoformat(at) - datetime.fromisoformat(began)).total_seconds(), 0.0), 3)
    except (TypeError, ValueError):
        return 0.0


def _said(item: Mapping[str, Any]) -> str:
    words = str(item["content"] or "")
    return f"{_WHO.get(item['role'], item['role'] or item['type'])}: {words}" if words else ""


def told(record: JournalEntry) -> str:
    """One record in a line; "": nothing that people would look for."""
    event = record.event
    name = event.get("event", "")
    match event:
        case {"event": "turn", "who": who, "text": text}:
            return f"{who}: {text}" + ("" if event.get("whole", True) else " …")
        case {"event": "not_transcribed"}:
            return f"caller: (not transcribed: {event.get('reason', '')})"
        case {"event": "cut_off", "cuts": list(cuts)} if not any(cut["received_ms"] for cut in cuts):
            return "; ".join(f"agent: (not heard: {cut['unheard_text']})" for cut in cuts)
        case {"event": "interrupted" | "cut_off", "cuts": list(cuts)}:
            how = "the caller breaks in" if broke_in(event) else "the agent is cut off"
            if event.get("by_caller") and how != "the caller breaks in":
                how = "the caller speaks at its end"
            heard = [f"heard {cut['heard_ms']} of {cut['received_ms']} ms: {cut['heard_text']}" for cut in cuts]
            return f"{how}, {'; '.join(heard)}"
        case {"event": "heard" | "usage" | "agent_speaks" | "caller_speaks" | "caller_pauses"}:
            return ""
    shown = [(key, value) for key, value in event.items() if key not in _PLAIN and value not in ("", None)]
    details = ", ".join(f"{key} {round(value, 3) if isinstance(value, float) else value}" for key, value in shown)
    if not record.is_step:
        return f"({name}{': ' if details else ''}{details[:300]})"
    moved = f"   {record.before} -> {record.after}" if record.before != record.after else ""
    wanted = [each["command"] for each in record.commands if each["command"] not in ("arm", "disarm")]
    does = f"   => {', '.join(wanted)}" if wanted else ""
    inert = "" if record.taken else "   (inert)"
    return f"{name}{': ' if details else ''}{details[:200]}{moved}{does}{inert}"


def broke_in(event: Mapping[str, Any]) -> bool:
    """Whether a note tells of an interruption: the caller broke into something, and did not hear the rest of it. What
    the end of the call or of its audio cut off is none."""
    cuts = event.get("cuts") or ()
    return bool(event.get("by_caller")) and any(cut["received_ms"] > cut["heard_ms"] for cut in cuts)
