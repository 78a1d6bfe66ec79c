"""The account's phone numbers: listed in pages, changed, given back; and what overrides a number's own URLs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from callflow.sandbox.twilio.errors import ApiError
from callflow.sandbox.twilio.exchange import Exchange, Number, TwimlApp
from callflow.sandbox.twilio.parameters import NUMBER
from callflow.sandbox.twilio.resources import ROOT, number
from callflow.sandbox.twilio.validation import Form, check_names


_LIST: Final = ("PhoneNumber", "FriendlyName", "Beta", "Origin", "PageSize", "Page", "PageToken")
_USUAL: Final = 50
_MOST: Final = 1000
_URLS: Final = ("VoiceUrl", "VoiceFallbackUrl", "StatusCallback")
_METHODS: Final = ("VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod")


def listed(exchange: Exchange[Any], form: Form) -> dict[str, Any]:
    """Return a page of the numbers. Raises ApiError.

    Twilio docs: 50 on a page, unless PageSize asks for up to 1000; every further page needs the PageToken in
    `next_page_uri`.
    """
    check_names(form, _LIST)
    asked = dict(form)
    found = [
        one
        for one in exchange.numbers.values()
        if asked.get("PhoneNumber", "") in one.phone_number
        and asked.get("FriendlyName", one.friendly_name) == one.friendly_name
    ]
    size, page = _whole(asked, "PageSize", _USUAL), _whole(asked, "Page", 0)
    size = min(max(size, 1), _MOST)
    if page and asked.get("PageToken") != _token(found, page, size):  # (unknown code)
        raise ApiError(400, 20001, "Page needs the PageToken of the page before it")
    shown = found[page * size : (page + 1) * size]
    more = (page + 1) * size < len(found)
    filters: dict[str, str] = {name: asked[name] for name in ("PhoneNumber", "FriendlyName") if name in asked}
    uri = f"{ROOT}{exchange.account_sid}/IncomingPhoneNumbers.json"

    def at(place: int, token: str = "") -> str:
        paged = {**filters, "PageSize": str(size), "Page": str(place), "PageToken": token}
        given = {name: value for name, value in paged.items() if value}
        return f"{uri}?{urlencode(list(given.items()))}"

    return {
        "incoming_phone_numbers": [number(one, exchange) for one in shown],
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": max(page * size, page * size + len(shown) - 1),
        "uri": at(page, asked.get("PageToken", "")),
        "first_page_uri": at(0),
        "next_page_uri": at(page + 1, _token(found, page + 1, size)) if more else None,
        "previous_page_uri": at(page - 1, _token(found, page - 1, size) if page > 1 else "") if page else None,
    }


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
    if application and application not in exchange.applications:
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

    Twilio docs: a trunk overrides all URLs, an application the VoiceUrl, its fallback and the StatusCallback.
    """
    if one.trunk_sid:
        return None
    if not one.voice_application_sid:
        return one
    application = exchange.applications.get(one.voice_application_sid)
    if application is None:
        return None
    return replace(
        one, voice_url=application.voice_url, voice_method="POST", voice_fallback_url="",
        status_callback=application.status_callback, status_callback_method="POST",
    )  # fmt: skip


def add_application(exchange: Exchange[Any], voice_url: str, status_callback: str = "") -> str:
    """Make a TwiML app, and return its SID."""
    sid = "AP" + secrets.token_hex(16)
    exchange.applications[sid] = TwimlApp(voice_url, status_callback)
    return sid


def _token(found: Sequence[Number], page: int, size: int) -> str:
    """Return the token of a page: it names the last number before it."""
    last = page * size - 1
    return f"PA{found[last].sid}" if 0 <= last < len(found) else ""


def _whole(asked: Mapping[str, str], name: str, usual: int) -> int:
    given = asked.get(name, str(usual))
    if not given.isdigit():
        raise ApiError(400, 20001, f"{name} must be a number")
    return int(given)
