"""The REST API: calls and numbers of one account. Forms in, JSON out.

Vendor: www.twilio.com/docs/voice/api.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar
from urllib.parse import unquote

import msgspec

from callflow.sandbox.common.http_server import Request, Response, json_response
from callflow.sandbox.twilio import numbers, resources, streams
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import ApiError, refusal
from callflow.sandbox.twilio.exchange import Exchange
from callflow.sandbox.twilio.faults import ApiFault
from callflow.sandbox.twilio.listing import found
from callflow.sandbox.twilio.outbound import OutboundCalls
from callflow.sandbox.twilio.recordings import Recordings
from callflow.sandbox.twilio.resources import ROOT
from callflow.sandbox.twilio.validation import Form, check_create, check_update, form_of


@dataclass(slots=True)
class Command:
    """One HTTP request to the API. `at` is in monotonic seconds.

    `status` is None as long as it is not answered; 0 means that a fault kept it from being answered.
    """

    at: float
    method: str
    path: str
    action: str
    """"create", "update", "fetch", "list", "numbers", "number", "account", "record", "stream",
    "recordings", "recording", "media", or "" for what does not exist."""
    call_sid: str
    """The call that it is about, or ""."""
    form: Form
    account: str = ""
    """The SID of the account whose resource it is."""
    status: int | None = None
    response: Any = None

    def value(self, name: str) -> str:
        """Return a parameter of the form, or ""."""
        return dict(self.form).get(name, "")


class Api:
    """Answers requests and keeps every one in `commands`."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self.exchange = exchange
        self.commands: list[Command] = []
        self._outbound = OutboundCalls(exchange)
        self._recordings = Recordings(exchange)

    async def handle(self, request: Request) -> Response:
        """Answer one request, as the faults allow."""
        account, parts = _parts(request)
        call_sid = parts[1] if len(parts) > 1 and parts[0] == "Calls" else ""
        action = _action(request.method, parts)
        command = Command(monotonic(), request.method, request.path, action, call_sid, [], account)
        self.commands.append(command)
        self.exchange.changed()
        fault: ApiFault | None = None
        try:
            self._authenticate(request, account)
            command.form = form_of(request)
            call = self.exchange.calls.get(command.call_sid)
            fault = (call or self.exchange).faults.take_api_fault(command.action)
            if fault is not None:
                await _before(fault)
            if not command.action:
                raise _missing(command)
            if command.action == "media":
                response = self._recordings.file(request)
            else:
                status, answer = self._effects[command.action](self, command)
                response = json_response(status, answer) if answer is not None else Response(status)
            if fault is not None and fault.after_effect:
                raise _refusal(fault)
        except ApiError as error:
            limits = {"Retry-After": str(fault.retry_after)} if fault is not None and error.status == 429 else {}
            response = json_response(error.status, error.body(), limits)
        except ConnectionResetError:
            response = Response(0, lost=True)
        if fault is not None:
            await fault.after(response)
        command.status = 0 if response.lost else response.status
        is_json = response.headers.get("content-type") == "application/json"
        command.response = msgspec.json.decode(response.body) if response.body and is_json else None
        self.exchange.changed()
        return response

    def _authenticate(self, request: Request, account: str) -> None:
        exchange = self.exchange
        pairs = [(sid, (sid, token)) for sid, token in exchange.other_accounts.items()]
        pairs.append((exchange.account_sid, (exchange.account_sid, exchange.auth_token)))
        pairs.append((exchange.account_sid, exchange.api_key))
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        whose = [
            sid
            for sid, pair in pairs
            if all(pair) and hmac.compare_digest(given.encode(), base64.b64encode(":".join(pair).encode()))
        ]
        if scheme.lower() != "basic" or not whose:
            raise refusal(401)
        if account not in whose:
            raise ApiError(404, 20404, f"The requested resource {request.path} was not found")

    # Calls

    def _create(self, command: Command) -> tuple[int, Any]:
        values = check_create(command.form, self.exchange.numbers, self.exchange.account)
        events = [value for name, value in command.form if name == "StatusCallbackEvent"]
        return 201, resources.call(self._outbound.dial(values, events, command.account), self.exchange)

    def _fetch(self, command: Command) -> tuple[int, Any]:
        return 200, resources.call(self._find(command), self.exchange)

    def _update(self, command: Command) -> tuple[int, Any]:
        call = self._find(command)
        values = check_update(command.form)
        status = values.get("Status", "")
        if call.state == "ended":
            if not status:
                raise ApiError(400, 21220, "Call is not in-progress. Cannot redirect.")
            if not call.faults.ended_call_is_found:
                raise _missing(command)
            return 200, resources.call(call, self.exchange)
        if (values.get("Url") or values.get("Twiml")) and call.status != "in-progress":
            raise ApiError(400, 21220, "Call is not in-progress. Cannot redirect.")
        call.route_webhooks(values)
        if limit := values.get("TimeLimit"):
            call.limit(int(limit))
        if status == "completed" or (status and call.status != "in-progress"):
            call.end("completed" if call.status == "in-progress" else "canceled", by="product")
        elif text := values.get("Twiml"):
            call.note("redirected to a document")
            call.run_text(text)
        elif url := values.get("Url"):
            call.note("redirected")
            call.run_from(url, values.get("Method", "POST"))
        return 200, resources.call(call, self.exchange)

    def _list(self, command: Command) -> tuple[int, Any]:
        calls = found(self.exchange.calls.values(), command.form, self.exchange.timing.list_lags_s)
        items = [resources.call(call, self.exchange) for call in calls]
        return 200, resources.page("calls", items, command.form, command.path)

    def _find(self, command: Command) -> Call:
        call = self.exchange.calls.get(command.call_sid)
        if call is None or call.account_sid != command.account:
            raise _missing(command)
        return call

    # Recordings

    def _record(self, command: Command) -> tuple[int, Any]:
        call, sid = self._find(command), command.path.rpartition("/")[2].removesuffix(".json")
        if sid == "Recordings":
            return 201, self._recordings.start(call, command.form)
        return 200, self._recordings.update(call, sid, command.form, command.path)

    def _stream(self, command: Command) -> tuple[int, Any]:
        return 201, streams.start(self._find(command), command.form, command.account)

    def _list_recordings(self, command: Command) -> tuple[int, Any]:
        return 200, self._recordings.page(command.call_sid, command.form, command.path)

    def _recording(self, command: Command) -> tuple[int, Any]:
        sid = command.path.rpartition("/")[2].removesuffix(".json")
        if command.method == "DELETE":
            self._recordings.delete(sid, command.path)
            return 204, None
        return 200, self._recordings.one(sid, command.path)

    # The account and its numbers

    def _account(self, _: Command) -> tuple[int, Any]:
        return 200, resources.account(self.exchange)

    def _numbers(self, command: Command) -> tuple[int, Any]:
        return 200, numbers.listed(self.exchange, command.form, command.path)

    def _number(self, command: Command) -> tuple[int, Any]:
        sid = command.path.rpartition("/")[2].removesuffix(".json")
        number = next((one for one in self.exchange.numbers.values() if one.sid == sid), None)
        if number is None:
            raise _missing(command)
        if command.method == "POST":
            numbers.change(self.exchange, number, command.form)
        elif command.method == "DELETE":
            del self.exchange.numbers[number.phone_number]
            return 204, None
        return 200, resources.number(number, self.exchange)

    _effects: ClassVar[dict[str, Callable[[Api, Command], tuple[int, Any]]]] = {
        "account": _account,
        "create": _create,
        "fetch": _fetch,
        "update": _update,
        "list": _list,
        "numbers": _numbers,
        "number": _number,
        "record": _record,
        "stream": _stream,
        "recordings": _list_recordings,
        "recording": _recording,
    }


def _parts(request: Request) -> tuple[str, list[str]]:
    """The account's sid, and the path below it."""
    path = request.path.removeprefix(ROOT)
    form = next((form for form in (".json", ".wav", ".mp3") if path.endswith(form)), "")
    if path == request.path or not form:
        return "", []  # without a suffix Twilio answers with XML, which the sandbox does not
    account, *parts = [unquote(part) for part in path.removesuffix(form).split("/")]
    if form != ".json":
        return account, ["Media"] if len(parts) == 2 and parts[0] == "Recordings" else []
    return account, parts


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
        case "POST", ["Calls", _, "Streams"]:
            return "stream"
        case _, ["Media"]:
            return "media"
        case ("GET", ["Recordings"]) | ("GET", ["Calls", _, "Recordings"]):
            return "recordings"
        case ("POST", ["Calls", _, "Recordings"]) | ("POST", ["Calls", _, "Recordings", _]):
            return "record"
        case (("GET" | "DELETE"), ["Recordings", _]) | ("GET", ["Calls", _, "Recordings", _]):
            return "recording"
        case "GET", ["IncomingPhoneNumbers"]:
            return "numbers"
        case (("GET" | "POST" | "DELETE"), ["IncomingPhoneNumbers", _]):
            return "number"
    return ""


def _missing(command: Command) -> ApiError:
    return ApiError(404, 20404, f"The requested resource {command.path} was not found")


async def _before(fault: ApiFault) -> None:
    """Act before the request takes effect. Raises ApiError or ConnectionResetError for one that must not."""
    await fault.before()
    if fault.status is not None and not fault.after_effect:
        raise _refusal(fault)


def _refusal(fault: ApiFault) -> ApiError:
    return refusal(fault.status or 500, int(fault.code) if fault.code else None)
