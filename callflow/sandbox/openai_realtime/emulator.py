"""The emulated OpenAI Realtime server as a whole: its port, the opening handshake, its sessions."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol

from callflow.sandbox.common import http_server
from callflow.sandbox.common.http_server import in_url
from callflow.sandbox.openai_realtime import client_secrets
from callflow.sandbox.openai_realtime.client_secrets import ClientSecrets
from callflow.sandbox.openai_realtime.config import updated
from callflow.sandbox.openai_realtime.errors import BETA_CODE, BETA_MESSAGE, is_model, refused
from callflow.sandbox.openai_realtime.faults import NO_FAULTS, Faults, Quirks
from callflow.sandbox.openai_realtime.live.session import PATH as LIVE_PATH
from callflow.sandbox.openai_realtime.live.session import LiveFaults, LiveSession
from callflow.sandbox.openai_realtime.plain_http import connections
from callflow.sandbox.openai_realtime.script import Pace, Script
from callflow.sandbox.openai_realtime.session import Session
from callflow.sandbox.openai_realtime.sip import Sip


log = logging.getLogger(__name__)

PATH: Final = "/v1/realtime"
MODELS: Final = "/v1/models"
MAX_FRAME_BYTES: Final = 24 * 1024 * 1024
"""15 MiB of audio in base64, and some JSON."""
_CLOSE_S: Final = 0.3
"""Seconds that a peer may take for its part of a closing handshake."""


class Realtime:
    """The server. `script`, `faults`, `pace` and `quirks` may be replaced or changed while it runs.

    Args:
        port: 0 takes any free one.
        api_key: the bearer token that clients have to send.
        keep_audio: whether sessions keep what the caller says (8 kB a second); without, `audio_in` stays empty.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "sk-sandbox",
        script: Script | None = None,
        faults: Faults | None = None,
        pace: Pace | None = None,
        quirks: Quirks | None = None,
        keep_audio: bool = True,
    ) -> None:
        self.script = script or Script.office()
        self.faults = faults or Faults()
        self.pace = pace or Pace()
        self.quirks = quirks or Quirks()
        self.api_key = api_key
        self.sessions: list[Session] = []
        """All sessions that were ever opened, in order."""
        self.live_faults = LiveFaults()
        self.live_sessions: list[LiveSession] = []
        """The same of full-duplex sessions, which have the path `/v1/live/sessions`."""
        self.connections_attempted = 0
        """How many opening handshakes were tried, with those that were refused or never answered."""
        self.attempted_at: deque[float] = deque(maxlen=10_000)
        """The times of the handshakes, in monotonic seconds."""
        self.client_secrets = ClientSecrets(self.quirks)
        """The keys for browsers that were made."""
        self.shutdown_dates: dict[str, str] = {
            "gpt-realtime": "2027-01-20", "gpt-realtime-2025-08-28": "2027-01-20", "gpt-realtime-mini": "2027-01-20",
            "whisper-1": "2027-02-26", "gpt-4o-transcribe": "2027-02-26", "gpt-4o-mini-transcribe": "2027-02-26",
        }  # fmt: skip
        """When models end that `GET /v1/models` lists."""
        self._host = host
        self._port = port
        self._keep_audio = keep_audio
        self._server: Server | None = None
        self._connections: set[ServerConnection] = set()
        self._numbers: dict[ServerConnection, int] = {}
        self._closing = asyncio.Event()
        self._changed = asyncio.Condition()
        self.sip = Sip(self, self._rest)
        """Calls over SIP, and the REST API for them."""

    @property
    def url(self) -> str:
        """The application's OPENAI_REALTIME_URL; the client adds `?model=`."""
        return f"ws://{in_url(self._host)}:{self._port}{PATH}"

    @property
    def live_url(self) -> str:
        """The application's OPENAI_LIVE_URL."""
        return f"ws://{in_url(self._host)}:{self._port}{LIVE_PATH}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._closing.clear()
        self._server = await serve_websockets(
            self._handle,
            self._host,
            self._port,
            process_request=self._admit,
            select_subprotocol=_subprotocol,
            create_connection=connections(self._connections, self.sip.serve_http),
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=_CLOSE_S,
            max_size=MAX_FRAME_BYTES,
            logger=log.getChild("websockets"),
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """End every session (close code 1001) and everything else that belongs to the server, within a second."""
        server, self._server = self._server, None
        if server is None:
            return
        self._closing.set()
        await self.sip.close()
        server.close()
        for connection in list(self._connections):
            # A peer that is not read, or that never finished its handshake, does not answer a close.
            stuck = connection.protocol.state is State.CONNECTING or not connection.transport.is_reading()
            if stuck:
                connection.transport.abort()
        try:
            async with asyncio.timeout(2 * _CLOSE_S):
                await asyncio.shield(server.wait_closed())
        except TimeoutError:
            for connection in list(self._connections):
                connection.transport.abort()
            await server.wait_closed()

    async def wait_session(self, count: int = 1, timeout: float = 10.0) -> Session:
        """Wait for the `count`-th session since the start and return it. Raises TimeoutError."""
        await self._until(lambda: len(self.sessions), count, "sessions opened", timeout)
        return self.sessions[count - 1]

    async def wait_attempt(self, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until `count` handshakes were tried, also those that get no answer. Raises TimeoutError."""
        await self._until(lambda: self.connections_attempted, count, "handshakes tried", timeout)

    async def _until(self, reached: Callable[[], int], count: int, what: str, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: reached() >= count)
        except TimeoutError:
            raise TimeoutError(f"{reached()} of {count} {what} within {timeout} s") from None

    # -- the opening handshake

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        address = urlsplit(request.path)
        query = parse_qs(address.query)
        if address.path == MODELS:
            return self._models(request)
        if address.path.startswith(f"{MODELS}/"):
            return self._model(request, address.path.removeprefix(f"{MODELS}/"))
        if address.path.rstrip("/") == LIVE_PATH:
            return self._admit_live(request, query)
        if address.path.rstrip("/") != PATH:
            return _refusal(HTTPStatus.NOT_FOUND, f"Invalid URL (GET {address.path})", None)
        self.connections_attempted += 1
        self.attempted_at.append(time.monotonic())
        number = self.connections_attempted
        await self._notify()
        faults = self.faults if self.faults.hits(number) else NO_FAULTS
        if faults.take("hang_next"):
            await self._closing.wait()
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is shutting down.", None)
        if faults.take("refuse_next"):
            message, code = _STATUS_WORDS.get(faults.refuse_status, ("", None))
            code = code if faults.refuse_code is None else faults.refuse_code
            return _refusal(HTTPStatus(faults.refuse_status), message, code, faults.retry_after)
        secret = self.client_secrets.session_of(_key(request.headers))
        if _key(request.headers) != self.api_key and secret is None:
            return _refusal(HTTPStatus.UNAUTHORIZED, *_STATUS_WORDS[401])
        if "call_id" in query:
            # A sideband socket of a SIP call. The real 404 has no body.
            if self.sip.session(query["call_id"][0]) is None:
                return Response(404, "Not Found", Headers({"Content-Length": "0"}), b"")
            self._numbers[connection] = number
            return None
        if not query.get("model") and query.get("intent") != ["transcription"] and secret is None:
            message = "You must provide a model parameter."
            return _refusal(HTTPStatus.BAD_REQUEST, message, "missing_required_parameter")
        for model in query.get("model", ()):
            if not is_model(model):
                message = f"The model `{model}` does not exist or you do not have access to it."
                return _refusal(HTTPStatus.NOT_FOUND, message, "model_not_found")
        self._numbers[connection] = number
        return None

    def _admit_live(self, request: Request, query: dict[str, list[str]]) -> Response | None:
        if self.live_faults.refuse_next:
            self.live_faults.refuse_next -= self.live_faults.refuse_next > 0
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, *_STATUS_WORDS[503])
        if _key(request.headers) != self.api_key:
            return _refusal(HTTPStatus.UNAUTHORIZED, *_STATUS_WORDS[401])
        if query:
            return _refusal(HTTPStatus.BAD_REQUEST, "This address takes no query.", "invalid_request")
        return None

    def _model(self, request: Request, name: str) -> Response:
        """Answer `GET /v1/models/{name}`: all models of the Realtime API exist."""
        if _key(request.headers) != self.api_key:
            return _refusal(HTTPStatus.UNAUTHORIZED, *_STATUS_WORDS[401])
        if not is_model(name) and not name.startswith("gpt-live"):
            return _refusal(HTTPStatus.NOT_FOUND, f"The model '{name}' does not exist", "model_not_found")
        return _json(self._described(name))

    def _models(self, request: Request) -> Response:
        """Answer `GET /v1/models`: those with a shutdown date, and the newest."""
        if _key(request.headers) != self.api_key:
            return _refusal(HTTPStatus.UNAUTHORIZED, *_STATUS_WORDS[401])
        names = dict.fromkeys(["gpt-realtime-2.1", "gpt-realtime-2.1-mini", *self.shutdown_dates])
        return _json({"object": "list", "data": [self._described(name) for name in names]})

    def _described(self, name: str) -> dict[str, Any]:
        ends = {"shutdown_date": self.shutdown_dates[name]} if name in self.shutdown_dates else {}
        return {"id": name, "object": "model", "created": 0, "owned_by": "system", **ends}

    def _rest(self, request: http_server.Request) -> http_server.Response:
        """Answer a request that is not about a call over SIP."""
        if (request.method, request.path) != ("POST", client_secrets.PATH):
            return refused(404, f"Invalid URL ({request.method} {request.path})")
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self.client_secrets.make(request, is_keyed=key == self.api_key)

    async def add_session(self, session: Session) -> None:
        """Add a session that no socket has opened: that of a call over SIP."""
        self.sessions.append(session)
        await self._notify()

    @property
    def keeps_audio(self) -> bool:
        """Whether sessions keep what the caller says."""
        return self._keep_audio

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        if urlsplit(socket.request.path).path.rstrip("/") == LIVE_PATH:
            live = LiveSession(socket, self.script, self.pace, self.live_faults)
            self.live_sessions.append(live)
            await self._notify()
            await live.run()
            return
        query = parse_qs(urlsplit(socket.request.path).query)
        beside = self.sip.session(query["call_id"][0]) if "call_id" in query else None
        if beside is not None:
            self._numbers.pop(socket)
            if _wants_beta(socket.request.headers):
                await _end_beta(socket, beside)
                return
            await beside.serve_sideband(socket)
            return
        secret = self.client_secrets.session_of(_key(socket.request.headers)) or {}
        session = Session(
            socket,
            self._numbers.pop(socket),
            model=query.get("model", [str(secret.get("model", ""))])[0],
            transcription=query.get("intent") == ["transcription"] or secret.get("type") == "transcription",
            script=self.script,
            pace=self.pace,
            quirks=self.quirks,
            faults=lambda: self.faults,
            keep_audio=self._keep_audio,
        )
        if secret:
            asked = {**secret, "model": session.config["model"]} if "model" in session.config else secret
            session.config = updated(session.config, asked, self.quirks, voice_locked=False)
        if _wants_beta(socket.request.headers):
            await _end_beta(socket, session)
            return
        self.sessions.append(session)
        await self._notify()
        await session.run()


_STATUS_WORDS: Final[dict[int, tuple[str, str | None]]] = {
    401: ("Incorrect API key provided. You can find your API key in the platform's settings.", "invalid_api_key"),
    403: ("Project does not have access to the model.", "model_not_found"),
    429: ("Rate limit reached for requests.", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", None),
    503: ("The server is currently overloaded. Please try again later.", None),
}


def _refusal(status: HTTPStatus, message: str, code: str | None, retry_after: str | None = None) -> Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    if retry_after is None and status in (429, 503):
        retry_after = "1"
    if retry_after:
        headers["Retry-After"] = retry_after
    return Response(status.value, status.phrase, headers, body)


def _json(value: Any) -> Response:
    body = json.dumps(value).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
    return Response(200, "OK", headers, body)


def _offered(headers: Headers) -> list[str]:
    return [name.strip() for line in headers.get_all("Sec-WebSocket-Protocol") for name in line.split(",")]


def _key(headers: Headers) -> str | None:
    """The key in the bearer token or, as browsers send it, in the offered subprotocols."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    prefix = "openai-insecure-api-key."
    return next((name.removeprefix(prefix) for name in _offered(headers) if name.startswith(prefix)), None)


def _subprotocol(connection: ServerConnection, offered: Any) -> Subprotocol | None:
    return Subprotocol("realtime") if "realtime" in offered else None


def _wants_beta(headers: Headers) -> bool:
    """Whether the client asks for the beta interface, which was switched off in May 2026: that is an error event."""
    asked = any(value.startswith("realtime=") for value in headers.get_all("OpenAI-Beta"))
    return asked or any(name.startswith("openai-beta.realtime") for name in _offered(headers))


async def _end_beta(socket: ServerConnection, session: Session) -> None:
    kind = "invalid_request_error"
    error = {"type": kind, "code": BETA_CODE, "message": BETA_MESSAGE, "param": None, "event_id": None}
    await socket.send(json.dumps({"type": "error", "event_id": session.new_id("event"), "error": error}))
    await socket.close(4000, f"{kind}.{BETA_CODE}")
