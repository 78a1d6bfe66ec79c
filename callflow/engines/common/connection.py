"""Opens one WebSocket to OpenAI Realtime, and classifies failed handshakes.

`breaker.py` and `account.py` decide how often to try. Vendor:
https://platform.openai.com/docs/guides/realtime-websocket
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import time
from typing import Final, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from callflow import runtime
from callflow.contracts.errors import HandshakeError
from callflow.engines import breaker
from callflow.engines.common.engine_socket import EngineSocket


CLOSE_SECONDS: Final = 0.3
"""How long the closing handshake may take."""
_MOST_MESSAGE: Final = 4 << 20
"""The most bytes of one server event: a minute of PCM in one audio delta. Real events are far smaller."""
_RECEIVE_BYTES: Final = 32 << 10
"""Bytes of the socket's receive buffer. A second of the model's audio is 11 kB as µ-law and 64 kB as PCM."""
PING_SECONDS: Final = 3.0
"""A server that hangs is noticed within twice this time."""
_SAME_SECONDS: Final = 5.0
"""Clocks that differ less are taken for equal: a `Date` has whole seconds, and is some time on its way."""
_MOST_BODY: Final = 64 << 10
"""The most bytes that are read of a refusal."""


class Destination(Protocol):
    """What a connection must know: of either interface."""

    @property
    def api_key(self) -> str: ...

    @property
    def address(self) -> str:
        """The address of the WebSocket."""

    @property
    def connect_seconds(self) -> float: ...


def prepare(config: Destination) -> None:
    """Read what connections under this configuration need, so that no call waits for it."""
    if config.address.startswith("wss:"):
        runtime.tls()


async def shut(connection: EngineSocket) -> None:
    """Close a connection; one whose other side takes no part in that is cut."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()
    except TimeoutError:
        connection.transport.abort()


async def open_once(config: Destination, *, ping_seconds: float = PING_SECONDS, url: str = "") -> EngineSocket:
    """Open a connection, without a time limit of its own. `url`: another address than the config's; "": that one.
    Raises HandshakeError."""
    url = url or config.address
    try:
        connection = await connect(
            url,
            proxy=_proxy(urlsplit(url)._replace(path="", query="", fragment="").geturl()),
            ssl=runtime.tls() if url.startswith("wss:") else None,
            additional_headers={"Authorization": f"Bearer {config.api_key}"},
            compression=None,
            open_timeout=None,
            close_timeout=CLOSE_SECONDS,
            max_size=_MOST_MESSAGE,
            ping_interval=ping_seconds,
            ping_timeout=ping_seconds,
            create_connection=EngineSocket,
        )
        assert isinstance(connection, EngineSocket)
        connection.clock_ahead = _ahead(connection.response.headers if connection.response else Headers())
        for head in (connection.request, connection.response):  # which `websockets` keeps as long as the connection
            if head is not None:
                head.headers.clear()
        # Small, because data that arrives at once is parsed at once, while all calls wait.
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        return connection
    except InvalidStatus as error:
        raise _refusal(error.with_traceback(None)) from None  # else the traceback keeps the connection
    except (OSError, EOFError, WebSocketException) as error:
        # The other WebSocketExceptions are invalid addresses, for which trying again does not help.
        retry = isinstance(error.with_traceback(None), (OSError, EOFError, InvalidHandshake))
        # Without the message of the error, which may contain the address and a key in it.
        why = f"the engine cannot be reached: {type(error).__name__}"
        raise HandshakeError(why, why, counts="one" if retry else "", retry=retry) from None


@functools.lru_cache(16)
def _proxy(server: str) -> str | None:
    """Return the proxy on the way to a server, from the environment as it is when this is first asked. To look through
    it takes a large part of what opening a socket takes. Raises InvalidURI."""
    return get_proxy(parse_uri(server))


def _ahead(headers: Headers) -> float:
    """Return by how many seconds our clock is ahead of the `Date` (RFC 9110, 6.6.1) of an answer that has just come."""
    there = breaker.unix(next(iter(headers.get_all("Date")), ""))
    ahead = 0.0 if there is None else time.time() - there
    return ahead if abs(ahead) > _SAME_SECONDS else 0.0


def _refusal(error: InvalidStatus) -> HandshakeError:
    response = error.response
    headers = response.headers
    try:
        body = json.loads((response.body or b"")[:_MOST_BODY])
    except (ValueError, RecursionError):
        body = None
    return HandshakeError(
        f"the engine refused the connection: HTTP {response.status_code}",
        f"HTTP {response.status_code}",
        counts=breaker.refusal_counts(response.status_code, *breaker.error_of(body)),
        retry=breaker.is_temporary(response.status_code),
        status=response.status_code,
        wait=breaker.retry_after(
            headers.get_all("Retry-After"),
            time.time(),
            milliseconds=headers.get_all("retry-after-ms"),
            date=next(iter(headers.get_all("Date")), ""),
        ),
    )
