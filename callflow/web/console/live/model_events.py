"""What a call writes down, in the words of the Realtime API, as an earlier system's page understood it. Pure.

The journal has what happened, not the engine's frames: each entry becomes the event of the API that says the same, with
the API's present names. The engine's other events come as they are, without words, while somebody watches; audio is not
among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final


Fields = Mapping[str, Any]
Events = Iterator[dict[str, Any]]


def model_events(entry: Fields) -> list[dict[str, Any]]:
    """Return the events for an entry as viewers get it: see `Encoder`."""
    told: Fields = entry["step"]["event"] if "step" in entry else entry["note"]
    found = list(_MADE[entry["kind"]](told)) if entry["kind"] in _MADE else []
    step = entry.get("step", {})
    if step.get("before") != step.get("after"):
        found.append({"type": "call.state", "state": step["after"], "before": step["before"]})
    return found


def single(told: Fields) -> dict[str, Any] | None:
    """Return the event for a single event as viewers get it: see `SingleEvents`. None: it is not the engine's, or an
    entry of the journal says the same."""
    event = told["event"]
    if told["way"] != "from_model" or told["kind"] in _FROM_JOURNAL or "counts" in event:
        return None
    item = event.get("item")
    if isinstance(item, dict) and item.get("type") in ("function_call", "function_call_output"):
        return None
    return dict(event)


def growing(who: str, item: str, delta: str) -> dict[str, Any]:
    """Return the event for words that are being spoken, with those that are new: `…_transcript.delta` or
    `….transcription.delta`."""
    kind = "response.output_audio_transcript" if who == "agent" else "conversation.item.input_audio_transcription"
    return {"type": f"{kind}.delta", "item_id": item, "content_index": 0, "delta": delta}


def _turn(told: Fields) -> Events:
    item, text = told["item"], told["text"]
    if told["who"] == "agent":
        yield {
            "type": "response.output_audio_transcript.done", "item_id": item, "content_index": 0, "transcript": text,
        }  # fmt: skip
        return
    kind = "conversation.item.input_audio_transcription.completed"
    yield {"type": kind, "item_id": item, "content_index": 0, "transcript": text}
    yield {"type": "transcription", "transcript": text, "item_id": item}


def _not_transcribed(told: Fields) -> Events:
    kind = "conversation.item.input_audio_transcription.failed"
    error = {"type": "transcription_error", "message": told.get("reason", "")}
    yield {"type": kind, "item_id": told["item"], "content_index": 0, "error": error}


def _cut(told: Fields) -> Events:
    for cut in told.get("cuts", ()):
        yield {
            "type": "conversation.item.truncated", "item_id": cut["item"], "content_index": 0,
            "audio_end_ms": cut.get("heard_ms", 0),
        }  # fmt: skip


def _tool_called(told: Fields) -> Events:
    item = {
        "id": told["id"], "type": "function_call", "status": "completed", "call_id": told["id"],
        "name": told["tool"], "arguments": told.get("arguments", ""),
    }  # fmt: skip
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}


def _tool_finished(told: Fields) -> Events:
    item = {"type": "function_call_output", "call_id": told["id"], "output": told.get("output", "")}
    yield {"type": "conversation.item.added", "item": item}


def _hosted_tool(told: Fields) -> Events:
    item = {"id": told["id"], "type": "mcp_call", "server_label": told["server"], "name": told["tool"]}
    item |= {"arguments": told.get("arguments", ""), "output" if told.get("ok", True) else "error": told.get("output")}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}


def _failed(told: Fields) -> Events:
    status = told.get("status", "failed")
    details = {"type": status, "error": {"message": told.get("detail", "")}}
    yield {"type": "response.done", "response": {"status": status, "status_details": details}}


def _complaint(told: Fields) -> Events:
    yield {"type": "error", "error": dict(told)}


_FROM_JOURNAL: Final = frozenset(
    {
        *("session.updated", "error", "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"),
        *("response.output_audio_transcript.done", "conversation.item.truncated"),
        *(f"conversation.item.input_audio_transcription.{end}" for end in ("completed", "failed")),
    }
)
_MADE: Final[Mapping[str, Callable[[Fields], Events]]] = {
    "turn": _turn,
    "not_transcribed": _not_transcribed,
    "interrupted": _cut,
    "cut_off": _cut,
    "tool_called": _tool_called,
    "tool_finished": _tool_finished,
    "hosted_tool": _hosted_tool,
    "response_failed": _failed,
    "engine_complaint": _complaint,
    "engine_ready": lambda told: iter([{"type": "session.updated", "session": {}}]),
    "session_changed": lambda told: iter([{"type": "session.updated", "session": dict(told.get("changes", {}))}]),
    "caller_speaks": lambda told: iter([{"type": "input_audio_buffer.speech_started"}]),
    "caller_pauses": lambda told: iter([{"type": "input_audio_buffer.speech_stopped"}]),
}
"""By the name of an event or note."""
