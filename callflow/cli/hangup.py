"""`server.py calls ID --hangup`: asks the running server, at its operators' port, to end a live call.

Exit codes: 0, it was asked to; 1, there is no such call, or it is over; 2, the words or the settings cannot be used, or
no server is running.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import sys
from typing import Any, Final

from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.contracts.errors import CallNotFound, JournalFileError, SettingsError
from callflow.web.console.requested_by import ASKED_BY, COMMAND_LINE, WAYS


_SECONDS: Final = 5.0
_MOST_BYTES: Final = 4 << 20
_SAID: Final = {"goodbye": "the caller hears a goodbye, then it ends", "now": "it ends now"}
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to reach a server on this machine that listens on all interfaces."""
_OTHERS: Final = ("number", "text", "since", "until", "save", "picture")


def run(arguments: argparse.Namespace) -> int:
    """Ask the running server to end a call. Returns the exit code, see above."""
    try:
        name, when = _asked(arguments)
        port = _Port(_settings())
        name = _named(port, name)
        status, answer = port.ask("POST", f"/api/calls/{name}/hangup", {"when": when})
    except JournalFileError as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, CallNotFound) else 2
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


def _settings() -> Settings:
    """Raises JournalFileError."""
    try:
        return load()
    except SettingsError as error:
        raise JournalFileError("\n".join(error.problems)) from None


class _Port:
    """The operators' port of the server that runs with these settings."""

    def __init__(self, settings: Settings) -> None:
        if not settings.console_port:
            raise JournalFileError(
                "CONSOLE_PORT is 0, so the server took any free port: say which, as CONSOLE_PORT=6001."
            )
        self._host = _EVERYWHERE.get(settings.console_host, settings.console_host).strip("[]")
        self._port = settings.console_port
        self._token = settings.console_token.get_secret_value()
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.name = f"http://{host}:{self._port}"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status, and the object that was answered. Raises JournalFileError."""
        headers = {ASKED_BY: COMMAND_LINE}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            status, told = answer.status, json.loads(answer.read(_MOST_BYTES))
        except (http.client.HTTPException, ValueError):
            raise JournalFileError(f"What answers at {self.name} is not Callflow: is CONSOLE_PORT right?") from None
        except OSError:
            where = "where CONSOLE_HOST and CONSOLE_PORT say that it is"
            raise JournalFileError(
                f"No server is running at {self.name}, {where}: start it with `python server.py`."
            ) from None
        finally:
            connection.close()
        if not isinstance(told, dict) or (status >= 400 and not isinstance(told.get("error"), str)):
            raise JournalFileError(f"What answers at {self.name} is not Callflow: is CONSOLE_PORT right?")
        if status == 401:
            whose = (
                "this CONSOLE_TOKEN: it runs with another one" if self._token else "anybody without its CONSOLE_TOKEN"
            )
            raise JournalFileError(f"The server at {self.name} does not take {whose}.")
        return status, told


def _named(port: _Port, beginning: str) -> str:
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
