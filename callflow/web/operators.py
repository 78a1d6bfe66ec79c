"""The operators' listener, apart from the carriers': what the calls are doing and what they did.

Loopback only, unless a token is set. Host and Origin are checked, so that no page in an operator's browser can read it.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from quart import Quart, Response, abort, request

from callflow.journal import Journal
from callflow.switchboard import Switchboard


_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def create_operators(switchboard: Callable[[], Switchboard], journal: Journal, *, host: str, token: str = "") -> Quart:
    app = Quart("callflow-operators")
    hosts = _LOCAL | {host}

    @app.before_request
    async def admit() -> Response | None:
        named = urlsplit(f"//{request.host}").hostname or ""
        if not token and named not in hosts:
            return Response("This listener is not known under that name.\n", 421)
        origin = request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != request.host:
            return Response("Not for pages of another origin.\n", 403)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            return Response("A token is needed: Authorization: Bearer CONSOLE_TOKEN.\n", 401)
        return None

    @app.get("/health")
    async def health() -> dict[str, Any]:
        board = switchboard()
        return {"ok": True, "accepting": board.is_accepting, "calls": len(board.calls), "counts": dict(board.counts)}

    @app.get("/api/calls")
    async def calls() -> dict[str, Any]:
        """The live calls, and the names of those on record, newest last."""
        return {"live": [call.describe() for call in switchboard().calls], "recorded": journal.calls()}

    @app.get("/api/calls/<call>")
    async def timeline(call: str) -> dict[str, Any]:
        """Every step of one call in order: time, event, transition, commands; and notes of its audio in between."""
        records = journal.read(call)
        if not records:
            abort(404)
        return {"call": call, "records": [dataclasses.asdict(record) for record in records]}

    return app
