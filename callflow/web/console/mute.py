"""The route that mutes one party of a live call for the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart import Quart, Response

from callflow.contracts.errors import BadRequest
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live_call import live_call, only, taken
from callflow.web.console.requested_by import requester
from callflow.web.responses import json_object


_EXAMPLE: Final = '{"party": "caller", "on": true}'


def add_mute(app: Quart, switchboard: Callable[[], Switchboard], *, has_token: bool) -> None:
    """Add the route to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.post("/api/calls/<call>/mute")
    async def mute(call: str) -> Response:
        """Mute the caller (the agent does not hear them) or the agent (the caller does not hear it), or end that."""
        body = await json_object(_EXAMPLE)
        only(body, "party", "on")
        party, on = body.get("party"), body.get("on", True)
        if party not in ("caller", "agent") or not isinstance(on, bool):
            raise BadRequest(400, f'party must be "caller" or "agent", and on true or false, such as {_EXAMPLE}.')
        by = requester(has_token=has_token)
        why = live_call(switchboard(), call).requests.line.mute("caller" if party == "caller" else "agent", on, by)
        return taken(why, call, party=party, on=on)
