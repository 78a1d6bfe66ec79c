"""A request of the public listener, read within bounds of bytes and seconds."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from callflow.contracts.carrier import Request
from callflow.contracts.events import Signal
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.web.public.address import PublicAddress


log = logging.getLogger(__name__)

MOST_BODY: Final = 1 << 20
"""Bytes of any request; a door may take fewer."""
BODY_SECONDS: Final = 10
_LINGER_SECONDS: Final = 2.0
"""How long a sender that is refused early may take to finish sending."""
MOST_PATH: Final = 80


class Gate(Protocol):
    async def hold(self, signal: Signal | None) -> None:
        """Returns when it may be let in (None: a media socket): at once, but for a moment after the start."""


def read_request(scope: Any, method: str, body: bytes, address: PublicAddress, *, socket: bool = False) -> Request:
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


def read_to_the_end(receive: Any, send: Any) -> tuple[Any, Any]:
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


refusals: Final = RepeatedWarnings(log)
"""Anybody can make one."""
