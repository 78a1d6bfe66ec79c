"""What the routes about one live call share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quart import Response

from callflow.call.call import Call
from callflow.contracts.errors import BadRequest
from callflow.contracts.printable import quoted
from callflow.switchboard.switchboard import Switchboard
from callflow.web.responses import error_response, json_response, unknown_names


def live_call(switchboard: Switchboard, call: str) -> Call:
    """Return the live call of this id. Raises BadRequest (404)."""
    live = switchboard.live(call)
    if live is None:
        raise BadRequest(404, f"There is no live call {quoted(call)}; GET /api/calls/live lists them.")
    return live


def only(body: Mapping[str, Any], *names: str) -> None:
    """Check that the body has no other names than these. Raises BadRequest."""
    if problems := unknown_names(body, names):
        raise BadRequest(400, *problems)


def taken(why_not: str, call: str, **said: Any) -> Response:
    """Return the answer to a request that the call has taken (202), or has not (409). `why_not`: a sentence; "": it
    has."""
    return error_response(409, why_not) if why_not else json_response({"call": call, **said}, 202)
