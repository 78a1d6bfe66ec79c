"""The record of a call in words for people, a line for each thing that happened. Pure."""

from __future__ import annotations

from typing import Final

from callflow.journal import Record


_PLAIN: Final = frozenset({"event", "leg"})


def told(record: Record) -> str:
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
            how = "the caller breaks in" if event.get("by_caller") else "the line broke"
            heard = [f"heard {cut['heard_ms']} of {cut['received_ms']} ms: {cut['heard_text']}" for cut in cuts]
            return f"{how}, {'; '.join(heard)}"
        case {"event": "heard" | "usage" | "agent_speaks" | "caller_speaks" | "caller_pauses"}:
            return ""
    shown = [(key, value) for key, value in event.items() if key not in _PLAIN and value not in ("", None)]
    details = ", ".join(f"{key} {value}" for key, value in shown)
    if not record.is_step:
        return f"({name}{': ' if details else ''}{details[:300]})"
    moved = f"   {record.before} -> {record.after}" if record.before != record.after else ""
    wanted = [each["command"] for each in record.commands if each["command"] not in ("arm", "disarm")]
    does = f"   => {', '.join(wanted)}" if wanted else ""
    inert = "" if record.taken else "   (inert)"
    return f"{name}{': ' if details else ''}{details[:200]}{moved}{does}{inert}"
