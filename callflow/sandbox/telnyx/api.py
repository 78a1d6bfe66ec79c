"""The HTTP API under /v2: authentication, routes, and what each command does to its call.

Vendor: developers.telnyx.com/api/call-control.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, unquote

import msgspec

from callflow.sandbox.common.http_server import Request, Response, json_response
from callflow.sandbox.telnyx import recordings, resources
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.errors import STATUS_ERRORS, ApiError
from callflow.sandbox.telnyx.exchange import CONNECTION_ID, Exchange
from callflow.sandbox.telnyx.faults import ApiFault, Faults
from callflow.sandbox.telnyx.frames import StreamOptions
from callflow.sandbox.telnyx.outbound import OutboundCalls, after_unbridge
from callflow.sandbox.telnyx.parameters import BEFORE_ANSWER, COMMANDS, DIAL, PUT_COMMANDS
from callflow.sandbox.telnyx.refer import refer
from callflow.sandbox.telnyx.validation import check


_CONTROL_ID = re.compile(r"v[23]:[A-Za-z0-9_-]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

OK: Final = {"data": {"result": "ok"}}


@dataclass(slots=True)
class Command:
    """One HTTP request to the API. `at` is in monotonic seconds.

    `status` is None as long as it is not answered; 0 means that a fault kept it from being answered.
    """

    at: float
    method: str
    path: str
    action: str
    """"answer", "hangup", …, "dial"; "get" for the queries; "patch" and "delete" for what is changed of the
    account."""
    call_control_id: str | None
    body: Any
    """Parsed JSON; the raw bytes when it is not JSON."""
    status: int | None = None
    response: Any = None
    duplicate: bool = False
    """Its command_id was seen within the last 60 seconds: answered, but without effect."""


class Api:
    """Answers requests under /v2 and keeps every one in `commands`."""

    def __init__(self, exchange: Exchange[Call], api_key: str) -> None:
        self.exchange = exchange
        self.api_key = api_key
        self.commands: list[Command] = []
        self._outbound = OutboundCalls(exchange)
        self._dialled: dict[str, tuple[float, Any]] = {}
        """The time and the answer of each dial, by command_id."""

    async def handle(self, request: Request) -> Response:
        """Answer one request, as the faults allow."""
        if request.path.startswith(recordings.FILES):
            return recordings.file(self.exchange, request)
        parts = [unquote(part) for part in request.path.removeprefix("/v2/").split("/")]
        command = _command_of(request, parts)
        self.commands.append(command)
        self.exchange.changed()
        fault: ApiFault | None = None
        try:
            if request.headers.get("authorization") != f"Bearer {self.api_key}":
                raise ApiError(401, "10009", "Authentication failed", "The required authentication headers are wrong.")
            fault = self._faults_for(command).take_api_fault(command.action)
            if fault is not None:
                await _before(fault)
            answer = self._route(command, parts, request)
            if fault is not None and fault.after_effect:
                raise _refusal(fault)
            response = json_response(200, answer)
        except ApiError as error:
            response = json_response(error.status, error.body(), _limits(error, fault))
        except ConnectionResetError:
            response = Response(0, lost=True)
        if fault is not None:
            await fault.after(response)
        command.status = 0 if response.lost else response.status
        command.response = msgspec.json.decode(response.body) if response.body else None
        self.exchange.changed()
        return response

    def _faults_for(self, command: Command) -> Faults:
        call = self.exchange.calls.get(command.call_control_id or "")
        return call.faults if call is not None else self.exchange.faults

    def _route(self, command: Command, parts: list[str], request: Request) -> Any:
        match request.method, parts:
            case "POST", ["calls"]:
                return self._dial(_json(command))
            case "GET", ["calls", control_id]:
                return {"data": resources.call_status(self._find(control_id))}
            case method, [("call_control_applications" | "phone_numbers"), *_]:
                return self.exchange.account.handle(method, parts, request.query, lambda: _json(command))
            case "GET", ["recordings"]:
                return recordings.page(self.exchange, request.query)
            case "GET", ["recordings", name]:
                return recordings.one(self.exchange, name)
            case "DELETE", ["recordings", name]:
                return recordings.delete(self.exchange, name)
            case "GET", ["connections", connection_id, "active_calls"]:
                return self._active_calls(connection_id, request.query)
            case ("POST" | "PUT") as method, ["calls", control_id, "actions", action] if action in COMMANDS:
                if action != DIAL and (method == "PUT") == (action in PUT_COMMANDS):
                    return self._command(command, self._find(control_id), action)
        raise ApiError(404, "10005", "Resource not found", f"There is no {request.method} {request.path} here.")

    def _find(self, control_id: str) -> Call:
        if not _CONTROL_ID.fullmatch(control_id):
            detail = "The call_control_id provided was not valid."
            raise ApiError(422, "90015", "Invalid Call Control ID", detail, "/call_control_id")
        call = self.exchange.calls.get(control_id)
        forget_s = self.exchange.timing.forget_call_s
        if call is None or (call.ended_at is not None and monotonic() - call.ended_at > forget_s):
            raise ApiError(404, "10005", "Resource not found", "The requested call does not exist.")
        return call

    def _command(self, command: Command, call: Call, action: str) -> Any:
        # Telnyx looks at the call before the body (seen on live calls): a bad body for a dead call says 90018.
        body = _json(command)
        if self._is_duplicate(call, body):
            command.duplicate = True
            return OK  # what a duplicate is answered is not documented (unknown)
        if call.state == "ended":
            detail = "This call is no longer active and can't receive commands."
            raise ApiError(422, "90018", "Call has already ended", detail)
        check(action, body)
        if action == "answer":
            _check_answer(call)
        elif call.state != "answered" and action == "record_start":
            detail = "Call recording cannot be started until audio has commenced on the call."
            raise ApiError(422, "90020", "Call recording triggered before audio started", detail)
        elif call.state != "answered" and action not in BEFORE_ANSWER:
            detail = "This call can't receive this command because it has not been answered yet."
            raise ApiError(422, "90034", "Call not answered yet", detail)
        before = call.client_state
        if body.get("client_state") is not None:
            call.client_state = body["client_state"]
        try:
            extra = self._effects.get(action, _nothing)(self, call, body) or {}
        except ApiError:
            call.client_state = before
            raise
        if isinstance(body.get("command_id"), str):
            call.command_ids[body["command_id"]] = monotonic()
        return {"data": {"result": "ok", **extra}}

    def _is_duplicate(self, call: Call, body: dict[str, Any]) -> bool:
        """Telnyx docs: the same command_id for the same call_control_id is ignored for 60 seconds."""
        command_id = body.get("command_id")
        seen = call.command_ids.get(command_id) if isinstance(command_id, str) else None
        return seen is not None and monotonic() - seen < self.exchange.timing.command_id_window_s

    # What the commands do. A command without an entry in `_effects` is checked and accepted, and does nothing.

    def _answer(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        call.route_webhooks(body)
        extra = {"recording_id": call.recorder.from_answer(body)} if body.get("record") else {}
        call.answer(StreamOptions.from_body(body) if body.get("stream_url") else None)
        return extra

    def _hangup(self, call: Call, _: dict[str, Any]) -> None:
        if call.direction == "incoming":
            call.end("normal_clearing", "callee", by="product")
        else:
            call.end("originator_cancel" if call.answered_at is None else "normal_clearing", "caller", by="product")

    def _reject(self, call: Call, body: dict[str, Any]) -> None:
        if call.direction == "outgoing" or call.answering or call.state != "parked":
            raise ApiError(
                422, "10015", "Bad Request", "Only a parked incoming call can be rejected."
            )  # (unknown code)
        call.end(body["cause"].lower(), "callee", by="product")

    def _streaming_start(self, call: Call, body: dict[str, Any]) -> None:
        if call.stream is not None or call.has_stale_stream:
            detail = "This command can't be issued when media streaming is used."
            raise ApiError(422, "90045", "Media Streaming is used", detail)
        if not body.get("stream_url"):  # the schema does not require it (unknown)
            detail = "The 'stream_url' parameter is required and cannot be blank."
            raise ApiError(422, "10004", "Missing required parameter", detail, "/stream_url")
        call.open_stream(StreamOptions.from_body(body))

    def _streaming_stop(self, call: Call, body: dict[str, Any]) -> None:
        stream = call.stream
        if stream is None and call.has_stale_stream:
            call.has_stale_stream = False
            return
        if stream is None or body.get("stream_id") not in (None, stream.stream_id):
            raise ApiError(422, "90048", "Media Streaming is not used", "This call has no media stream to stop.")
        call.stop_stream()

    def _speak(self, call: Call, body: dict[str, Any]) -> None:
        if body.get("stop"):
            call.announcer.stop(body["stop"])
        call.announcer.speak(body["payload"], body.get("target_legs") or "self")

    def _playback_start(self, call: Call, body: dict[str, Any]) -> None:
        if body.get("stop"):
            call.announcer.stop(body["stop"])
        call.announcer.play(body)

    def _playback_stop(self, call: Call, body: dict[str, Any]) -> None:
        call.announcer.stop(body.get("stop") or "all")

    def _send_dtmf(self, call: Call, body: dict[str, Any]) -> None:
        call.digits_sent.append(body["digits"])

    def _record_start(self, call: Call, body: dict[str, Any]) -> None:
        call.recorder.start(body)

    def _record_stop(self, call: Call, _: dict[str, Any]) -> None:
        call.recorder.stop()

    def _record_pause(self, call: Call, _: dict[str, Any]) -> None:
        _check_recording(runs=call.recorder.pause(on=True))

    def _record_resume(self, call: Call, _: dict[str, Any]) -> None:
        _check_recording(runs=call.recorder.pause(on=False))

    def _suppression_start(self, call: Call, body: dict[str, Any]) -> None:
        call.suppresses_noise = body.get("direction") or "inbound"

    def _suppression_stop(self, call: Call, _: dict[str, Any]) -> None:
        call.suppresses_noise = ""  # whether it is refused where nothing is suppressed is not documented (unknown)

    def _transfer(self, call: Call, body: dict[str, Any]) -> None:
        self._outbound.transfer(call, body)

    def _refer(self, call: Call, body: dict[str, Any]) -> None:
        refer(self.exchange, call, body)

    def _bridge(self, call: Call, body: dict[str, Any]) -> None:
        if body.get("queue") or body.get("video_room_id"):
            detail = "call_control_id can't be used together with queue or video_room_id (which are not emulated)."
            raise ApiError(422, "10015", "Bad Request", detail, "/queue")
        other = self._other(body["call_control_id"], "/call_control_id")
        if other is call:
            raise ApiError(422, "10015", "Bad Request", "A call can't be bridged with itself.", "/call_control_id")
        if other.state != "answered":
            # play_ringtone is documented for such a call, an error for it is not (unknown).
            detail = "The call to bridge with has not been answered yet."
            raise ApiError(422, "90034", "Call not answered yet", detail, "/call_control_id")
        if body.get("prevent_double_bridge") and other.peer is not None:
            raise ApiError(422, "10015", "Bad Request", "That call is bridged already.")  # (unknown code)
        call.after_unbridge = after_unbridge(body)
        if body.get("record"):
            call.recorder.start(body)
        call.bridge(other)

    def _other(self, control_id: str, pointer: str) -> Call:
        """Return a call that a body names. Raises ApiError when there is none, or when it has ended."""
        try:
            call = self._find(control_id)
        except ApiError as error:
            error.pointer = pointer
            raise
        if call.state == "ended":
            detail = "The other call is no longer active."
            raise ApiError(422, "90018", "Call has already ended", detail, pointer)
        return call

    _effects: ClassVar[dict[str, Callable[[Api, Call, dict[str, Any]], dict[str, Any] | None]]] = {
        "answer": _answer,
        "hangup": _hangup,
        "reject": _reject,
        "streaming_start": _streaming_start,
        "streaming_stop": _streaming_stop,
        "speak": _speak,
        "playback_start": _playback_start,
        "playback_stop": _playback_stop,
        "send_dtmf": _send_dtmf,
        "record_start": _record_start,
        "record_stop": _record_stop,
        "record_pause": _record_pause,
        "record_resume": _record_resume,
        "suppression_start": _suppression_start,
        "suppression_stop": _suppression_stop,
        "transfer": _transfer,
        "bridge": _bridge,
        "refer": _refer,
    }

    def _dial(self, body: dict[str, Any]) -> Any:
        check(DIAL, body)
        command_id = body.get("command_id")
        seen, answer = self._dialled.get(command_id or "", (0.0, None))
        if answer is not None and monotonic() - seen < self.exchange.timing.command_id_window_s:
            self.commands[-1].duplicate = True
            return answer
        link = self._other(body["link_to"], "/link_to") if body.get("link_to") else None
        for name in ("bridge_on_answer", "bridge_intent", "park_after_unbridge"):
            if body.get(name) and link is None:
                detail = f"The 'link_to' parameter is required with {name}."
                raise ApiError(422, "10004", "Missing required parameter", detail, "/link_to")
        leg = self._outbound.dial(body, link)
        answer = {"data": resources.call_status(leg)}
        if leg.recording_id is not None:
            answer["data"]["recording_id"] = leg.recording_id
        if command_id:
            self._dialled[command_id] = (monotonic(), answer)
        return answer

    def _active_calls(self, connection_id: str, query: str) -> Any:
        """Telnyx docs: cursor pages, page[limit] 20 (250 at most), page[after]."""
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        limit = asked.get("page[limit]", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 250:
            detail = "The value is outside of allowed range 1 to 250"
            raise ApiError(422, "10033", "Value outside of range", detail, "/page[limit]")
        states = ("answered",) if self.exchange.faults.ringing_is_not_listed else ("answered", "bridging")
        calls = [
            call for call in self.exchange.calls.values() if call.state in states and connection_id == CONNECTION_ID
        ]
        ids = [call.control_id for call in calls]
        first = ids.index(asked["page[after]"]) + 1 if asked.get("page[after]") in ids else 0
        page = calls[first : first + int(limit)]
        more = first + int(limit) < len(calls)
        data = [resources.active_call(call) for call in page]
        cursors = {"after": page[-1].control_id if more else None, "before": None}
        return {"data": data, "meta": {"cursors": cursors, "total_items": len(calls)}}


def _nothing(_api: Api, call: Call, _body: dict[str, Any]) -> None:
    call.note("a command was accepted that the sandbox does not act on")


def _check_recording(*, runs: bool) -> None:
    if not runs:
        detail = "There is no recording of this call to pause, or to go on with."
        raise ApiError(422, "10015", "Bad Request", detail)  # (unknown code)


def _check_answer(call: Call) -> None:
    if call.direction == "outgoing":
        raise ApiError(422, "90102", "Invalid command", "The answer command can't be issued on an outbound call.")
    if call.answering or call.state == "answered":
        # Which code Telnyx has for this is not documented (unknown).
        raise ApiError(422, "10015", "Bad Request", "This call has already been answered.")


def _command_of(request: Request, parts: list[str]) -> Command:
    action, control_id = "get", None
    if parts[:1] == ["calls"]:
        control_id = parts[1] if len(parts) > 1 else None
        if request.method != "GET":
            action = parts[3] if len(parts) > 3 else DIAL
    elif request.method in ("PATCH", "DELETE"):
        action = request.method.lower()
    try:
        body = msgspec.json.decode(request.body) if request.body else {}
    except msgspec.DecodeError:
        body = request.body
    return Command(monotonic(), request.method, request.path, action, control_id, body)


def _json(command: Command) -> dict[str, Any]:
    if isinstance(command.body, dict):
        return command.body
    raise ApiError(400, "10015", "Bad Request", "The body is not a JSON object.")


async def _before(fault: ApiFault) -> None:
    """Act before the command takes effect. Raises ApiError or ConnectionResetError for one that must not."""
    await fault.before()
    if fault.status is not None and not fault.after_effect:
        raise _refusal(fault)


def _refusal(fault: ApiFault) -> ApiError:
    status = fault.status or 500
    code, title = STATUS_ERRORS.get(status, ("10007", "Unexpected error"))
    return ApiError(status, fault.code or code, title)


def _limits(error: ApiError, fault: ApiFault | None) -> dict[str, str]:
    if error.status != 429 or fault is None:
        return error.headers
    reset = str(fault.retry_after)
    return {"retry-after": reset, "x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
