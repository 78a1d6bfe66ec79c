"""The REST API: calls and numbers of one account. Forms in, JSON out."""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from callflow.sandbox.common.http_server import Request, Response, json_response
from callflow.sandbox.twilio import twiml
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import ApiError, TwimlError, refusal
from callflow.sandbox.twilio.exchange import Exchange, Number
from callflow.sandbox.twilio.faults import ApiFault


ROOT: Final = "/2010-04-01/Accounts/"
MAX_TWIML: Final = 4000
"""Twilio docs: characters of the parameter Twiml."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UPDATE: Final = _names(
    "Url Method Status FallbackUrl FallbackMethod StatusCallback StatusCallbackMethod Twiml TimeLimit"
)
_CREATE: Final = (_UPDATE - {"Status"}) | _names(
    "To From ApplicationSid StatusCallbackEvent SendDigits Timeout Record RecordingChannels RecordingTrack"
    " RecordingStatusCallback RecordingStatusCallbackMethod RecordingStatusCallbackEvent Trim CallerId"
    " MachineDetection AsyncAmd AsyncAmdStatusCallback CallReason CallToken"
)
_NUMBER: Final = {
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
    "FriendlyName": "friendly_name",
}
_E164 = re.compile(r"\+[1-9]\d{5,14}")
_EVENTS: Final = ("initiated", "ringing", "answered", "completed")

Form = list[tuple[str, str]]


@dataclass(slots=True)
class Command:
    """One HTTP request to the API. `status` is None as long as it is not answered; 0 means it never was (a fault)."""

    at: float
    method: str
    path: str
    action: str
    """"create", "update", "fetch", "list", "numbers", "number", "account", or "" for what does not exist."""
    call_sid: str
    form: Form
    status: int | None = None
    response: Any = None

    def value(self, name: str) -> str:
        return dict(self.form).get(name, "")


@dataclass
class Rest:
    """Answers, and keeps every request on record. `dial` begins an outgoing call."""

    exchange: Exchange
    dial: Callable[[str, str], Call]
    commands: list[Command] = field(default_factory=list)

    async def handle(self, request: Request) -> Response:
        account, parts = self._parts(request)
        command = Command(monotonic(), request.method, request.path, _action(request.method, parts), "", [])
        if len(parts) == 2 and parts[0] == "Calls":
            command.call_sid = parts[1]
        self.commands.append(command)
        self.exchange.changed()
        fault: ApiFault | None = None
        try:
            self._authenticate(request, account)
            command.form = _form(request)
            call = self.exchange.calls.get(command.call_sid)
            fault = (call or self.exchange).faults.take_api_fault(command.action)
            if fault is not None:
                await _before(fault)
            if not command.action:
                raise self._missing(request.path)
            status, answer = self._route(command, request, parts)
            response = json_response(status, answer)
        except ApiError as error:
            limits = {"Retry-After": str(fault.retry_after)} if fault is not None and error.status == 429 else {}
            response = json_response(error.status, error.body(), limits)
        except ConnectionResetError:
            response = Response(0, lost=True)
        if fault is not None:
            await fault.after(response)
        command.status = 0 if response.lost else response.status
        command.response = msgspec.json.decode(response.body) if response.body else None
        self.exchange.changed()
        return response

    def _parts(self, request: Request) -> tuple[str, list[str]]:
        path = request.path.removeprefix(ROOT)
        if path == request.path or not path.endswith(".json"):
            return "", []  # without a suffix Twilio answers with XML, which the sandbox does not
        account, *parts = [unquote(part) for part in path.removesuffix(".json").split("/")]
        return account, parts

    def _authenticate(self, request: Request, account: str) -> None:
        exchange = self.exchange
        pairs = (exchange.account_sid, exchange.auth_token), exchange.api_key
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = any(
            hmac.compare_digest(given.encode(), base64.b64encode(":".join(pair).encode()))
            for pair in pairs
            if all(pair)
        )
        if scheme.lower() != "basic" or not right:
            raise refusal(401)
        if account != exchange.account_sid:
            raise self._missing(request.path)

    def _missing(self, path: str) -> ApiError:
        return ApiError(404, 20404, f"The requested resource {path} was not found")

    def _route(self, command: Command, request: Request, parts: list[str]) -> tuple[int, Any]:
        match command.action:
            case "account":
                return 200, {"sid": self.exchange.account_sid, "friendly_name": "Sandbox", "status": "active"}
            case "create":
                return 201, resource(self._create(command.form), self.exchange)
            case "fetch":
                return 200, resource(self._find(request), self.exchange)
            case "update":
                call = self._find(request)
                self._update(call, command.form, request)
                return 200, resource(call, self.exchange)
            case "list":
                return 200, self._list(command.form)
            case "numbers":
                wanted = dict(command.form).get("PhoneNumber", "")
                found = [one for one in self.exchange.numbers.values() if wanted in ("", one.phone_number)]
                return 200, _page("incoming_phone_numbers", [self._number(one) for one in found])
        number = next((one for one in self.exchange.numbers.values() if one.sid == parts[1]), None)
        if number is None:
            raise self._missing(request.path)
        if request.method == "POST":
            for name, value in command.form:
                if name not in _NUMBER:
                    raise ApiError(
                        400, 20001, f"{name} is not a parameter here (the sandbox refuses what Twilio ignores)"
                    )
                setattr(number, _NUMBER[name], value)
        return 200, self._number(number)

    # Calls

    def _find(self, request: Request) -> Call:
        sid = unquote(request.path.rpartition("/")[2].removesuffix(".json"))
        if (call := self.exchange.calls.get(sid)) is None:
            raise self._missing(request.path)
        return call

    def _update(self, call: Call, form: Form, request: Request) -> None:
        values = _checked(form, _UPDATE)
        status = values.get("Status", "")
        if status and status not in ("completed", "canceled"):
            raise ApiError(400, 20001, "Status must be completed or canceled")
        if call.state == "ended":
            if status and not call.faults.ended_call_is_found:
                raise self._missing(request.path)
            if status:
                return
            raise ApiError(400, 21220, "Call is not in-progress. Cannot redirect.")
        if (values.get("Url") or values.get("Twiml")) and call.status != "in-progress":
            raise ApiError(400, 21220, "Call is not in-progress. Cannot redirect.")
        self._routes(call, values)
        if status == "completed" or (status and call.status != "in-progress"):
            call.end("completed" if call.status == "in-progress" else "canceled", by="product")
        elif text := values.get("Twiml"):
            call.note("redirected to a document")
            call.run_text(text)
        elif url := values.get("Url"):
            call.note("redirected")
            call.run_from(url, values.get("Method", "POST"))

    def _routes(self, call: Call, values: Mapping[str, str]) -> None:
        if "FallbackUrl" in values:
            call.fallback = (values["FallbackUrl"], values.get("FallbackMethod", "POST"))
        if "StatusCallback" in values:
            call.callback = (values["StatusCallback"], values.get("StatusCallbackMethod", "POST"))

    def _create(self, form: Form) -> Call:
        values = _checked(form, _CREATE)
        to, own = values.get("To", ""), values.get("From", "")
        if not to:
            raise ApiError(400, 21201, "No 'To' number is specified")
        if not own:
            raise ApiError(400, 21213, "No 'From' number is specified")
        if not (_E164.fullmatch(to) or to.startswith(("sip:", "client:"))):
            raise ApiError(400, 21211, f"The phone number you are attempting to call, {to}, is not valid.")
        if own not in self.exchange.numbers:
            raise ApiError(
                400, 21210, f"The source phone number provided, {own}, is not yet verified for your account."
            )
        if not (values.get("Url") or values.get("Twiml")):
            raise ApiError(400, 21205, "Url parameter is required.")
        call = self.dial(own, to)
        call.callback, call.fallback = ("", "POST"), ("", "POST")
        self._routes(call, values)
        call.callback_events = tuple(value for name, value in form if name == "StatusCallbackEvent") or ("completed",)
        self.exchange.tasks.spawn(self._ring(call, values), "dialling")
        return call

    async def _ring(self, call: Call, values: Mapping[str, str]) -> None:
        timing = self.exchange.timing
        call.tell("initiated")
        call.status = "ringing"
        call.note("dialling")
        call.tell("ringing")
        if self.exchange.callee != "answers":
            await asyncio.sleep(timing.no_answer_s if self.exchange.callee == "no-answer" else timing.ring_s)
            call.end(self.exchange.callee, by="callee")
            return
        await asyncio.sleep(timing.ring_s)
        if call.state == "ended":
            return
        call.answer()
        if text := values.get("Twiml"):
            call.run_text(text)
        else:
            call.run_from(values["Url"], values.get("Method", "POST"))

    def _list(self, form: Form) -> Any:
        values = dict(form)
        calls = [
            call
            for call in self.exchange.calls.values()
            if values.get("Status", call.status) == call.status
            and values.get("To", call.to_number) == call.to_number
            and values.get("From", call.from_number) == call.from_number
        ]
        return _page("calls", [resource(call, self.exchange) for call in calls])

    def _number(self, number: Number) -> dict[str, Any]:
        return {
            "sid": number.sid,
            "account_sid": self.exchange.account_sid,
            "phone_number": number.phone_number,
            **{name: getattr(number, name) for name in _NUMBER.values()},
            "voice_application_sid": number.voice_application_sid or None,
            "trunk_sid": number.trunk_sid or None,
            "voice_caller_id_lookup": False,
            "voice_receive_mode": "voice",
            "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
            "origin": "twilio",
            "status": "in-use",
            "api_version": "2010-04-01",
            "uri": f"{ROOT}{self.exchange.account_sid}/IncomingPhoneNumbers/{number.sid}.json",
        }


def _action(method: str, parts: list[str]) -> str:
    match method, parts:
        case "GET", []:
            return "account"
        case "POST", ["Calls"]:
            return "create"
        case "GET", ["Calls"]:
            return "list"
        case "POST", ["Calls", _]:
            return "update"
        case "GET", ["Calls", _]:
            return "fetch"
        case "GET", ["IncomingPhoneNumbers"]:
            return "numbers"
        case (("GET" | "POST"), ["IncomingPhoneNumbers", _]):
            return "number"
    return ""


def _form(request: Request) -> Form:
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and request.body and not kind.startswith("application/x-www-form-urlencoded"):
        raise ApiError(400, 20001, f"Content-Type {kind or 'missing'} (forms only)")
    text = request.body.decode() if request.method == "POST" else request.query
    return parse_qsl(text, keep_blank_values=True)


def _checked(form: Form, known: frozenset[str]) -> dict[str, str]:
    """Raises ApiError for the first thing that Twilio would not take, or would silently ignore."""
    values = dict(form)
    for name in values:
        if name not in known:
            raise _unknown(name)
    if values.get("Url") and values.get("Twiml"):
        raise ApiError(400, 20001, "Url and Twiml exclude each other")
    for name in ("Url", "FallbackUrl", "StatusCallback"):
        if values.get(name) and urlsplit(values[name]).scheme not in ("http", "https"):
            raise ApiError(400, 21205, f"{name} is not a valid URL")
    if events := [value for name, value in form if name == "StatusCallbackEvent" and value not in _EVENTS]:
        raise ApiError(400, 20001, f"StatusCallbackEvent {events[0]} does not exist")
    if text := values.get("Twiml"):
        if len(text) > MAX_TWIML:
            raise ApiError(400, 20001, f"Twiml has more than {MAX_TWIML} characters")
        try:
            twiml.parse(text, lambda error: None)
        except TwimlError as error:
            raise ApiError(400, 20001, f"Twiml is not valid: {error.detail}") from None
    return values


def _unknown(name: str) -> ApiError:
    return ApiError(400, 20001, f"{name} is not a parameter here (the sandbox refuses what Twilio ignores)")


async def _before(fault: ApiFault) -> None:
    """What a fault does before the request takes effect."""
    await fault.before()
    if fault.status is not None:
        raise refusal(fault.status, int(fault.code) if fault.code else None)


def _page(name: str, items: list[Any]) -> dict[str, Any]:
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


def resource(call: Call, exchange: Exchange) -> dict[str, Any]:
    """A call as the API shows it."""
    uri = f"{ROOT}{exchange.account_sid}/Calls/{call.sid}"
    over = call.state == "ended"
    kinds = ("notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions")
    return {
        "sid": call.sid,
        "account_sid": exchange.account_sid,
        "api_version": "2010-04-01",
        "annotation": None,
        "answered_by": None,
        "caller_name": None,
        "date_created": _date(call.created),
        "date_updated": _date(call.finished or call.started),
        "direction": call.direction,
        "duration": str(call.duration) if over else None,
        "end_time": _date(call.finished),
        "forwarded_from": None,
        "from": call.from_number,
        "from_formatted": call.from_number,
        "group_sid": None,
        "parent_call_sid": None,
        "phone_number_sid": call.number.sid,
        "price": None,
        "price_unit": "USD",
        "queue_time": "0",
        "start_time": _date(call.started),
        "status": call.status,
        "subresource_uris": {kind: f"{uri}/{kind.title()}.json" for kind in kinds},
        "to": call.to_number,
        "to_formatted": call.to_number,
        "trunk_sid": None,
        "uri": f"{uri}.json",
    }
