"""Tools that the model's vendor runs for us (MCP servers): what of their definition people may see. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from callflow import addresses


_HIDDEN: Final = "…"
_OPEN: Final = frozenset(
    {"type", "server_label", "server_description", "connector_id", "allowed_tools", "require_approval"}
)
"""What is no key to the server; all else that somebody hands over may be one (`authorization`, `headers`)."""


def shown(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition without what opens the server: of its address, host and path."""
    open_ = {name: value if name in _OPEN else _HIDDEN for name, value in definition.items()}
    return open_ | {name: addresses.shown(str(definition[name])) for name in ("server_url",) if name in definition}


def keys_of(definition: Mapping[str, Any]) -> Iterator[str]:
    """The secrets of one: its token, what its headers say, and what its address holds of them."""
    headers = definition.get("headers")
    for value in (definition.get("authorization"), *(headers.values() if isinstance(headers, Mapping) else ())):
        if isinstance(value, str):
            yield from (value, value.rpartition(" ")[2])
    yield from addresses.secrets_in(str(definition.get("server_url") or ""))
