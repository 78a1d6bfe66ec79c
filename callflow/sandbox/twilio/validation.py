"""Checks the forms of the REST API against the parameter tables.

The real API ignores unknown parameters. Here they are refused, because a misspelt one is a mistake of the application.
"""

from __future__ import annotations

import re
from collections.abc import Container
from urllib.parse import parse_qsl, urlsplit

from callflow.sandbox.common.http_server import Request
from callflow.sandbox.twilio import twiml
from callflow.sandbox.twilio.errors import ApiError, TwimlError
from callflow.sandbox.twilio.parameters import CALL_EVENTS, CREATE_CALL, MAX_TWIML, UPDATE_CALL


_E164 = re.compile(r"\+[1-9]\d{5,14}")

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


def check_create(form: Form, own_numbers: Container[str]) -> dict[str, str]:
    """Return the values of a new call. Raises ApiError for the first thing that is wrong."""
    values = _check_call(form, CREATE_CALL)
    to, own = values.get("To", ""), values.get("From", "")
    if not to:
        raise ApiError(400, 21201, "No 'To' number is specified")
    if not own:
        raise ApiError(400, 21213, "No 'From' number is specified")
    if not (_E164.fullmatch(to) or to.startswith(("sip:", "client:"))):
        raise ApiError(400, 21211, f"The phone number you are attempting to call, {to}, is not valid.")
    if own not in own_numbers:
        raise ApiError(400, 21210, f"The source phone number provided, {own}, is not yet verified for your account.")
    if not (values.get("Url") or values.get("Twiml")):
        raise ApiError(400, 21205, "Url parameter is required.")
    return values


def check_names(form: Form, known: Container[str]) -> None:
    """Raise ApiError for the first parameter that is not known."""
    for name, _ in form:
        if name not in known:
            raise ApiError(400, 20001, f"{name} is not a parameter here (the sandbox refuses what Twilio ignores)")


def _check_call(form: Form, known: Container[str]) -> dict[str, str]:
    check_names(form, known)
    values = dict(form)
    if values.get("Url") and values.get("Twiml"):
        raise ApiError(400, 20001, "Url and Twiml exclude each other")
    for name in ("Url", "FallbackUrl", "StatusCallback"):
        if values.get(name) and urlsplit(values[name]).scheme not in ("http", "https"):
            raise ApiError(400, 21205, f"{name} is not a valid URL")
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
