"""The REST API's resources as JSON: calls, phone numbers, and lists of them."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.exchange import Exchange, Number
from callflow.sandbox.twilio.parameters import NUMBER


ROOT: Final = "/2010-04-01/Accounts/"


def account(exchange: Exchange[Call]) -> dict[str, Any]:
    """Return the account as the API shows it."""
    return {"sid": exchange.account_sid, "friendly_name": "Sandbox", "status": "active"}


def call(shown: Call, exchange: Exchange[Call]) -> dict[str, Any]:
    """Return a call as the API shows it."""
    uri = f"{ROOT}{exchange.account_sid}/Calls/{shown.sid}"
    over = shown.state == "ended"
    kinds = ("notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions")
    return {
        "sid": shown.sid,
        "account_sid": exchange.account_sid,
        "api_version": "2010-04-01",
        "annotation": None,
        "answered_by": None,
        "caller_name": None,
        "date_created": _date(shown.created),
        "date_updated": _date(shown.finished or shown.started),
        "direction": shown.direction,
        "duration": str(shown.duration) if over else None,
        "end_time": _date(shown.finished),
        "forwarded_from": None,
        "from": shown.from_number,
        "from_formatted": shown.from_number,
        "group_sid": None,
        "parent_call_sid": None,
        "phone_number_sid": shown.number.sid,
        "price": None,
        "price_unit": "USD",
        "queue_time": "0",
        "start_time": _date(shown.started),
        "status": shown.status,
        "subresource_uris": {kind: f"{uri}/{kind.title()}.json" for kind in kinds},
        "to": shown.to_number,
        "to_formatted": shown.to_number,
        "trunk_sid": None,
        "uri": f"{uri}.json",
    }


def number(shown: Number, exchange: Exchange[Call]) -> dict[str, Any]:
    """Return a phone number as the API shows it."""
    return {
        "sid": shown.sid,
        "account_sid": exchange.account_sid,
        "phone_number": shown.phone_number,
        **{name: getattr(shown, name) for name in NUMBER.values()},
        "voice_application_sid": shown.voice_application_sid or None,
        "trunk_sid": shown.trunk_sid or None,
        "voice_caller_id_lookup": False,
        "voice_receive_mode": "voice",
        "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
        "origin": "twilio",
        "status": "in-use",
        "api_version": "2010-04-01",
        "uri": f"{ROOT}{exchange.account_sid}/IncomingPhoneNumbers/{shown.sid}.json",
    }


def page(name: str, items: list[Any]) -> dict[str, Any]:
    """Return a list as the only page of its resource."""
    return {
        name: items,
        "page": 0,
        "page_size": 50,
        "start": 0,
        "end": max(0, len(items) - 1),
        "uri": "",
        "first_page_uri": "",
        "next_page_uri": None,
        "previous_page_uri": None,
    }


def _date(at: datetime | None) -> str | None:
    return format_datetime(at) if at is not None else None
