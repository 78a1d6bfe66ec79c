"""MCP servers that the model's vendor calls for us: what of their definitions may be shown. Pure.

https://platform.openai.com/docs/guides/tools-remote-mcp
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from callflow.contracts import addresses


_HIDDEN: Final = "…"
_OPEN: Final = frozenset(
    {"type", "server_label", "server_description", "connector_id", "allowed_tools", "require_approval"}
)
"""Fields that hold no secret. Any other field may hold one, such as `authorization` and `headers`."""


def shown(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition without secrets: of its address, scheme, host and path are left."""
    open_ = {name: value if name in _OPEN else _HIDDEN for name, value in definition.items()}
    return open_ | {name: addresses.shown(str(definition[name])) for name in ("server_url",) if name in definition}


def leave(definitions: Iterable[Mapping[str, Any]], answer: str) -> list[str]:
    """Explain what happens when a server asks for approval of a tool call: a line for each server that asks.

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
    """Yield the secrets in a definition: its token, the values of its headers, and those in its address."""
    headers = definition.get("headers")
    for value in (definition.get("authorization"), *(headers.values() if isinstance(headers, Mapping) else ())):
        if isinstance(value, str):
            yield from (value, value.rpartition(" ")[2])
    yield from addresses.secrets_in(str(definition.get("server_url") or ""))
