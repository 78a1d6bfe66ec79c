"""`server.py calls ID --hangup`: asks the running server, at its operators' port, to end a live call.

Exit codes: 0, it was asked to; 1, there is no such call, or it is over; 2, the words or the settings cannot be used, or
no server is running.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from callflow.cli.operators_port import OperatorsPort, read_settings, says_why
from callflow.contracts.errors import CallNotFound, JournalFileError
from callflow.web.console.requested_by import WAYS


_SAID: Final = {"goodbye": "the caller hears a goodbye, then it ends", "now": "it ends now"}
_OTHERS: Final = ("number", "text", "since", "until", "save", "picture")


@says_why
def run(arguments: argparse.Namespace) -> int:
    """Ask the running server to end a call. Returns the exit code, see above."""
    name, when = _asked(arguments)
    port = OperatorsPort(read_settings())
    name = _named(port, name)
    status, answer = port.ask("POST", f"/api/calls/{name}/hangup", {"when": when})
    if status == 200:
        print(f"call {name}: {_SAID[when]}")
        return 0
    print(f"call {name}: {answer.get('error') or f'the server answered {status}.'}", file=sys.stderr)
    return 1 if status in (404, 409) else 2


def _asked(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return which call to end, and how. Raises JournalFileError for wrong arguments."""
    name, when = arguments.call, arguments.hangup
    if name is None and when not in WAYS:  # `--hangup ID`
        name, when = when, WAYS[0]
    if when not in WAYS:
        raise JournalFileError(f'--hangup is followed by {" or ".join(WAYS)}, not by "{when[:80]}".')
    if not (name or "").strip():
        raise JournalFileError("--hangup ends one call: say which. `python server.py calls` lists them.")
    given = [f"--{each}" for each in _OTHERS if getattr(arguments, each, None) is not None]
    if given:
        raise JournalFileError(f"{', '.join(given)} and --hangup do not go together: --hangup ends one call.")
    return str(name).strip(), when


def _named(port: OperatorsPort, beginning: str) -> str:
    """The id of the one call that is meant: a live one, or else one of the history. Raises JournalFileError."""
    status, told = port.ask("GET", "/api/calls/live")
    if status != 200 or "live" not in told:
        raise JournalFileError(f"{port.name} cannot say which calls are live: {told.get('error') or f'HTTP {status}'}")
    live = [str(each["id"]) for each in told["live"]]
    found = [each for each in live if each.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if found:
        raise JournalFileError(
            f'{len(found)} live calls begin with "{beginning[:80]}": {", ".join(found[:10])}. Say more of it.'
        )
    try:
        from callflow.cli.calls import id_of

        return asyncio.run(id_of(beginning))
    except JournalFileError as error:
        if isinstance(error, CallNotFound):
            raise CallNotFound(
                f'No call begins with "{beginning[:80]}". `python server.py calls` lists them.'
            ) from None
        raise CallNotFound(f'No live call begins with "{beginning[:80]}": {len(live)} are live.') from None
