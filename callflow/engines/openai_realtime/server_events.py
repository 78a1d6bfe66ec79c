"""Decodes the events of OpenAI Realtime, and translates them into engine events (`callflow.contracts.engine`). Pure.

Unknown events and fields are ignored; a malformed event raises Malformed and does not end the session. The event names
of the beta interface are read as those of the GA interface, because servers of other vendors still send them.

Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Final, TypeAlias, TypeGuard

import msgspec

from callflow.contracts import lenient_json
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    EngineEvent,
    ErrorReported,
    ItemAdded,
    ResponseDone,
    ResponseStarted,
    SessionLost,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TranscriptFailed,
)
from callflow.contracts.errors import Malformed
from callflow.contracts.loose_base64 import loosely_decoded
from callflow.contracts.tools import MOST_ARGUMENTS, ToolCall


AUDIO_DELTA: Final = "response.output_audio.delta"
BETA_NAMES: Final = {
    "response.audio.delta": AUDIO_DELTA,
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "conversation.item.created": "conversation.item.added",
}
"""Names of the beta interface, each with its name in the GA interface."""

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
"""Error codes after which this session can give no answers."""
EXPIRED: Final = "session_expired"
"""The only fatal code after which a new session helps."""

BENIGN_CODES: Final = frozenset(
    {
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
        "item_truncate_invalid_item_id",
    }
)
"""Harmless errors, caused by messages that cross on the wire. They are reported to the call without further effect."""
ACTIVE_RESPONSE: Final = "conversation_already_has_active_response"
_SHORTER: Final = "is already shorter than"
"""Part of the message of a harmless error: `conversation.item.truncate` was sent for a point behind the end of the
audio."""


_MOST_BYTES: Final = 1 << 20
"""The most bytes of an event other than audio."""
_MOST_NAME: Final = 200
"""The most characters of an id, a code or a status; the vendor's have at most 40."""
_MOST_MESSAGE: Final = 2000
"""The most characters of an error's message."""
_MOST_MS: Final = 1e9
_MOST_CONTENT: Final = 1_000_000
"""The largest content index."""
_Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=_MOST_NAME)]


class ServerEvent(msgspec.Struct):
    """The fields that we read, of all events together. None: the field is missing or null."""

    type: str
    delta: str | None = None
    response_id: _Id | None = None
    item_id: _Id | None = None
    content_index: Annotated[int, msgspec.Meta(ge=0, le=_MOST_CONTENT)] | None = None
    audio_end_ms: Annotated[float, msgspec.Meta(ge=0.0, le=_MOST_MS)] | None = None
    transcript: str | None = None
    text: str | None = None
    item: Any = None
    response: Any = None
    session: Any = None
    error: Any = None
    usage: Any = None
    rate_limits: Any = None
    event: str | None = None


class _Delta(msgspec.Struct):
    """The decoded fields of an event above `_MOST_BYTES`: only audio may be that long."""

    type: str
    delta: str
    response_id: Any = None
    item_id: Any = None
    content_index: Any = None


_new_audio: Final = partial(tuple.__new__, AudioDelta)
"""Makes one without a function of Python."""
_decode: Final = msgspec.json.Decoder(ServerEvent).decode
_decode_delta: Final = msgspec.json.Decoder(_Delta).decode


def decode(message: bytes | str) -> ServerEvent:
    """Decode an event. Raises Malformed."""
    try:
        event = _decode(message) if len(message) <= _MOST_BYTES else _long(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        event = _leniently(message, error)
    if event.type != AUDIO_DELTA:  # by far the most frequent
        event.type = BETA_NAMES.get(event.type, event.type)[:_MOST_NAME]
    return event


def _long(message: bytes | str) -> ServerEvent:
    delta = _decode_delta(message)
    if BETA_NAMES.get(delta.type, delta.type) != AUDIO_DELTA:
        raise Malformed(f"{delta.type[:_MOST_NAME]} of {len(message)} bytes")
    return _fitted(msgspec.structs.asdict(delta))


def _leniently(message: bytes | str, refusal: Exception) -> ServerEvent:
    """Decode an event that the strict decoder refuses, leaving out unreadable fields."""
    if len(message) > _MOST_BYTES:
        raise Malformed(f"not a Realtime event: {refusal}") from None
    try:
        fields = lenient_json.read(message)
    except (ValueError, RecursionError):
        raise Malformed(f"not a Realtime event: {refusal}") from None
    return _fitted(fields)


def _fitted(fields: Mapping[str, Any]) -> ServerEvent:
    """Return an event with each field in its declared type, or None. Raises Malformed for an id that is empty or too
    long; without another field the event is still of use."""
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise Malformed("an event without a type")
    names = ("delta", "response_id", "item_id", "transcript", "text", "event")
    texts = {name: lenient_json.text(fields.get(name)) for name in names}
    if not all(texts[name] is None or _is_id(texts[name]) for name in ("response_id", "item_id")):
        raise Malformed(f"{kind[:_MOST_NAME]} with an id that is empty or too long")
    parts = {name: fields.get(name) for name in ("item", "response", "session", "error", "usage", "rate_limits")}
    content, ends = lenient_json.integer(fields.get("content_index")), lenient_json.number(fields.get("audio_end_ms"))
    return ServerEvent(
        kind,
        content_index=content if content is not None and 0 <= content <= _MOST_CONTENT else None,
        audio_end_ms=ends if ends is not None and 0 <= ends <= _MOST_MS else None,
        **texts,
        **parts,
    )


def read(event: ServerEvent) -> EngineEvent | None:
    """Return the engine event of a server event; None: there is none. Raises Malformed for an invalid field."""
    reader = _READERS.get(event.type)
    return reader(event) if reader is not None else None


def error_of(event: ServerEvent) -> tuple[str, str, str]:
    """Return code, message and the id of the client event that failed, which is often missing ("").

    Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/error
    """
    error = event.error if isinstance(event.error, dict) else {}
    code = error.get("code") or error.get("type") or "unknown"
    return _name(code), str(error.get("message") or "")[:_MOST_MESSAGE], _name(error.get("event_id"))


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _MOST_NAME


def _name(value: Any) -> str:
    """Return a value as short text; "" for an object or a list."""
    return str(value)[:_MOST_NAME] if isinstance(value, (str, int, float)) else ""


def audio_delta(event: ServerEvent) -> AudioDelta | None:
    """Return the audio of an event of this type; None: it has none. Raises Malformed.

    Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/output_audio/delta
    """
    if not event.delta or not event.item_id:
        return None
    try:
        audio = binascii.a2b_base64(event.delta, strict_mode=True)
    except ValueError:
        loose = loosely_decoded(event.delta)
        if loose is None:
            raise Malformed("an audio delta that is not base64") from None
        audio = loose
    return _new_audio((event.response_id or "", event.item_id, event.content_index or 0, audio))


def _agent_delta(event: ServerEvent) -> EngineEvent | None:
    """Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/output_audio_transcript/delta"""
    return Transcript("agent", event.item_id, event.delta, final=False) if event.item_id and event.delta else None


def _agent_done(event: ServerEvent) -> EngineEvent | None:
    """Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/output_audio_transcript/done"""
    words = event.transcript if event.transcript is not None else event.text
    return Transcript("agent", event.item_id, words, final=True) if event.item_id and words is not None else None


def _caller_delta(event: ServerEvent) -> EngineEvent | None:
    """Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/conversation/item/input_audio_transcription/delta"""
    return Transcript("caller", event.item_id, event.delta, final=False) if event.item_id and event.delta else None


def _caller_done(event: ServerEvent) -> EngineEvent | None:
    """Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/conversation/item/input_audio_transcription/completed"""
    if not event.item_id or event.transcript is None:
        return None
    return Transcript("caller", event.item_id, event.transcript, final=True)


def _caller_failed(event: ServerEvent) -> EngineEvent | None:
    """Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/conversation/item/input_audio_transcription/failed"""
    if not event.item_id:
        return None
    code, message, _ = error_of(event)
    return TranscriptFailed(event.item_id, f"{code}: {message}"[:300] if message else code)


def _item_added(event: ServerEvent) -> EngineEvent | None:
    """Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/conversation/item/added"""
    item = event.item if isinstance(event.item, dict) else {}
    who = {"user": "caller", "assistant": "agent"}.get(str(item.get("role")))
    name = item.get("id")
    if item.get("type") != "message" or who is None or not _is_id(name):
        return None
    return ItemAdded("caller" if who == "caller" else "agent", name)


def response_of(event: ServerEvent) -> dict[str, Any]:
    """Return the `response` object of an event; {} if it has none."""
    return event.response if isinstance(event.response, dict) else {}


def _response_started(event: ServerEvent) -> EngineEvent | None:
    """Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/created"""
    name = response_of(event).get("id")
    return ResponseStarted(name) if _is_id(name) else None


def _response_done(event: ServerEvent) -> EngineEvent:
    done = response_done(event)
    if done.status == "failed" and done.detail in FATAL_CODES:
        return SessionLost(f"the engine refuses to answer: {done.detail}", retry=done.detail == EXPIRED)
    return done


def response_done(event: ServerEvent) -> ResponseDone:
    """Return id, status and reason. A missing status means `completed`.

    Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
    """
    response = response_of(event)
    details = response.get("status_details")
    details = details if isinstance(details, dict) else {}
    error = details.get("error")
    code = _name((error.get("code") or error.get("type") or "") if isinstance(error, dict) else "")
    return ResponseDone(
        _name(response.get("id")),
        _name(response.get("status")) or "completed",
        code or _name(details.get("reason")),
    )


def tool_calls(items: Any) -> list[ToolCall]:
    """Return the function calls among these items that are complete and can be answered.

    The arguments of an incomplete call may break off anywhere. A missing status means complete.
    """
    return [
        ToolCall(item["call_id"], item["name"], _arguments(item.get("arguments")))
        for item in _complete_calls(items)
        if _can_be_answered(item)
    ]


def has_nameless_calls(items: Any) -> bool:
    """Return whether some function calls cannot be answered, because id or name are missing or too long."""
    return not all(map(_can_be_answered, _complete_calls(items)))


def _complete_calls(items: Any) -> Iterator[dict[str, Any]]:
    for item in items if isinstance(items, list) else ():
        is_call = isinstance(item, dict) and item.get("type") == "function_call"
        if is_call and item.get("status") not in ("incomplete", "in_progress"):
            yield item


def _can_be_answered(call: Mapping[str, Any]) -> bool:
    names = call.get("call_id"), call.get("name")
    return all(_is_id(name) and not name.isspace() for name in names)


def _arguments(given: Any) -> str:
    """Return the arguments as JSON text: some servers send the object itself.

    Text that is too long is cut one character above the limit, so that the tool refuses it.
    """
    text = given or ""
    if not isinstance(text, str):
        try:
            text = msgspec.json.encode(given).decode()
        except RecursionError:
            text = "["  # not valid JSON, so the tool refuses it
    return text[: MOST_ARGUMENTS + 1]


def is_benign(code: str, message: str) -> bool:
    """Return whether an error is harmless: see `BENIGN_CODES`."""
    return code in BENIGN_CODES or (code == "invalid_value" and _SHORTER in message)


def _error(event: ServerEvent) -> EngineEvent:
    code, message, _ = error_of(event)
    if code in FATAL_CODES:
        return SessionLost(f"{code}: {message}"[:300], retry=code == EXPIRED)
    return ErrorReported(code, message[:300])


_READERS: Final[dict[str, Callable[[ServerEvent], EngineEvent | None]]] = {
    AUDIO_DELTA: audio_delta,
    "response.output_audio.done": lambda event: AudioDone(
        event.response_id or "", event.item_id or "", event.content_index or 0
    ),
    "response.output_audio_transcript.delta": _agent_delta,
    "response.output_audio_transcript.done": _agent_done,
    "response.output_text.delta": _agent_delta,
    "response.output_text.done": _agent_done,
    "conversation.item.input_audio_transcription.delta": _caller_delta,
    "conversation.item.input_audio_transcription.completed": _caller_done,
    "conversation.item.input_audio_transcription.failed": _caller_failed,
    "conversation.item.added": _item_added,
    "input_audio_buffer.speech_started": lambda event: SpeechStarted(),
    "input_audio_buffer.speech_stopped": lambda event: SpeechStopped(),
    "response.created": _response_started,
    "response.done": _response_done,
    "error": _error,
}
