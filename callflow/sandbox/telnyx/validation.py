"""Checks a request body against the parameter tables.

The real API ignores unknown keys. Here they are refused: a misspelt streaming parameter that is silently ignored means
a call with audio in one direction only.

Vendor: developers.telnyx.com/development/api-fundamentals/api-errors.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from callflow.sandbox.telnyx.errors import ApiError
from callflow.sandbox.telnyx.parameters import COMMANDS, DETECTION, EVENT_TYPES


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_E164 = re.compile(r"\+[1-9]\d{5,14}")
_DTMF = re.compile(r"[0-9A-D*#wW]+")
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "integer": int,
    "integers": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "pairs": list,
    "phones": (str, list),
}


def check(command: str, body: Mapping[str, Any]) -> None:
    """Check a request body. Raises ApiError (422) for the first thing that the command does not allow."""
    check_fields(command, COMMANDS[command], body)
    _check_detection(body.get("answering_machine_detection_config") or {})
    for name in ("webhook_url_method", "webhook_urls_method"):
        if body.get(name) == "GET":
            raise ApiError(422, "10015", "Bad Request", "The sandbox delivers webhooks by POST only.", f"/{name}")


def check_fields(about: str, specs: Mapping[str, str], body: Mapping[str, Any]) -> None:
    """Check a body against a parameter table. Raises ApiError (422)."""
    for name, spec in specs.items():
        if spec.startswith("!") and body.get(name) in (None, ""):
            detail = f"The '{name}' parameter is required and cannot be blank."
            raise ApiError(422, "10004", "Missing required parameter", detail, f"/{name}")
    if body.get("audio_url") and body.get("media_name"):
        detail = "audio_url and media_name can't be used together."
        raise ApiError(422, "10015", "Bad Request", detail, "/media_name")
    for name, value in body.items():
        if name not in specs:
            detail = f"'{name}' is not a parameter of {about} (the sandbox refuses what Telnyx would ignore)."
            raise ApiError(422, "10015", "Bad Request", detail, f"/{name}")
        if value is not None:
            _check_value(name, specs[name].removeprefix("!"), value)


def _check_detection(config: Mapping[str, Any]) -> None:
    where = "/answering_machine_detection_config"
    for name, value in config.items():
        if name not in DETECTION:
            detail = f"'{name}' is not a parameter of the detection (the sandbox refuses what Telnyx would ignore)."
            raise ApiError(422, "10015", "Bad Request", detail, f"{where}/{name}")
        _check_value(name, "integer 0..", value)


def _check_value(name: str, spec: str, value: Any) -> None:
    kind, _, limit = spec.partition(" ")
    if kind == "any":
        return
    wanted = _TYPES.get(kind, str)
    fits: bool = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
    if not fits:
        raise ApiError(422, "10015", "Bad Request", f"The '{name}' parameter must be of type {kind}.", f"/{name}")
    if kind in ("enum", "integers"):
        allowed = limit.split("|")
        if str(value) not in allowed:
            detail = f"The value must be one of: {', '.join(sorted(allowed))}."
            raise ApiError(422, "10032", "Invalid enumerated value", detail, f"/{name}")
    elif kind == "integer":
        low, _, high = limit.partition("..")
        if value < int(low) or (high and value > int(high)):
            detail = f"The value is outside of allowed range {low} to {high or 'infinity'}"
            raise ApiError(422, "10033", "Value outside of range", detail, f"/{name}")
    elif kind == "string" and limit and len(value) > int(limit):
        detail = f"The '{name}' parameter must not be longer than {limit} characters."
        raise ApiError(422, "10033", "Value outside of range", detail, f"/{name}")
    elif kind == "base64" and not is_base64(value):
        detail = f"The '{name}' parameter must be base64 encoded."
        raise ApiError(422, "90017", "Invalid client state", detail, f"/{name}")
    elif kind in ("phone", "phones"):
        _check_numbers(name, value)
    elif kind == "pairs" and not all(isinstance(each, dict) and {"name", "value"} <= each.keys() for each in value):
        detail = f"Each item of '{name}' must be an object with 'name' and 'value'."
        raise ApiError(422, "10015", "Bad Request", detail, f"/{name}")
    elif (kind == "uuid" and not _UUID.fullmatch(value)) or (kind == "digits" and not _DTMF.fullmatch(value)):
        raise ApiError(422, "10015", "Bad Request", f"The '{name}' parameter is not valid.", f"/{name}")
    elif name == "webhook_urls" and (unknown := sorted(set(value) - EVENT_TYPES)):
        raise ApiError(422, "90057", "Invalid webhook_urls", f"Unknown event type: {unknown[0]}.", f"/{name}")


def _check_numbers(name: str, value: str | list[Any]) -> None:
    for number in [value] if isinstance(value, str) else value:
        if not isinstance(number, str) or not (_E164.fullmatch(number) or number.startswith(("sip:", "sips:"))):
            detail = f"The '{name}' parameter must be in E164 format."
            raise ApiError(422, "10016", "Phone number must be in +E164 format", detail, f"/{name}")


def is_base64(text: str) -> bool:
    """Return whether a text is valid base64 with its padding."""
    try:
        base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return False
    return True
