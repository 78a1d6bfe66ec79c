"""The rules for values inside client events, with OpenAI's words for a refusal.

A rule is a function of a value and its path, which raises Refusal. Rules are built from smaller ones: `object_of` of
`text`, `number`, `array_of`, … OpenAI refuses unknown keys, and so do they. Only the first mistake is reported.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from callflow.sandbox.openai_realtime.errors import Refusal


Check = Callable[[Any, str], None]
"""Called with a value and its path; raises Refusal."""


def unknown(path: str) -> Refusal:
    """Make the refusal of a key that is not known."""
    return Refusal(f"Unknown parameter: '{path}'.", "unknown_parameter", path)


def missing(path: str) -> Refusal:
    """Make the refusal for a key that is missing."""
    return Refusal(f"Missing required parameter: '{path}'.", "missing_required_parameter", path)


def wrong_type(path: str, expected: str, value: object) -> Refusal:
    """Make the refusal of a value of the wrong type; `expected` is such as "a string"."""
    got = _kind(value)
    return Refusal(f"Invalid type for '{path}': expected {expected}, but got {got} instead.", "invalid_type", path)


def unsupported(value: object, supported: Iterable[str], path: str) -> Refusal:
    """Make the refusal of a string that is not among those `supported`."""
    names = [f"'{name}'" for name in supported]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    if len(names) == 2:
        listed = f"{names[0]} and {names[1]}"
    return Refusal(f"Invalid value: '{value}'. Supported values are: {listed}.", "invalid_value", path)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def one_of(*supported: str) -> Check:
    """Make the check for one of those strings."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(path, f"one of {', '.join(repr(name) for name in supported)}", value)
        if value not in supported:
            raise unsupported(value, supported, path)

    return check


def text(*, longest: int | None = None, pattern: str | None = None) -> Check:
    """Make the check for a string of at most `longest` characters that matches `pattern`."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if longest is not None and len(value) > longest:
            raise Refusal(
                f"Invalid '{path}': string too long. Expected a string with maximum length {longest}, "
                f"but got a string with length {len(value)} instead.",
                "string_above_max_length",
                path,
            )
        if pattern is not None and not re.fullmatch(pattern, value):
            raise Refusal(
                f"Invalid '{path}': string does not match pattern. "
                f"Expected a string that matches the pattern '^{pattern}$'.",
                "invalid_value",
                path,
            )

    return check


def flag(value: Any, path: str) -> None:
    """Check for a boolean. Raises Refusal."""
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean", value)


def number(lowest: float | None = None, highest: float | None = None, *, integer: bool = False) -> Check:
    """Make the check for a number from `lowest` to `highest`."""
    kind = "integer" if integer else "decimal"

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int if integer else int | float):
            raise wrong_type(path, "an integer" if integer else "a decimal", value)
        for bound, beyond, name, sign in (
            (lowest, lowest is not None and value < lowest, "below_min", ">="),
            (highest, highest is not None and value > highest, "above_max", "<="),
        ):
            if beyond:
                side = name.replace("_max", " maximum").replace("_min", " minimum")
                raise Refusal(
                    f"Invalid '{path}': {kind} {side} value. Expected a value {sign} {bound}, but got {value} instead.",
                    f"{kind}_{name}_value",
                    path,
                )

    return check


def anything(value: Any, path: str) -> None:
    """Accept any value: no rule is known."""


def plain_object(value: Any, path: str) -> None:
    """Check for an object with any keys. Raises Refusal."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)


def nullable(inner: Check) -> Check:
    """Make the check for null, or a value that obeys the other rule."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def array_of(inner: Check, *, most: int | None = None) -> Check:
    """Make the check for an array of at most `most` values that obey the other rule."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_type(path, "an array", value)
        if most is not None and len(value) > most:
            raise Refusal(
                f"Invalid '{path}': array too long. Expected an array with maximum length {most}, "
                f"but got an array with length {len(value)} instead.",
                "array_above_max_length",
                path,
            )
        for n, entry in enumerate(value):
            inner(entry, f"{path}[{n}]")

    return check


def object_of(fields: Mapping[str, Check], *, required: Iterable[str] = ()) -> Check:
    """Make the check for an object with no other keys than `fields`, and all of those that are `required`."""
    needed = tuple(required)

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        for name in needed:
            if name not in value:
                raise missing(f"{path}.{name}")
        for name, entry in value.items():
            if name not in fields:
                raise unknown(f"{path}.{name}")
            fields[name](entry, f"{path}.{name}")

    return check


def by_type(kinds: Mapping[str, Check], *, key: str = "type") -> Check:
    """Make the check for an object whose `type` (or another `key`) decides which rule it obeys."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        if key not in value:
            raise missing(f"{path}.{key}")
        one_of(*kinds)(value[key], f"{path}.{key}")
        kinds[value[key]](value, path)

    return check


def string_or(strings: Iterable[str], inner: Check) -> Check:
    """Make the check for one of those strings, or no string and a value that obeys the other rule."""
    allowed = one_of(*strings)

    def check(value: Any, path: str) -> None:
        (allowed if isinstance(value, str) else inner)(value, path)

    return check


TOKENS: Final[Check] = string_or(("inf",), number(1, 4096, integer=True))
_ANY_TEXT: Final = text()

FORMAT: Final = by_type(
    {
        "audio/pcm": object_of({"type": anything, "rate": number(24000, 24000, integer=True)}),
        "audio/pcmu": object_of({"type": anything}),
        "audio/pcma": object_of({"type": anything}),
    }
)
"""G.711 is 8 kHz by definition: a `rate` beside audio/pcmu is an unknown parameter."""
VOICES: Final = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
VOICE: Final = string_or(VOICES, object_of({"id": text(pattern="voice_.+")}, required=("id",)))

MCP_PLACES: Final = ("server_url", "connector_id", "tunnel_id")
"""Where an MCP server is; a tool with none of them stands for one that was defined before."""
_MCP_FILTER: Final = object_of({"tool_names": array_of(_ANY_TEXT), "read_only": flag})


def _mcp(value: Any, path: str) -> None:
    _MCP_FIELDS(value, path)
    places = [name for name in MCP_PLACES if name in value]
    if len(value) > 2 and not places:
        raise missing(f"{path}.server_url")
    if len(places) > 1:
        raise Refusal(f"Only one of {' and '.join(places)} may be given.", "invalid_value", f"{path}.{places[1]}")
    headers = value.get("headers")
    names = {str(name).lower() for name in headers} if isinstance(headers, dict) else set()
    if "authorization" in value and "authorization" in names:
        message = "Only one of 'authorization' and an Authorization header may be given."
        raise Refusal(message, "invalid_value", f"{path}.authorization")


_MCP_FIELDS: Final = object_of(
    {
        "type": anything,
        "server_label": _ANY_TEXT,
        "server_url": _ANY_TEXT,
        "connector_id": _ANY_TEXT,
        "tunnel_id": _ANY_TEXT,
        "authorization": _ANY_TEXT,
        "headers": anything,
        "allowed_tools": lambda value, path: (array_of(_ANY_TEXT) if isinstance(value, list) else _MCP_FILTER)(
            value, path
        ),
        "require_approval": string_or(("always", "never"), object_of({"always": _MCP_FILTER, "never": _MCP_FILTER})),
        "server_description": _ANY_TEXT,
        "allowed_callers": array_of(_ANY_TEXT),
        "defer_loading": flag,
    },
    required=("server_label",),
)
TOOLS: Final = array_of(
    by_type(
        {
            "function": object_of(
                {
                    "type": anything,
                    "name": text(longest=64, pattern="[a-zA-Z0-9_-]+"),
                    "description": _ANY_TEXT,
                    "parameters": plain_object,
                },
                required=("name",),
            ),
            "mcp": _mcp,
        }
    )
)
TOOL_CHOICE: Final = string_or(
    ("none", "auto", "required"),
    by_type(
        {
            "function": object_of({"type": anything, "name": _ANY_TEXT}, required=("name",)),
            "mcp": object_of(
                {"type": anything, "server_label": _ANY_TEXT, "name": _ANY_TEXT}, required=("server_label",)
            ),
        }
    ),
)
REASONING: Final = nullable(object_of({"effort": one_of("minimal", "low", "medium", "high", "xhigh")}))


def modalities(value: Any, path: str) -> None:
    """Check for ["audio"] or ["text"]: both at once was possible in the beta interface only. Raises Refusal."""
    array_of(one_of("text", "audio"))(value, path)
    if len(value) != 1:
        raise Refusal(
            f"Invalid modalities: {value}. Supported combinations are: ['text'] and ['audio'].", "invalid_value", path
        )


def metadata(value: Any, path: str) -> None:
    """Check for null, or an object of at most 16 strings of at most 512 characters. Raises Refusal."""
    if value is None:
        return
    plain_object(value, path)
    if len(value) > 16:
        raise Refusal(
            f"Invalid '{path}': too many properties. Expected at most 16.", "object_above_max_properties", path
        )
    for name, entry in value.items():
        text(longest=64)(name, f"{path}.{name}")
        text(longest=512)(entry, f"{path}.{name}")


def with_definitions(tools: list[dict[str, Any]], defined: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Return tools that obey TOOLS, with what was `defined` before in place of an MCP server's mere label. Raises
    Refusal for a label that was not."""
    known = {tool["server_label"]: tool for tool in defined if tool["type"] == "mcp"}
    found = []
    for n, tool in enumerate(tools):
        is_label = tool["type"] == "mcp" and not any(name in tool for name in MCP_PLACES)
        if is_label and tool["server_label"] not in known:
            raise Refusal(
                f"MCP server '{tool['server_label']}' is not defined.", "invalid_value", f"{path}[{n}].server_label"
            )
        found.append(known[tool["server_label"]] if is_label else tool)
    return found


def duplicate_labels(tools: list[dict[str, Any]], path: str) -> None:
    """Refuse two MCP servers of the same label among tools that obey TOOLS. Raises Refusal."""
    seen: set[str] = set()
    for n, tool in enumerate(tools):
        label = tool.get("server_label") if tool["type"] == "mcp" else None
        if label is not None and label in seen:
            raise Refusal(f"Duplicate MCP server label: '{label}'.", "invalid_value", f"{path}[{n}].server_label")
        if label is not None:
            seen.add(label)


_IMAGE_URL: Final = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/]+={0,2})")
_IMAGES: Final = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
_MOST_IMAGE: Final = 20 << 20


def _image_url(value: Any, path: str) -> None:
    """A data URL of a PNG or a JPEG."""
    _ANY_TEXT(value, path)
    found = _IMAGE_URL.fullmatch(value)
    if found is None or len(found[2]) % 4:
        raise Refusal(f"Invalid '{path}': expected a base64-encoded PNG or JPEG as a data URL.", "invalid_value", path)
    if len(found[2]) * 3 // 4 > _MOST_IMAGE:
        raise Refusal(f"Invalid '{path}': the image is too large.", "invalid_value", path)
    if not base64.b64decode(found[2][:64]).startswith(_IMAGES[found[1]]):
        raise Refusal(f"Invalid '{path}': the image data is not {found[1].upper()}.", "invalid_image_format", path)


_CONTENT: Final = {
    "user": by_type(
        {
            "input_text": object_of({"type": anything, "text": _ANY_TEXT}, required=("text",)),
            "input_audio": object_of({"type": anything, "audio": _ANY_TEXT, "transcript": nullable(_ANY_TEXT)}),
            "input_image": object_of(
                {
                    "type": anything,
                    "image_url": _image_url,
                    "detail": one_of("auto", "low", "high"),
                },
                required=("image_url",),
            ),
        }
    ),
    "system": by_type({"input_text": object_of({"type": anything, "text": _ANY_TEXT}, required=("text",))}),
    # A client cannot add the model's audio, so history is replayed as text.
    "assistant": by_type({"output_text": object_of({"type": anything, "text": _ANY_TEXT}, required=("text",))}),
}
_COMMON: Final[dict[str, Check]] = {
    "id": text(longest=32),
    "object": one_of("realtime.item"),
    "status": one_of("completed", "incomplete", "in_progress"),
    "type": anything,
}
_MESSAGE: Final = by_type(
    {
        role: object_of({**_COMMON, "role": anything, "content": array_of(content)}, required=("content",))
        for role, content in _CONTENT.items()
    },
    key="role",
)


def _item_of(required: tuple[str, ...], **fields: Check) -> Check:
    return object_of({**_COMMON, **fields}, required=required)


ITEM: Final = by_type(
    {
        "message": _MESSAGE,
        "function_call": _item_of(("name", "arguments"), name=_ANY_TEXT, arguments=_ANY_TEXT, call_id=_ANY_TEXT),
        "function_call_output": _item_of(("call_id", "output"), call_id=_ANY_TEXT, output=_ANY_TEXT),
        "mcp_approval_response": _item_of(
            ("id", "approval_request_id", "approve"),
            approval_request_id=_ANY_TEXT,
            approve=flag,
            reason=nullable(_ANY_TEXT),
        ),
    }
)


def _reference_or_item(value: Any, path: str) -> None:
    if isinstance(value, dict) and value.get("type") == "item_reference":
        object_of({"type": anything, "id": _ANY_TEXT}, required=("id",))(value, path)
    else:
        ITEM(value, path)


RESPONSE: Final = object_of(
    {
        "instructions": _ANY_TEXT,
        "output_modalities": modalities,
        "audio": object_of({"output": object_of({"format": FORMAT, "voice": VOICE})}),
        "tools": TOOLS,
        "tool_choice": TOOL_CHOICE,
        "parallel_tool_calls": flag,
        "reasoning": REASONING,
        "max_output_tokens": TOKENS,
        "conversation": one_of("auto", "none"),
        "metadata": metadata,
        "input": array_of(_reference_or_item),
        "prompt": anything,
    }
)
