"""Which role a request needs: one table for bearers, browsers, sockets and MCP. Pure.

Whatever looks needs *view*, and whatever changes something *configure*, unless it stands here: a new route that nobody
has thought of is closed to those who may do less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from callflow.web.console.identity import CONFIGURE, NOBODY, OPERATE, VIEW


READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
SOCKET: Final = "WEBSOCKET"
"""Stands for the method of a WebSocket. One that is not in the table is not there."""
LEAST: Final[Mapping[tuple[str, str], str]] = {
    ("GET", "/login"): NOBODY,
    ("POST", "/login"): NOBODY,
    ("POST", "/logout"): NOBODY,
    # It reads the history, and finds no numbers for those who may only view: see `numbers_asked_for`.
    ("POST", "/mcp"): VIEW,
    # What happens in all live calls; requests in it need more: see `live/logs.py`.
    (SOCKET, "/logs"): VIEW,
    (SOCKET, "/api/phone"): OPERATE,
    # The voices of a call, and whoever speaks in it in place of the agent.
    (SOCKET, "/api/calls/<call>/listen"): OPERATE,
    (SOCKET, "/api/calls/<call>/takeover"): OPERATE,
    # What finds a call by a telephone number.
    ("GET", "/api/conversations/phone/<path:number>"): OPERATE,
    ("GET", "/api/do-not-call/<number>"): OPERATE,
    # Acts on one live call, and what is needed for that.
    ("GET", "/api/calls/<call>/acts"): OPERATE,
    **{
        ("POST", f"/api/calls/<call>/{act}"): OPERATE
        for act in (
            "session", "hangup", "record", "recording", "hold", "resume", "mute", "say", "dtmf", "transfer", "whisper",
            "tools/<tool>", "share", "images",
        )
    },
    # Whoever knows the link of one call.
    ("GET", "/share/<key>"): NOBODY,
    ("DELETE", "/api/shares/<share>"): OPERATE,
    ("POST", "/api/alerts/<alert>/seen"): OPERATE,
    ("POST", "/api/alerts/<alert>/closed"): OPERATE,
    ("POST", "/api/calls"): OPERATE,
    ("POST", "/api/calls/check"): OPERATE,
    ("POST", "/api/campaigns"): OPERATE,
    ("POST", "/api/campaigns/<campaign>/<way>"): OPERATE,
    ("PUT", "/api/views/<name>"): OPERATE,
    ("DELETE", "/api/views/<name>"): OPERATE,
    # Which calls are being deleted, to undo that.
    ("GET", "/api/calls/deleted"): CONFIGURE,
    ("POST", "/api/do-not-call"): OPERATE,
    ("DELETE", "/api/do-not-call/<number>"): OPERATE,
}  # fmt: skip
"""By method and rule of the router: the least role."""
NUMBERS: Final = frozenset({"number", "caller", "callerNumber", "called", "phoneNumber"})
"""Names of parameters, and of MCP arguments, that ask for the calls of a telephone number: with a value they need
`SEARCHING`."""
SEARCHING: Final = OPERATE

_PART: Final = re.compile(r"<(?:(path|int):)?\w+>")
_CONVERTED: Final = {None: "[^/]+", "path": ".+", "int": "[0-9]+"}


def least_role(method: str, path: str) -> str:
    """Return the role that a request needs. `path`: percent-decoded, as the router gets it.

    The router ignores slashes in front. Other spellings that it does not take count as the route, too.
    """
    asked = "GET" if method == "HEAD" else method
    plain = "/" + "/".join(part for part in path.split("/") if part)
    for (each, form), role in _forms():
        if each == asked and form.fullmatch(plain):
            return role
    return VIEW if method in READING else CONFIGURE


def has_socket(path: str) -> bool:
    """Return whether there is a WebSocket at this path."""
    return any(each == SOCKET and form.fullmatch(path) for (each, form), _ in _forms())


def numbers_asked_for(value: Any) -> bool:
    """Return whether JSON, of bounded depth, has a value for one of `NUMBERS` anywhere."""
    if isinstance(value, dict):
        return any((name in NUMBERS and bool(inner)) or numbers_asked_for(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(numbers_asked_for, value))


def query_asks_for_numbers(query: bytes) -> bool:
    """Return whether a query has a value for one of `NUMBERS`."""
    return any(name in NUMBERS for name, _ in parse_qsl(query.decode("latin-1")))


@lru_cache(maxsize=1)
def _forms() -> list[tuple[tuple[str, re.Pattern[str]], str]]:
    return [((method, _form(rule)), role) for (method, rule), role in LEAST.items()]


def _form(rule: str) -> re.Pattern[str]:
    """Return what matches the paths of a rule."""
    found, at = "", 0
    for part in _PART.finditer(rule):
        found += re.escape(rule[at : part.start()]) + _CONVERTED[part[1]]
        at = part.end()
    return re.compile(found + re.escape(rule[at:]), re.DOTALL)
