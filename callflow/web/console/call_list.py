"""The routes that list calls on the operators' listener: the newest, one by its id, and the live ones."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from typing import Any, Final

from quart import Quart, Response, request
from sqlalchemy.exc import SQLAlchemyError

from callflow.contracts.errors import BadQuery
from callflow.contracts.printable import quoted
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history.call_list import ListedCall, newest, of_entries, of_live, of_row
from callflow.history.history import History
from callflow.history.query import Query
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.history_query import parameter
from callflow.web.console.identity import own_business
from callflow.web.console.node_fan_out import NodeFanOut
from callflow.web.responses import error_response, history_not_open, json_response, query_parameters


log = logging.getLogger(__name__)

MOST_LISTED: Final = 50
_LIVE_SECONDS: Final = 1.0
"""How long the list of live calls waits for what the history adds to it."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:=+/-]{0,255}")
"""Ids of calls: ours (UUID), Twilio's (`CA…`), Telnyx's (`v3:…`), those of media streams."""


def add_call_list(
    app: Quart, switchboard: Callable[[], Switchboard], history: History, fan_out: NodeFanOut | None = None
) -> None:
    """Add the routes to the app. `fan_out`: the other nodes; None: there are none."""
    journal, lists = history.journal, _Lists(switchboard, history)

    @app.get("/api/calls")
    @query_parameters("sid")
    async def calls() -> Response:
        """List the 50 newest calls, newest first; `?sid=` answers one, by its carrier's id or ours."""
        if "sid" not in request.args:
            return json_response([call.to_json() for call in await lists.newest()])
        sid = parameter("sid")
        if not _ID.fullmatch(sid):
            raise BadQuery(
                "sid must be the id of one call: letters, digits and _.:=+/-, 256 at most"
                + (f", not {quoted(sid)}" if sid else "")
            )
        found = await lists.one(sid)
        if found is not None and own_business() in ("", found.business):
            return json_response(found.to_json())
        if not history.is_readable:
            return history_not_open()
        return error_response(404, f"There is no call {quoted(sid)}; GET /api/calls lists the newest.")

    @app.get("/api/calls/live")
    async def live_calls() -> dict[str, Any]:
        """List the live calls, and the ids of the newest calls of the history, newest last."""
        business = own_business()
        names = journal.calls() if not business else []
        if history.is_readable and not journal.trouble:
            reading = history.store.find(Query(limit=100, business=business))
            try:
                rows = await history.database.soon(reading, _LIVE_SECONDS)
            except (SQLAlchemyError, OSError) as error:
                lists.unreadable.say("live", "live calls are listed without the history: %s", type(error).__name__)
                rows = []
            written = [row["call_id"] or row["stream_sid"] for row in reversed(rows)]
            names = [*written, *(name for name in names if name not in written)]  # those are written in a moment
        live = {call.id: call.describe() for call in switchboard().calls}
        for answer in (await fan_out.answers()).values() if fan_out is not None else ():
            live = {call["id"]: call for call in json.loads(answer.body)["live"]} | live
        told = sorted(live.values(), key=lambda call: (call["began"], call["id"]))  # the same at every node
        return {"live": [call for call in told if business in ("", call["business"])], "recorded": names}


class _Lists:
    """Calls from three places: the live ones, the history, and the journal's entries that are not written yet."""

    def __init__(self, switchboard: Callable[[], Switchboard], history: History) -> None:
        self._switchboard, self._history = switchboard, history
        self.unreadable = RepeatedWarnings(log)

    async def newest(self) -> list[ListedCall]:
        """Return the newest calls. While the history cannot be read: the live ones, and those still in memory."""
        journal, business = self._history.journal, own_business()
        live = self._live()
        # Looked at before the history is read: what is written in between is then in both, and not in neither.
        names, rows = journal.unwritten(), None
        if self._is_readable():
            try:
                found = await self._history.store.newest_calls(MOST_LISTED, business)
                rows = [of_row(row) for row in found]
            except (SQLAlchemyError, OSError) as error:
                self.unreadable.say("", "the list of calls has only those in memory: %s", type(error).__name__)
        if rows is None:
            names = journal.calls()
        known = {call.id for call in (*live, *(rows or ()))}
        unwritten = [await self._in_memory(name) for name in names[-MOST_LISTED:] if name not in known]
        listed = [*live, *(rows or ()), *filter(None, unwritten)]
        return newest([call for call in listed if business in ("", call.business)], MOST_LISTED)

    async def one(self, name: str) -> ListedCall | None:
        """Find a call by the carrier's id of it, or ours."""
        for call in self._live():
            if name in (call.id, call.carrier_id):
                return call
        journal = self._history.journal
        names = journal.unwritten() if self._is_readable() else journal.calls()
        row = await self._history.store.listed_call(name) if self._is_readable() else None
        if row is not None:
            return of_row(row)
        for call_id in [name, *reversed(names[-MOST_LISTED:])]:
            found = await self._in_memory(call_id)
            if found is not None and name in (found.id, found.carrier_id):
                return found
        return None

    def _live(self) -> list[ListedCall]:
        return [call for each in self._switchboard().calls if (call := of_live(each.describe())) is not None]

    def _is_readable(self) -> bool:
        return self._history.is_readable and not self._history.journal.trouble

    async def _in_memory(self, name: str) -> ListedCall | None:
        journal = self._history.journal
        if not journal.has(name):
            return None
        return await asyncio.to_thread(lambda: of_entries(name, journal.read(name)))
