"""The route that connects a live call's caller with a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from quart import Quart, Response

from callflow.call.requests import MOST_SUMMARY, referred
from callflow.contracts.e164 import is_e164
from callflow.contracts.errors import BadRequest
from callflow.contracts.sip_addresses import SIP, TEL
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live_call import live_call
from callflow.web.console.requested_by import requester
from callflow.web.responses import error_response, json_object, json_response, unknown_names


_EXAMPLE: Final = '{"to": "sales"}'
_NAMES: Final = ("to", "mode", "summary")
_MODES: Final[tuple[Literal["warm", "cold", "refer"], ...]] = ("warm", "cold", "refer")
_OTHERWISE: Final = (
    "To a SIP address the caller is referred, and to a number they are transferred: leave mode out, or give "
    '"refer" with the one, and "warm" or "cold" with the other.'
)


def add_transfer(
    app: Quart,
    switchboard: Callable[[], Switchboard],
    may_dial: Callable[[str, str], Awaitable[str]],
    *,
    has_token: bool,
) -> None:
    """Add the route to the app. `may_dial`: returns why a number is not dialled for a business; "": it may be.
    `has_token`: operators need CONSOLE_TOKEN."""

    @app.post("/api/calls/<call>/transfer")
    async def transfer(call: str) -> Response:
        """Connect the caller of a live call with a person: `{"to": "sales"}`, or a number. `{"mode": "warm"}`: the
        person is told who calls and accepts; `cold`: they are connected at once. `summary`: what the person is told.
        To a SIP address, which needs a name, the caller's own telephone system is referred."""
        to, mode, summary = _asked(await json_object(_EXAMPLE))
        live = live_call(switchboard(), call)
        name = " ".join(to.split()).casefold()
        number = live.config.transfer_targets.get(name, to if is_e164(to) else "")
        if not number:
            known = ", ".join(live.config.transfer_targets) or "none (TRANSFER_TARGETS)"
            return error_response(400, f"to must be a number in E.164, or a name that is known: {known}.")
        plain, number = number, referred(number, live.carrier.can)
        by_refer = number.startswith((*SIP, TEL))
        if ("refers" if by_refer else "transfers") not in live.carrier.can:
            return error_response(409, f"Calls of {live.carrier.name} cannot be transferred so.")
        if mode is not None and by_refer is not (mode == "refer"):
            return error_response(400, _OTHERWISE)
        mode = mode or ("refer" if by_refer else "warm")
        if not plain.startswith(SIP) and (why := await may_dial(plain, live.config.business)):
            return error_response(403, why)
        target = name if plain != to else "the person"
        by = requester(has_token=has_token)
        if why := live.requests.transfer(target, number, by=by, summary=summary, mode=mode):
            return error_response(409, why)
        return json_response({"call": call, "to": target, "mode": mode}, 202)


def _asked(body: Mapping[str, Any]) -> tuple[str, Literal["warm", "cold", "refer"] | None, str]:
    """Read the body: whom, how, and what they are told. Raises BadRequest."""
    problems = unknown_names(body, _NAMES)
    to, mode, summary = body.get("to"), body.get("mode"), body.get("summary", "")
    if not isinstance(to, str) or not to.strip():
        problems.append(f"to is missing: whom to connect the caller with, such as {_EXAMPLE}.")
    if mode is not None and mode not in _MODES:
        problems.append('mode must be "warm", "cold" or "refer".')
    if not isinstance(summary, str) or len(summary) > MOST_SUMMARY:
        problems.append(f"summary must be a text of {MOST_SUMMARY} characters at most.")
    if problems:
        raise BadRequest(400, *problems)
    chosen: Literal["warm", "cold", "refer"] | None = next((one for one in _MODES if one == mode), None)
    return str(to).strip(), chosen, str(summary)
