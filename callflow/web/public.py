"""The public listener: the doors that carriers declare, their media sockets, and a sign of life.

Nothing here answers 500: what cannot be read is 400, what is not signed 403, what is too large 413, and a fault of our
own 503, which tells a carrier to try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import msgspec
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from callflow.contracts import Carrier, Reply, Request
from callflow.errors import Forged, Malformed, Overloaded, Refused
from callflow.media.socket import AsgiWire
from callflow.switchboard import Switchboard


log = logging.getLogger(__name__)

MOST_BODY: Final = 1 << 20
"""Bytes of a webhook; real ones are a few kilobytes."""
_BODY_SECONDS: Final = 10
_LINGER_SECONDS: Final = 2.0
"""How long a sender that is refused early may take to finish sending."""
_MEDIA_DOORS: Final = ("/media-stream/", "/call/")
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "::1")

App = Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]


class PublicAddress:
    """Where carriers reach us: as configured, else as the newest verified webhook was addressed."""

    def __init__(self, configured: str, fallback: str) -> None:
        self._configured = configured
        self._learned = fallback

    def __call__(self) -> str:
        return self._configured or self._learned

    def learn(self, host: str, forwarded_proto: str) -> None:
        """Only for development: behind a tunnel whose address nobody has put into PUBLIC_BASE_URL."""
        if not self._configured and host:
            local = host.rsplit(":", 1)[0] in _LOCAL
            scheme = forwarded_proto if forwarded_proto in ("http", "https") else "http" if local else "https"
            self._learned = f"{scheme}://{host}"


def create_public(carriers: Sequence[Carrier], switchboard: Callable[[], Switchboard], address: PublicAddress) -> Quart:
    app = Quart("callflow")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.config["BODY_TIMEOUT"] = _BODY_SECONDS
    app.url_map.merge_slashes = False  # it answers `//` with a redirect, and carriers do not follow those

    @app.get("/")
    async def index() -> dict[str, str]:
        return {"message": "Media Stream Server is running!"}

    @app.get("/health")
    async def health() -> tuple[str, dict[str, str]]:
        return "OK", {"content-type": "text/plain"}

    for carrier in carriers:
        for door in carrier.doors:
            app.add_url_rule(
                door, f"{carrier.name}:{door}", _webhook(carrier, switchboard, address), methods=["POST"],
                strict_slashes=True,
            )  # fmt: skip

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        response = _answer(error.code or 400, error.description or error.name)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    async def our_fault(error: Exception) -> Response:
        log.error("a web handler failed", exc_info=error)
        return _answer(503, "a fault of ours; try again")

    app.asgi_app = MediaDoor(app.asgi_app, switchboard)  # type: ignore[method-assign]
    return app


def _webhook(
    carrier: Carrier, switchboard: Callable[[], Switchboard], address: PublicAddress
) -> Callable[[], Awaitable[Response]]:
    async def receive() -> Response:
        body = cast(bytes, await request.get_data())
        headers = {name.lower(): value for name, value in request.headers.items()}
        wanted = Request(request.method, request.path, headers, body, url=address() + request.full_path.rstrip("?"))
        try:
            carrier.verify(wanted)
        except Forged as error:
            log.warning("%s webhook refused: %s", carrier.name, error)
            return _answer(403, str(error))
        try:
            signals = carrier.parse(wanted)
        except Malformed as error:
            log.warning("%s webhook refused: %s", carrier.name, error)
            return _answer(400, str(error))
        address.learn(headers.get("host", ""), headers.get("x-forwarded-proto", ""))
        reply: Reply | None = None
        try:
            for signal in signals:
                reply = await switchboard().dispatch(carrier, signal)
        except Overloaded as error:
            return _answer(503, str(error))
        reply = reply or carrier.reply(None, ())
        return Response(reply.body, content_type=reply.content_type)

    return receive


def _answer(status: int, message: str) -> Response:
    body = msgspec.json.encode({"success": False, "error": message[:300]})
    response = Response(body, status, content_type="application/json")
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


class MediaDoor:
    """ASGI: lends media sockets to their calls, below the web framework, and refuses every other WebSocket."""

    def __init__(self, inner: Any, switchboard: Callable[[], Switchboard]) -> None:
        self._inner, self._switchboard = inner, switchboard

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await self._inner(scope, *_to_the_end(receive, send))
            return
        wire = AsgiWire(receive, send)
        await receive()  # websocket.connect
        try:
            call = self._switchboard().claim(_token(scope["path"]))
        except Refused as error:
            log.warning("media socket refused: %s", error)
            await wire.refuse()
            return
        try:
            await wire.accept()
        except BaseException:
            call.unclaim_stream()
            raise
        await call.attend(wire)


def _to_the_end(receive: Any, send: Any) -> tuple[Any, Any]:
    """Hold an early answer back until the request has been read: closing on unread data would destroy the answer."""
    read = asyncio.Event()

    async def receiving() -> Any:
        message = await receive()
        if not message.get("more_body"):
            read.set()
        return message

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start" and not read.is_set():
            try:
                async with asyncio.timeout(_LINGER_SECONDS):
                    await read.wait()
            except TimeoutError:
                pass  # whoever sends for ever loses the answer
        await send(message)

    return receiving, sending


def _token(path: str) -> str:
    for door in _MEDIA_DOORS:
        if path.startswith(door):
            return path.removeprefix(door)
    raise Refused("no such door")
