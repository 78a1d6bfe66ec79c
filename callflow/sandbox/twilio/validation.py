"""Checks the forms of the REST API against the parameter tables.

The real API ignores unknown parameters. Here they are refused, because a misspelt one is a mistake of the application.

Vendor: www.twilio.com/docs/errors.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from callflow.sandbox.common.http_server import Request
from callflow.sandbox.twilio import twiml
from callflow.sandbox.twilio.errors import ApiError, TwimlError
from callflow.sandbox.twilio.exchange import Account
from callflow.sandbox.twilio.parameters import (
    CALL_EVENTS,
    CHOICES,
    CREATE_CALL,
    MAX_TWIML,
    RANGES,
    RECORD,
    RECORDING_EVENTS,
    UPDATE_CALL,
    URLS,
)


_E164 = re.compile(r"\+[1-9]\d{5,14}")
_DIGITS = re.compile(r"[0-9A-D#*wW]{0,32}")
_DESTINATIONS: Final = {
    21214: "'To' phone number cannot be reached: {}",
    21215: "Account not authorized to call {}. Perhaps you need to enable some international permissions.",
    21216: "Account not allowed to call {}",
    21217: "Phone number does not appear to be valid: {}",
}

Form = list[tuple[str, str]]
"""Names and values in order; a name may come more than once."""


def form_of(request: Request) -> Form:
    """Read the form of a POST request, or the query of any other. Raises ApiError for another content type."""
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and request.body and not kind.startswith("application/x-www-form-urlencoded"):
        raise ApiError(400, 20001, f"Content-Type {kind or 'missing'} (forms only)")
    text = request.body.decode() if request.method == "POST" else request.query
    return parse_qsl(text, keep_blank_values=True)


def check_update(form: Form) -> dict[str, str]:
    """Return the values of an update of a call. Raises ApiError for the first thing that is wrong."""
    values = _check_call(form, UPDATE_CALL)
    if values.get("Status", "") not in ("", "completed", "canceled"):
        raise ApiError(400, 20001, "Status must be completed or canceled")
    return values


def check_create(form: Form, own_numbers: Container[str], account: Account) -> dict[str, str]:
    """Return the values of a new call. Raises ApiError for the first thing that is wrong."""
    values = _check_call(form, CREATE_CALL)
    to, own = values.get("To", ""), values.get("From", "")
    if not to:
        raise ApiError(400, 21201, "No 'To' number is specified")
    if not own:
        raise ApiError(400, 21213, "No 'From' number is specified")
    if not (_E164.fullmatch(own) or own.startswith(("sip:", "client:"))):
        raise ApiError(400, 21212, f"The 'From' number {own} is not a valid phone number or caller ID.")
    if not (_E164.fullmatch(to) or to.startswith(("sip:", "client:"))):
        raise ApiError(400, 21211, f"The phone number you are attempting to call, {to}, is not valid.")
    if own.startswith("+") and own not in own_numbers:
        raise ApiError(400, 21210, f"The source phone number provided, {own}, is not yet verified for your account.")
    _check_destination(to, account)
    if not (values.get("Url") or values.get("Twiml") or values.get("ApplicationSid")):
        raise ApiError(400, 21205, "Url parameter is required.")
    if (sid := values.get("ApplicationSid")) and sid not in account.applications:
        raise ApiError(400, 21218, f"ApplicationSid {sid} is not valid.")
    return values


def _check_destination(to: str, account: Account) -> None:
    code = next((code for start, code in account.refused.items() if to.startswith(start)), None)
    if code is not None:
        raise ApiError(400, code, _DESTINATIONS.get(code, "The call to {} is refused.").format(to))
    if account.trial and to not in account.verified:
        detail = f"The number {to} is unverified. Trial accounts may only make calls to verified numbers."
        raise ApiError(400, 21219, detail)


def check_record(form: Form) -> dict[str, str]:
    """Return the values of a recording that is to begin. Raises ApiError for the first thing that is wrong."""
    check_names(form, RECORD)
    return _check_values(form)


def check_names(form: Form, known: Container[str]) -> None:
    """Raise ApiError for the first parameter that is not known."""
    for name, _ in form:
        if name not in known:
            raise ApiError(400, 20001, f"{name} is not a parameter here (the sandbox refuses what Twilio ignores)")


def _check_call(form: Form, known: Container[str]) -> dict[str, str]:
    check_names(form, known)
    values = _check_values(form)
    if sum(bool(values.get(name)) for name in ("Url", "Twiml", "ApplicationSid")) > 1:
        raise ApiError(400, 20001, "Url, Twiml and ApplicationSid exclude each other")
    if events := [value for name, value in form if name == "StatusCallbackEvent" and value not in CALL_EVENTS]:
        raise ApiError(400, 20001, f"StatusCallbackEvent {events[0]} does not exist")
    if text := values.get("Twiml"):
        if len(text) > MAX_TWIML:
            raise ApiError(400, 20001, f"Twiml has more than {MAX_TWIML} characters")
        try:
            twiml.parse(text, lambda error: None)
        except TwimlError as error:
            raise ApiError(400, 20001, f"Twiml is not valid: {error.detail}") from None
    return values


def _check_values(form: Form) -> dict[str, str]:
    for name, value in form:
        if name in CHOICES and value not in CHOICES[name]:
            raise ApiError(400, 20001, f"{name} must be one of {', '.join(CHOICES[name])}")
        if name in RANGES:
            low, high = RANGES[name]
            if not value.isdecimal() or not low <= int(value) <= high:
                raise ApiError(400, 20001, f"{name} must be an integer from {low} to {high}")
        if name in URLS and value and urlsplit(value).scheme not in ("http", "https"):
            raise ApiError(400, 21205, f"{name} is not a valid URL")
        if name == "SendDigits" and not _DIGITS.fullmatch(value):
            raise ApiError(400, 20001, "SendDigits must be up to 32 of 0-9, A-D, #, *, w and W")
        if name == "RecordingStatusCallbackEvent":
            for event in value.split():
                if event not in RECORDING_EVENTS:
                    raise ApiError(400, 20001, f"RecordingStatusCallbackEvent {event} does not exist")
    return dict(form)
