"""Items that somebody else kept, as they are posted: read, and made fit for the history. Pure.

Card numbers, and what `redact_patterns` finds, are removed from them as from everything else: from words, names,
arguments, outputs, and the parts of a content.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import BadQuery, OutOfBounds
from callflow.history.projection import clean
from callflow.history.query import moment
from callflow.journal.redaction import Redactor


MOST_ITEMS: Final = 1000
"""Of one request."""
MOST_ITEM: Final = 64 << 10
"""Bytes of the content, arguments and output of one of them."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Word = Annotated[str, msgspec.Meta(max_length=50)]
_NOTHING: Final = (b"", b"null")


class _Item(msgspec.Struct):
    id: _Name
    type: Literal["message", "function_call", "function_call_output"]
    role: _Word | None = None
    status: _Word | None = None
    timestamp: _Word | None = None
    call_id: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    content: msgspec.Raw = msgspec.Raw(b"")
    params: msgspec.Raw = msgspec.Raw(b"")
    arguments: msgspec.Raw = msgspec.Raw(b"")
    output: msgspec.Raw = msgspec.Raw(b"")


_Items: Final = msgspec.defstruct(
    "_Items",
    [(f"item{number}", _Item | msgspec.UnsetType, msgspec.UNSET) for number in range(MOST_ITEMS)],
    array_like=True,
    forbid_unknown_fields=True,
)
"""A list, of which no more is made than may be there: `list` would make hundreds of thousands and then count them."""


class _Posted(msgspec.Struct):
    items: _Items  # type: ignore[valid-type]


def rows(body: bytes, redact: Redactor, now: str) -> list[dict[str, Any]]:
    """Make rows of `tables.items`, but for their conversation. `now`: for what has no time of its own, as `tables.iso`
    writes it.

    It takes its time: for another thread. Raises BadQuery.
    """
    try:
        posted = msgspec.structs.astuple(read(body, _Posted).items)
    except OutOfBounds as error:
        raise BadQuery(f'The body must be {{"items": [{{…}}, …]}} in JSON: {error}.') from None
    found = []
    for number, item in enumerate(posted):
        if item is msgspec.UNSET:
            break
        try:
            found.append(_row(item, redact, now))
        except ValueError as error:  # NotPlain and BadQuery are
            raise BadQuery(f"items[{number}] cannot be kept: {error}.") from None
    return found


def _row(item: _Item, redact: Redactor, now: str) -> dict[str, Any]:
    content, params, arguments, output = map(bytes, (item.content, item.params, item.arguments, item.output))
    if len(content) + len(params) + len(arguments) + len(output) > MOST_ITEM:
        raise BadQuery(f"its content, arguments and output are larger than {MOST_ITEM} bytes")
    for name in (item.id, item.call_id or ""):
        if redact.text(name) != name:
            raise BadQuery("an id must not hold what is taken out of the history, such as a card number")
    parts, words = _content(content, redact)
    return {
        "item_id": clean(item.id),
        "item_type": item.type,
        "role": _text(item.role, redact),
        "content": msgspec.json.encode(parts).decode(),
        "status": _text(item.status, redact) or "completed",
        "timestamp": moment(item.timestamp) if item.timestamp else now,
        "created_at": now,
        "call_id": clean(item.call_id),
        "function_name": _text(item.name, redact),
        "function_params": _data(arguments if params in _NOTHING else params, redact),
        "function_output": _data(output, redact),
        "text": words,
    }


def _text(given: str | None, redact: Redactor) -> str | None:
    return None if given is None else redact.text(clean(given))


def _data(raw: bytes, redact: Redactor) -> str | None:
    value = None if raw in _NOTHING else _fit(read(raw), redact)
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _content(raw: bytes, redact: Redactor) -> tuple[list[dict[str, Any]], str]:
    """The parts, and the words in them."""
    parts = [] if raw in (*_NOTHING, b'""') else read(raw)
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise BadQuery("its content must be a list of objects")
    texts = [part.get("text") or "" for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise BadQuery("the text of a part must be a string")
    shown = [_fit(part, redact) for part in parts]
    words = redact.text(clean(" ".join(texts)).strip())
    if words != " ".join(part.get("text") or "" for part in shown).strip():
        shown = [{"type": "text", "text": words}]  # what is to be taken out begins in one part and ends in another
    return shown, words


def _fit(value: Any, redact: Redactor) -> Any:
    """Return the value, redacted in all its parts."""
    return redact.data(_clean(value))


def _clean(value: Any) -> Any:
    """Without what no database takes: it could also stand between the digits of a number."""
    if isinstance(value, dict):
        return {clean(name): _clean(each) for name, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else clean(value)
