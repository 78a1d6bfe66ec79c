"""The control endpoint for servers that carry calls: `POST /api/realtime/control` answers how a session should be.

Every check that is set up must pass, over the bytes as they came. Without any, nobody is answered.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final, cast

from quart import Quart, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import OutOfBounds
from callflow.contracts.printable import json_of, line
from callflow.switchboard.control.service import ControlService
from callflow.web.public.request import error_response, refusals


log = logging.getLogger(__name__)

PATH: Final = "/api/realtime/control"
_MOST_BODY: Final = 256 << 10


def add_control(app: Quart, service: ControlService) -> None:
    """Add the routes to the app."""

    async def checked() -> bytes | Response:
        """Return the body of a request that is allowed, or the refusal."""
        body = cast(bytes, await request.get_data())
        if len(body) > _MOST_BODY:
            raise RequestEntityTooLarge
        headers = _headers()
        if headers is not None and service.checks.allow(headers, body, time.time()):
            return body
        why = "it has not what the settings ask for" if service.checks.are_there else "no secret is set for it"
        refusals.say(f"control {why}", "the control endpoint refuses a request: %s", why)
        refused = _json({"error": "Unauthorized"}, 401)
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    @app.get(PATH)
    async def control_status() -> Response:
        """Answer how a session should be now."""
        body = await checked()
        return body if isinstance(body, Response) else _json({"ok": True, "update": service.update()})

    @app.post(PATH)
    async def control() -> Response:
        """Answer an event of a session with what should be changed in it."""
        body = await checked()
        if isinstance(body, Response):
            return body
        try:
            event = read(body) if body.strip() else {}
        except OutOfBounds:
            event = None
        if not isinstance(event, dict):
            return error_response(400, 'the body must be a JSON object, such as {"type": "session.created"}')
        log.debug("the control endpoint is asked about %s", line(str(event.get("type", "an event")))[:80])
        return _json({"events": [{"type": "session.update", "session": service.update()}]})


def _headers() -> dict[str, str] | None:
    """Return the headers, names in small letters; None: one of them is there twice, and nobody knows which counts."""
    found: dict[str, str] = {}
    for name, value in request.scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and (key == "authorization" or key.startswith(("x-openai-", "x-webhook-"))):
            return None
        found[key] = value.decode("latin-1")
    return found


def _json(body: Any, status: int = 200) -> Response:
    response = Response(json_of(body), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
