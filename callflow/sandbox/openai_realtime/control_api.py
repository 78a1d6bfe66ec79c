"""Faults and a log over HTTP, for an emulated OpenAI Realtime server that runs on its own.

- `GET /sandbox/faults`: all faults. `PUT`: sets those in the JSON body; an empty body sets none. `DELETE`: no faults.
- `GET /sandbox/log`: every session with its counts of events, its effective configuration and its violations.
- `POST /sandbox/ring`: lets a telephone ring over SIP, `{"from": …, "to": …}`. `headers`: further ones of the INVITE,
  by name. `webhook_url`: where that is told, from then on. `GET /sandbox/calls`: all calls over SIP.
  `POST /sandbox/hangup`: hangs all their telephones up.
- `POST /sandbox/drop`: resets the TCP connection of every open session.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final, Self

from callflow.sandbox.common.http_server import HttpServer, Request, Response, Tasks, in_url
from callflow.sandbox.openai_realtime.emulator import Realtime
from callflow.sandbox.openai_realtime.session import Session


_MAX_BODY_BYTES: Final = 64 * 1024


class ControlServer:
    """Serves the routes on a port of its own; 0 takes any free one."""

    def __init__(self, realtime: Realtime, host: str, port: int) -> None:
        self._realtime = realtime
        self._host = host
        self._tasks = Tasks("realtime sandbox")
        self._server = HttpServer(self._handle, host, port, self._tasks)

    @property
    def url(self) -> str:
        """The URL without a path."""
        return f"http://{in_url(self._host)}:{self._server.port}"

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.close()
        await self._tasks.close()

    async def _handle(self, request: Request) -> Response:
        status, answer = await self._on_sip(request) or self._route(request)
        body = json.dumps(answer, indent=1).encode() + b"\n"
        return Response(status, body, {"content-type": "application/json"})

    async def _on_sip(self, request: Request) -> tuple[int, Any] | None:
        sip = self._realtime.sip
        match request.method, request.path:
            case ("POST", "/sandbox/ring"):
                try:
                    body = json.loads(request.body or b"{}")
                    asked = {name: str(body[name]) for name in ("from", "to", "webhook_url") if name in body}
                    headers = [(str(name), str(value)) for name, value in body.get("headers", {}).items()]
                except (ValueError, TypeError, AttributeError) as error:
                    return 400, {"error": str(error)}
                sip.webhook_url = asked.get("webhook_url", sip.webhook_url)
                if not sip.webhook_url:
                    return 422, {"error": "webhook_url is missing: http://127.0.0.1:6000/openai/webhook"}
                caller, called = asked.get("from", "+15550100001"), asked.get("to", "+15550100002")
                return 200, {"call_id": (await sip.ring(from_number=caller, to_number=called, headers=headers)).id}
            case ("POST", "/sandbox/hangup"):
                for call in sip.calls.values():
                    await call.hang_up()
            case ("GET", "/sandbox/calls"):
                pass
            case _:
                return None
        return 200, {call.id: {"state": call.state, "ended_by": call.ended_by} for call in sip.calls.values()}

    def _route(self, request: Request) -> tuple[int, Any]:
        realtime = self._realtime
        if len(request.body) > _MAX_BODY_BYTES:
            return 413, {"error": f"at most {_MAX_BODY_BYTES} bytes"}
        try:
            body = json.loads(request.body or b"{}")
        except ValueError as error:
            return 400, {"error": str(error)}
        match request.method, request.path:
            case ("GET", "/sandbox/faults"):
                pass
            case ("PUT", "/sandbox/faults"):
                try:
                    realtime.faults.set(body if isinstance(body, dict) else {str(body): None})
                except ValueError as error:
                    return 422, {"error": str(error)}
            case ("DELETE", "/sandbox/faults"):
                realtime.faults.reset()
            case ("GET", "/sandbox/log"):
                sessions = [_summary(session) for session in realtime.sessions]
                return 200, {"connections_attempted": realtime.connections_attempted, "sessions": sessions}
            case ("POST", "/sandbox/drop"):
                opened = [session for session in realtime.sessions if not session.closed]
                for session in opened:
                    session.drop()
                return 200, {"dropped": len(opened)}
            case _:
                return 404, {"error": f"no {request.method} {request.path}"}
        return 200, realtime.faults.to_json()


def _summary(session: Session) -> dict[str, Any]:
    return {
        "number": session.number,
        "id": session.id,
        "closed": session.closed,
        "close_code": session.close_code,
        "received": Counter(str(one.event.get("type")) for one in session.received),
        "sent": Counter(one.type for one in session.sent),
        "audio_ms": round(session.caller.clock_ms),
        "violations": session.violations,
        "responses": [
            {"id": one.id, "status": one.status, "audio_ms": round(one.audio_ms)} for one in session.responses
        ],
        "config": session.config,
    }
