"""The eleven client events of OpenAI Realtime: parsed from a frame, and validated.

https://platform.openai.com/docs/api-reference/realtime-client-events
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from callflow.sandbox.openai_realtime import validation as check
from callflow.sandbox.openai_realtime.errors import Refusal


_ANY_TEXT: Final = check.text()
_EVENT_ID: Final = check.nullable(check.text(longest=512))
_POSITION: Final = check.number(0, integer=True)

# type -> (required fields, optional fields) beside `type` and `event_id`. The session object is checked by config.py.
CLIENT_EVENTS: Final[dict[str, tuple[dict[str, check.Check], dict[str, check.Check]]]] = {
    "session.update": ({"session": check.plain_object}, {}),
    "input_audio_buffer.append": ({"audio": _ANY_TEXT}, {}),
    "input_audio_buffer.commit": ({}, {}),
    "input_audio_buffer.clear": ({}, {}),
    "output_audio_buffer.clear": ({}, {}),
    "conversation.item.create": ({"item": check.ITEM}, {"previous_item_id": check.nullable(_ANY_TEXT)}),
    "conversation.item.retrieve": ({"item_id": _ANY_TEXT}, {}),
    "conversation.item.truncate": (
        {"item_id": _ANY_TEXT, "content_index": _POSITION, "audio_end_ms": _POSITION},
        {},
    ),
    "conversation.item.delete": ({"item_id": _ANY_TEXT}, {}),
    "response.create": ({}, {"response": check.nullable(check.RESPONSE)}),
    "response.cancel": ({}, {"response_id": check.nullable(_ANY_TEXT)}),
}


def parse(frame: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text frame. Raises Refusal."""
    if isinstance(frame, bytes):
        raise Refusal("Binary messages are not supported.", "invalid_event")
    try:
        event = msgspec.json.decode(frame)
    except msgspec.DecodeError:
        raise Refusal("The event could not be parsed as JSON.", "invalid_json") from None
    if not isinstance(event, dict):
        raise Refusal("The event must be a JSON object.", "invalid_event")
    return event


def validate(event: dict[str, Any]) -> None:
    """Check that it is a client event of a known type with the right fields. Raises Refusal."""
    if "type" not in event:
        raise Refusal("The 'type' field is missing.", "invalid_event")
    check.one_of(*CLIENT_EVENTS)(event["type"], "type")
    required, optional = CLIENT_EVENTS[event["type"]]
    for name in required:
        if name not in event:
            raise check.missing(name)
    for name, value in event.items():
        if name == "type":
            continue
        rule = _EVENT_ID if name == "event_id" else required.get(name) or optional.get(name)
        if rule is None:
            raise check.unknown(name)
        rule(value, name)
