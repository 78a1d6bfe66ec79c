"""The routes for the runtime settings of the control endpoint. They need the admin secret as well."""

from __future__ import annotations

import hmac
from typing import Any, Final

from quart import Quart, Response, request

from callflow.contracts.errors import BadRequest, SessionRefused
from callflow.history.history import History
from callflow.switchboard.control.service import ControlService
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.web.console.live_call import only
from callflow.web.console.requested_by import requester
from callflow.web.responses import history_not_open, json_object, json_response


SETTINGS_PATH: Final = "/api/realtime/control/settings"
"""Where the admin secret is let in as bearer in place of an operator's token, as earlier systems sent it."""
ADMIN: Final = "X-Admin-Secret"
_EXAMPLE: Final = '{"settings": {"voice": "cedar"}}'
_NOT_SET: Final = (
    "REALTIME_CONTROL_ADMIN_SECRET is not set, so nobody sees or changes these settings: put 32 characters or more into"
    " .env, and restart the server."
)
_WRONG: Final = f"This needs the admin secret, as bearer, or in the header {ADMIN} beside an operator's token."


def add_control_settings(
    app: Quart, service: ControlService, history: History, shielded: ShieldedChanges, *, asks: str, has_token: bool
) -> None:
    """Add the routes to the app. `asks`: who our own calls ask: "self", "url" or "". `has_token`: operators need
    CONSOLE_TOKEN."""

    def check() -> None:
        """Raise BadRequest unless the request has the admin secret."""
        if not service.admin:
            raise BadRequest(403, _NOT_SET)
        named = request.headers.get(ADMIN, "")
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = named or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), service.admin.encode()):
            raise BadRequest(403 if named or (given and not has_token) else 401, _WRONG)

    @app.get("/api/realtime/control/about")
    async def control_about() -> Response:
        """Answer how the endpoint is set up, without any secret."""
        checks = service.checks
        return json_response(
            {
                "path": "/api/realtime/control", "bearer": bool(checks.secret), "signed": bool(checks.signing),
                "admin": bool(service.admin), "asks": asks, "tolerance": checks.tolerance,
            }
        )  # fmt: skip

    @app.get(SETTINGS_PATH)
    async def control_settings() -> Response:
        """Answer the runtime settings as they were given (null: the defaults hold), and the session that follows."""
        check()
        return json_response(_settings(service))

    @app.post(SETTINGS_PATH)
    async def change_control_settings() -> Response:
        """Change them: `{"settings": {…}}`; null: the defaults hold again."""
        check()
        body = await json_object(_EXAMPLE)
        only(body, "settings")
        given = body.get("settings", "")
        if given is not None and not isinstance(given, dict):
            raise BadRequest(400, f"settings must be an object or null, such as {_EXAMPLE}.")
        if not history.is_readable:
            return history_not_open()
        try:
            warnings = await shielded(service.change(given, requester(has_token=has_token)))
        except SessionRefused as refusal:
            raise BadRequest(400, *refusal.problems) from None
        return json_response({"ok": True, **_settings(service), "warnings": warnings})


def _settings(service: ControlService) -> dict[str, Any]:
    return {"settings": service.given, "update": service.update(), "warnings": service.warnings}
