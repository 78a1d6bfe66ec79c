"""The name of a node in the paths that carriers are given for one call: `/nodes/NAME/…`, served as `/…`. Pure.

A load balancer, or another worker of the same machine, reads the name and leads the request to the node that has the
call. Signatures are made over the whole path, as it was given out.
"""

from __future__ import annotations

import re
from typing import Any, Final


PREFIX: Final = "/nodes/"
NAME: Final = re.compile(r"[a-z0-9-]{1,32}")
NODE: Final = "callflow.node"
"""Under this key, an ASGI scope holds the name that was in its path."""
FORWARDED: Final = "callflow.forwarded"
"""Under this key, an ASGI scope holds the name of the node that has forwarded the request."""


def route(name: str) -> str:
    """Return what stands before a path for this node; "": there is no node's name."""
    return f"{PREFIX}{name}" if name else ""


def split(path: str) -> tuple[str, str]:
    """Return the name in a path, and the path without it; "" and the same path where there is none."""
    if not path.startswith(PREFIX):
        return "", path
    name, slash, rest = path.removeprefix(PREFIX).partition("/")
    if not slash or not NAME.fullmatch(name):
        return "", path
    return name, f"/{rest}"


def without_node(scope: Any) -> Any:
    """Return an ASGI scope whose path has no node's name; `raw_path` stays as it came."""
    name, path = split(scope.get("path", ""))  # a lifespan has none
    return {**scope, "path": path, NODE: name} if name else scope
