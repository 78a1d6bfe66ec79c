"""Marks for the fields of events and notes that hold words of people: redaction looks through them. Pure.

    reason: Annotated[str, PRIVATE] = ""

A field without a mark holds names, ids and figures, and is written down as it is.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Final, Literal

from msgspec import Struct


Mark = Literal["public", "private", "growing"]

PRIVATE: Final = "private"
"""Marks a field with words that were said, typed, or handed to a tool."""
GROWING: Final = "growing"
"""The same for a text to which more is still added: its end may be the beginning of a card number."""


@functools.cache
def hints_of(kind: type[Any]) -> dict[str, Any]:
    """Return what the fields of a class are annotated with. `typing.get_type_hints` reads those of the bases again for
    each of a hundred kinds, which takes five times as long."""
    return (hints_of(kind.__base__) if kind.__base__ else {}) | inspect.get_annotations(kind, eval_str=True)


def marks_of(kind: type[Struct]) -> dict[str, Mark]:
    """Return the mark of each field, by the key under which the field is written."""
    hints = hints_of(kind)
    return {key: _mark(hints[name]) for name, key in keys_of(kind).items()}


def keys_of(kind: type[Struct]) -> dict[str, str]:
    """Return the key under which each field is written, by its name."""
    return dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))


def _mark(hint: Any) -> Mark:
    marks = getattr(hint, "__metadata__", ())
    return PRIVATE if PRIVATE in marks else GROWING if GROWING in marks else "public"
