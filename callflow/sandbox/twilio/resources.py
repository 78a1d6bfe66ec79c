"""The REST API's resources as JSON: calls, phone numbers, and lists of them.

Vendor: www.twilio.com/docs/voice/api/call-resource.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode

from callflow.sandbox.common.recordings import Recording
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import ApiError
from callflow.sandbox.twilio.exchange import Exchange, Number
from callflow.sandbox.twilio.parameters import NUMBER
from callflow.sandbox.twilio.validation import Form


ROOT: Final = "/2010-04-01/Accounts/"
MAX_PAGE: Final = 1000


def account(exchange: Exchange[Call]) -> dict[str, Any]:
    """Return the account as the API shows it."""
    return {"sid": exchange.account_sid, "friendly_name": "Sandbox", "status": "active"}


def call(shown: Call, exchange: Exchange[Call]) -> dict[str, Any]:
    """Return a call as the API shows it."""
    uri = f"{ROOT}{shown.account_sid}/Calls/{shown.sid}"
    over = shown.state == "ended"
    kinds = ("notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions")
    return {
        "sid": shown.sid,
        "account_sid": shown.account_sid,
        "api_version": "2010-04-01",
        "annotation": None,
        "answered_by": shown.answered_by,
        "caller_name": None,
        "date_created": _date(shown.created),
        "date_updated": _date(shown.finished or shown.started or shown.created),
        "direction": shown.direction,
        "duration": str(shown.duration) if over else None,
        "end_time": _date(shown.finished),
        "forwarded_from": None,
        "from": shown.from_number,
        "from_formatted": shown.from_number,
        "group_sid": None,
        "parent_call_sid": shown.parent.sid if shown.parent is not None else None,
        "phone_number_sid": shown.number.sid,
        "price": _price(shown, exchange),
        "price_unit": "USD",
        "queue_time": str(shown.queue_ms),
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


def recording(shown: Recording, exchange: Exchange[Call]) -> dict[str, Any]:
    """Return a recording as the API shows it; it has a duration when it is processed."""
    uri = f"{ROOT}{exchange.account_sid}/Recordings/{shown.id}"
    paused = shown.state == "running" and shown.about.get("paused")
    states = {"running": "in-progress", "ready": "completed", "failed": "absent"}
    return {
        "sid": shown.id,
        "account_sid": exchange.account_sid,
        "api_version": "2010-04-01",
        "call_sid": shown.call,
        "channels": shown.channels,
        "conference_sid": None,
        "date_created": _date(shown.began_on),
        "date_updated": _date(shown.ended_on or shown.began_on),
        "duration": str(round(shown.seconds)) if shown.state == "ready" else "-1",
        "encryption_details": None,
        "error_code": None,
        "media_url": f"{exchange.root}{uri}",
        "price": None,
        "price_unit": "USD",
        "source": shown.about["source"],
        "start_time": _date(shown.began_on),
        "status": "paused" if paused else states.get(shown.state, shown.state),
        "subresource_uris": {},
        "uri": f"{uri}.json",
    }


def _price(shown: Call, exchange: Exchange[Call]) -> str | None:
    """Return the price, which is negative, and there some time after the end of an answered call."""
    if shown.ended_at is None or monotonic() < shown.ended_at + shown.timing.price_s:
        return None
    if shown.answered_at is None:
        return None
    price = exchange.price_of(shown.duration)
    return f"-{price}" if price else None


def page(name: str, items: list[dict[str, Any]], form: Form, path: str) -> dict[str, Any]:
    """Return the page of a list that the parameters PageSize, Page and PageToken of `form` ask for.

    The token names the last item of the page before, so that new items do not shift the pages. Raises ApiError.
    """
    asked = dict(form)
    size, number = asked.get("PageSize", "50"), asked.get("Page", "0")
    if not (size.isdecimal() and number.isdecimal() and 1 <= int(size) <= MAX_PAGE):
        raise ApiError(400, 20001, f"PageSize must be 1 to {MAX_PAGE}, and Page not negative")
    sids = [item["sid"] for item in items]
    last = asked.get("PageToken", "").removeprefix("PA")
    first = sids.index(last) + 1 if last in sids else int(number) * int(size)
    part = items[first : first + int(size)]
    filters = [(key, value) for key, value in form if key not in ("Page", "PageSize", "PageToken")]

    def uri(place: int, token: str = "") -> str:
        paging = [("PageSize", size), ("Page", str(place)), *([("PageToken", f"PA{token}")] if token else [])]
        return f"{path}?{urlencode([*filters, *paging])}"

    more = first + int(size) < len(items)
    return {
        name: part,
        "page": int(number),
        "page_size": int(size),
        "start": first,
        "end": max(0, first + len(part) - 1),
        "uri": uri(int(number)),
        "first_page_uri": uri(0),
        "next_page_uri": uri(int(number) + 1, part[-1]["sid"]) if more else None,
        "previous_page_uri": uri(int(number) - 1) if int(number) else None,
    }


def _date(at: datetime | None) -> str | None:
    return format_datetime(at) if at is not None else None
