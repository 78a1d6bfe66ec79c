"""Callflow answers the telephone, and lets a voice model speak.

Nothing is loaded by importing this package. For a `tools.py`: `from callflow import tool`, and `ToolContext`,
`ToolResult` beside it.
"""

TYPE_CHECKING = False  # without loading `typing`: see `callflow.runtime`
if TYPE_CHECKING:
    from typing import Any

    from callflow.tools.registry import ToolContext as ToolContext
    from callflow.tools.registry import ToolResult as ToolResult
    from callflow.tools.registry import tool as tool

_TOOLS = ("tool", "ToolContext", "ToolResult")


def __getattr__(name: str) -> "Any":
    if name not in _TOOLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from callflow.tools import registry

    return getattr(registry, name)
