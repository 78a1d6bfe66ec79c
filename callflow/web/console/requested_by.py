"""Ways to end a live call, and the requesters, in the words of API and journal."""

from __future__ import annotations

from typing import Final

from quart import request

from callflow.web.console.identity import ASKING


WAYS: Final = ("goodbye", "now")
"""End after a goodbye, or at once. The first is the default."""
ASKED_BY: Final = "Callflow-Asked-By"
"""The header by which our own command line identifies itself; other values are ignored."""
COMMAND_LINE: Final = "command line"
CONSOLE: Final = "console"
"""A client that knows CONSOLE_TOKEN."""
OPERATOR: Final = "operator"
"""A client on this machine, where no token is set."""


def requester(*, has_token: bool) -> str:
    """Return who sends the present request, for the journal of the call. `has_token`: operators need CONSOLE_TOKEN."""
    if not ASKING.get().name and request.headers.get(ASKED_BY, "") == COMMAND_LINE:
        return COMMAND_LINE
    return asker(has_token=has_token)


def asker(*, has_token: bool) -> str:
    """Return who has opened the present socket, for the journal of the call: as `requester` does for requests."""
    name = ASKING.get().name
    return f"token {name}" if name else CONSOLE if has_token else OPERATOR
