"""Calls over SIP at the emulated OpenAI: a telephone rings, a signed webhook tells of it, and the REST API takes the
call: accept, reject, refer, hangup.

Vendor: https://platform.openai.com/docs/guides/realtime-sip
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Protocol

import httpx

from callflow.sandbox.common.http_server import HttpServer, Request, Response, Tasks, json_response
from callflow.sandbox.common.pacer import Signal
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime.errors import BETA_CODE, BETA_MESSAGE, Refusal, is_model, refused
from callflow.sandbox.openai_realtime.faults import Faults, Quirks
from callflow.sandbox.openai_realtime.script import Pace, Script
from callflow.sandbox.openai_realtime.session import Session
from callflow.sandbox.openai_realtime.sip_session import SipSession


_CALLS: Final = "/v1/realtime/calls/"
PROJECT: Final = "proj_sandbox"
SECRET: Final = "whsec_" + base64.b64encode(b"the sandbox's webhook secret").decode()
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0)
"""The pauses before a webhook is sent again that was not taken; the real ones grow to hours."""


class Server(Protocol):
    """The emulated server, as its SIP side uses it."""

    api_key: str
    sessions: list[Session]
    script: Script
    pace: Pace
    quirks: Quirks
    faults: Faults

    @property
    def keeps_audio(self) -> bool:
        """Whether sessions keep what the caller says."""

    async def add_session(self, session: Session) -> None:
        """Add a session that no socket has opened."""


@dataclass(eq=False)
class SipCall:
    """A call over SIP, from its first ring. Times are `time.monotonic()` seconds."""

    id: str
    phone: Phone
    headers: list[dict[str, str]]
    changed: Signal
    state: str = "ringing"
    """ringing, accepted, rejected, ended."""
    ended_by: str | None = None
    """"caller", "product" or "carrier"."""
    session: SipSession | None = None
    commands: list[tuple[str, Any, int]] = field(default_factory=list)
    """What was asked for, in order: action, body, and the status of the answer."""
    deliveries: list[int] = field(default_factory=list)
    """The statuses of the webhook's answers; 0: there was none."""
    referred_to: str = ""
    answered_at: float | None = None

    @property
    def key(self) -> str:
        """The id of the call."""
        return self.id

    def count(self, action: str, status: int = 200) -> int:
        """Count the commands of this kind that were answered so."""
        return sum((one, of) == (action, status) for one, _, of in self.commands)

    async def until(self, condition: Callable[[], object], what: str, timeout: float = 10.0) -> None:
        """Wait at most `timeout` seconds until a condition about this call holds. Raises TimeoutError."""
        await self.changed.until(condition, timeout, lambda: f"{what}; it is {self.state}, {self.commands}")

    async def wait_answered(self, timeout: float = 10.0) -> SipSession:
        """Wait at most `timeout` seconds until it is accepted, and return its session. Raises TimeoutError, also if it
        ended."""
        await self.until(lambda: self.state != "ringing", "it is not accepted", timeout)
        if self.session is None:
            raise TimeoutError(f"it was not accepted: {self.state}, {self.commands}")
        return self.session

    async def wait_streaming(self, timeout: float = 10.0) -> None:
        """Wait at most `timeout` seconds each until it is accepted and a socket is beside it. Raises TimeoutError."""
        session = await self.wait_answered(timeout)
        await session.wait_until(lambda: session.has_sideband, timeout, "a socket beside the call")

    async def press(self, digit: str) -> None:
        """Press a key of the caller's telephone."""
        if self.session is not None:
            self.session.press(digit)

    @property
    def streams(self) -> tuple[()]:
        """Its media streams: none."""
        return ()

    async def wait_ended(self, timeout: float = 10.0) -> None:
        """Wait at most `timeout` seconds until the call is over. Raises TimeoutError."""
        await self.until(lambda: self.state in ("ended", "rejected"), "it has not ended", timeout)

    async def hang_up(self) -> None:
        """Hang up the caller's telephone."""
        await self.end("caller")

    async def end(self, by: str) -> None:
        """End the call. No webhook tells of it."""
        if self.state in ("ended", "rejected"):
            return
        self.state, self.ended_by = "ended", by
        self.phone.disconnect()
        if self.session is not None:
            await self.session.end()
        self.changed()


class Sip:
    """The SIP side of one emulated server."""

    def __init__(self, realtime: Server, others: Callable[[Request], Response]) -> None:
        """`others`: answers requests that are not about a call."""
        self._realtime, self._others = realtime, others
        self._tasks = Tasks("openai sip")
        self._server = HttpServer(self._handle, "127.0.0.1", 0, self._tasks)
        self._changed = Signal()
        self.calls: dict[str, SipCall] = {}
        """All calls, by their ids."""
        self.webhook_url = ""
        """Where the project's webhooks are sent."""
        self.secret = SECRET
        self.serve_http = self._server.accept
        self.fail_accepts: list[int] = []
        """The statuses with which the next accepts are answered, without effect."""
        self.sideband_delay = 0.0
        """Seconds after the accept in which the sideband socket is still refused with 404."""

    def settings(self) -> dict[str, str]:
        """Return the application's settings by their names in lower case."""
        return {"openai_webhook_secret": self.secret, "openai_project_id": PROJECT}

    def session(self, call: str) -> SipSession | None:
        """Return the session of a call that was accepted and is not over: else its sideband socket is refused."""
        found = self.calls.get(call)
        if found is None or found.state != "accepted" or found.answered_at is None:
            return None
        return found.session if monotonic() >= found.answered_at + self.sideband_delay else None

    # Ringing

    async def ring(
        self,
        *,
        from_number: str = "+15550100001",
        to_number: str = "+15550100002",
        headers: Sequence[tuple[str, str]] = (),
        phone: Phone | None = None,
        wait: bool = False,
    ) -> SipCall:
        """Let a telephone ring the project, through a trunk that says in `Diversion` which number was called.

        `headers`: further ones. `wait`: return when the webhook was answered.
        """
        call = SipCall(
            f"rtc_{secrets.token_hex(12)}",
            phone or Phone(),
            [
                {"name": "From", "value": f"<sip:{from_number}@trunk.example>;tag={secrets.token_hex(4)}"},
                {"name": "To", "value": f"<sip:{PROJECT}@sip.api.openai.com;transport=tls>"},
                {"name": "Call-ID", "value": f"{secrets.token_hex(8)}@trunk.example"},
                {"name": "Diversion", "value": f"<sip:{to_number}@trunk.example>;reason=unconditional"},
                *({"name": name, "value": value} for name, value in headers),
            ],
            self._changed,
        )
        self.calls[call.id] = call
        call.phone.connect()
        sending = self._tasks.spawn(self._tell(call), "webhook")
        if wait:
            await sending
        return call

    async def _tell(self, call: SipCall) -> None:
        body, name = self.webhook(call), f"wh_{secrets.token_hex(8)}"
        for pause in (*_RETRY_SECONDS, 0.0):
            status = await self.deliver(body, self.sign(name, body))
            call.deliveries.append(status)
            self._changed()
            if 200 <= status < 300:
                return
            await asyncio.sleep(pause)

    def webhook(self, call: SipCall) -> bytes:
        """Return the body of the webhook about a call that rings."""
        data = {"call_id": call.id, "sip_headers": call.headers, "sip_media_security": "srtp"}
        event = {
            "object": "event",
            "id": f"evt_{secrets.token_hex(8)}",
            "type": "realtime.call.incoming",
            "created_at": int(time.time()),
            "data": data,
        }
        return json.dumps(event).encode()

    def sign(self, name: str, body: bytes, *, at: float | None = None, secret: str | None = None) -> dict[str, str]:
        """Return the headers of a webhook, signed as Standard Webhooks. `at`: Unix time; None: now."""
        stamp = str(int(time.time() if at is None else at))
        key = base64.b64decode((self.secret if secret is None else secret).removeprefix("whsec_"))
        mac = hmac.digest(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256)
        signature = f"v1,{base64.b64encode(mac).decode()}"
        return {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": signature}

    async def deliver(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a webhook once. Returns the status of the answer; 0: there was none."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10, verify=False) as client:
                answer = await client.post(
                    self.webhook_url, content=body, headers={"content-type": "application/json", **headers}
                )
                return answer.status_code
        except httpx.HTTPError:
            return 0

    # The REST API

    async def _handle(self, request: Request) -> Response:
        if not request.path.startswith(_CALLS):
            return self._others(request)
        if request.headers.get("authorization") != f"Bearer {self._realtime.api_key}":
            return refused(401, "Incorrect API key provided.", "invalid_api_key")
        if "openai-beta" in request.headers:
            return refused(400, BETA_MESSAGE, BETA_CODE)
        name, _, action = request.path.removeprefix(_CALLS).partition("/")
        if action not in ("accept", "reject", "refer", "hangup"):
            return refused(404, f"Invalid URL ({request.method} {request.path})", None)
        if request.method != "POST":
            return refused(405, f"Not allowed ({request.method} {request.path})", None)
        call = self.calls.get(name)
        if call is None:
            return refused(404, "No call with that id was found.", "call_not_found")
        try:
            body = json.loads(request.body) if request.body else {}
        except ValueError:
            return refused(400, "We could not parse the JSON body of your request.", None)
        try:
            answer = await self._act(call, action, body)
        except Refusal as refusal:
            error = refusal.error(None)
            del error["event_id"]
            answer = json_response(400, {"error": error})
        call.commands.append((action, body, answer.status))
        self._changed()
        return answer

    async def _act(self, call: SipCall, action: str, body: Any) -> Response:
        wanted = ("ringing",) if action in ("accept", "reject") else ("accepted",)
        if call.state not in wanted:
            if call.state in ("ended", "rejected") or action in ("refer", "hangup"):
                return refused(404, "No call with that id was found.", "call_not_found")
            return refused(409, f"The call was {call.state} already.", "call_already_accepted")
        if not isinstance(body, dict):
            return refused(400, "The body must be an object.", "invalid_type")
        match action:
            case "accept":
                if self.fail_accepts:
                    return refused(self.fail_accepts.pop(0), "The server had an error.", None)
                await self._accept(call, body)
            case "reject":
                code = body.get("status_code", 603)
                if not isinstance(code, int) or not 400 <= code <= 699:
                    raise Refusal("Invalid 'status_code'.", "invalid_value", "status_code")
                call.state, call.ended_by = "rejected", "product"
                call.phone.disconnect()
            case "refer":
                target = body.get("target_uri")
                if not isinstance(target, str) or not target.startswith(("tel:", "sip:", "sips:")):
                    raise Refusal("Invalid 'target_uri'.", "invalid_value", "target_uri")
                call.referred_to = target
                self._tasks.spawn(self._over(call), "refer")
            case _:
                self._tasks.spawn(call.end("product"), "hangup")
        return Response(200)

    async def _accept(self, call: SipCall, body: dict[str, Any]) -> None:
        if body.get("type") != "realtime":
            raise Refusal("Missing required parameter: 'type'.", "missing_required_parameter", "type")
        model = body.get("model", "gpt-realtime-2.1")
        if not isinstance(model, str) or not is_model(model):
            raise Refusal(f"Model '{model}' is not supported in realtime mode.", "invalid_model", "session.model")
        realtime = self._realtime
        call.session = SipSession(
            call.phone,
            body,
            len(realtime.sessions) + 1,
            script=realtime.script,
            pace=realtime.pace,
            quirks=realtime.quirks,
            faults=lambda: realtime.faults,
            keep_audio=realtime.keeps_audio,
        )
        call.state, call.answered_at = "accepted", monotonic()
        call.session.begin(lambda: self._tasks.spawn(self._over(call), "expired"))
        await realtime.add_session(call.session)

    async def _over(self, call: SipCall) -> None:
        await asyncio.sleep(0.3)
        await call.end("carrier")

    async def close(self) -> None:
        """End all calls without a word."""
        for call in self.calls.values():
            await call.end("carrier")
        await self._tasks.close()

    @property
    def failures(self) -> list[BaseException]:
        """Errors of the emulator itself."""
        return self._tasks.failures
