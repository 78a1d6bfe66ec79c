"""The account's phone numbers: listed in pages, changed, given back; and what overrides a number's own URLs.

Vendor: www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from callflow.sandbox.twilio.errors import ApiError
from callflow.sandbox.twilio.exchange import Exchange, Number
from callflow.sandbox.twilio.parameters import NUMBER
from callflow.sandbox.twilio.resources import number, page
from callflow.sandbox.twilio.validation import Form, check_names


_LIST: Final = ("PhoneNumber", "FriendlyName", "Beta", "Origin", "PageSize", "Page", "PageToken")
_URLS: Final = ("VoiceUrl", "VoiceFallbackUrl", "StatusCallback")
_METHODS: Final = ("VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod")


def listed(exchange: Exchange[Any], form: Form, path: str) -> dict[str, Any]:
    """Return a page of the numbers, as `resources.page` makes it. Raises ApiError. Twilio docs: PhoneNumber may be a
    part of the number."""
    check_names(form, _LIST)
    asked = dict(form)
    found = [
        number(one, exchange)
        for one in exchange.numbers.values()
        if asked.get("PhoneNumber", "") in one.phone_number
        and asked.get("FriendlyName", one.friendly_name) == one.friendly_name
    ]
    return page("incoming_phone_numbers", found, form, path)


def change(exchange: Exchange[Any], one: Number, form: Form) -> None:
    """Set what a form holds. An empty value clears. Raises ApiError; the codes of these refusals are (unknown)."""
    check_names(form, NUMBER)
    values = dict(form)
    for name in _URLS:
        if values.get(name) and urlsplit(values[name]).scheme not in ("http", "https"):
            raise ApiError(400, 20001, f"{name} is not a valid URL")
    for name in _METHODS:
        if values.get(name, "POST") not in ("GET", "POST"):
            raise ApiError(400, 20001, f"{name} must be GET or POST")
    application, trunk = values.get("VoiceApplicationSid"), values.get("TrunkSid")
    if application and application not in exchange.account.applications:
        raise ApiError(400, 20001, f"VoiceApplicationSid {application} does not exist")
    if trunk and trunk not in exchange.trunks:
        raise ApiError(400, 20001, f"TrunkSid {trunk} does not exist")
    if application and trunk:
        raise ApiError(400, 20001, "VoiceApplicationSid and TrunkSid exclude each other")
    for name, value in values.items():
        setattr(one, NUMBER[name], value)
    # Twilio docs: setting one of the two takes the other away.
    if application:
        one.trunk_sid = ""
    elif trunk:
        one.voice_application_sid = ""


def serving(exchange: Exchange[Any], one: Number) -> Number | None:
    """Return the number with the URLs that its calls really use; None: no URL is asked, its calls go elsewhere.

    Twilio docs: a trunk overrides all URLs, an application the VoiceUrl, its fallback and the StatusCallback
    (here it has none).
    """
    if one.trunk_sid:
        return None
    if not one.voice_application_sid:
        return one
    application = exchange.account.applications.get(one.voice_application_sid)
    if application is None:
        return None
    return replace(
        one, voice_url=application, voice_method="POST", voice_fallback_url="",
        status_callback="",
    )  # fmt: skip


def add_application(exchange: Exchange[Any], voice_url: str) -> str:
    """Make a TwiML app, and return its SID."""
    sid = "AP" + secrets.token_hex(16)
    exchange.account.applications[sid] = voice_url
    return sid
