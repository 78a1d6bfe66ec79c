"""The routes for dead letters on the operators' listener: events that EVENTS_URL did not take."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from quart import Quart, Response

from callflow.history.delivery.sender import Sender
from callflow.history.event_store import EventStore
from callflow.history.history import History
from callflow.web.console.history_query import whole_number
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_response,
    large_json_response,
    query_parameters,
)


_MOST: Final = 100
"""Dead letters of one page: with the words of long calls it has some 20 MB."""
_MOST_SEQ: Final = (1 << 53) - 1


def add_events(app: Quart, history: History, sender: Sender | None) -> None:
    """Add the routes to the app. `sender`: sends the events; None: EVENTS_URL is not set."""

    def events() -> EventStore | None:
        return history.events if history.is_readable else None

    @app.get("/api/events/dead")
    @query_parameters("limit", "before")
    async def dead() -> Response:
        """List dead letters, the newest first. `Link: <…>; rel="next"` leads to the next page."""
        store = events()
        if store is None:
            return history_not_open()
        limit = whole_number("limit", _MOST, 1, _MOST)
        found = await store.dead_letters(limit, whole_number("before", 0, 0, _MOST_SEQ))
        response = await large_json_response(lambda: found)
        if len(found) == limit:
            following = urlencode({"limit": limit, "before": found[-1]["seq"]})
            response.headers["Link"] = f'</api/events/dead?{following}>; rel="next"'
        return response

    @app.post("/api/events/dead/<name>/again")
    async def again(name: str) -> Response:
        """Send a dead letter again, as if it were new."""
        if sender is None:
            return error_response(409, "Nothing is sent, because EVENTS_URL is not set.")
        store = events()
        if store is None:
            return history_not_open()
        if await store.again(name, history.now()):
            sender.wake()
            return json_response({"id": name, "state": "waiting"}, 202)
        state = await store.state(name)
        if state:
            return error_response(409, f"This event is no dead letter: it is {state}.")
        return error_response(404, "There is no such event: GET /api/events/dead lists the dead letters.")
