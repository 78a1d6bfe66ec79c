"""Checks access to the operators' listener before any handler runs: who may ask, and how much a request may send.
`policy.py` compares tokens and decides, `roles.py` has the role that each request needs.

A refused request reaches no handler, no framework and no database. A body is read to its end or to its limit before it
is passed on. Who may not see telephone numbers gets every answer with masks: see `masking.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import AccessRefused, CarrierError, OutOfBounds
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.web.console import login_page
from callflow.web.console.identity import ASKING, NOBODY, NOTHING, OPERATE, Operator
from callflow.web.console.masking import masking
from callflow.web.console.policy import AccessPolicy, no_search
from callflow.web.console.request_body import MOST_BODY, Reading, check_target, most_body
from callflow.web.console.roles import SEARCHING, SOCKET, has_socket, numbers_asked_for
from callflow.web.responses import error_body


log = logging.getLogger(__name__)

_MCP: Final = ("/mcp", "/mcp/")

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]


class AccessMiddleware:
    """ASGI middleware around the operators' app, which gets each body whole, in one message."""

    def __init__(self, inner: Any, policy: AccessPolicy) -> None:
        self._inner, self._policy = inner, policy
        self._refusals = RepeatedWarnings(log)
        """Warnings about refused requests. Strangers can cause them, so repeats are counted instead of logged."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Any, receive: Receive, send: Send) -> None:
        reading = Reading(receive)
        try:
            operator = self._policy.check(scope["headers"], scope["method"], scope["path"], scope["query_string"])
            if operator.business and scope["path"] in _MCP:
                raise AccessRefused(404, NOTHING)  # it is no route of the app, where such a token is looked at
            check_target(scope)
            body = await reading.body(_most(scope, operator))
            if scope["path"] in _MCP:
                _check_mcp(b"".join(body), operator)
        except AccessRefused as refused:
            await self._refuse(scope, send, reading, refused)
            return
        except ConnectionAbortedError:
            return
        await self._let_in(operator, scope, reading.replay(body), send)

    async def _refuse(self, scope: Any, send: Send, reading: Reading, refused: AccessRefused) -> None:
        page = login_page.instead_of(refused, scope)
        if page is None:
            what = "operators' port: a request is refused: HTTP %d: %s"
            self._refusals.say(str(refused.status), what, refused.status, refused)
        await reading.linger()
        if page is None:
            await send_refusal(send, refused)
        else:
            await send_whole(send, *page)

    async def _serve_socket(self, scope: Any, receive: Receive, send: Send) -> None:
        try:
            if not has_socket(scope["path"]):
                raise AccessRefused(403, "There is no WebSocket here.")
            operator = self._policy.check(scope["headers"], SOCKET, scope["path"], scope["query_string"])
            check_target(scope)
        except AccessRefused as refused:
            await receive()
            self._refusals.say("websocket", "operators' port: a WebSocket is refused: %s", refused)
            await send_refusal(send, refused, kind="websocket.http.response")
            return
        await self._let_in(operator, scope, receive, send)

    async def _let_in(self, operator: Operator, scope: Any, receive: Receive, send: Send) -> None:
        """Hand a request on, for as long as its login lasts."""
        if operator.role != NOBODY and not operator.may(OPERATE):
            scope, send = masking(scope, send)
        began = scope["type"] == "websocket"

        async def sending(message: Any) -> None:
            nonlocal began
            began = True
            await send(message)

        login = asyncio.timeout(None if operator.until == math.inf else max(0.0, operator.until - time.time()))
        asking = ASKING.set(operator)
        try:
            async with login:
                await self._inner(scope, receive, sending)
        except AccessRefused as refused:
            await send_refusal(send, refused)
        except CarrierError as error:
            log.warning("a forwarded answer breaks off, because the other node's did: %s", error)
        except Exception as error:
            if isinstance(error, TimeoutError) and login.expired():
                log.info("operators' port: the login of %s has ended, and so does its stream", operator.shown)
                return
            log.exception("a request failed because of an internal error")
            if not began:
                await send_refusal(send, AccessRefused(500, "An internal error; the server's log says which."))
        finally:
            ASKING.reset(asking)


def _most(scope: Any, operator: Operator) -> int:
    is_read_here = scope["path"] in _MCP and not operator.may(SEARCHING)
    return MOST_BODY if is_read_here else most_body(scope)


def _check_mcp(body: bytes, operator: Operator) -> None:
    """Raise AccessRefused if a model asks for the calls of a number, for somebody who may not."""
    if operator.may(SEARCHING):
        return
    with contextlib.suppress(OutOfBounds):  # the endpoint says what is wrong with it
        if numbers_asked_for(read(body)):
            raise no_search(operator)


async def send_refusal(send: Send, refused: AccessRefused, kind: str = "http.response") -> None:
    """Send the response of a refusal. `kind`: prefix of the ASGI message types."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **refused.headers}
    await send_whole(send, refused.status, headers, error_body(refused.sentence), kind)


async def send_whole(
    send: Send, status: int, headers: Mapping[str, str], body: bytes, kind: str = "http.response"
) -> None:
    """Send a whole response."""
    told = {**headers, "Content-Length": str(len(body))}
    named = [(name.lower().encode(), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": f"{kind}.start", "status": status, "headers": named})
    await send({"type": f"{kind}.body", "body": body})
