"""Checks access to the operators' listener before any handler runs: who may ask, and how much a request may send.

A refused request reaches no handler, no framework and no database. A body is read to its end or to its limit before it
is passed on.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from callflow.contracts.errors import AccessRefused
from callflow.contracts.printable import line
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.web.console.identity import ASKING, NOTHING, Operator
from callflow.web.responses import error_body


log = logging.getLogger(__name__)

MOST_BODY: Final = 64 << 10
"""The most bytes of a request's body, except on the paths of MOST."""
MOST: Final = (
    (re.compile(r"/api/conversations/stream/[^/]*/items"), 4 << 20),
    (re.compile(r"/mcp/?"), 1 << 20),
    (re.compile(r"/api/campaigns"), 32 << 20),
    (re.compile(r"/api(?:/calls/[^/]*)?/session"), 512 << 10),
    (re.compile(r"/api/profiles/[^/]*"), 512 << 10),
)
COSTLY: Final = (
    re.compile("/api/calls"),
    re.compile("/api/calls/.+/(?:transfer|record)", re.DOTALL),
    re.compile("/api/(?:campaigns|transfers|numbers|profiles|provision|realtime-token)(?:/.*)?", re.DOTALL),
)
"""The paths, without empty parts, where every method but those of `_READING` costs money or changes an account: these
need CONSOLE_TOKEN, on loopback as well, where any program of the machine can ask."""
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_TARGET: Final = 8 << 10
"""Bytes of path and query."""
_BODY_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 2.0
"""How long a sender may take to finish sending after an early refusal: closing a connection with unread data destroys
the response."""
_LONGEST_NAME: Final = 60
_SEND: Final = "send the header Authorization: Bearer TOKEN"
_GIVE_TOKEN: Final = f"{_SEND}, with the server's CONSOLE_TOKEN."
_BEARER: Final = {"WWW-Authenticate": "Bearer"}
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST: Final = re.compile(rb"(?:\[([0-9a-f:.]+)\]|([^\x00-\x20\[\]:/@?#\\]+))(?::[0-9]{1,5})?")

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]


def is_costly(method: str, path: str) -> bool:
    """Return whether a request may cost money or change an account. `path`: percent-decoded, as the router gets it.

    More counts as such than the router accepts (it ignores slashes in front, and nothing else).
    """
    plain = "/" + "/".join(part for part in path.split("/") if part)
    return method.upper() not in _READING and any(form.fullmatch(plain) for form in COSTLY)


class AccessPolicy:
    """Decides who may ask: with a token, clients that know it; without, clients that address this machine by its own
    name, and for nothing that is costly."""

    def __init__(self, host: str, token: str, named: Sequence[tuple[str, Operator]] = ()) -> None:
        """`host`: a name of the listener, beside localhost and the loopback addresses. `token` "": no token is
        needed. `named`: further tokens, which need `token`, and their holders."""
        self._hosts = _LOCAL | {host.lower()}
        self._token = token.encode("utf-8", "surrogateescape")
        self._named = [(each.encode("utf-8", "surrogateescape"), holder) for each, holder in named if token]

    def check(self, headers: Sequence[tuple[bytes, bytes]], method: str, path: str) -> Operator:
        """Check a request without its body. `path`: percent-decoded. Returns who asks. Raises AccessRefused."""
        hosts, origins, tokens = (_values(headers, name) for name in (b"host", b"origin", b"authorization"))
        asked = hosts[0].lower() if len(hosts) == 1 else b""
        if not self._token and _name_of(asked) not in self._hosts:
            raise AccessRefused(421, _other_name(hosts))
        if origins and (len(origins) > 1 or not asked or not _is_own(origins[0].lower(), asked)):
            raise AccessRefused(403, "Pages of another origin are not let in: the Origin header names one.")
        if self._token:
            return self._holder(tokens)
        if is_costly(method, path):
            raise _no_token_is_set()
        return Operator()

    def _holder(self, tokens: Sequence[bytes]) -> Operator:
        """Return whose the token is. Raises AccessRefused unless it is right, and given once."""
        wrong = "The token is wrong:"
        given = _bearer(tokens[0]) if len(tokens) == 1 else b""
        if not tokens:
            wrong = "A token is needed, and there is no Authorization header:"
        elif len(tokens) > 1:
            wrong = "A token is needed once, and there are several Authorization headers:"
        elif not given:
            wrong = "A token is needed, and the Authorization header does not begin with Bearer:"
        found: Operator | None = None
        for token, holder in ((self._token, Operator()), *self._named):  # all of them, whichever it is
            if hmac.compare_digest(given, token):
                found = holder
        if found is None:
            raise AccessRefused(401, f"{wrong} {_GIVE_TOKEN}", _BEARER)
        return found


def _no_token_is_set() -> AccessRefused:
    """Make the refusal of what is costly. It suggests a new token, which nothing but this answer tells."""
    why = "This costs money or changes an account, and needs a token, also on this machine"
    line_ = f"CONSOLE_TOKEN={secrets.token_hex(16)}"
    sentence = f"{why}: put the line {line_} into .env, restart the server, and {_SEND} with that token."
    return AccessRefused(401, sentence, _BEARER, logged=f"{why}: CONSOLE_TOKEN is not set.")


def _other_name(hosts: Sequence[bytes]) -> str:
    if len(hosts) != 1:
        return "One Host header is needed: it says under which name this listener is asked."
    name = line(hosts[0].decode("utf-8", "replace"))[:_LONGEST_NAME]
    return f'This listener is not known as "{name}": ask it at 127.0.0.1, or set a CONSOLE_TOKEN.'


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for each, value in headers if each.lower() == name]


def _name_of(host: bytes) -> str:
    """Return the host of a Host header, without its port; "": the header is invalid."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).decode("latin-1") if found else ""


def _is_own(origin: bytes, host: bytes) -> bool:
    return origin in (b"http://" + host, b"https://" + host)


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""


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
            return
        if scope["type"] == "websocket":
            await receive()
            self._refusals.say("websocket", "operators' port: a WebSocket is refused: there is none here")
            await send_refusal(send, AccessRefused(403, "There is no WebSocket here."), kind="websocket.http.response")
            return
        reading = _Reading(receive)
        try:
            operator = self._policy.check(scope["headers"], scope["method"], scope["path"])
            if operator.business and scope["path"] != "/" and not scope["path"].startswith(("/api/", "/static/")):
                raise AccessRefused(404, NOTHING)  # /mcp and others are no routes of the app
            _check_target(scope)
            body = await reading.body(_most(scope))
        except AccessRefused as refused:
            what = "operators' port: a request is refused: HTTP %d: %s"
            self._refusals.say(str(refused.status), what, refused.status, refused)
            await reading.linger()
            await send_refusal(send, refused)
            return
        except ConnectionAbortedError:
            return
        asking = ASKING.set(operator)
        try:
            await self._let_in(scope, reading.replay(body), send)
        finally:
            ASKING.reset(asking)

    async def _let_in(self, scope: Any, receive: Receive, send: Send) -> None:
        began = False

        async def sending(message: Any) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._inner(scope, receive, sending)
        except AccessRefused as refused:
            await send_refusal(send, refused)
        except Exception:
            log.exception("a request failed through a fault of our own")
            if not began:
                await send_refusal(send, AccessRefused(500, "A fault of ours; the server's log says which."))


async def send_refusal(send: Send, refused: AccessRefused, kind: str = "http.response") -> None:
    """Send the response of a refusal. `kind`: prefix of the ASGI message types."""
    body = error_body(refused.sentence)
    headers = {
        "Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store",
        **refused.headers,
    }  # fmt: skip
    named = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": refused.status, "headers": named})
    await send({"type": f"{kind}.body", "body": body})


def _check_target(scope: Any) -> None:
    """Raise AccessRefused for a path or a query that is too long or cannot be read as text."""
    path, query = scope["raw_path"], scope["query_string"]
    if len(path) + len(query) > _MOST_TARGET:
        raise AccessRefused(414, f"Path and query are longer than {_MOST_TARGET} bytes.")
    if not path.startswith(b"/"):
        raise AccessRefused(400, "The path must begin with /.")
    for each in (path, query):
        try:
            text = unquote_to_bytes(each).decode()
        except UnicodeDecodeError:
            raise AccessRefused(400, "Path and query must be percent-encoded UTF-8.") from None
        if "\x00" in text:
            raise AccessRefused(400, "Path and query must not contain NUL (%00).")


def _most(scope: Any) -> int:
    if scope["method"] not in ("POST", "PUT", "PATCH"):
        return MOST_BODY
    return next((most for form, most in MOST if form.fullmatch(scope["path"])), MOST_BODY)


class _Reading:
    """The body of one request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False

    async def body(self, most: int) -> bytes:
        """Read the body, of `most` bytes. Raises AccessRefused, or ConnectionAbortedError when the sender is gone."""
        read = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while not self._over:
                    read += await self._next()
                    if len(read) > most:
                        raise AccessRefused(413, f"The body is larger than {most} bytes.")
        except TimeoutError:
            raise AccessRefused(408, f"The body did not come within {_BODY_SECONDS:g} seconds.") from None
        return bytes(read)

    async def linger(self) -> None:
        """Wait until the rest of the body has come, at most two seconds."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._over:
                    await self._next()
        except (TimeoutError, ConnectionAbortedError):
            pass

    def replay(self, body: bytes) -> Receive:
        """Return an ASGI `receive` whose first message has the whole body."""
        told = False

        async def receive() -> Any:
            nonlocal told
            if told:
                return await self._receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        return receive

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        self._over = not message.get("more_body", False)
        return bytes(message.get("body", b""))
