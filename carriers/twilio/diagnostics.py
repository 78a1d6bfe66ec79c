"""Find what is wrong at Twilio: the keys, the numbers' URLs, and whether Twilio's signatures are accepted here.

Facts from Twilio's documentation (www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource,
/docs/usage/webhooks/webhooks-security): a number's TrunkSid overrides all of its voice URLs, its VoiceApplicationSid
overrides its VoiceUrl. The end of an inbound call is told only to the number's StatusCallback. Webhooks are signed with
the account's auth token, also when an API key is used for REST.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from callflow.contracts import addresses
from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.errors import CarrierError
from carriers.common.diagnostics import elsewhere, refused, unsigned
from carriers.common.http_client import Api
from carriers.twilio.signature import sign


ABOUT = "Twilio"
_TOKEN = "copy it from console.twilio.com (Account Info) into .env as TWILIO_AUTH_TOKEN"
_KEY = "make a key in console.twilio.com (API keys & tokens): TWILIO_API_KEY and TWILIO_API_SECRET"
_SIGNED = "take ALLOW_UNSIGNED_WEBHOOKS away, and restart the server"
_CONSOLE = "in console.twilio.com under Phone Numbers, Active numbers"
_FORM = "application/x-www-form-urlencoded"


async def checkup(
    api: Api, outside: Outside, *, account: str, token: str, with_key: bool, voice: Sequence[str], status: str
) -> AsyncIterator[Finding]:
    """Check the account and yield what was found. Never raises.

    `outside`: the running server as carriers reach it. `with_key`: REST uses an API key, so the auth token is tried
    separately. `voice`, `status`: the paths where the server takes webhooks.
    """
    if with_key:
        yield await _token(api, account, token)
    name = "TWILIO_API_KEY" if with_key else "TWILIO_AUTH_TOKEN"
    try:
        answer = await api.request("GET", "/IncomingPhoneNumbers.json", params={"PageSize": "100"}, retries=1)
    except CarrierError as error:
        yield refused(error, ABOUT, name, _KEY if with_key else _TOKEN)
        return
    yield Finding(f"{ABOUT} key", "ok", f"{name} is taken")
    found = answer.get("incoming_phone_numbers") if isinstance(answer, dict) else None
    numbers = [one for one in found or [] if isinstance(one, dict)]
    for finding in _numbers(numbers, outside.address, voice, status):
        yield finding
    if outside.answers:
        yield await unsigned(outside, ABOUT, status, urlencode(_form("")).encode(), _FORM, _SIGNED)
        yield await _probe(outside, account, token, status)


async def _token(api: Api, account: str, token: str) -> Finding:
    try:
        await api.request("GET", "/Calls.json", params={"PageSize": "1"}, auth=(account, token), retries=1)
    except CarrierError as error:
        return refused(error, ABOUT, "TWILIO_AUTH_TOKEN", _TOKEN)
    return Finding(f"{ABOUT} auth token", "ok", "TWILIO_AUTH_TOKEN is the account's")


def _numbers(
    numbers: Sequence[Mapping[str, Any]], address: str, voice: Sequence[str], status: str
) -> Iterator[Finding]:
    about = f"{ABOUT} numbers"
    if not numbers:
        yield Finding(about, "wrong", "the account has no number", "buy one in console.twilio.com")
        return
    if not address:
        yield Finding(about, "note", f"{len(numbers)}, of which none can be checked without a public address")
        return
    ours = [one for one in numbers if str(one.get("voice_url") or "").startswith(address)]
    if not ours:
        some = ", ".join(str(one.get("phone_number")) for one in numbers[:5])
        remedy = f"set “A call comes in” of one of them ({some}) to {address}/ {_CONSOLE}"
        yield Finding(about, "wrong", f"none of {len(numbers)} leads to {address}", remedy)
    for one in ours:
        yield from _number(one, address, voice, status)


def _number(one: Mapping[str, Any], address: str, voice: Sequence[str], status: str) -> Iterator[Finding]:
    about = f"{ABOUT} {one.get('phone_number')}"
    wrong = []
    if trunk := one.get("trunk_sid"):
        wrong.append((f"its trunk {trunk} overrides its URLs", f"take the number out of that trunk {_CONSOLE}"))
    if application := one.get("voice_application_sid"):
        what = f"its TwiML app {application} overrides its VoiceUrl"
        wrong.append((what, f"set “Configure with” to Webhook {_CONSOLE}"))
    path = urlsplit(str(one.get("voice_url"))).path or "/"
    if path not in voice:
        wrong.append((f"its VoiceUrl ends with {path}, where nobody is", f"set it to {address}/ {_CONSOLE}"))
    told = str(one.get("status_callback") or "").partition("#")[0]
    if told != f"{address}{status}":
        what = f"its StatusCallback is {addresses.shown(told) or 'not set'}, so the end of a call is heard of late"
        wrong.append((what, f"set “Call status changes” to {address}{status} {_CONSOLE}"))
    for what, remedy in wrong:
        yield Finding(about, "wrong", what, remedy)
    if not wrong:
        leads_to = addresses.shown(str(one.get("voice_url")))
        yield Finding(about, "ok", f"leads to {leads_to} and tells of the end of its calls")


# What Twilio signs


def _form(account: str) -> dict[str, str]:
    """Return a status callback about a call that does not exist, so that it changes nothing."""
    return {
        "AccountSid": account,
        "CallSid": f"CA{secrets.token_hex(16)}",
        "CallStatus": "ringing",
        "FromCity": "",
        "SequenceNumber": "0",
    }


async def _probe(outside: Outside, account: str, token: str, path: str) -> Finding:
    """Send a webhook that is signed as Twilio signs it: over the right URL, then over common mistakes for it."""
    about = f"{ABOUT} signed probe"
    right, *others = _variants(outside, path)
    for url in (right, *others):
        form = _form(account)
        text = url + "".join(name + value for name, value in sorted(form.items()))
        headers = {"Content-Type": _FORM, "X-Twilio-Signature": sign(token.encode(), text.encode())}
        status = await outside.post(path, urlencode(form).encode(), headers)
        if 200 <= status < 300 and url == right:
            return Finding(about, "ok", f"what is signed over {addresses.shown(url)} verifies")
        if 200 <= status < 300:
            what = f"only what is signed over {addresses.shown(url)} verifies, and Twilio signs {right}"
            return Finding(about, "wrong", what, f"restart the server with PUBLIC_BASE_URL={outside.address}")
        if status != 403:
            return elsewhere(outside, about, path, status)
    remedy = "restart the server with these settings: it has another TWILIO_AUTH_TOKEN"
    return Finding(about, "wrong", "what Twilio signs does not verify, over no form of the URL", remedy)


def _variants(outside: Outside, path: str) -> list[str]:
    """Return the URL of the probe: the right one, then that of the running server, then the usual mistakes."""
    parts = urlsplit(outside.address)
    other = {"https": "http", "http": "https"}[parts.scheme]
    bases = [outside.address, outside.believed, f"{other}://{parts.netloc}", f"{parts.scheme}://{parts.hostname}"]
    return list(dict.fromkeys([*(f"{base}{path}" for base in bases if base), f"{outside.address}{path}/"]))
