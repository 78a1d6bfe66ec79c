"""Tools that the model's vendor runs for us (MCP servers): what of their definition people may see. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from callflow.contracts import addresses


_HIDDEN: Final = "…"
_OPEN: Final = frozenset(
    {"type", "server_label", "server_description", "connector_id", "allowed_tools", "require_approval"}
)
"""What is no key to the server; all else that somebody hands over may be one (`authorization`, `headers`)."""


def shown(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition without what opens the server: of its address, host and path."""
    open_ = {name: value if name in _OPEN else _HIDDEN for name, value in definition.items()}
    return open_ | {name: addresses.shown(str(definition[name])) for name in ("server_url",) if name in definition}


def leave(definitions: Iterable[Mapping[str, Any]], answer: str) -> list[str]:
    """What becomes of the servers' questions whether a tool may be used, a line for each server that asks.

    Each of its tools asks, unless its definition says `"require_approval": "never"` (the interface's own default is
    "always").
    """
    becomes = {
        "approve": "is given (mcp_approval = approve)",
        "decline": "is declined (mcp_approval = decline)",
        "ask": "is declined, as long as there is nobody to ask (mcp_approval = ask)",
    }[answer]
    return [
        f"MCP server {each.get('server_label')}: leave to use its tools {becomes}; "
        'with "require_approval": "never" in its definition it does not ask.'
        for each in definitions
        if each.get("require_approval") != "never"
    ]


def keys_of(definition: Mapping[str, Any]) -> Iterator[str]:
    """The secrets of one: its token, what its headers say, and what its address holds of them."""
    headers = definition.get("headers")
    for value in (definition.get("authorization"), *(headers.values() if isinstance(headers, Mapping) else ())):
        if isinstance(value, str):
            yield from (value, value.rpartition(" ")[2])
    yield from addresses.secrets_in(str(definition.get("server_url") or ""))
