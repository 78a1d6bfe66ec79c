"""Find what is wrong at Telnyx, through its REST API: the key, the application, its numbers.

Facts from Telnyx's documentation (developers.telnyx.com, Call Control applications): an application that was made by
API has `webhook_api_version` "1", whose events have another shape. Without an outbound voice profile no call can be
made (HTTP 403, error D38).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from callflow.contracts import addresses
from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.errors import CarrierError
from carriers.common.diagnostics import refused, unsigned
from carriers.common.http_client import Api


ABOUT = "Telnyx"
_KEY = "copy a key from portal.telnyx.com (API Keys) into .env as TELNYX_API_KEY"
_SIGNED = "set TELNYX_PUBLIC_KEY, take ALLOW_UNSIGNED_WEBHOOKS away, and restart the server"
_PORTAL = "in portal.telnyx.com under Voice API applications"


async def checkup(
    api: Api, outside: Outside, *, paths: Sequence[str], connection_id: str, verifies: bool
) -> AsyncIterator[Finding]:
    """Check the account and yield what was found. Never raises.

    `outside`: the running server as carriers reach it. `paths`: where it takes webhooks. `connection_id`: our
    application's; "": the only one, or the one that sends its webhooks to us. `verifies`: there is a key to verify
    webhooks.
    """
    try:
        answer = await api.request("GET", "/call_control_applications", params={"page[size]": "250"}, retries=1)
    except CarrierError as error:
        yield refused(error, ABOUT, "TELNYX_API_KEY", _KEY)
        return
    yield Finding(f"{ABOUT} key", "ok", "TELNYX_API_KEY is taken")
    if not verifies:
        yield Finding(
            f"{ABOUT} public key",
            "wrong",
            "webhooks cannot be verified",
            "copy it from Telnyx (Keys & Credentials, Public Key) into .env as TELNYX_PUBLIC_KEY",
        )
    if outside.answers:
        yield await unsigned(outside, ABOUT, paths[0], b"{}", "application/json", _SIGNED)
    applications = [one for one in _data(answer) if isinstance(one, dict)]
    found = find_application(applications, outside.address, connection_id)
    if isinstance(found, Finding):
        yield found
        return
    for finding in _application(found, outside.address, paths):
        yield finding
    yield await _numbers(api, found)


def _data(answer: Any) -> Sequence[Any]:
    data = answer.get("data") if isinstance(answer, dict) else None
    return data if isinstance(data, list) else []


def find_application(
    applications: Sequence[Mapping[str, Any]], address: str, connection_id: str
) -> Mapping[str, Any] | Finding:
    """Return our application among all of the account; a finding where it cannot be told. `connection_id`: as above."""
    about = f"{ABOUT} application"
    if connection_id:
        for one in applications:
            if str(one.get("id")) == connection_id:
                return one
        remedy = f"set TELNYX_CONNECTION_ID to one of: {_names(applications)}"
        return Finding(about, "wrong", f"there is no application {connection_id}", remedy)
    here = [one for one in applications if address and str(one.get("webhook_event_url", "")).startswith(address)]
    for candidates in (here, applications):
        if len(candidates) == 1:
            return candidates[0]
    if not applications:
        remedy = f"make one {_PORTAL}, with the webhook URL {address or 'https://…'}/webhooks"
        return Finding(about, "wrong", "the account has no Voice API application", remedy)
    remedy = f"set TELNYX_CONNECTION_ID to one of: {_names(applications)}"
    return Finding(about, "wrong", f"which of {len(applications)} applications is ours?", remedy)


def _names(applications: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one.get('id')} ({one.get('application_name')})" for one in applications[:5]) or "none"


def _application(one: Mapping[str, Any], address: str, paths: Sequence[str]) -> list[Finding]:
    about = f"{ABOUT} application"
    name = f"“{one.get('application_name')}”"
    findings = []
    url = str(one.get("webhook_event_url") or "")
    what = f"{name} sends its webhooks to {addresses.shown(url) or 'nowhere'}"
    if not address:
        findings.append(Finding(about, "note", what))
    elif addresses.place(url) in [f"{address}{path}" for path in paths]:
        findings.append(Finding(about, "ok", what))
    else:
        findings.append(Finding(about, "wrong", what, f"set its webhook URL to {address}{paths[0]} {_PORTAL}"))
    version = str(one.get("webhook_api_version") or "1")
    if version == "2":
        findings.append(Finding(about, "ok", "its webhooks are of version 2"))
    else:
        what = f"its webhooks are of version {version}, which nobody here reads"
        findings.append(Finding(about, "wrong", what, f"set “Webhook API Version” to 2 {_PORTAL}"))
    if one.get("active") is False:
        findings.append(Finding(about, "wrong", "it is not active", f"activate it {_PORTAL}"))
    outbound = one.get("outbound")
    if not (isinstance(outbound, dict) and outbound.get("outbound_voice_profile_id")):
        remedy = f"attach an outbound voice profile {_PORTAL}, if calls are to be made or transferred"
        findings.append(Finding(about, "note", "it has no outbound voice profile: it can only be called", remedy))
    return findings


async def _numbers(api: Api, application: Mapping[str, Any]) -> Finding:
    about = f"{ABOUT} numbers"
    params = {"filter[connection_id]": str(application.get("id")), "page[size]": "20"}
    try:
        numbers = _data(await api.request("GET", "/phone_numbers", params=params, retries=1))
    except CarrierError as error:
        return Finding(about, "wrong", f"they cannot be looked up: {error}", "try again in a moment")
    if not numbers:
        remedy = "assign a number to it in portal.telnyx.com under Numbers, My Numbers"
        return Finding(about, "wrong", "no number leads to the application", remedy)
    shown = ", ".join(str(one.get("phone_number")) for one in numbers[:5] if isinstance(one, dict))
    return Finding(about, "ok", f"{shown}{' …' if len(numbers) > 5 else ''}")
