"""The routes for the do-not-call list on the operators' listener: look at it, put a number on it, take one off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from quart import Quart, Response, request

from callflow.config.dial_rules import number_problem
from callflow.config.validators import BUSINESS
from callflow.contracts.errors import BadRequest
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.history.projection import clean
from callflow.journal.redaction import Redactor
from callflow.web.console.history_query import parameter, whole_number
from callflow.web.console.identity import own_business
from callflow.web.console.requested_by import requester
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_object,
    json_response,
    large_json_response,
    query_parameters,
    suggestion,
)


log = logging.getLogger(__name__)

_EXAMPLE: Final = '{"number": "+15550100001", "reason": "asked us not to call"}'
_NAMES: Final = ("number", "reason", "business")
_MOST_PAGE: Final = 500
_MOST_REASON: Final = 500
"""Characters."""
_MOST_ID: Final = (1 << 31) - 1
"""The largest id in every database."""
_NOT_THERE: Final = (
    "This number is not on the do-not-call list: GET /api/do-not-call shows it, each number in E.164, such as"
    " +15550100001."
)


def add_do_not_call(app: Quart, history: History, redact: Redactor, *, has_token: bool) -> None:
    """Add the routes to the app. `redact`: redacts reasons. `has_token`: operators need CONSOLE_TOKEN."""
    entries = history.do_not_call

    @app.before_request
    async def wait_for_the_list() -> Response | None:
        needs_it = request.path.startswith("/api/do-not-call") and request.url_rule is not None
        return history_not_open() if needs_it and not history.is_readable else None

    @app.get("/api/do-not-call")
    @query_parameters("limit", "before")
    async def do_not_call() -> Response:
        """List the numbers, the newest first. `Link: <…>; rel="next"` leads to the next page."""
        limit, before = whole_number("limit", 100, 1, _MOST_PAGE), whole_number("before", 0, 0, _MOST_ID)
        found = await entries.page(limit=limit, before=before, business=own_business() or None)
        response = await large_json_response(lambda: found)
        if len(found) == limit:
            following = urlencode({"limit": limit, "before": found[-1]["id"]})
            response.headers["Link"] = f'<{quote(request.path)}?{following}>; rel="next"'
        return response

    @app.post("/api/do-not-call")
    async def add_number() -> Response:
        """Put a number on the list: 201, or 200 when it is there already, with its entry."""
        number, reason, business = _entry(await json_object(_EXAMPLE))
        if problem := await asyncio.to_thread(number_problem, number):
            raise BadRequest(400, problem)
        reason = await asyncio.to_thread(redact.text, clean(reason))
        by = requester(has_token=has_token)
        entry, is_new = await entries.add(number, reason=reason, added_by=by, business=business)
        if is_new:
            log.info("a number that ends in %s is on the do-not-call list now (%s)", number[-2:], entry["added_by"])
        return json_response(entry, 201 if is_new else 200)

    @app.get("/api/do-not-call/<number>")
    async def listed_number(number: str) -> Response:
        """Answer the entry of one number."""
        entry = await entries.entry(number, own_business() or None)
        return error_response(404, _NOT_THERE) if entry is None else json_response(entry)

    @app.delete("/api/do-not-call/<number>")
    @query_parameters("business")
    async def remove_number(number: str) -> Response:
        """Take a number off the list; `?business=` off that of one business."""
        business = own_business() or parameter("business")
        if not await entries.remove(number, business):
            entry = None if business else await entries.entry(number, None)
            if entry is not None and entry["business"]:
                which = quote(entry["business"], safe="")
                return error_response(404, f"This number is on the list of a business: add ?business={which}")
            return error_response(404, _NOT_THERE)
        log.info(
            "a number that ends in %s is on the do-not-call list no more (%s)",
            number[-2:],
            requester(has_token=has_token),
        )
        return json_response({"success": True})


def _entry(body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Read number, reason and business from a body. Raises BadRequest."""
    unknown = [name for name in body if name not in _NAMES]
    problems = [f"There is no {quoted(name)} in this body{suggestion(name, _NAMES)}" for name in unknown[:20]]
    number, reason = body.get("number"), body.get("reason", "")
    if not isinstance(number, str):
        problems.append(f"number must be a text: send an object such as {_EXAMPLE}.")
    if not isinstance(reason, str) or len(reason) > _MOST_REASON:
        problems.append(f"reason must be a text of at most {_MOST_REASON} characters.")
    business, own = body.get("business", own_business()), own_business()
    if not isinstance(business, str) or (business and not BUSINESS.fullmatch(business)) or own not in ("", business):
        problems.append(f"business must be {quoted(own)}." if own else "business must be the name of one.")
    if problems:
        raise BadRequest(400, *problems)
    return str(number), str(reason).strip(), str(business)
