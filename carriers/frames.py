"""What both media dialects need to read frames that somebody else wrote: leniently, and with bounds."""

from __future__ import annotations

from typing import Any, Final


MOST_PAYLOAD: Final = 30_000 * 8 * 4 // 3 + 4
"""Base64 characters of 30 s of audio: the most that one frame may hold in either direction."""


def field(fields: Any, name: str) -> str:
    """A field as text; empty when it is missing or null, or `fields` is no object."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, str) else "" if value is None else str(value)


def number(value: Any) -> int:
    """A counter, which carriers send as a decimal string; 0 when it is none."""
    if isinstance(value, int):
        return max(value, 0)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 else 0
