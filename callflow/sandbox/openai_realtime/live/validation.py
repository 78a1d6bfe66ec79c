"""What the emulated live server takes: which events, with which fields, of which kind.

Vendor: https://platform.openai.com/docs/guides/voice-websockets
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final


class Refused(Exception):
    """The server refuses an event."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


Fields = Mapping[str, type | tuple[type, ...]]
_TEXT: Final[Fields] = {"content": str, "delegation_id": str}
EVENTS: Final[Mapping[str, tuple[Fields, frozenset[str]]]] = {
    "session.start": ({"session": dict}, frozenset({"session"})),
    "session.update": ({"session": dict}, frozenset({"session"})),
    "session.input_audio.append": ({"audio": str}, frozenset({"audio"})),
    "session.input_audio.mute": ({}, frozenset()),
    "session.input_audio.unmute": ({}, frozenset()),
    "session.instructions.append": (_TEXT, frozenset({"content"})),
    "session.thinking.append": (_TEXT, frozenset({"content"})),
    "session.commentary.append": (_TEXT, frozenset({"content"})),
    "response.item.create": ({"item": dict}, frozenset({"item"})),
    "response.create": ({}, frozenset()),
    "session.output_audio.fixture.play": ({"audio": str}, frozenset({"audio"})),
    "decision.create": ({}, frozenset({"event_id"})),
    "decision.item.create": ({"item": dict}, frozenset({"item"})),
    "decision.item.delete": ({"item_id": str}, frozenset({"item_id"})),
    "session.close": ({}, frozenset()),
}
"""By type: the fields beside `type` and `event_id`, and those that must be there."""
_SESSION: Final[Fields] = {
    "model": str, "instructions": str, "audio": dict, "delegation": dict, "input": list, "store": bool,
    "safety_identifier": str, "triggers": list, "client": dict,
}  # fmt: skip
_QUESTIONS: Final[Mapping[str, tuple[Fields, frozenset[str]]]] = {
    "predicate": ({}, frozenset()),
    "choice": ({"choices": list}, frozenset({"choices"})),
    "score": ({"levels": list}, frozenset({"levels"})),
}
"""By type: the fields beside `type`, `name` and `instructions`, and those of them that must be there."""
_RESPONSES: Final = frozenset(
    [
        "model",
        "instructions",
        "max_output_tokens",
        "parallel_tool_calls",
        "reasoning",
        "service_tier",
        "text",
        "tool_choice",
        "tools",
    ]
)
_FORMATS: Final = {"audio/pcmu": (8000,), "audio/pcma": (8000,), "audio/pcm": (16000, 24000)}
_CONTENT: Final = {"developer": "input_text", "user": "input_text", "assistant": "output_text"}
_MOST_INSTRUCTIONS: Final = 16_384 * 4
_DELAY: Final = "acknowledgement_delay_ms"


def event(told: Any) -> dict[str, Any]:
    """Check an event of a client, and return it. Raises Refused."""
    if not isinstance(told, dict) or not isinstance(told.get("type"), str):
        raise Refused("invalid_event", "An event is an object with a type.", "type")
    known = EVENTS.get(told["type"])
    if known is None:
        raise Refused("unknown_event_type", f"Unknown event type '{told['type']}'.", "type")
    _fields(told, {"type": str, "event_id": str, **known[0]}, {"type", *known[1]}, "")
    if "audio" in known[1]:
        try:
            b64decode(told["audio"], validate=True)
        except ValueError:
            raise Refused("invalid_audio", "audio is not base64.", "audio") from None
    return told


def session(told: dict[str, Any]) -> dict[str, Any]:
    """Return the session of a `session.start` with its defaults. Raises Refused."""
    _fields(told, _SESSION, {"model"}, "session.")
    if not told["model"].startswith("gpt-live-"):
        raise Refused("model_not_found", f"The model '{told['model']}' does not exist.", "session.model")
    if len(told.get("instructions", "")) > _MOST_INSTRUCTIONS:
        raise Refused("string_above_max_length", "instructions are too long.", "session.instructions")
    audio = told.get("audio", {})
    _fields(audio, {"format": dict, "output": dict}, set(), "session.audio.")
    form = audio.get("format", {"type": "audio/pcm", "rate": 24000})
    _fields(form, {"type": str, "rate": int}, {"type", "rate"}, "session.audio.format.")
    if form["rate"] not in _FORMATS.get(form["type"], ()):
        raise Refused("invalid_value", "There is no such audio format.", "session.audio.format")
    _fields(audio.get("output", {}), {"voice": (str, dict)}, set(), "session.audio.output.")
    for number, item in enumerate(told.get("input", [])):
        _message(item, f"session.input[{number}].")
    _delegation(told.get("delegation", {"type": "client"}))
    return {**told, "audio": {**audio, "format": form}}


def _message(item: Any, where: str) -> None:
    if not isinstance(item, dict):
        raise Refused("invalid_type", "An item is an object.", where[:-1])
    _fields(item, {"role": str, "content": list, "type": str, "id": str, "status": str}, {"role", "content"}, where)
    kind = _CONTENT.get(item["role"])
    for part in item["content"]:
        if (
            not isinstance(part, dict)
            or part.get("type", "input_text") != kind
            or not isinstance(part.get("text"), str)
        ):
            raise Refused("invalid_value", f"The content of {item['role']} is {kind}.", f"{where}content")


def update(told: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """Return the `held` session after a `session.update`, which changes the delegation and the triggers only. Raises
    Refused."""
    _fields(told, {"delegation": dict, "triggers": list}, set(), "session.")
    before, wanted = held.get("delegation", {"type": "client"}), told.get("delegation", {})
    if not wanted:
        return {**held, **told}
    if wanted.get("type") != before["type"]:
        raise Refused("invalid_value", "A session keeps its kind of delegation.", "session.delegation.type")
    merged = {**before, **wanted}
    for inner in ("responses", "decisions"):
        if isinstance(wanted.get(inner), dict):
            merged[inner] = {**before[inner], **wanted[inner]}
    _delegation(merged)
    return {**held, **told, "delegation": merged}


def _delegation(told: dict[str, Any]) -> None:
    kind = told.get("type")
    if kind == "client":
        _fields(told, {"type": str, _DELAY: int}, {"type"}, "session.delegation.")
    elif kind == "responses":
        _fields(told, {"type": str, "responses": dict, _DELAY: int}, {"type", "responses"}, "session.delegation.")
        where = "session.delegation.responses."
        _fields(told["responses"], dict.fromkeys(_RESPONSES, object), {"model"}, where)
        for tool in told["responses"].get("tools", []):
            if tool.get("type") == "function":
                kinds: Fields = {"type": str, "name": str, "description": str, "parameters": dict, "strict": bool}
                _fields(tool, kinds, {"type", "name"}, f"{where}tools.")
    elif kind == "decisions":
        _fields(told, {"type": str, "decisions": dict, _DELAY: int}, {"type", "decisions"}, "session.delegation.")
        where = "session.delegation.decisions."
        _fields(told["decisions"], {"model": str, "questions": list}, {"model", "questions"}, where)
        for question in told["decisions"]["questions"]:
            asked = _QUESTIONS.get(question.get("type", "")) if isinstance(question, dict) else None
            if asked is None:
                raise Refused("invalid_value", "There is no such question.", f"{where}questions")
            known: Fields = {"type": str, "name": str, "instructions": (str, list), **asked[0]}
            _fields(question, known, {"type", "instructions", *asked[1]}, f"{where}questions.")
    else:
        raise Refused("invalid_value", "There is no such delegation.", "session.delegation.type")


def _fields(told: dict[str, Any], known: Fields, needed: set[str], where: str) -> None:
    for name, value in told.items():
        if name not in known:
            raise Refused("unknown_parameter", f"Unknown parameter: '{where}{name}'.", f"{where}{name}")
        kinds = known[name]
        if not isinstance(value, kinds):
            raise Refused("invalid_type", f"'{where}{name}' is of the wrong type.", f"{where}{name}")
    for name in sorted(needed - told.keys()):
        raise Refused("missing_required_parameter", f"Missing required parameter: '{where}{name}'.", f"{where}{name}")
