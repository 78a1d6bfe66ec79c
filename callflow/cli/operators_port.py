"""How commands ask the running server: over HTTP, at its operators' port, with the token of the settings."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final

from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.contracts.errors import JournalFileError, SettingsError
from callflow.web.console.requested_by import ASKED_BY, COMMAND_LINE


_SECONDS: Final = 5.0
_MOST_BYTES: Final = 4 << 20
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to reach a server on this machine that listens on all interfaces."""


def read_settings() -> Settings:
    """Read the settings as the server does. Raises JournalFileError."""
    try:
        return load()
    except SettingsError as error:
        raise JournalFileError("\n".join(error.problems)) from None


class OperatorsPort:
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
            raise JournalFileError(self._not_let_in(told["error"]))
        return status, told

    def _not_let_in(self, said: str) -> str:
        """Return what to do about a 401. A server that has no token says so, with a line for `.env`."""
        has_none = "CONSOLE_TOKEN=" in said
        if has_none and self._token:
            return f"The server at {self.name} was started without a CONSOLE_TOKEN: restart it, so that it takes yours."
        if has_none:
            return said
        whose = "this CONSOLE_TOKEN: it runs with another one" if self._token else "anybody without its CONSOLE_TOKEN"
        return f"The server at {self.name} does not take {whose}."
