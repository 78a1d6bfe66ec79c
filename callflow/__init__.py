"""Callflow answers the telephone, and lets a voice model speak.

Nothing is loaded by importing this package. For a `tools.py`: `from callflow import tool` (and `ToolContext`,
`ToolResult`). For a program that serves the app itself: `Settings` and `SettingsError`.
"""

import sys


TYPE_CHECKING = False  # without loading `typing`: see `callflow.runtime`
if TYPE_CHECKING:
    from typing import Any

    from callflow.config.settings import Settings as Settings
    from callflow.contracts.errors import SettingsError as SettingsError
    from callflow.tools.registry import ToolContext as ToolContext
    from callflow.tools.registry import ToolResult as ToolResult
    from callflow.tools.registry import tool as tool

_HOMES = {
    "Settings": "callflow.config.settings",
    "SettingsError": "callflow.contracts.errors",
    "ToolContext": "callflow.tools.registry",
    "ToolResult": "callflow.tools.registry",
    "tool": "callflow.tools.registry",
}


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


# The place of `Settings` and `SettingsError` in earlier versions: `from callflow.settings import Settings` still works.
_old_settings = type(sys)("callflow.settings", "The old name of what `from callflow import Settings` means.")
_old_settings.__dict__["__getattr__"] = __getattr__
sys.modules["callflow.settings"] = _old_settings
