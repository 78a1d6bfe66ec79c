"""The routes for links that show one call, read only and for some days, to somebody who has no token.

Whoever knows the link may read: it ends in 256 random bits, of which only a hash is kept here. It stands in no log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from quart import Quart, Response, request

from callflow.contracts.errors import BadRequest
from callflow.contracts.json_slices import PIECE
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.history.share_store import MOST_DAYS
from callflow.history.tables import iso
from callflow.journal.redaction import Redactor
from callflow.web.console import share_page
from callflow.web.console.live_call import only
from callflow.web.console.login_limit import LoginLimit
from callflow.web.console.requested_by import requester
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_object,
    json_response,
    pieces_response,
    query_parameters,
)


log = logging.getLogger(__name__)

_GONE: Final = "This link leads nowhere, or no more: ask whoever gave it to you for a new one."
_NOT_YET: Final = "The calls cannot be read at the moment: try again in a while."
_TOO_MANY: Final = "Too many wrong links were tried from here: try again in a minute."
_EXAMPLE: Final = '{"days": 3}'


def add_share(
    app: Quart,
    history: History,
    redact: Redactor,
    *,
    has_token: bool,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN. `clock`: seconds of a steady clock, for the
    limit of wrong links."""
    limit = LoginLimit()

    @app.post("/api/calls/<call>/share")
    async def share(call: str) -> Response:
        """Make a link to a call: `{"days": 1}` to `{"days": 7}`. What it leads to is told this once."""
        days = _days(await json_object(_EXAMPLE, may_be_empty=True))
        if not history.is_readable:
            return history_not_open()
        row = await history.store.conversation(call)
        if row is None:
            return _no_call(call)
        by = requester(has_token=has_token)
        made = await history.shares.create(row["id"], by, history.now(), days)
        if made is None:
            return error_response(409, "There are too many links to this call: revoke one first.")
        key, link = made
        log.info("call %s: the link %s shows it for %d days, for %s", call, link["id"], days, by)
        return json_response({"url": f"/share/{key}", **_link(link)}, 201)

    @app.get("/api/calls/<call>/shares")
    @query_parameters()
    async def shares(call: str) -> Response:
        """List the links that lead to a call now, the newest first, without what must be known to use them."""
        if not history.is_readable:
            return history_not_open()
        row = await history.store.conversation(call)
        if row is None:
            return _no_call(call)
        return json_response([_link(link) for link in await history.shares.of_conversation(row["id"], history.now())])

    @app.delete("/api/shares/<share>")
    async def revoke(share: str) -> Response:
        """Revoke a link: it leads nowhere from now on."""
        if not history.is_readable:
            return history_not_open()
        if not await history.shares.revoke(share):
            return error_response(404, f"There is no link {quoted(share)}; GET /api/calls/<call>/shares lists them.")
        log.info("the link %s is revoked, for %s", share, requester(has_token=has_token))
        return json_response({"id": share})

    @app.get("/share/<key>")
    @query_parameters()
    async def shared(key: str) -> Response:
        """Answer the page of the call that a link leads to."""
        address, now = request.remote_addr or "", clock()
        if wait := limit.wait(address, now):
            return _refused(429, _TOO_MANY, Retry_After=str(wait))
        if not history.is_readable:
            return _refused(503, _NOT_YET, Retry_After="1")
        found = await history.shares.conversation(key, history.now())
        if found is None:
            limit.failed(address, now)
            return _refused(404, _GONE)
        link, row = found
        items = await history.store.items(row["id"])

        def pieces() -> list[bytes]:
            page = share_page.page(row, items, redact, expires=link["expires_at"])
            items.clear()  # here, because freeing thousands of them takes its time, too
            return [page[at : at + PIECE] for at in range(0, len(page), PIECE)]

        response = pieces_response(await asyncio.to_thread(pieces))
        response.headers.update(share_page.HEADERS)
        return response


def _days(body: Mapping[str, Any]) -> int:
    """Read for how many days a link is to hold. Raises BadRequest."""
    only(body, "days")
    days = body.get("days", 1)
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MOST_DAYS:
        raise BadRequest(400, f"days must be a whole number from 1 to {MOST_DAYS}.")
    return days


def _link(link: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": link["id"], "created": iso(link["created_at"]), "by": link["created_by"],
        "expires": iso(link["expires_at"]),
    }  # fmt: skip


def _no_call(call: str) -> Response:
    return error_response(404, f"There is no call {quoted(call)} in the history; GET /api/calls lists the newest.")


def _refused(status: int, sentence: str, **headers: str) -> Response:
    """Answer that there is no call: a browser with a page, a program in JSON."""
    answer = error_response(status, sentence, **headers)
    if "text/html" in request.headers.get("Accept", ""):
        answer.set_data(share_page.sentence(sentence))
        answer.headers.update(share_page.HEADERS)
    else:
        answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
