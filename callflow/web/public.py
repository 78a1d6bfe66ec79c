"""The public listener: the doors that carriers declare, their media sockets, and a sign of life.

Nothing here answers 500: what cannot be read is 400, what is not signed 403, what is too large 413, and a fault of our
own 503, which tells a carrier to try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, cast

import msgspec
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from callflow.commands import Speak
from callflow.contracts import Carrier, Door, Order, Reply, Request
from callflow.errors import Forged, Malformed, Overloaded, Refused
from callflow.events import Signal
from callflow.media.socket import AsgiWire
from callflow.printable import line
from callflow.repeats import Repeats
from callflow.switchboard import Switchboard
from callflow.web.answers import without_kind
from callflow.web.pages import Receive, create_pages


log = logging.getLogger(__name__)
_refusals: Final = Repeats(log)
"""Anybody can make one."""

MOST_BODY: Final = 1 << 20
"""Bytes of any request; a door may take fewer."""
_BODY_SECONDS: Final = 10
_LINGER_SECONDS: Final = 2.0
"""How long a sender that is refused early may take to finish sending."""
_MOST_PATH: Final = 80
_MEDIA_DOORS: Final = ("/media-stream/", "/call/")
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "::1")

App = Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]


class PublicAddress:
    """Where carriers reach us: as configured, else the tunnel, else as the newest verified webhook was addressed."""

    def __init__(self, configured: str, fallback: str) -> None:
        self._configured = configured
        self._learned = fallback
        self.tunnel = ""

    def __call__(self) -> str:
        return self.known or self._learned

    @property
    def known(self) -> str:
        """What somebody has said it is; "": nobody has."""
        return self._configured or self.tunnel

    def of(self, host: str, forwarded_proto: str) -> str:
        """How a request was addressed. What it says itself counts only where nothing is known: in development, behind
        a tunnel whose address nobody has put into PUBLIC_BASE_URL."""
        if self.known or not host:
            return self()
        local = host.rsplit(":", 1)[0] in _LOCAL
        scheme = forwarded_proto if forwarded_proto in ("http", "https") else "http" if local else "https"
        return f"{scheme}://{host}"

    def learn(self, address: str) -> None:
        """A verified webhook was addressed like that."""
        self._learned = address


class Gate(Protocol):
    async def hold(self, signal: Signal | None) -> None:
        """Returns when it may be let in (None: a media socket): at once, but for a moment after the start."""


def create_public(
    carriers: Sequence[Carrier],
    switchboard: Callable[[], Switchboard],
    address: PublicAddress,
    gate: Callable[[], Gate],
) -> Quart:
    app = Quart("callflow")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.config["BODY_TIMEOUT"] = _BODY_SECONDS
    app.url_map.merge_slashes = False  # it answers `//` with a redirect, and carriers do not follow those
    pages = create_pages(app, address)

    for carrier in carriers:
        for door in carrier.doors:
            receive = _webhook(carrier, door, switchboard, address, gate)
            methods = list(door.methods)
            if "GET" in methods and door.path in pages:
                methods.remove("GET")
                pages[door.path].append((door.only_with, receive))
            if methods:
                name = f"{carrier.name}:{door.path}"
                app.add_url_rule(door.path, name, receive, methods=methods, strict_slashes=True)

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        code = error.code or 400
        is_media = request.path.startswith(_MEDIA_DOORS)  # what follows may be a token
        where = "a media socket's address" if is_media else line(request.path)[:_MOST_PATH]
        _refusals.say(f"HTTP {code}", "a request is refused: HTTP %d to %s %s", code, request.method, where)
        response = _answer(code, error.description or error.name)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.after_request
    async def plain(response: Response) -> Response:
        return without_kind(response)

    @app.errorhandler(Exception)
    async def our_fault(error: Exception) -> Response:
        log.error("a web handler failed", exc_info=error)
        return _answer(503, "a fault of ours; try again")

    app.asgi_app = MediaDoor(app.asgi_app, switchboard, address, gate)  # type: ignore[method-assign]
    return app


def _webhook(
    carrier: Carrier,
    door: Door,
    switchboard: Callable[[], Switchboard],
    address: PublicAddress,
    gate: Callable[[], Gate],
) -> Receive:
    async def receive() -> Response:
        body = cast(bytes, await request.get_data())
        if len(body) > door.most_body:
            raise RequestEntityTooLarge
        wanted = _read(request.scope, request.method, body, address)
        try:
            carrier.verify(wanted)
            signals = carrier.parse(wanted)
        except (Forged, Malformed) as error:
            _refusals.say(
                f"{carrier.name} {type(error).__name__}", "%s webhook refused: %s", carrier.name, str(error)[:300]
            )
            return _answer(403 if isinstance(error, Forged) else 400, str(error))
        if not address.known:
            address.learn(wanted.url[: -len(_target(request.scope))])
        reply: Reply | None = None
        for signal in signals:
            await gate().hold(signal)
            if log.isEnabledFor(logging.DEBUG):
                call, what = switchboard().name_of(signal), signal.event.trigger
                log.debug("call %s: %s webhook %s, delivery %s", call, carrier.name, what, signal.id)
            try:
                reply = await switchboard().dispatch(carrier, signal)
            except Exception as error:
                if "answers_in_reply" not in carrier.can:  # it will try again; the other plays an error of its own
                    if isinstance(error, Overloaded):
                        _refusals.say("overloaded", "%s webhook refused for now: %s", carrier.name, error)
                        return _answer(503, str(error))
                    raise
                log.exception("%s webhook failed through a fault of our own", carrier.name)
                reply = carrier.reply(signal.event, [Order(Speak(sentence="sorry"), signal.id, "", signal.ids)])
        reply = reply or carrier.reply(None, ())
        return Response(reply.body, reply.status, content_type=reply.content_type)

    return receive


def _read(scope: Any, method: str, body: bytes, address: PublicAddress, *, socket: bool = False) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    base = address.of(headers.get("host", ""), headers.get("x-forwarded-proto", "").split(",")[0].strip())
    if socket:
        base = "ws" + base.removeprefix("http")
    query = scope["query_string"].decode("latin-1")
    return Request(method, scope["path"], headers, body, url=base + _target(scope), query=query)


def _target(scope: Any) -> str:
    """Path and query as they came: signatures are made over them."""
    path: bytes = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    return path.decode("latin-1")


def _answer(status: int, message: str) -> Response:
    body = msgspec.json.encode({"success": False, "error": message[:300]})
    response = Response(body, status, content_type="application/json")
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


class MediaDoor:
    """ASGI: lends media sockets to their calls, below the web framework, and refuses every other WebSocket."""

    def __init__(
        self, inner: Any, switchboard: Callable[[], Switchboard], address: PublicAddress, gate: Callable[[], Gate]
    ) -> None:
        self._inner, self._switchboard, self._address, self._gate = inner, switchboard, address, gate

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await self._inner(scope, *_to_the_end(receive, send))
            return
        wire = AsgiWire(receive, send)
        await receive()  # websocket.connect
        await self._gate().hold(None)
        try:
            handshake = _read(scope, "GET", b"", self._address, socket=True)
            call = self._switchboard().claim(_token(scope["path"]), handshake)
        except (Refused, Forged) as error:
            _refusals.say("media", "media socket refused: %s", error)
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
