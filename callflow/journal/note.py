"""How a note is declared, written and read: the base of every kind in `notes.py`. Pure.

A note is a journal entry that is no step of the machine: something worth remembering that decides nothing. It is
written as one flat JSON object, `{"event": <kind>, <field>: <value>, …}`:

- a field that is marked `PRIVATE` or `GROWING` (`contracts.private_fields`) is looked through by redaction;
- a field that is marked `OPTIONAL` is left out where it holds its default;
- `version` stands in it from the second version of a kind on;
- fields that this version does not know are kept in `more`, and written again.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, ClassVar, Final, TypeVar

from msgspec import NODEFAULT, Struct, field
from msgspec.structs import FieldInfo, fields

from callflow.contracts import private_fields


OPTIONAL: Final = "optional"
"""Marks a field that is not written where it holds its default."""
_RESERVED: Final = frozenset({"event", "version"})


class Part(Struct, frozen=True, kw_only=True):
    """An object inside a note, such as each cut of an interruption."""

    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields that this version does not know."""


class Note(Part, frozen=True, kw_only=True):
    """One kind of note. A field without a default is essential: a note without it cannot be read as this kind."""

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    """Raised when a field is added or changes its meaning. Missing fields of an older version have their defaults."""


class UnknownNote(Struct, frozen=True):
    """A note that cannot be read as one of ours: kept as it stands, and shown."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    """What is wrong with it; "": nothing, a newer version knows this kind."""


P = TypeVar("P", bound=Part)


class _Field(Struct, frozen=True):
    """One field of a kind."""

    name: str
    key: str
    """Its name in JSON."""
    is_optional: bool
    default: Any
    """NODEFAULT: it has none, or one that is made anew each time."""
    is_essential: bool
    types: tuple[type, ...]
    """Of its values in JSON; (object,): any."""
    part: type[Part] | None
    """It is a list of these."""


_schemas: Final[dict[type[Part], tuple[_Field, ...]]] = {}


def schema(kind: type[Part]) -> tuple[_Field, ...]:
    """Return the fields of a kind, but for `more`."""
    found = _schemas.get(kind)
    if found is None:
        hints = private_fields.hints_of(kind)
        found = tuple(_field(each, hints[each.name]) for each in fields(kind) if each.name != "more")
        _schemas[kind] = found
    return found


def _field(each: FieldInfo, hint: Any) -> _Field:
    marks = getattr(hint, "__metadata__", ())
    if marks:
        hint = hint.__origin__
    arguments = typing.get_args(hint)
    part = arguments[0] if arguments and isinstance(arguments[0], type) and issubclass(arguments[0], Part) else None
    return _Field(
        each.name,
        each.encode_name,
        OPTIONAL in marks,
        each.default,
        each.required,
        _types(hint),
        part,
    )


def _types(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, UnionType):
        return tuple(one for each in typing.get_args(hint) for one in _types(each))
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return tuple({type(each) for each in typing.get_args(hint)})
    if origin is Any or not isinstance(origin, type):
        return (object,)
    if origin in (int, float):
        return (int, float)
    if issubclass(origin, (list, tuple)):
        return (list, tuple)
    return (dict,) if issubclass(origin, Mapping) else (origin,)


def marks_of(kind: type[Part]) -> dict[str, Any]:
    """Return the mark of each field of a kind (see `private_fields.Mark`), by its key: of a list of parts, the marks of
    their fields, by key."""
    parts = {each.key: marks_of(each.part) for each in schema(kind) if each.part is not None}
    marks = private_fields.marks_of(kind)
    del marks["more"]  # what it holds is written beside the others
    return {**marks, **parts}


def to_json(note: Note | UnknownNote) -> dict[str, Any]:
    """Return the note as it is written: plain data, with its kind as `event`."""
    if isinstance(note, UnknownNote):
        return {"event": note.kind, **note.fields}
    written: dict[str, Any] = {"event": note.kind}
    if note.version > 1:
        written["version"] = note.version
    return _write(note, written)


def _write(part: Part, written: dict[str, Any]) -> dict[str, Any]:
    for each in schema(type(part)):
        value = getattr(part, each.name)
        if each.is_optional and (value == each.default or (each.default is NODEFAULT and not value)):
            continue
        written[each.key] = [_write(one, {}) for one in value] if each.part is not None else value
    written |= part.more
    return written


def read_as(kind: type[P], written: Mapping[str, Any]) -> P:
    """Return the note or part. Raises ValueError where an essential field is missing, or one is of another type."""
    found: dict[str, Any] = {}
    known = set(_RESERVED) if issubclass(kind, Note) else set()
    for each in schema(kind):
        known.add(each.key)
        if each.key in written:
            found[each.name] = _value(each, written[each.key])
        elif each.is_essential:
            raise ValueError(f"{each.key} is missing")
    more = {key: value for key, value in written.items() if key not in known}
    if issubclass(kind, Note) and written.get("version", 1) != kind.version and "version" in written:
        more["version"] = written["version"]
    make: Callable[..., P] = kind
    return make(**found, more=more)


def _value(each: _Field, value: Any) -> Any:
    if not isinstance(value, each.types):
        raise ValueError(f"{each.key} is {type(value).__name__}")
    if each.part is None:
        return value
    parts = typing.cast(list[Any], value)
    if not all(isinstance(one, Mapping) for one in parts):
        raise ValueError(f"{each.key} holds something else than objects")
    return tuple(read_as(each.part, one) for one in parts)
