"""What a token that is bound to one business may reach: these routes, of these the business's own, and nothing else.

Everything else answers 404, as if it were not there: a route that is not named here is closed to such a token, so that
a new one is closed until somebody has thought of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from quart import Quart, Response, request, websocket

from callflow.history import recording_rows
from callflow.history.history import History
from callflow.history.query import can_be_stored
from callflow.journal import notes
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.identity import NOTHING, own_business
from callflow.web.console.roles import SOCKET
from callflow.web.responses import error_response, history_not_open


_CALL, _STREAM, _RECORDING, _CAMPAIGN, _NUMBER, _SHARE = "call", "sid", "name", "campaign", "number", "share"
_ITSELF: Final = ""
"""The handler answers with what belongs to `own_business()` only."""
ROUTES: Final = {
    ("GET", "/"): _ITSELF,
    ("GET", "/static/<path:name>"): _ITSELF,
    ("GET", "/login"): _ITSELF,
    ("POST", "/login"): _ITSELF,
    ("POST", "/logout"): _ITSELF,
    ("GET", "/api/whoami"): _ITSELF,
    ("GET", "/api/calls"): _ITSELF,
    ("POST", "/api/calls"): _ITSELF,
    ("POST", "/api/calls/check"): _ITSELF,
    ("GET", "/api/settings"): _ITSELF,
    ("GET", "/api/limits"): _ITSELF,
    ("GET", "/api/calls/live"): _ITSELF,
    ("GET", "/api/calls/<call>"): _CALL,
    ("GET", "/api/live"): _ITSELF,
    ("GET", "/api/live/<call>/events"): _CALL,
    ("GET", "/api/live/<sid>/sse"): _STREAM,
    ("GET", "/api/calls/<call>/recording"): _CALL,
    ("GET", "/api/calls/<call>/replay"): _CALL,
    ("GET", "/api/calls/<call>/recording/peaks"): _CALL,
    ("GET", "/api/calls/<call>/acts"): _CALL,
    (SOCKET, "/logs"): _ITSELF,
    (SOCKET, "/api/calls/<call>/listen"): _CALL,
    (SOCKET, "/api/calls/<call>/takeover"): _CALL,
    ("GET", "/api/calls/<call>/images"): _CALL,
    ("GET", "/api/calls/<call>/images/<int:number>"): _CALL,
    **{
        ("POST", f"/api/calls/<call>/{act}"): _CALL
        for act in (
            "session", "hangup", "record", "recording", "hold", "resume", "mute", "say", "dtmf", "transfer", "whisper",
            "tools/<tool>", "share", "images",
        )
    },
    ("GET", "/api/calls/<call>/shares"): _CALL,
    ("DELETE", "/api/shares/<share>"): _SHARE,
    ("GET", "/share/<key>"): _ITSELF,
    ("GET", "/api/conversations"): _ITSELF,
    ("GET", "/api/conversations/export"): _ITSELF,
    ("GET", "/api/stats"): _ITSELF,
    ("GET", "/api/views"): _ITSELF,
    ("PUT", "/api/views/<name>"): _ITSELF,
    ("DELETE", "/api/views/<name>"): _ITSELF,
    ("GET", "/api/conversations/phone/<path:number>"): _ITSELF,
    ("GET", "/api/conversations/phone-sid/<sid>"): _ITSELF,
    ("GET", "/api/conversations/stream/<sid>"): _STREAM,
    ("GET", "/api/recordings"): _ITSELF,
    ("GET", "/api/recordings/<name>/audio"): _RECORDING,
    ("GET", "/api/numbers"): _ITSELF,
    ("POST", "/api/numbers/<number>/point"): _NUMBER,
    ("GET", "/api/campaigns"): _ITSELF,
    ("POST", "/api/campaigns"): _ITSELF,
    ("GET", "/api/campaigns/<campaign>"): _CAMPAIGN,
    ("GET", "/api/campaigns/<campaign>/rows"): _CAMPAIGN,
    ("POST", "/api/campaigns/<campaign>/<way>"): _CAMPAIGN,
    ("GET", "/api/do-not-call"): _ITSELF,
    ("POST", "/api/do-not-call"): _ITSELF,
    ("GET", "/api/do-not-call/<number>"): _ITSELF,
    ("DELETE", "/api/do-not-call/<number>"): _ITSELF,
    ("GET", "/api/profiles"): _ITSELF,
    ("GET", "/api/profiles/<name>"): _ITSELF,
    ("PUT", "/api/profiles/<name>"): _ITSELF,
    ("PATCH", "/api/profiles/<name>"): _ITSELF,
    ("GET", "/api/profiles/<name>/versions"): _ITSELF,
    ("GET", "/api/profiles/<name>/versions/<int:version>"): _ITSELF,
    ("POST", "/api/profiles/<name>/versions/<int:version>/restore"): _ITSELF,
}  # fmt: skip
"""The routes, each with the part of the path that names something whose business is looked up here."""


def add_business_scope(
    app: Quart, switchboard: Callable[[], Switchboard], history: History, business_of_number: Callable[[str], str]
) -> None:
    """Add the scope to the app, before anything else that looks at a request.

    `business_of_number`: returns whose a number of ours is; "": nobody's in particular.
    """

    async def of_call(call: str) -> str | None:
        live = switchboard().live(call)
        if live is not None:
            return live.config.business
        if history.is_readable and not history.journal.trouble and (row := await history.store.conversation(call)):
            return row["business"] or ""
        entries = await asyncio.to_thread(history.journal.read, call) if history.journal.has(call) else []
        began = next((entry.note for entry in entries if entry.name == notes.Began.kind), None)
        return began.business if isinstance(began, notes.Began) else None

    async def of_recording(name: str) -> str | None:
        found = await recording_rows.business_of(history.database, name) if can_be_stored(name) else None
        own = recording_rows.own_part(name)
        return await of_call(own[0]) if found is None and own is not None else found

    async def of_campaign(campaign: str) -> str | None:
        row = await history.campaigns.find(campaign) if can_be_stored(campaign) else None
        return row["business"] if row is not None else None

    async def owner(part: str, given: Any) -> str | None:
        """Return the business of what a request is about; "": none; None: it is not there."""
        match part:
            case "call" | "sid":
                return await of_call(given)
            case "name":
                return await of_recording(given)
            case "campaign":
                return await of_campaign(given)
            case "share":
                return await history.shares.business(given)
            case _:
                return business_of_number(given)

    @app.before_request
    async def only_its_own() -> Response | None:
        """Answer 404 for everything that does not belong to the business to which a token is bound."""
        return await refusal("GET" if request.method == "HEAD" else request.method, request)

    @app.before_websocket
    async def only_its_own_sockets() -> Response | None:
        """Do the same for a WebSocket, before it is open."""
        return await refusal(SOCKET, websocket)

    async def refusal(method: str, asked: Any) -> Response | None:
        """Return the answer to whoever may not ask this; None: they may. `asked`: a request, or a WebSocket."""
        business = own_business()
        if not business:
            return None
        part = ROUTES.get((method, asked.url_rule.rule if asked.url_rule is not None else ""))
        if part is None:
            return error_response(404, NOTHING)
        if part == _ITSELF:
            return None
        if part in (_RECORDING, _CAMPAIGN, _SHARE) and not history.is_readable:
            return history_not_open()
        given = (asked.view_args or {}).get(part)
        is_own = isinstance(given, str) and await owner(part, given) == business
        return None if is_own else error_response(404, NOTHING)
