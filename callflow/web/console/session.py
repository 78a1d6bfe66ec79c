"""The routes for the session of coming calls on the operators' listener: read, change, reset to the files."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts.errors import BadRequest, SessionRefused
from callflow.history.history import History
from callflow.switchboard.session_overrides import SessionOverrides
from callflow.web.responses import history_not_open, json_object, json_response


_EXAMPLE: Final = '{"voice": "cedar"}'


class ToItsEnd:
    """Finishes a change even if its client closes the connection, so that database and server agree."""

    def __init__(self) -> None:
        self._changes: set[asyncio.Task[Any]] = set()

    async def __call__(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what it returns."""
        task = asyncio.create_task(work, name="change of settings")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)


def add_session(app: Quart, history: History, overrides: SessionOverrides) -> None:
    """Add the routes to the app."""
    to_its_end = ToItsEnd()

    @app.get("/api/session")
    async def session() -> Response:
        """Answer the settings of coming calls, as a session of the Realtime API and by name, each with its origin."""
        return json_response(await overrides.describe())

    @app.patch("/api/session")
    async def change_session() -> Response:
        """Change settings of coming calls; null returns to the value of the files."""
        body = await json_object(_EXAMPLE)
        if not history.is_readable:
            return history_not_open()
        try:
            return json_response(await to_its_end(overrides.change(body)))
        except SessionRefused as refusal:
            raise BadRequest(400, *refusal.problems) from None

    @app.delete("/api/session")
    async def forget_session() -> Response:
        """Return to the settings of the files."""
        if not history.is_readable:
            return history_not_open()
        return json_response(await to_its_end(overrides.forget()))
