"""Reads requests of the public listener within bounds of bytes and seconds, and refuses requests."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

import msgspec
from quart import Response

from callflow.contracts.carrier import Request
from callflow.contracts.events import WebhookEvent
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.web.public.address import PublicAddress


log = logging.getLogger(__name__)

MOST_BODY: Final = 1 << 20
"""The most bytes of a request body; a webhook path may have a lower limit."""
BODY_SECONDS: Final = 10
"""How long a body may take to arrive."""
_LINGER_SECONDS: Final = 2.0
"""How long a sender may take to finish sending after an early refusal."""
MOST_PATH: Final = 80
"""Characters of a refused path in the log."""
_MOST_MESSAGE: Final = 300
"""The most characters of an error message, because it may quote the request."""

refusals: Final = RepeatedWarnings(log)
"""Warnings about refused requests. Strangers can cause them, so repeats are counted instead of logged."""


class WebhookHold(Protocol):
    """Holds requests back until it is known which call they are about: see `switchboard/webhook_gate.py`."""

    async def begun(self, webhook_event: WebhookEvent | None) -> bool:
        """Return when this process knows which calls it has. None: the request opens a media socket. Returns True if
        that took time: what was known before is old."""

    async def hold(self, webhook_event: WebhookEvent, *, coming: str = "") -> bool:
        """Return when no call is being moved here that a webhook is about: at once, if its call is live here. `coming`:
        a call that was given to this node, which does not have it yet; "": none. Returns True if that took time. Raises
        Overloaded for a webhook that the carrier must send again."""

    async def look_up(self, webhook_event: WebhookEvent) -> None:
        """Ask the history about a webhook that this process is to take."""


def read_request(scope: Any, method: str, body: bytes, address: PublicAddress, *, socket: bool = False) -> Request:
    """Make a carrier's request from an ASGI scope. The URL is the URL that the carrier used, under the public address.
    `socket`: the request opens a media socket, so the URL begins with ws or wss."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    base = address.of(headers.get("host", ""), headers.get("x-forwarded-proto", "").split(",")[0].strip())
    if socket:
        base = "ws" + base.removeprefix("http")
    query = scope["query_string"].decode("latin-1")
    return Request(method, scope["path"], headers, body, url=base + target_of(scope), query=query)


def target_of(scope: Any) -> str:
    """Return path and query byte for byte as received, because signatures are made over them."""
    target: bytes = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    return target.decode("latin-1")


def error_response(status: int, message: str) -> Response:
    """Make the response to a failed request: `{"success": false, "error": message}`. With 503, `Retry-After` is set."""
    body = msgspec.json.encode({"success": False, "error": message[:_MOST_MESSAGE]})
    response = Response(body, status, content_type="application/json")
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def read_to_the_end(receive: Any, send: Any) -> tuple[Any, Any]:
    """Wrap ASGI's `receive` and `send` so that a response waits until the request has been read: closing a connection
    with unread data would destroy the response."""
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
                pass  # a sender that never ends loses the response
        await send(message)

    return receiving, sending
