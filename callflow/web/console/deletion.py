"""The routes that delete one call of the history, and undo one of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts.errors import StoreAway
from callflow.contracts.printable import quoted
from callflow.history.deleted_conversations import UNDO_SECONDS
from callflow.history.history import History
from callflow.web.console.history import NOT_FOUND
from callflow.web.console.requested_by import requester
from callflow.web.responses import error_response, history_not_open, json_response


log = logging.getLogger(__name__)

_LIVE: Final = "This call is live: it can be deleted when it is over."


def add_deletion(app: Quart, history: History, *, is_live: Callable[[str], bool], has_token: bool) -> None:
    """Add the routes to the app. `is_live`: returns whether a call is live. `has_token`: operators need
    CONSOLE_TOKEN."""

    async def goes_on(row: Mapping[str, Any]) -> bool:
        """Return whether some process has the call: without its row nobody would take it back after a crash, and what
        it still writes would belong to nothing. A call that somebody else kept has no id of ours, and one whose end was
        lost is over."""
        call = row["call_id"]
        if not call or is_live(call):
            return bool(call)
        return row["ended_at"] is None and not await history.close_lost(call)

    @app.delete("/api/calls/<call>")
    async def delete_call(call: str) -> Response:
        """Delete a call: nobody finds it any more, and within the time that is answered it can be undone."""
        if not history.is_readable:
            return history_not_open()
        row = await history.store.conversation(call)
        if row is None:
            return error_response(409, _LIVE) if is_live(call) else _nothing(call)
        if await goes_on(row) or not await history.hide(row):
            return error_response(409, _LIVE)
        log.info("call %s is deleted in %g s, for %s", _id(row), UNDO_SECONDS, requester(has_token=has_token))
        return json_response({"id": _id(row), "undo_seconds": UNDO_SECONDS}, 202)

    @app.delete("/api/conversations/stream/<sid>")
    async def delete_at_once(sid: str) -> Response:
        """Delete a call at once, as the earlier system did: it cannot be undone."""
        row = await history.store.conversation(sid)
        if row is None:
            return error_response(404, NOT_FOUND)
        if await goes_on(row):
            return error_response(409, _LIVE)
        try:
            await history.delete([row["id"]])
        except StoreAway as error:
            await history.deleted.hide(row["id"], history.now())  # nobody finds it, and it is tried again
            log.warning("call %s is deleted as soon as the store of its recordings answers: %s", _id(row), error)
        return json_response({"success": True})

    @app.get("/api/calls/deleted")
    async def deleted_calls() -> Response:
        """List the calls whose deletion can still be undone, and for how many seconds, over a restart as well."""
        if not history.is_readable:
            return history_not_open()
        now = history.now()
        found = await history.deleted.listed(now)
        return json_response([{"undo_seconds": round(each.pop("until") - now, 1), **each} for each in found])

    @app.post("/api/calls/<call>/restore")
    async def restore_call(call: str) -> Response:
        """Undo the deletion of a call."""
        if not history.is_readable:
            return history_not_open()
        row = await history.store.conversation(call, hidden=True)
        if row is None or not await history.restore(row):
            return error_response(404, f"There is no call {quoted(call)} whose deletion can be undone.")
        log.info("call %s is not deleted after all, for %s", _id(row), requester(has_token=has_token))
        return json_response({"id": _id(row)})


def _id(row: dict[str, object]) -> str:
    return str(row["call_id"] or row["stream_sid"])


def _nothing(call: str) -> Response:
    return error_response(404, f"There is no call {quoted(call)}; GET /api/calls lists the newest.")
