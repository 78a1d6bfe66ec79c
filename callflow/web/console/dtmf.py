"""The route that presses keys of the telephone in a live call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart import Quart, Response

from callflow.call.line_requests import NO_KEYS, are_digits
from callflow.contracts.errors import BadRequest
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live_call import live_call, only, taken
from callflow.web.console.requested_by import requester
from callflow.web.responses import json_object


_EXAMPLE: Final = '{"digits": "12#"}'


def add_dtmf(app: Quart, switchboard: Callable[[], Switchboard], *, has_token: bool) -> None:
    """Add the route to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.post("/api/calls/<call>/dtmf")
    async def dtmf(call: str) -> Response:
        """Press keys, for a machine at the other end. The answer does not repeat them."""
        body = await json_object(_EXAMPLE)
        only(body, "digits")
        digits = body.get("digits")
        if not isinstance(digits, str) or not are_digits(digits):
            raise BadRequest(400, NO_KEYS)
        why = live_call(switchboard(), call).requests.line.press(digits, requester(has_token=has_token))
        return taken(why, call, keys=len(digits))
