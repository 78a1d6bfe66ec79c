"""The routes that put a live call's caller on hold, and take them off it."""

from __future__ import annotations

from collections.abc import Callable

from quart import Quart, Response

from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live_call import live_call, only, taken
from callflow.web.console.requested_by import requester
from callflow.web.responses import json_object


def add_hold(app: Quart, switchboard: Callable[[], Switchboard], *, has_token: bool) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.post("/api/calls/<call>/hold")
    async def hold(call: str) -> Response:
        """Put the caller on hold: they hear music, and the agent neither hears them nor speaks."""
        only(await json_object("{}", may_be_empty=True))
        why = live_call(switchboard(), call).requests.line.hold(requester(has_token=has_token))
        return taken(why, call, on_hold=True)

    @app.post("/api/calls/<call>/resume")
    async def resume(call: str) -> Response:
        """Take the caller off hold: the agent has them again, and says so."""
        only(await json_object("{}", may_be_empty=True))
        why = live_call(switchboard(), call).requests.line.resume(requester(has_token=has_token))
        return taken(why, call, on_hold=False)
