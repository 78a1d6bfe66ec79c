"""How a live call can be ended, and how whoever asks for it stands on record."""

from __future__ import annotations

from typing import Final


WAYS: Final = ("goodbye", "now")
"""The caller hears a goodbye out first; or at once. The first one is meant where none is said."""
ASKED_BY: Final = "Callflow-Asked-By"
"""A header by which our own command line names itself; no other name is taken from it."""
COMMAND_LINE: Final = "command line"
CONSOLE: Final = "console"
"""Somebody with CONSOLE_TOKEN."""
OPERATOR: Final = "operator"
"""Somebody on this machine, where no token is set."""
