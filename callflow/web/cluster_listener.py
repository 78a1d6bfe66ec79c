"""The listener for the other nodes: what they forward, and what nodes tell each other.

Every request is signed (see `callflow.cluster.signing`), and no body is read before that is verified. The first
part of the path names the app: `/public/…` and `/console/…` are served as if they had come in at this node's own
listeners; `/cluster/…` is between nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

import msgspec
from quart import Quart, Response, request

from callflow import runtime
from callflow.cluster import signing
from callflow.cluster.forwarding import CLUSTER, FROM, KEYS
from callflow.cluster.node_paths import FORWARDED
from callflow.contracts.errors import Forged
from callflow.contracts.media import HandoverInput
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.switchboard.dialling_elsewhere import PATH as DIAL
from callflow.web.console.live.service import LiveService
from callflow.web.console.live.sse import event_stream
from callflow.web.web_app import WebApp


log = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(log)

_MOST_BODY: Final = 24 << 20
"""Bytes of a request: pictures for a call may come from another node."""
_BODY_SECONDS: Final = 10.0
_UNIX: Final = "unix:"

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class _Given(msgspec.Struct):
    calls: list[str]


class _Deleted(msgspec.Struct):
    files: list[str]
    calls: list[str] = []
    """A node of before names none."""


class LocalFiles(Protocol):
    """What lies at this node of calls, beside the database: see `History`."""

    recordings: Path

    async def forget(self, files: Sequence[str], calls: Sequence[str]) -> None:
        """Delete these recordings, and what is kept of these calls."""


class Node(Protocol):
    """What this node tells the others, and takes from them."""

    @property
    def takes_over(self) -> bool:
        """Whether this node reaches the database, and has for a lease: it takes over what has lost its own."""

    async def look_again(self) -> None:
        """Learn which nodes there are at this moment."""


def bind(address: str) -> socket.socket:
    """Bind the socket of a cluster listener: `unix:/path`, readable by this user only, or `http://host:port`. Raises
    OSError."""
    if not address.startswith(_UNIX):
        parts = urlsplit(address)
        return runtime.bind(parts.hostname or "", parts.port or 0)
    path = Path(address.removeprefix(_UNIX))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)  # of a process that has ended: the node's lock says that there is no other
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        bound.close()
        raise
    return bound


def create_cluster_app(
    node: Node,
    secret: bytes,
    apps: Mapping[str, Asgi],
    take_given: Callable[[list[str], str], Awaitable[Sequence[str] | None]],
    live: LiveService,
    kept: LocalFiles,
    dial: Callable[[bytes], Awaitable[tuple[dict[str, Any], int]]],
    is_live: Callable[[str], bool],
    handover_input: Callable[[str], Awaitable[HandoverInput]],
    now: Callable[[], float] = time.time,
    met: Callable[[str, object], Mapping[str, Any]] = lambda node, told: {},
) -> Quart:
    """Make the app. `apps`: those that requests are forwarded to, by name. `take_given`: takes calls that the node of
    this name has given to this one, and returns those that are here; None: it is not known yet. `live`: what is watched
    live. `kept`: what lies here of calls. `dial`: makes a call that another node asks for. `is_live`: whether this node
    has a call. `handover_input`: ends the stream of a call that was given away, and returns what its caller has said
    and typed since. `met`: takes what a node that joins tells of itself, and returns what this one tells it."""
    app = WebApp("cluster")
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY

    @app.get("/state")
    async def state() -> dict[str, Any]:
        return {"database": node.takes_over}  # the name that nodes of before know

    @app.post("/nodes")
    async def nodes() -> dict[str, Any]:
        await node.look_again()
        told: object = None
        with contextlib.suppress(msgspec.DecodeError):  # a node of before tells nothing
            told = msgspec.json.decode(cast(bytes, await request.get_data()))
        return {"ok": True, **met(str(request.scope.get(FORWARDED, "")), told)}

    @app.post("/calls")
    async def calls() -> tuple[dict[str, Any], int]:
        try:
            told = msgspec.json.decode(cast(bytes, await request.get_data()), type=_Given)
        except msgspec.DecodeError as error:
            return {"error": str(error)}, 400
        taken = await take_given(told.calls, str(request.scope.get(FORWARDED, "")))
        if taken is None:
            return {"error": "which calls are taken is not known yet"}, 503
        return {"taken": list(taken)}, 200

    @app.get("/calls/<call>")
    async def call_here(call: str) -> dict[str, Any]:
        return {"live": is_live(call)}

    @app.post("/calls/<call>/last-words")
    async def words(call: str) -> Response:
        audio, keys = await handover_input(call)
        return Response(audio, headers={KEYS: keys} if keys else None, content_type="application/octet-stream")

    @app.post(DIAL)
    async def dial_here() -> tuple[dict[str, Any], int]:
        return await dial(cast(bytes, await request.get_data()))

    @app.get("/live")
    async def wall() -> Response:
        refusal = live.node_seats.refusal()
        return refusal or event_stream(live.own_wall.watch(""), live.node_seats)

    @app.get("/logs")
    async def logs() -> Response:
        refusal = live.node_seats.refusal()
        return refusal or event_stream(live.logs.frames(), live.node_seats)

    @app.get("/recordings/<name>")
    async def recording(name: str) -> dict[str, Any]:
        return {"here": await asyncio.to_thread((kept.recordings / name).is_file)}

    @app.post("/recordings/delete")
    async def delete_recordings() -> tuple[dict[str, Any], int]:
        try:
            told = msgspec.json.decode(cast(bytes, await request.get_data()), type=_Deleted)
        except msgspec.DecodeError as error:
            return {"error": str(error)}, 400
        await kept.forget(told.files, told.calls)
        return {"ok": True}, 200

    own = app.asgi_app
    gate = _Gate(secret, {**apps, CLUSTER: own}, now)
    app.asgi_app = gate  # type: ignore[method-assign]
    return app


class _Gate:
    """ASGI: verifies each request, and passes it to the app that it is for."""

    def __init__(self, secret: bytes, apps: Mapping[str, Asgi], now: Callable[[], float]) -> None:
        self._secret, self._apps, self._now = secret, apps, now

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._apps[CLUSTER](scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        try:
            app, signed = self._verified(scope, scope["method"])
            body = await _body(receive, min(signed.length, _MOST_BODY))
            signed.check(body)
        except Forged as error:
            _warnings.say("forged", "a request to the cluster's listener is refused: %s", error)
            await _refuse(send)
            return
        await app(_inner(scope), _once(body, receive), send)

    async def _socket(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            app, _ = self._verified(scope, "GET")
        except Forged as error:
            _warnings.say("forged", "a WebSocket at the cluster's listener is refused: %s", error)
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await app(_inner(scope), receive, send)

    def _verified(self, scope: Any, method: str) -> tuple[Asgi, signing.SignedBody]:
        """Return the app that a request is for, and which body another node has signed. Raises Forged."""
        headers = dict(scope["headers"])
        given = headers.get(signing.HEADER.encode(), b"").decode("latin-1")
        query = scope["query_string"]
        target = (scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")
        signed = signing.verify(self._secret, given, self._now(), method, target)
        app = self._apps.get(target.split("/", 2)[1])
        if app is None:
            raise Forged("for an app that this node does not have")
        return app, signed


def _inner(scope: Any) -> Any:
    """Return the scope without the app's name in its path, and with the node that it comes from."""
    app = scope["raw_path"].split(b"/", 2)[1]
    headers = [(name, value) for name, value in scope["headers"] if name != signing.HEADER.encode()]
    sender = dict(headers).get(FROM.encode(), b"").decode("latin-1")
    return {
        **scope,
        "path": scope["path"].removeprefix(f"/{app.decode('latin-1')}"),
        "raw_path": scope["raw_path"].removeprefix(b"/" + app),
        "headers": [(name, value) for name, value in headers if name != FROM.encode()],
        FORWARDED: sender or "?",
    }


async def _body(receive: Any, most: int) -> bytes:
    """Read a whole body of at most so many bytes. Raises Forged if it is longer, or does not come."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Forged("it breaks off")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise Forged("longer than a node has signed, or than nodes may send")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Forged("its body did not arrive in time") from None


def _once(body: bytes, receive: Any) -> Any:
    """Return a `receive` that brings the body that was read already, and then what comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Any:
        return waiting.pop() if waiting else await receive()

    return receiving


async def _refuse(send: Any) -> None:
    body = msgspec.json.encode({"error": "not signed by a node of this cluster"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((signing.REFUSED.encode(), b"1"))
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
