"""Recordings by Twilio: begin and end one of a live call, and the address of its sound.

Vendor: www.twilio.com/docs/voice/api/recording.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from callflow.contracts.carrier import CarrierRequest
from carriers.common.http_client import Api
from carriers.twilio.dialling import record_form


HOSTS: Final = (".twilio.com", ".amazonaws.com")
"""Where sound may be, beside the API's own host."""
_NEWEST: Final = "Twilio.CURRENT"
"""Stands for the recording that runs."""


async def record(api: Api, request: CarrierRequest, address: str, *, on: bool) -> None:
    """Begin a recording of both sides, or end the one that runs. `address`: our public address, without a path.
    Raises CarrierError."""
    path = f"/Calls/{quote(request.ids.control, safe='')}/Recordings"
    if on:  # twice, it would make two
        await api.request("POST", f"{path}.json", data=record_form(request, address), repeatable=False)
    else:
        await api.request("POST", f"{path}/{_NEWEST}.json", data={"Status": "stopped"})


async def pause(api: Api, request: CarrierRequest, *, on: bool) -> None:
    """Let the recording that runs have silence from now on, or sound again. Raises CarrierError."""
    path = f"/Calls/{quote(request.ids.control, safe='')}/Recordings/{_NEWEST}.json"
    form = {"Status": "paused", "PauseBehavior": "silence"} if on else {"Status": "in-progress"}
    await api.request("POST", path, data=form)


def sound_of(api_base: str, account: str, name: str) -> str:
    """Return the address of a recording's sound; it needs the account's keys."""
    return f"{api_base}/2010-04-01/Accounts/{account}/Recordings/{quote(name, safe='')}.mp3"
