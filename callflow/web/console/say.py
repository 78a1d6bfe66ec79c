"""The route that says an operator's words to a live call's caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart import Quart, Response

from callflow.call.line_requests import MOST_TEXT
from callflow.contracts.errors import BadRequest
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live_call import live_call, only, taken
from callflow.web.console.requested_by import requester
from callflow.web.responses import json_object


_EXAMPLE: Final = '{"text": "Your taxi is outside."}'


def add_say(app: Quart, switchboard: Callable[[], Switchboard], *, has_token: bool) -> None:
    """Add the route to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.post("/api/calls/<call>/say")
    async def say(call: str) -> Response:
        """Let the agent say a text, word for word, as soon as it has finished what it is saying."""
        body = await json_object(_EXAMPLE)
        only(body, "text")
        text = body.get("text")
        if not isinstance(text, str) or not text.strip() or len(text) > MOST_TEXT:
            raise BadRequest(400, f"text must be what is said, {MOST_TEXT} characters at most, such as {_EXAMPLE}.")
        why = live_call(switchboard(), call).requests.line.say(text.strip(), requester(has_token=has_token))
        return taken(why, call)
