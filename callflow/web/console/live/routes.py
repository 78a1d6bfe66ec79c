"""The routes of everything that is watched live: the wall, the last hour, and one call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Final

from quart import Quart, Response, request

from callflow.cluster.node_paths import FORWARDED
from callflow.contracts.errors import BadRequest
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.switchboard.switchboard import Switchboard
from callflow.telemetry.last_hour import merged
from callflow.web.console.identity import ASKING, OPERATE, own_business
from callflow.web.console.live.service import LiveService
from callflow.web.console.live.sse import event_stream
from callflow.web.console.live.transcript_lines import transcript_lines
from callflow.web.console.node_fan_out import NodeFanOut
from callflow.web.responses import error_response, history_not_open, json_response, query_parameters


_NUMBER: Final = re.compile(r"[0-9]{1,16}")
_OPEN_SECONDS: Final = 5.0
"""How long a viewer waits for a history that is still being opened: browsers that come back after a restart are there
before it."""


def add_live(
    app: Quart,
    service: LiveService,
    switchboard: Callable[[], Switchboard],
    history: History,
    fan_out: NodeFanOut | None = None,
) -> None:
    """Add the routes to the app. `fan_out`: the other nodes; None: there are none."""

    async def found(name: str) -> str | None:
        """Return our id of a call that somebody names by any of its ids; None: there is none."""
        if switchboard().live(name) is not None:
            return name
        for call in switchboard().calls:
            if name == call.ids.control:
                return call.id
        if history.journal.has(name):
            return name
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await history.opened.wait()
        except TimeoutError:
            return None
        row = await history.store.listed_call(name)
        return None if row is None else row["call_id"] or row["stream_sid"]

    @app.get("/api/live")
    @query_parameters()
    async def live() -> Response:
        """Stream the live calls: a snapshot, then what changes."""
        refusal = service.seats.refusal()
        return refusal or event_stream(service.wall.watch(own_business()), service.seats)

    @app.get("/api/live/hour")
    @query_parameters()
    async def hour() -> Response:
        """Tell of each minute of the last hour: calls, waits for answers, lag of the event loop; and the results."""
        if fan_out is None:
            return json_response(service.hour.minutes(history.now()))
        own = service.hour.minutes(history.now(), waits=True)
        if request.scope.get(FORWARDED):
            return json_response(own)
        bodies = [answer.body for answer in (await fan_out.answers()).values()]
        return json_response(await asyncio.to_thread(lambda: merged([own, *map(json.loads, bodies)])))

    @app.get("/api/live/<call>/events")
    @query_parameters("after")
    async def events(call: str) -> Response:
        """Stream the journal of one call from its beginning, or behind the entry that the viewer has got last; then
        what is added, until the call is over."""
        after = _after()
        if (refusal := service.seats.refusal()) is not None:
            return refusal
        name = await found(call)
        if name is None:
            return _nothing(call, history)
        veiled = not ASKING.get().may(OPERATE)
        return event_stream(service.stories.watch(name, after, singles=True, veiled=veiled), service.seats)

    @app.get("/api/live/<sid>/sse")
    @query_parameters("after")
    async def lines(sid: str) -> Response:
        """Stream what is said in one call, as an earlier system did: `event: line` with t, type and text. 204: the
        viewer has got all of a call that is over, and a browser does not come back."""
        after = _after()
        if (refusal := service.seats.refusal()) is not None:
            return refusal
        name = await found(sid)
        if name is None:
            return _nothing(sid, history)
        if after and await service.stories.is_told(name, after):
            return Response(b"", 204)
        return event_stream(transcript_lines(service.stories, name, after), service.seats)


def _nothing(call: str, history: History) -> Response:
    if not history.is_readable:
        return history_not_open()
    return error_response(404, f"There is no call {quoted(call)}; GET /api/calls lists the newest.")


def _after() -> int:
    """Return the number of the entry that the viewer has got last. Raises BadRequest.

    A browser that comes back says so in a header, which is newer than what stands in its address.
    """
    given = request.headers.get("Last-Event-ID", "") or request.args.get("after", "")
    if given and not _NUMBER.fullmatch(given):
        raise BadRequest(400, f"after must be the id of an event, a whole number, not {quoted(given)}.")
    return int(given or 0)
