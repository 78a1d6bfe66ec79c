"""The route that makes an outbound call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from quart import Quart, Response, request

from callflow.contracts import prompt_variables
from callflow.contracts.errors import BadRequest, CarrierError, DialRefused, SessionRefused
from callflow.switchboard.dialer import Dialer, DialRequest
from callflow.switchboard.setting_service import SettingService
from callflow.web.console.client_keys import NAMES, read_account, read_key
from callflow.web.console.identity import own_business
from callflow.web.console.requested_by import requester
from callflow.web.responses import error_response, json_object, json_response, unknown_names


IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_EXAMPLE: Final = '{"toNumber": "+15550100001"}'
SETTINGS: Final = {
    "greeting": "greeting", "machineDetection": "machine_detection", "voicemailMessage": "voicemail_message",
}  # fmt: skip
"""Settings for this call alone that have a name in the body; `session` may hold any."""
_NAMES: Final = ("toNumber", "from", "carrier", "profile", *SETTINGS, "variables", "record", "session", "ephemeral")
_SPELLED: Final = {"to": "toNumber", "fromNumber": "from", "twilioFromNumber": "from"}
"""Names that other systems have for the same."""
_IN_EPHEMERAL: Final = {
    "expires_after": "a call needs no client secret that expires",
    "server": "the session of a call has no server of its own",
}
_OUR_KEYS: Final = frozenset({401, 403})
"""What a carrier says of our keys: passed on, it would sound as if it were about the keys of whoever asks."""

Checked = Callable[[Mapping[str, Any]], tuple[dict[str, Any], list[str]]]
"""Reads a session for one call: settings by name, and a line for what is left out. Raises SessionRefused."""


def add_dial(app: Quart, dialer: Callable[[], Dialer], checked: Checked, *, has_token: bool, client_keys: bool) -> None:
    """Add the route to the app. `has_token`: operators need CONSOLE_TOKEN. `client_keys`: requests may bring a key."""

    @app.post("/api/calls")
    async def dial() -> Response:
        """Dial a number: `{"toNumber": "+15550100001"}`. With the header Idempotency-Key, a request that is repeated
        makes no second call."""
        body = await json_object(_EXAMPLE)
        asked, warnings = await _read(body, checked, has_token=has_token, client_keys=client_keys)
        try:
            dialled = await dialer().dial(asked)
        except DialRefused as refused:
            wait = str(refused.wait or "")
            return error_response(refused.status, refused.reasons[0], refused.reasons, Retry_After=wait)
        except CarrierError as error:
            passed = 400 <= error.status < 500 and error.status not in _OUR_KEYS
            return error_response(error.status if passed else 502, f"The call was not dialled: {error}.")
        told = {
            "id": dialled.call,
            "callSid": dialled.carrier_id or dialled.call,
            "carrier": dialled.carrier,
            "url": f"/api/calls/{dialled.call}",
            "state": dialled.state,
            "new": dialled.is_new,
        }
        warnings += [f"{{{{{name}}}}} is left out: there is no such variable" for name in dialled.left_out]
        if warnings:
            told["warnings"] = warnings
        return json_response(told, 201 if dialled.is_new and dialled.carrier_id else 202 if dialled.is_new else 200)

    @app.post("/api/calls/check")
    async def check() -> Response:
        """Tell what a request to `POST /api/calls` would do, and what it would cost: nothing is dialled."""
        body = await json_object(_EXAMPLE)
        asked, warnings = await _read(body, checked, has_token=has_token, client_keys=client_keys)
        try:
            found = await dialer().preview(asked)
        except DialRefused as refused:
            wait = str(refused.wait or "")
            return error_response(refused.status, refused.reasons[0], refused.reasons, Retry_After=wait)
        warnings += [f"{{{{{name}}}}} is left out: there is no such variable" for name in found.config.left_out]
        told = {
            "may": not found.why, "why": found.why, "carrier": found.carrier, "from": found.from_number,
            **SettingService.of_call(found.config), "warnings": warnings,
        }  # fmt: skip
        return json_response(told)


async def _read(
    body: Mapping[str, Any], checked: Checked, *, has_token: bool, client_keys: bool
) -> tuple[DialRequest, list[str]]:
    """Read the body. Raises BadRequest."""
    problems: list[str] = []
    warnings: list[str] = []
    api_key = read_key(body, client_keys, problems, warnings)
    account = read_account(body, client_keys, problems)
    given: dict[str, Any] = {}
    for name, value in body.items():
        known = _SPELLED.get(name, name)
        if known in given:
            problems.append(f"{name} and {known} are one thing: give it once.")
        elif known in _NAMES:
            given[known] = value
    problems += unknown_names((name for name in body if name not in _SPELLED and name not in NAMES), _NAMES)
    if "toNumber" not in given:
        problems.append(f"toNumber is missing: whom to call, such as {_EXAMPLE}.")
    texts = ("toNumber", "from", "carrier", "profile", "greeting", "voicemailMessage")
    problems += [f"{name} must be a text." for name in texts if not isinstance(given.get(name, ""), str)]
    flags = ("record", "machineDetection")
    problems += [f"{name} must be true or false." for name in flags if not isinstance(given.get(name, False), bool)]
    variables = prompt_variables.read({} if given.get("variables") is None else given["variables"])
    problems += [f"{problem[:1].upper()}{problem[1:]}." for problem in variables.problems]
    session = _session(given, problems, warnings)
    if problems:
        raise BadRequest(400, *problems)
    if not given.get("greeting"):
        given.pop("greeting", None)
    session = {**session, **{name: given[key] for key, name in SETTINGS.items() if key in given}}
    try:
        settings, left_out = await asyncio.to_thread(checked, session) if session else ({}, [])
    except SessionRefused as refusal:
        raise BadRequest(400, *refusal.problems) from None
    return DialRequest(
        to_number=given["toNumber"],
        from_number=given.get("from", ""),
        carrier=given.get("carrier", ""),
        profile=given.get("profile", ""),
        session=settings,
        variables=variables.values,
        record=given.get("record", False),
        key=request.headers.get(IDEMPOTENCY_KEY, ""),
        by=requester(has_token=has_token),
        api_key=api_key,
        account=account,
        business=own_business(),
        keys_of=own_business(),
    ), [*warnings, *left_out]


def _session(given: Mapping[str, Any], problems: list[str], warnings: list[str]) -> Mapping[str, Any]:
    """Return the session that the body asks for: `session`, or the one within `ephemeral`."""
    session, around = given.get("session"), given.get("ephemeral")
    if around is not None and not isinstance(around, Mapping):
        problems.append("ephemeral must be an object with a session in it.")
    elif around is not None:
        warnings += [f"ephemeral.{name} is left out: {why}" for name, why in _IN_EPHEMERAL.items() if name in around]
        inner = around.get("session")
        if session is not None and inner is not None:
            problems.append("session and ephemeral.session are one thing: give it once.")
        session = inner if session is None else session
    if session is not None and not isinstance(session, Mapping):
        problems.append("session must be an object.")
        return {}
    return session or {}
