"""Join the caller with a person, and stop what would be heard meanwhile. Vendor: developers.telnyx.com, Call Control
commands."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any, Final
from urllib.parse import quote

from callflow.contracts import commands
from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import CALLER, HUMAN
from carriers.common.http_client import Api
from carriers.telnyx.ids import state


log = logging.getLogger(__name__)

STREAMING: Final = "90045"
"""The answer to a command that must not be while Telnyx counts a media stream of this call."""
_NOT_STREAMING: Final = "90048"
"""The answer to `streaming_stop` when there is none."""
IN_PLACE_OF_A_STREAM: Final = (
    commands.StartStream, commands.Listen, commands.Speak, commands.Transfer, commands.LeadToSip,
)  # fmt: skip
"""Commands with which the agent has no part in the call any more, or a new one: the stream may be stopped for them. For
any other one it stays, because the caller is talking with the agent."""
_STOP_SECONDS: Final = 1.0
"""How long a command waits for the stream before it to be stopped: the caller hears nothing meanwhile."""
_AGAIN: Final = uuid.UUID("0a3c9f7e-2c53-5d0e-9a41-6b1f4f5f5b11")


def actions_of(control: str) -> str:
    """Return the path of the commands to a leg."""
    return f"/calls/{quote(control, safe='')}/actions"


async def join(api: Api, request: CarrierRequest) -> None:
    """Bridge the caller's leg with the person's. The stream is stopped before, so that the agent neither hears nor
    speaks, and so is the briefing: it is queued at Telnyx, and a person may accept before its end. The caller's leg is
    kept when the person hangs up. Raises CarrierError; that the caller's leg is gone, only stopping the stream can
    tell."""
    if request.command.leg != CALLER:
        return  # one request bridges both
    if not request.other.control:
        raise CarrierError("Telnyx has not told the person's call_control_id, so nobody can be bridged with them")
    path, told = actions_of(request.ids.control), state(request)
    await _stop_stream(api, path, {"command_id": _id_after(request.id), "client_state": told})
    await _stop_briefing(api, request)
    body = {
        "command_id": request.id,
        "client_state": told,
        "call_control_id": request.other.control,
        "park_after_unbridge": "self",
    }
    try:
        await api.post(f"{path}/bridge", body)
    except CarrierError as error:
        error.gone = False  # one leg of two has ended: the person's, because the caller's was there a moment ago
        raise


async def _stop_briefing(api: Api, request: CarrierRequest) -> None:
    """Stop what the person is told. If that fails, it is heard to its end, and both are joined all the same."""
    body = {"command_id": _id_after(request.id), "client_state": state(request, HUMAN)}
    try:
        await api.post(f"{actions_of(request.other.control)}/playback_stop", body, retries=0)
    except CarrierError as error:
        log.info("call %s: the briefing cannot be stopped: %s", request.call, error)


async def without_stream(api: Api, path: str, action: str, body: dict[str, Any]) -> None:
    """Stop a stream that Telnyx still counts although its socket is closed, then send the command that it has refused
    for that, with a new id. Raises CarrierError."""
    ids = {"command_id": _id_after(body["command_id"]), "client_state": body["client_state"]}
    await _stop_stream(api, path, ids)
    await api.post(f"{path}/{action}", {**body, "command_id": _id_after(ids["command_id"])})


async def end_stream_before(api: Api, path: str, body: dict[str, Any], *, stream: str) -> None:
    """Stop the stream that another process of ours still has, before this command asks for a new one. If that fails,
    the command shows it. `stream`: Telnyx's id of it, so that a request which arrives late does not stop the new one;
    "": it is not known."""
    ids = {"command_id": _id_after(f"before {body['command_id']}"), "client_state": body["client_state"]}
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await api.post(f"{path}/streaming_stop", ids | ({"stream_id": stream} if stream else {}), retries=0)
    except (CarrierError, TimeoutError) as error:
        log.info("a stream is not stopped before the next: %r", error)


async def _stop_stream(api: Api, path: str, body: dict[str, Any]) -> None:
    try:
        await api.post(f"{path}/streaming_stop", body)
    except CarrierError as error:
        if error.code != _NOT_STREAMING:
            raise


def _id_after(command_id: str) -> str:
    """Return the id of a command that belongs to another one, and is known as one when it is repeated."""
    return str(uuid.uuid5(_AGAIN, command_id))
