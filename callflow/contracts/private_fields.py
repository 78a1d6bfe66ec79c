"""Marks for the fields of events and notes that hold words of people: redaction looks through them. Pure.

    reason: str = field(default="", metadata=PRIVATE)

A field without a mark holds names, ids and figures, and is written down as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final, Literal


Mark = Literal["public", "private", "growing"]

PRIVATE: Final[Mapping[str, Any]] = MappingProxyType({"mark": "private"})
"""Metadata of a field with words that were said, typed, or handed to a tool."""
GROWING: Final[Mapping[str, Any]] = MappingProxyType({"mark": "growing"})
"""The same for a text to which more is still added: its end may be the beginning of a card number."""


def marks_of(kind: type[Any]) -> dict[str, Mark]:
    """Return the mark of each field of a dataclass, by the key under which the field is written."""
    return {each.metadata.get("key", each.name): each.metadata.get("mark", "public") for each in fields(kind)}
