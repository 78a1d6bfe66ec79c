"""The journal of a call in words for people, a line for each thing that happened. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Note, UnknownNote


_PLAIN: Final = frozenset({"event", "leg"})
_WHO: Final = {"user": "caller", "assistant": "agent"}


def lines(
    entries: Sequence[JournalEntry], began: str, items: Iterable[Mapping[str, Any]] = ()
) -> list[tuple[float, str]]:
    """Return what happened, with the seconds since the call began.

    Of a call without a journal, as an earlier system kept them, it is what was said: `items`, as `history.views.plain`
    tells them. `began`: ISO 8601.
    """
    if entries:
        first = entries[0].at
        found = [(round(entry.at - first, 3), describe(entry)) for entry in entries]
    else:
        found = [(_seconds(began, item["timestamp"]), _said(item)) for item in items]
    return [(at, line) for at, line in found if line]


def local(at: str) -> str:
    """Return a moment of the history in the time of this machine; what is no moment, as it stands there."""
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


def describe(entry: JournalEntry) -> str:
    """Return one entry in a line; "": nothing that people would look for."""
    note = entry.note
    match note:
        case notes.Turn():
            return f"{note.who}: {note.text}" + ("" if note.whole else " …")
        case notes.Whispered():
            return f"{note.by} whispers to the agent: {note.text}"
        case notes.NotTranscribed():
            return f"caller: (not transcribed: {note.reason})"
        case notes.CutOff() if not any(cut.received_ms for cut in note.cuts):
            return "; ".join(f"agent: (not heard: {cut.unheard_text})" for cut in note.cuts)
        case notes.Interrupted() | notes.CutOff():
            how = "the caller breaks in" if broke_in(note) else "the agent is cut off"
            if note.by_caller and not broke_in(note):
                how = "the caller speaks at its end"
            heard = [f"heard {cut.heard_ms} of {cut.received_ms} ms: {cut.heard_text}" for cut in note.cuts]
            return f"{how}, {'; '.join(heard)}"
        case notes.Heard() | notes.Usage() | notes.AgentSpeaks() | notes.CallerSpeaks() | notes.CallerPauses():
            return ""
    shown = [(key, value) for key, value in entry.event.items() if key not in _PLAIN and value not in ("", None)]
    details = ", ".join(f"{key} {round(value, 3) if isinstance(value, float) else value}" for key, value in shown)
    name = entry.event.get("event", "")
    if not entry.is_step:
        return f"({name}{': ' if details else ''}{details[:300]})"
    moved = f"   {entry.before} -> {entry.after}" if entry.before != entry.after else ""
    wanted = [each["command"] for each in entry.commands if each["command"] not in ("arm", "disarm")]
    does = f"   => {', '.join(wanted)}" if wanted else ""
    inert = "" if entry.taken else "   (inert)"
    return f"{name}{': ' if details else ''}{details[:200]}{moved}{does}{inert}"


def broke_in(note: Note | UnknownNote | None) -> bool:
    """Return whether this is an interruption: the caller broke into something, and did not hear the rest of it. What
    the end of the call or of its audio cut off is none."""
    if not isinstance(note, (notes.Interrupted, notes.CutOff)):
        return False
    return note.by_caller and any(cut.received_ms > cut.heard_ms for cut in note.cuts)
