"""Find what is wrong with calls over OpenAI's SIP, as far as it can be proved from here.

That a webhook of OpenAI's arrives can only be seen when a call comes: its dashboard has no interface for that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.errors import CarrierError
from callflow.contracts.sip_addresses import of_other_region
from carriers.common.diagnostics import elsewhere
from carriers.common.http_client import Api


ABOUT = "OpenAI SIP"
_NO_CALL = "rtc_callflow_doctor"
"""An id that no call has."""


async def checkup(api: Api, outside: Outside, *, path: str, sip_uri: str, calls_url: str) -> AsyncIterator[Finding]:
    """Check the way to OpenAI and back, and yield what was found. Never raises.

    `outside`: the running server as carriers reach it. `path`: where it takes webhooks. `sip_uri`: where numbers lead;
    "": not set up. `calls_url`: where their calls are accepted.
    """
    yield await _key(api)
    host = sip_uri.partition("@")[2].partition(";")[0].partition(":")[0]
    if wrong := of_other_region(host, calls_url):
        remedy = "set OPENAI_SIP_HOST, and the trunks that lead there, to the region of OPENAI_REALTIME_URL"
        yield Finding(f"{ABOUT} address", "wrong", wrong, remedy)
    elif sip_uri:
        yield Finding(f"{ABOUT} address", "ok", f"numbers may lead to {sip_uri}")
    else:
        remedy = "set OPENAI_PROJECT_ID (proj_…, platform.openai.com, Settings, General), to lead numbers there"
        yield Finding(f"{ABOUT} address", "note", "the project is not known", remedy)
    if outside.answers:
        yield await _unsigned(outside, path)
    where = f"{outside.address or 'https://…'}{path}"
    remedy = f"platform.openai.com, Settings, Project, Webhooks: {where} with realtime.call.incoming"
    yield Finding(f"{ABOUT} webhook", "note", "whether OpenAI sends its webhooks here, only a call can show", remedy)


async def _key(api: Api) -> Finding:
    """Hang up a call that does not exist: a key that may not do that is refused before the call is looked for."""
    about = f"{ABOUT} key"
    try:
        await api.request("POST", f"/{_NO_CALL}/hangup", retries=1)
    except CarrierError as error:
        if error.status == 404:
            return Finding(about, "ok", "OPENAI_API_KEY may answer and end calls")
        if error.status in (401, 403):
            remedy = "copy a key of that project from platform.openai.com (API keys) into .env as OPENAI_API_KEY"
            return Finding(about, "wrong", f"OPENAI_API_KEY may not end calls (HTTP {error.status})", remedy)
        return Finding(about, "note", f"whether OPENAI_API_KEY may answer calls cannot be told: {error}")
    return Finding(about, "note", "a call that does not exist was hung up: it is not OpenAI that answers there")


async def _unsigned(outside: Outside, path: str) -> Finding:
    about = f"{ABOUT} signatures"
    status = await outside.post(path, b"{}", {"Content-Type": "application/json"})
    if status == 400:
        return Finding(about, "ok", "a webhook without a signature is refused")
    if 200 <= status < 300:
        remedy = "restart the server, so that it knows OPENAI_WEBHOOK_SECRET"
        return Finding(about, "wrong", "a webhook without a signature is taken: anyone can fake a call", remedy)
    return elsewhere(outside, about, path, status)
