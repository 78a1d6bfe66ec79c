"""What the demo prints of a call while it goes on: a line for each thing that happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callflow.contracts import events
from callflow.journal import notes
from callflow.journal.live_feed import LiveEvent


def line_of(one: LiveEvent) -> tuple[str, str] | None:
    """Return who and what, for an event of the live feed that a person wants to follow."""
    note = one.note
    match note:
        case None:
            return _line_of_step(one.data)
        case notes.Turn():
            return note.who, f"“{note.text}”"
        case notes.Interrupted():
            heard = sum(cut.heard_ms for cut in note.cuts) / 1000
            received = sum(cut.received_ms for cut in note.cuts) / 1000
            words = " ".join(cut.heard_text for cut in note.cuts if cut.heard_text)
            return "interrupted", f"the caller had heard {heard:.1f} s of {received:.1f} s: “{words} …”"
        case notes.Filler():
            return "agent", f"(fills the silence: {note.clip})"
        case notes.Digits():
            return "caller", f"has typed {note.digits}"
        case notes.EngineRotated():
            return "line", f"the model's session was replaced by number {note.session}"
        case notes.Protected():
            return "line", f"protected sentence heard: {note.heard_ms} of {note.of_ms} ms"
        case notes.CallerSpeaks():
            return "caller", "…"
        case notes.AgentSpeaks():
            return "agent", "…"
    return None


def _line_of_step(step: Mapping[str, Any]) -> tuple[str, str] | None:
    event = step["event"]
    name = event["event"]
    if name == events.DialRequested.name:
        return "line", f"dials {step['to_number']} from {step['from_number']}"
    if name == events.CallInitiated.name and event.get("direction") == "outgoing":
        return "line", f"rings at {step['to_number']}"
    if name == events.CarrierNotice.name and event.get("kind") == "status ringing":
        return "line", f"rings at {step['to_number']}"
    if name == events.CallInitiated.name:
        return "line", f"rings: {step['from_number']} calls {step['to_number']}"
    if step["before"] != step["after"]:
        why = f" ({step['cause']})" if step["after"] == "hangup" else ""
        return "line", f"{step['before']} → {step['after']}{why}"
    if name == events.ToolCalled.name:
        return "agent", f"calls {event.get('tool')}({event.get('arguments')})"
    if name == events.ToolFinished.name:
        how = "answered in" if event.get("ok", True) else "failed after"
        return "line", f"{event.get('tool')} {how} {event.get('ms')} ms"
    return None
