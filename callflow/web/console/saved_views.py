"""The routes for searches of the history that operators have saved under a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts.errors import BadRequest
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.history.query import can_be_stored
from callflow.history.saved_views import MOST_VIEWS, SavedViews
from callflow.web.console.identity import ASKING, own_business
from callflow.web.console.requested_by import requester
from callflow.web.console.roles import NUMBERS, SEARCHING
from callflow.web.responses import error_response, history_not_open, json_object, json_response, unknown_names


MOST_NAME: Final = 80
MOST_VALUE: Final = 300
NAMES: Final = ("text", "number", "days", "from", "to", "live", "direction", "result", "profile", "carrier")
"""What a view may have: the parameters of a search of the page. `days`: so many until today, in place of dates."""
_EXAMPLE: Final = '{"filters": {"result": "carrier", "days": "7"}}'


def add_saved_views(app: Quart, history: History, *, has_token: bool) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""
    views = SavedViews(history.database)

    @app.get("/api/views")
    async def saved_views() -> Response:
        """List the saved searches. Those for a telephone number are not shown to those who may not search for one."""
        if not history.is_readable:
            return history_not_open()
        found = await views.listed(own_business())
        if not ASKING.get().may(SEARCHING):
            found = [each for each in found if not NUMBERS & each["filters"].keys()]
        return json_response(found)

    @app.put("/api/views/<name>")
    async def save_view(name: str) -> Response:
        """Save a search: `{"filters": {…}}`, in the place of one of the same name."""
        body = await json_object(_EXAMPLE)
        filters = _filters(name, body)
        if not history.is_readable:
            return history_not_open()
        is_new = await views.put(name, filters, business=own_business(), by=requester(has_token=has_token))
        if is_new is None:
            return error_response(409, f"There are {MOST_VIEWS} views already: delete one first.")
        return json_response({"name": name, "filters": filters}, 201 if is_new else 200)

    @app.delete("/api/views/<name>")
    async def delete_view(name: str) -> Response:
        """Delete a saved search."""
        if not history.is_readable:
            return history_not_open()
        if not can_be_stored(name) or not await views.delete(name, own_business()):
            return error_response(404, f"There is no view {quoted(name)}: GET /api/views lists them.")
        return json_response({"success": True})


def _filters(name: str, body: Mapping[str, Any]) -> dict[str, str]:
    """Return the filters of a view. Raises BadRequest."""
    problems = unknown_names(body, ("filters",))
    if name != name.strip() or not name.isprintable() or not 0 < len(name) <= MOST_NAME or not can_be_stored(name):
        problems.append(f"The name of a view has {MOST_NAME} characters at most, without blanks at its ends.")
    given = body.get("filters")
    if not isinstance(given, dict):
        raise BadRequest(400, *problems, f"filters must be an object, such as in {_EXAMPLE}.")
    problems += [
        f"There is no filter {quoted(each)}: there is {', '.join(NAMES)}." for each in given if each not in NAMES
    ]
    unfit = [
        each for each, value in given.items()
        if not isinstance(value, str) or len(value) > MOST_VALUE or not can_be_stored(value)
    ]  # fmt: skip
    problems += [f"{quoted(each)} must be a text of {MOST_VALUE} characters at most." for each in unfit]
    if problems:
        raise BadRequest(400, *problems[:20])
    return {each: given[each].strip() for each in NAMES if given.get(each, "").strip()}
