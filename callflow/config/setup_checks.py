"""What is set up, and what is left to do before real calls: for the start table and the operators' page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from callflow.config import client_keys
from callflow.config.settings import Settings
from callflow.config.validators import is_loopback
from callflow.contracts import addresses
from callflow.contracts.diagnostics import Finding
from callflow.contracts.realtime_values import model_at


_CREDENTIALS: Final = (
    "openai_api_key", "openai_webhook_secret", "telnyx_api_key", "telnyx_public_key", "twilio_account_sid",
    "twilio_auth_token", "twilio_api_key", "twilio_api_secret",
)  # fmt: skip
"""Of the vendors, by which calls are taken and made."""


def status(settings: Settings, address: str) -> dict[str, Any]:
    """Return which credentials are there, never what they are, and where webhooks are to go. `credentialsSet`: calls
    can be taken. `address`: the public URL; "": not known."""
    on = settings.telnyx_on or settings.twilio_on or settings.openai_sip_on
    return {
        "credentialsSet": on and bool(settings.openai_api_key),
        "credentials": {name.upper(): bool(getattr(settings, name)) for name in _CREDENTIALS},
        "publicUrl": address,
        "webhooks": webhooks(settings, address) if address else {},
    }


def webhooks(settings: Settings, address: str) -> dict[str, str]:
    """Return the webhook URLs for each carrier that is on, by what the carrier calls them."""
    found = {}
    if settings.telnyx_on:
        found["Telnyx webhook"] = f"{address}/webhooks"
    if settings.twilio_on:
        found["Twilio voice webhook"] = f"{address}/"
        found["Twilio status callback"] = f"{address}/twilio/status"
    if settings.openai_sip_on:
        found["OpenAI webhook (realtime.call.incoming)"] = f"{address}/openai/webhook"
    return found


def to_do(settings: Settings, address: str) -> list[str]:
    """Return what does not prevent a start and should be done before real calls, a line each."""
    lines = []
    if not address:
        lines.append("Set PUBLIC_BASE_URL to the address where carriers reach this server, or start with --public.")
    elif is_loopback(urlsplit(address).hostname or ""):
        lines.append("PUBLIC_BASE_URL is an address of this machine only: carriers cannot reach it.")
    elif address.startswith("http://"):
        lines.append("PUBLIC_BASE_URL is http: calls travel in the clear. Use https for real ones.")
    if settings.cluster_port and is_loopback(settings.cluster_host):
        lines.append("CLUSTER_HOST is an address of this machine only: nodes of other machines cannot reach it.")
    if client_keys.in_force(settings):
        lines.append("ALLOW_CLIENT_CREDS is on: POST /api/calls takes keys of whoever asks. For development only.")
    if settings.allow_unsigned_webhooks:
        lines.append("ALLOW_UNSIGNED_WEBHOOKS is on: anyone can fake a call. For development only.")
    return lines


def setup_findings(settings: Settings, address: str, warnings: Sequence[str]) -> list[Finding]:
    """Return the setup checklist. `address`: the public URL; "": not known. `warnings`: of the start."""
    return [
        _address(address),
        *_carriers(settings),
        _key(settings),
        _operators(settings),
        *(
            Finding("settings", "note", line, key=f"settings: {line[:80]}")
            for line in (*warnings, *to_do(settings, "https://known.example"))
        ),
    ]


def _address(address: str) -> Finding:
    about, shown = "public address", addresses.shown(address)
    if not address:
        remedy = "set PUBLIC_BASE_URL to the address where carriers reach this server, or start with --public"
        return Finding(about, "wrong", "it is not known, so that no carrier reaches this server", remedy)
    if is_loopback(urlsplit(address).hostname or ""):
        remedy = "set PUBLIC_BASE_URL to one that carriers reach, or start with --public"
        return Finding(about, "note", f"{shown} is an address of this machine only", remedy)
    if address.startswith("http://"):
        return Finding(about, "note", f"{shown}: calls travel in the clear", "use https for real calls")
    return Finding(about, "ok", shown)


def _carriers(settings: Settings) -> Iterator[Finding]:
    if not (settings.telnyx_on or settings.twilio_on or settings.openai_sip_on):
        yield Finding("carriers", "wrong", "none is on", "set TELNYX_API_KEY, or TWILIO_ACCOUNT_SID and its token")
    if settings.telnyx_on:
        unverified = not settings.telnyx_public_key
        remedy = "set TELNYX_PUBLIC_KEY" if unverified else ""
        what = "on, but its webhooks are not verified" if unverified else "on"
        yield Finding("Telnyx", "note" if unverified else "ok", what, remedy)
    if settings.twilio_on:
        yield Finding("Twilio", "ok", "on")
    if settings.openai_sip_on:
        yield Finding("OpenAI SIP", "ok", settings.openai_sip_uri or "on")


def _key(settings: Settings) -> Finding:
    if settings.openai_api_key:
        return Finding("model", "ok", f"{model_at(settings.openai_realtime_url) or settings.model}, with a key")
    return Finding("model", "wrong", "there is no key for it", "set OPENAI_API_KEY")


def _operators(settings: Settings) -> Finding:
    if settings.console_token or settings.console_tokens.get_secret_value():
        return Finding("operators", "ok", "this page needs a token")
    what = "this page needs no token, and is reached from this machine only"
    return Finding("operators", "ok", what)
