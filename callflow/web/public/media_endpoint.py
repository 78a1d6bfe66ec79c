"""Accepts the carriers' media sockets: the token in the path names the call of a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypercorn.typing import Scope

from callflow.contracts.errors import Forged, Refused
from callflow.media.websocket import AsgiWire
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.request import StartupHold, read_request, read_to_the_end, refusals


MEDIA_PATHS: Final = ("/media-stream/", "/call/")
"""The paths before the token."""


class MediaEndpoint:
    """ASGI middleware around the public app: passes media sockets to their calls, and refuses every other WebSocket."""

    def __init__(
        self,
        inner: Any,
        switchboard: Callable[[], Switchboard],
        address: PublicAddress,
        startup_hold: Callable[[], StartupHold],
    ) -> None:
        """`inner`: the app that answers HTTP requests."""
        self._inner, self._switchboard, self._address, self._startup_hold = inner, switchboard, address, startup_hold

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request or one WebSocket."""
        if scope["type"] != "websocket":
            await self._inner(scope, *read_to_the_end(receive, send))
            return
        socket = AsgiWire(receive, send)
        await receive()  # websocket.connect
        await self._startup_hold().hold(None)
        try:
            handshake = read_request(scope, "GET", b"", self._address, socket=True)
            call = self._switchboard().claim(_token(scope["path"]), handshake)
        except (Refused, Forged) as error:
            refusals.say("media", "media socket refused: %s", error)
            await socket.refuse()
            return
        try:
            await socket.accept()
        except BaseException:
            call.unclaim_stream()
            raise
        await call.serve_socket(socket)


def _token(path: str) -> str:
    """Return the token of a media path. Raises Refused for any other path."""
    for start in MEDIA_PATHS:
        if path.startswith(start):
            return path.removeprefix(start)
    raise Refused("no media socket has this path")
