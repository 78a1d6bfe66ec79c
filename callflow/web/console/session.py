"""The routes for the session of coming calls, on the operators' listener: what holds, a change, back to the files."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts.errors import BadRequest, SessionRefused
from callflow.history.history import History
from callflow.switchboard.session_overrides import SessionOverrides
from callflow.web.responses import answered, not_open, object_of


_EXAMPLE: Final = '{"voice": "cedar"}'


def add_session(app: Quart, history: History, kept: SessionOverrides) -> None:
    changes: set[asyncio.Task[Any]] = set()

    async def to_its_end(work: Coroutine[Any, Any, Any]) -> Any:
        """Although who has asked for it may go away: what the database has must hold."""
        task = asyncio.create_task(work, name="kept settings")
        changes.add(task)
        task.add_done_callback(changes.discard)
        return await asyncio.shield(task)

    @app.get("/api/session")
    async def session() -> Response:
        """What holds for coming calls, as a session of the Realtime API and by names of settings, with where each
        value comes from."""
        return answered(await kept.describe())

    @app.patch("/api/session")
    async def change_session() -> Response:
        """Keep what is named for coming calls; null takes one away again."""
        body = await object_of(_EXAMPLE)
        if not history.is_readable:
            return not_open()
        try:
            return answered(await to_its_end(kept.change(body)))
        except SessionRefused as refusal:
            raise BadRequest(400, *refusal.problems) from None

    @app.delete("/api/session")
    async def forget_session() -> Response:
        """Keep nothing any more: the files hold."""
        if not history.is_readable:
            return not_open()
        return answered(await to_its_end(kept.forget()))
