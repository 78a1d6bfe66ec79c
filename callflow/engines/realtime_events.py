"""What OpenAI Realtime says, turned into the engine-neutral words of `callflow.contracts`. Pure: no I/O, no clock.

Unknown events and fields are ignored, malformed ones raise Malformed and end nothing. The names of the retired beta are
read as their GA successors, because other vendors still send them.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, Final

import msgspec

from callflow.contracts import (
    Complaint,
    EngineEvent,
    ItemOpened,
    Lost,
    ResponseDone,
    ResponseStarted,
    Speech,
    SpeechDone,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Words,
)
from callflow.errors import Malformed


BETA_NAMES: Final = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "conversation.item.created": "conversation.item.added",
}

FATAL_CODES: Final = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "invalid_api_key",
        "account_deactivated",
        "billing_hard_limit_reached",
        "beta_api_shape_disabled",
        "session_expired",
    }
)
"""Error codes after which this session will say nothing more."""
EXPIRED: Final = "session_expired"
"""The only one of them after which a new session does better."""

BENIGN_CODES: Final = frozenset(
    {
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
        "item_truncate_invalid_item_id",
    }
)
"""What two who speak at the same time cannot always avoid: counted, and nothing else."""
ACTIVE_RESPONSE: Final = "conversation_already_has_active_response"
_SHORTER: Final = "is already shorter than"


class ServerEvent(msgspec.Struct):
    """The fields of all events that we read. What an event lacks, or sends as null, is None."""

    type: str
    delta: str | None = None
    response_id: str | None = None
    item_id: str | None = None
    content_index: int | None = None
    audio_end_ms: int | float | None = None
    transcript: str | None = None
    text: str | None = None
    item: Any = None
    response: Any = None
    session: Any = None
    error: Any = None
    usage: Any = None


_decode: Final = msgspec.json.Decoder(ServerEvent).decode


def decode(message: bytes | str) -> ServerEvent:
    """Raises Malformed."""
    try:
        event = _decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Malformed(f"not a Realtime event: {error}") from None
    event.type = BETA_NAMES.get(event.type, event.type)
    return event


def read(event: ServerEvent) -> EngineEvent | None:
    """None: nothing for the rooms above. Raises Malformed for an event whose parts make no sense."""
    reader = _READERS.get(event.type)
    return reader(event) if reader is not None else None


def error_of(event: ServerEvent) -> tuple[str, str, str]:
    """Code, message and the client event id (often missing) of an `error` event."""
    error = event.error if isinstance(event.error, dict) else {}
    code = error.get("code") or error.get("type") or "unknown"
    return str(code), str(error.get("message") or ""), str(error.get("event_id") or "")


def _speech(event: ServerEvent) -> EngineEvent | None:
    if not event.delta or not event.item_id:
        return None
    try:
        audio = binascii.a2b_base64(event.delta, strict_mode=True)
    except ValueError:
        raise Malformed("an audio delta that is not base64") from None
    return Speech(event.response_id or "", event.item_id, event.content_index or 0, audio)


def _agent_words(event: ServerEvent) -> EngineEvent | None:
    return Words("agent", event.item_id, event.delta, final=False) if event.item_id and event.delta else None


def _agent_words_done(event: ServerEvent) -> EngineEvent | None:
    words = event.transcript if event.transcript is not None else event.text
    return Words("agent", event.item_id, words, final=True) if event.item_id and words is not None else None


def _caller_words(event: ServerEvent) -> EngineEvent | None:
    return Words("caller", event.item_id, event.delta, final=False) if event.item_id and event.delta else None


def _caller_words_done(event: ServerEvent) -> EngineEvent | None:
    if not event.item_id or event.transcript is None:
        return None
    return Words("caller", event.item_id, event.transcript, final=True)


def _item(event: ServerEvent) -> EngineEvent | None:
    item = event.item if isinstance(event.item, dict) else {}
    who = {"user": "caller", "assistant": "agent"}.get(str(item.get("role")))
    name = item.get("id")
    if item.get("type") != "message" or who is None or not isinstance(name, str):
        return None
    return ItemOpened("caller" if who == "caller" else "agent", name)


def response_of(event: ServerEvent) -> dict[str, Any]:
    return event.response if isinstance(event.response, dict) else {}


def _response_started(event: ServerEvent) -> EngineEvent | None:
    name = response_of(event).get("id")
    return ResponseStarted(name) if isinstance(name, str) else None


def _response_done(event: ServerEvent) -> EngineEvent:
    done = response_done(event)
    if done.status == "failed" and done.detail in FATAL_CODES:
        return Lost(f"the engine refuses to answer: {done.detail}", retry=done.detail == EXPIRED)
    return done


def response_done(event: ServerEvent) -> ResponseDone:
    response = response_of(event)
    details = response.get("status_details")
    details = details if isinstance(details, dict) else {}
    error = details.get("error")
    code = str((error.get("code") or error.get("type") or "") if isinstance(error, dict) else "")
    return ResponseDone(
        str(response.get("id") or ""),
        str(response.get("status") or "completed"),
        code or str(details.get("reason") or ""),
    )


def tool_calls(items: Any) -> list[ToolCall]:
    """The complete function calls among these items: the arguments of others may break off anywhere."""
    found = []
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict) or item.get("type") != "function_call":
            continue
        call, name = item.get("call_id"), item.get("name")
        if item.get("status") == "completed" and isinstance(call, str) and isinstance(name, str):
            found.append(ToolCall(call, name, str(item.get("arguments") or "")))
    return found


def is_benign(code: str, message: str) -> bool:
    return code in BENIGN_CODES or (code == "invalid_value" and _SHORTER in message)


def _error(event: ServerEvent) -> EngineEvent:
    code, message, _ = error_of(event)
    if code in FATAL_CODES:
        return Lost(f"{code}: {message}"[:300], retry=code == EXPIRED)
    return Complaint(code, message[:300])


_READERS: Final[dict[str, Callable[[ServerEvent], EngineEvent | None]]] = {
    "response.output_audio.delta": _speech,
    "response.output_audio.done": lambda event: SpeechDone(
        event.response_id or "", event.item_id or "", event.content_index or 0
    ),
    "response.output_audio_transcript.delta": _agent_words,
    "response.output_audio_transcript.done": _agent_words_done,
    "response.output_text.delta": _agent_words,
    "response.output_text.done": _agent_words_done,
    "conversation.item.input_audio_transcription.delta": _caller_words,
    "conversation.item.input_audio_transcription.completed": _caller_words_done,
    "conversation.item.added": _item,
    "input_audio_buffer.speech_started": lambda event: SpeechStarted(),
    "input_audio_buffer.speech_stopped": lambda event: SpeechStopped(),
    "response.created": _response_started,
    "response.done": _response_done,
    "error": _error,
}
