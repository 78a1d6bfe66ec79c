"""The account's phone numbers and Voice API applications: listed in pages, changed, given back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from callflow.sandbox.telnyx.errors import ApiError
from callflow.sandbox.telnyx.validation import check_fields


CONNECTION_ID: Final = "1555010000000000001"
"""The id of the account's first Voice API application."""
_SINCE: Final = "2026-01-01T00:00:00Z"
_MOST: Final = 250
_APPLICATION: Final = {
    "application_name": "!string",
    "webhook_event_url": "!string",
    "webhook_event_failover_url": "string",
    "webhook_api_version": "enum 1|2",
    "webhook_timeout_secs": "integer 0..30",
    "active": "boolean",
    "anchorsite_override": "string",
    "call_cost_in_webhooks": "boolean",
    "dtmf_type": "enum RFC 2833|Inband|SIP INFO",
    "first_command_timeout": "boolean",
    "first_command_timeout_secs": "integer 0..",
    "inbound": "object",
    "outbound": "object",
    "redact_dtmf_debug_logging": "boolean",
}
"""PATCH /call_control_applications/{id}: the first two are required, whatever else is changed."""
_NUMBER: Final = {"connection_id": "string", "customer_reference": "string"}
"""PATCH /phone_numbers/{id}."""
_VOICE: Final = {
    "call_forwarding": "object",
    "call_recording": "object",
    "caller_id_name_enabled": "boolean",
    "cnam_listing": "object",
    "inbound_call_screening": "enum disabled|reject_calls|flag_calls",
    "media_features": "object",
    "tech_prefix_enabled": "boolean",
    "translated_number": "string",
    "usage_payment_method": "enum pay-per-minute|channel",
}
"""PATCH /phone_numbers/{id}/voice."""
_FORWARDING: Final = {
    "call_forwarding_enabled": "boolean",
    "forwarding_type": "enum always|on-failure",
    "forwards_to": "string",
}
_E164: Final = re.compile(r"\+[1-9]\d{5,14}")


@dataclass(slots=True)
class Application:
    """A Voice API application: it gets the webhooks of the calls to its numbers."""

    id: str = CONNECTION_ID
    application_name: str = "sandbox"
    webhook_event_url: str = ""
    webhook_event_failover_url: str | None = None
    webhook_api_version: str = "2"
    webhook_timeout_secs: int | None = None
    active: bool = True
    outbound_voice_profile_id: str | None = "1555010000000000002"
    channel_limit: int | None = None
    """How many outgoing legs there may be at a time; None: any number."""
    over_limit: Literal["hangs_up", "refused"] = "hangs_up"
    """What becomes of a dial beyond it: accepted and ended (SIP 403, "D1"), or refused (90043)."""
    dials_per_second: int = 30
    """Telnyx docs: measured over the trailing 5 s, so that 150 may come at once."""
    has_funds: bool = True
    more: dict[str, Any] = field(default_factory=dict)
    """What was changed of the fields that the emulator does not use."""

    def resource(self) -> dict[str, Any]:
        """Return the application as the API shows it."""
        return {
            "record_type": "call_control_application",
            "id": self.id,
            "application_name": self.application_name,
            "active": self.active,
            "anchorsite_override": "Latency",
            "call_cost_in_webhooks": False,
            "dtmf_type": "RFC 2833",
            "first_command_timeout": False,
            "first_command_timeout_secs": 30,
            "inbound": {"channel_limit": 10, "shaken_stir_enabled": False},
            "redact_dtmf_debug_logging": False,
            "webhook_api_version": self.webhook_api_version,
            "webhook_event_failover_url": self.webhook_event_failover_url,
            "webhook_event_url": self.webhook_event_url,
            "webhook_timeout_secs": self.webhook_timeout_secs,
            "created_at": _SINCE,
            "updated_at": _SINCE,
            **self.more,
            "outbound": {
                "channel_limit": self.channel_limit or 10,
                "outbound_voice_profile_id": self.outbound_voice_profile_id,
            },
        }

    def change(self, body: Mapping[str, Any]) -> None:
        """Set what the body of a PATCH holds. Raises ApiError."""
        check_fields("this application", _APPLICATION, body)
        for name in ("webhook_event_url", "webhook_event_failover_url"):
            if body.get(name) and urlsplit(body[name]).scheme not in ("http", "https"):
                raise ApiError(422, "10015", "Bad Request", f"'{name}' must include a scheme.", f"/{name}")
        for name, value in body.items():
            if name == "outbound":
                self.outbound_voice_profile_id = value.get("outbound_voice_profile_id", self.outbound_voice_profile_id)
            elif name in type(self).__slots__:
                setattr(self, name, value)
            else:
                self.more[name] = value


@dataclass(slots=True)
class Number:
    """A phone number of the account. `connection_id` "": it is assigned to nothing, and its calls fail."""

    id: str
    phone_number: str
    connection_id: str = CONNECTION_ID
    connection_name: str = ""
    """That of a connection that is no Voice API application; "": it is unknown, or an application."""
    customer_reference: str = ""
    deletion_lock_enabled: bool = False
    forwards_to: str = ""
    forwarding_type: str | None = None
    call_forwarding_enabled: bool = True

    def forwards(self, kind: Literal["always", "on-failure"]) -> bool:
        """Return whether its calls are forwarded so."""
        return self.call_forwarding_enabled and bool(self.forwards_to) and self.forwarding_type == kind


class Account:
    """The numbers and applications of the account."""

    def __init__(self, webhook_url: str) -> None:
        self.application = Application(webhook_event_url=webhook_url)
        """The first one, which gets the calls of every number that is not listed."""
        self.applications: dict[str, Application] = {CONNECTION_ID: self.application}
        """By id."""
        self.connections: dict[str, str] = {}
        """Names of connections of other kinds, by id."""
        self.numbers: dict[str, Number] = {}
        """By E.164 number."""
        self.number("+15550100002")

    def number(self, phone_number: str, **about: Any) -> Number:
        """Return a number of the account; it is made when it is asked for the first time."""
        if phone_number not in self.numbers:
            place = f"15550200000000{len(self.numbers):05d}"
            self.numbers[phone_number] = Number(place, phone_number, **about)
        return self.numbers[phone_number]

    def application_of(self, phone_number: str) -> Application | None:
        """Return the application that gets the calls to a number; None: the calls go elsewhere, or nowhere."""
        number = self.numbers.get(phone_number)
        found = self.application if number is None else self.applications.get(number.connection_id)
        return found if found is not None and found.active else None

    # The API

    def handle(self, method: str, parts: Sequence[str], query: str, body: Callable[[], dict[str, Any]]) -> Any:
        """Answer a request below `call_control_applications` or `phone_numbers`. Raises ApiError."""
        match method, parts:
            case "GET", ["call_control_applications"]:
                return _page([one.resource() for one in self.applications.values()], query)
            case "GET", ["call_control_applications", name] if name in self.applications:
                return {"data": self.applications[name].resource()}
            case "PATCH", ["call_control_applications", name] if name in self.applications:
                self.applications[name].change(body())
                return {"data": self.applications[name].resource()}
            case "GET", ["phone_numbers"]:
                return _page(self._found(query), query)
            case (("GET" | "PATCH"), ["phone_numbers", name, "voice"]):
                return {"data": self._voice(method, name, body)}
            case (("GET" | "PATCH" | "DELETE"), ["phone_numbers", name]):
                return {"data": self._one(method, name, body)}
        raise _missing(parts)

    def _found(self, query: str) -> list[dict[str, Any]]:
        asked = parse_qs(query)
        connection = asked.get("filter[connection_id]", [""])[-1]
        wanted = asked.get("filter[phone_number]", [""])[-1].lstrip("+")  # Telnyx docs: a part of the number will do
        return [
            self._resource(one)
            for one in self.numbers.values()
            if wanted in one.phone_number and connection in ("", one.connection_id)
        ]

    def _one(self, method: str, name: str, body: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        one = next((each for each in self.numbers.values() if each.id == name), None)
        if one is None:
            raise _missing(["phone_numbers", name])
        if method == "PATCH":
            self._change(one, body())
        elif method == "DELETE":
            if one.deletion_lock_enabled:  # (unknown code)
                raise ApiError(422, "10015", "Bad Request", "This number has its deletion lock enabled.")
            del self.numbers[one.phone_number]
            return {**self._resource(one), "status": "deleted"}
        return self._resource(one)

    def _voice(self, method: str, name: str, body: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        one = next((each for each in self.numbers.values() if each.id == name), None)
        if one is None:
            raise _missing(["phone_numbers", name, "voice"])
        if method == "PATCH":
            given = body()
            check_fields("these voice settings", _VOICE, given)
            forwarding = given.get("call_forwarding") or {}
            check_fields("call_forwarding", _FORWARDING, forwarding)
            if (to := forwarding.get("forwards_to")) and not _E164.fullmatch(to):
                detail = "forwards_to must be in +E.164 format."
                raise ApiError(422, "10016", "Phone number must be in +E164 format", detail, "/forwards_to")
            for field_name, value in forwarding.items():
                setattr(one, field_name, value)
        return {
            "record_type": "voice_settings",
            "id": one.id,
            "phone_number": one.phone_number,
            "connection_id": one.connection_id,
            "customer_reference": one.customer_reference,
            "tech_prefix_enabled": False,
            "translated_number": "",
            "inbound_call_screening": "disabled",
            "usage_payment_method": "pay-per-minute",
            "call_forwarding": {name: held for name in _FORWARDING if (held := getattr(one, name)) is not None},
        }

    def _change(self, one: Number, body: Mapping[str, Any]) -> None:
        check_fields("this number", _NUMBER, body)
        connection = body.get("connection_id", one.connection_id)
        # What takes a number away from its connection is not documented (unknown): an empty text does it here.
        if connection and connection not in self.applications and connection not in self.connections:
            detail = "One of the associated fields does not exist."
            raise ApiError(422, "10013", "Missing association", detail, "/connection_id")
        one.connection_id = connection or ""
        one.connection_name = self.connections.get(one.connection_id, "")
        one.customer_reference = body.get("customer_reference", one.customer_reference)

    def _resource(self, one: Number) -> dict[str, Any]:
        application = self.applications.get(one.connection_id)
        name = application.application_name if application is not None else one.connection_name
        return {
            "record_type": "phone_number",
            "id": one.id,
            "phone_number": one.phone_number,
            "status": "active",
            "connection_id": one.connection_id or None,
            "connection_name": name or None,
            "customer_reference": one.customer_reference or None,
            "deletion_lock_enabled": one.deletion_lock_enabled,
            "tags": [],
            "external_pin": None,
            "country_iso_alpha2": "US",
            "phone_number_type": "local",
            "purchased_at": _SINCE,
            "created_at": _SINCE,
        }


def _page(items: Sequence[Any], query: str) -> dict[str, Any]:
    """Return the page of a list that a query asks for. Telnyx docs: 20 on a page, unless asked for up to 250."""
    asked = parse_qs(query)
    number = _whole(asked, "page[number]", 1, None)
    size = _whole(asked, "page[size]", 20, _MOST)
    shown = list(items[(number - 1) * size : number * size])
    pages = max(1, -(-len(items) // size))
    meta = {"page_number": number, "page_size": size, "total_pages": pages, "total_results": len(items)}
    return {"data": shown, "meta": meta}


def _whole(asked: Mapping[str, Sequence[str]], name: str, usual: int, most: int | None) -> int:
    given = asked.get(name, [str(usual)])[-1]
    if not given.isdigit() or not 1 <= int(given) <= (most or int(given)):
        detail = f"The value is outside of allowed range 1 to {most or 'infinity'}"
        raise ApiError(422, "10033", "Value outside of range", detail, f"/{name}")
    return int(given)


def _missing(parts: Sequence[str]) -> ApiError:
    return ApiError(404, "10005", "Resource not found", f"There is no /{'/'.join(parts)} here.")
