"""Remembers for an account which fields of a session the vendor refuses, so that its next sessions do not ask for them.
Pure: the clock is an argument.

Paths name a tool by type and name instead of index, so that a refused field is recognised in later sessions.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from cachetools import TTLCache


FieldPath = tuple[str, ...]
"""The names on the way to a field of a session: ("tools", "mcp:shop", "headers")."""

_MOST_FIELDS: Final = 64
"""The most refused fields that are remembered for one account."""
_KEPT_SECONDS: Final = 3600.0
"""After this time a field is requested again, because servers are updated."""


class RefusedFields:
    """The fields that one account refuses, for its next sessions."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: TTLCache[tuple[str, FieldPath, str], None] = TTLCache(_MOST_FIELDS, _KEPT_SECONDS, clock)
        """Key of the account, path, and digest of the value that was refused."""

    def recall(self, account: str, session: Mapping[str, Any]) -> tuple[FieldPath, ...]:
        """Return the fields of this session that were refused before with the same value.

        `account`: identifies the server, the model and the key.
        """
        known = list(self._known)
        return tuple(path for of, path, value in known if of == account and value == _digest(session, path))

    def keep(self, account: str, session: Mapping[str, Any], paths: Iterable[FieldPath]) -> None:
        """Remember these fields for an hour; fields remembered already are not remembered longer."""
        for path in paths:
            key = account, path, _digest(session, path)
            if key not in self._known:
                self._known[key] = None


def _digest(session: Mapping[str, Any], path: FieldPath) -> str:
    """Return a digest of the value at this path, or of the whole tool that contains it; "" if there is none."""
    at: Any = session
    for step in path[:2] if path[0] == "tools" else path:
        if isinstance(at, list):
            at = dict(zip(tool_names(at), at, strict=True)).get(step)
        else:
            at = at.get(step) if isinstance(at, Mapping) else None
        if at is None:
            return ""
    return hashlib.sha256(msgspec.json.encode(at)).hexdigest()


def tool_names(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a name for each tool: its type, and its label or name; unique within the list."""
    names: list[str] = []
    for tool in tools:
        name = f"{tool.get('type')}:{tool.get('server_label') or tool.get('name')}"
        names.append(name if name not in names else f"{name}#{len(names)}")
    return names
