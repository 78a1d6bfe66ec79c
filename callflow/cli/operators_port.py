"""The operators' port of the running server, as the commands ask it: one request, one JSON object."""

from __future__ import annotations

import argparse
import functools
import http.client
import json
import sys
from collections.abc import Callable
from typing import Any, Final

from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.contracts.errors import (
    AnswerLost,
    CallNotFound,
    CommandLineError,
    ConsoleError,
    ServerAway,
    SettingsError,
)
from callflow.web.console.requested_by import ASKED_BY, COMMAND_LINE


_SECONDS: Final = 5.0
_MOST_BYTES: Final = 64 << 20
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to reach a server on this machine that listens on all interfaces."""


def read_settings() -> Settings:
    """Read the settings that the server has, too. Raises CommandLineError."""
    try:
        return load()
    except SettingsError as error:
        raise CommandLineError("\n".join(error.problems)) from None


def says_why(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Return a command that says in a line why the running server could not be asked. Its exit code is 1 if there is no
    such call, else 2."""

    @functools.wraps(run)
    def command(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except BrokenPipeError:  # an `OutputError`, too: see `safe_output`
            raise
        except CommandLineError as error:
            print(error, file=sys.stderr)
            return 1 if isinstance(error, CallNotFound) else 2

    return command


class OperatorsPort:
    """The operators' port of the server that runs with these settings."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConsoleError if nobody can know which port it is."""
        if not settings.console_port:
            raise ConsoleError("CONSOLE_PORT is 0, so the server took any free port: say which, as CONSOLE_PORT=6001.")
        self._host = _EVERYWHERE.get(settings.console_host, settings.console_host).strip("[]")
        self._port = settings.console_port
        self._token = settings.console_token.get_secret_value()
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.name = f"http://{host}:{self._port}"

    def ask(
        self, method: str, path: str, body: Any = None, *, seconds: float = _SECONDS, **more: str
    ) -> tuple[int, dict[str, Any]]:
        """Return status and object of the answer, which has `seconds` to come. `more`: further headers, with `_` in
        place of `-`. `body`: bytes are sent as they are, anything else as JSON.

        Raises AnswerLost, after which the request may have had an effect; any other ConsoleError: it had none.
        """
        headers = {ASKED_BY: COMMAND_LINE} | {name.replace("_", "-"): value for name, value in more.items()}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        try:
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            status, told = answer.status, json.loads(answer.read(_MOST_BYTES))
        except TimeoutError:
            raise AnswerLost(f"The server at {self.name} has not answered within {seconds:g} s.") from None
        except (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead):
            raise AnswerLost(f"The server at {self.name} has broken off without an answer.") from None
        except (http.client.HTTPException, ValueError):
            raise self._not_ours() from None
        except OSError:
            where = "where CONSOLE_HOST and CONSOLE_PORT say that it is"
            raise ServerAway(
                f"No server is running at {self.name}, {where}: start it with `python server.py`."
            ) from None
        finally:
            connection.close()
        if not isinstance(told, dict) or (status >= 400 and not isinstance(told.get("error"), str)):
            raise self._not_ours()
        if status == 401:
            raise ConsoleError(self._not_let_in(told["error"]))
        return status, told

    def read(self, path: str) -> dict[str, Any] | None:
        """Return the object at a path. None: the server refuses it, and why was printed. Raises ConsoleError."""
        status, told = self.ask("GET", path)
        if status == 200:
            return told
        print(told.get("error", f"the server answered {status}"), file=sys.stderr)
        return None

    def _not_ours(self) -> ConsoleError:
        return ConsoleError(f"What answers at {self.name} is not Callflow: is CONSOLE_PORT right?")

    def _not_let_in(self, said: str) -> str:
        """Return what to do about a 401. A server that has no token says so, with a line for `.env`."""
        has_none = "CONSOLE_TOKEN=" in said
        if has_none and self._token:
            return f"The server at {self.name} was started without a CONSOLE_TOKEN: restart it, so that it takes yours."
        if has_none:
            return said
        whose = "this CONSOLE_TOKEN: it runs with another one" if self._token else "anybody without its CONSOLE_TOKEN"
        return f"The server at {self.name} does not take {whose}."
