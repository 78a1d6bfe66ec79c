"""How a live call can be ended, and by whom, in the words of the API and of the journal."""

from __future__ import annotations

from typing import Final


WAYS: Final = ("goodbye", "now")
"""After a goodbye that the caller hears, or at once. The first one holds where a request names none."""
ASKED_BY: Final = "Callflow-Asked-By"
"""The header by which our own command line names itself; other values of it are ignored."""
COMMAND_LINE: Final = "command line"
CONSOLE: Final = "console"
"""A client that knows CONSOLE_TOKEN."""
OPERATOR: Final = "operator"
"""A client on this machine, where no token is set."""
