"""A listening port that looks at a connection's first request without reading it, and so decides who serves it.

A media socket's handshake goes to the media server, without an HTTP server in between for the length of a call. Every
other connection goes, unread, to the HTTP server. Only a plain handshake counts as one: whatever is unusual about a
request is for the HTTP server to judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.contracts.request_targets import ABSOLUTE, is_cut_before_path, origin_form


log = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(log)
"""Strangers can cause them, so repeats are counted instead of logged."""

MOST_HEAD: Final = 8192
"""Bytes of a handshake; a longer head is for the HTTP server."""
MOST_HEADERS: Final = 100
_HEAD_SECONDS: Final = 5.0
"""How long an opened connection may send nothing, or an unfinished handshake."""
_AGAIN_SECONDS: Final = 0.005
"""How soon an unfinished handshake is looked at again, and then after twice as long each time: its bytes cannot be
waited for, because some are there."""
_RARELY_SECONDS: Final = 0.05
_BUSY_SECONDS: Final = 1.0
"""How long a connection waits for a worker that takes none at the moment. A media socket that is served elsewhere is
refused."""
_MOST_UNFINISHED: Final = 1000
"""Connections that have not sent a whole request yet. Beyond these, that which has had the longest time for it is
closed: whoever sends requests needs milliseconds, and a flood of others must not close the door to a carrier."""
_PAUSE_SECONDS: Final = 0.1
"""Pause after an accept that failed, as when there are no more file descriptors."""
_NODE: Final = re.compile(rb"[A-Z]{3,7} (?:" + ABSOLUTE + rb")?/nodes/([a-z0-9-]{1,32})/")
_NODE_START: Final = re.compile(rb"[A-Z]{1,7}( (/(n(o(d(e(s(/[a-z0-9-]{0,32})?)?)?)?)?)?)?)?")
_REQUEST: Final = re.compile(rb"GET (/[\x21-\x7e]*) HTTP/1[.]1")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE: Final = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""Base64 of 16 bytes."""
_ONCE: Final = (b"host", b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version")


Waits = Callable[[bool], None]
"""Is told by who serves a connection whether it has not sent the whole of its request yet."""
Passing = Callable[[socket.socket, str], bool]
"""Hands an accepted connection to the worker of this name. Returns False if it cannot; never waits. Raises
BlockingIOError: not yet, because that worker has not taken the last ones."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """The head of a WebSocket handshake, as received."""

    target: bytes
    """Path and query."""
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""


class SplitListener:
    """Accepts connections on a bound socket and gives each to the media server or to the HTTP server."""

    def __init__(
        self,
        bound: socket.socket,
        *,
        paths: Sequence[str],
        media: Callable[[socket.socket, Handshake], Awaitable[None]],
        http: Callable[[socket.socket, Waits], Awaitable[None]],
        passing: Passing | None = None,
    ) -> None:
        """`bound`: closed by `close`. `paths`: with what the path of a media socket begins. `media` and `http` serve an
        accepted connection until it ends, and own it from their call on; `http` tells whether it waits for the rest of
        a request. `passing`: to the other workers of this machine; None: there are none."""
        self._bound, self._media, self._http, self._passing = bound, media, http, passing
        self._starts = tuple(f"GET {path}".encode() for path in paths)
        self._longest = max((len(start) for start in self._starts), default=0)
        self._unfinished: dict[asyncio.Task[None], socket.socket | None] = {}
        """Those that have not sent a whole request, the oldest first; None: the HTTP server does not have it yet."""
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, backlog: int) -> None:
        """Begin to accept."""
        self._bound.listen(backlog)
        self._bound.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(), name="listener")

    async def close(self, seconds: float) -> None:
        """Accept no more, and give open connections so many seconds to end."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        self._bound.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._bound)
            except OSError as error:
                _warnings.say("accept", "a connection cannot be accepted: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            connection.setblocking(False)
            if not self._passed_at_once(connection):
                self._start(connection, passes=self._passing is not None)

    @property
    def count(self) -> int:
        """The number of connections, media sockets among them."""
        return len(self._tasks)

    def adopt(self, connection: socket.socket) -> None:
        """Serve a connection that another worker has accepted."""
        self._start(connection, passes=False)

    def _start(self, connection: socket.socket, *, passes: bool) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(connection, passes), name="connection")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self._wait(task, None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._unfinished.pop(task, None)

    def _wait(self, task: asyncio.Task[None], connection: socket.socket | None) -> None:
        """Count a connection that has not sent the whole of a request, and end the oldest where there are too many."""
        self._unfinished[task] = connection
        if len(self._unfinished) <= _MOST_UNFINISHED:
            return
        _warnings.say("unfinished", "%d connections without a whole request: the oldest is closed", _MOST_UNFINISHED)
        oldest = next(iter(self._unfinished))
        served = self._unfinished.pop(oldest)
        if served is None:
            oldest.cancel()
            return
        # As if the peer had ended it: a server that is cancelled leaves garbage.
        with contextlib.suppress(OSError):
            served.shutdown(socket.SHUT_RDWR)

    def _waits(self, task: asyncio.Task[None], connection: socket.socket, waits: bool) -> None:
        if waits:
            self._wait(task, connection)
        else:
            self._unfinished.pop(task, None)

    async def _serve(self, connection: socket.socket, passes: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                if passes and await self._passed_on(connection):
                    return
                handshake = await self._handshake(connection) if self._starts else None
        except (TimeoutError, OSError):
            connection.close()
            return
        except asyncio.CancelledError:
            connection.close()
            raise
        try:
            if handshake is None:
                waits = partial(self._waits, task, connection)
                waits(True)
                await self._http(connection, waits)
            else:
                self._unfinished.pop(task, None)
                await self._media(connection, handshake)
        except Exception:
            log.exception("a connection failed because of an internal error")

    def _passed_at_once(self, connection: socket.socket) -> bool:
        """Pass a connection on whose first request is there already, as nearly always, and names another worker. That
        takes no task, as whoever serves a connection does. Returns whether it is gone."""
        if self._passing is None:
            return False
        try:
            named = _NODE.match(connection.recv(MOST_HEAD, socket.MSG_PEEK))
            return named is not None and self._passing(connection, named[2].decode())
        except OSError:  # nothing is there yet, or that worker takes none at the moment
            return False

    async def _passed_on(self, connection: socket.socket) -> bool:
        """Pass the connection on if its first request names another worker. Returns whether it is gone."""
        again = _AGAIN_SECONDS
        while True:
            head = await _peeked(connection)
            if _is_cut(head):
                await asyncio.sleep(again)
                again *= 2
                continue
            named = _NODE.match(head)
            return named is not None and await self._pass(connection, named[2].decode())

    async def _pass(self, connection: socket.socket, name: str) -> bool:
        loop = asyncio.get_running_loop()
        until, again = loop.time() + _BUSY_SECONDS, _AGAIN_SECONDS
        while self._passing is not None:
            try:
                return self._passing(connection, name)
            except BlockingIOError:
                if loop.time() >= until:
                    break
            await asyncio.sleep(again)
            again = min(2 * again, _RARELY_SECONDS)  # a worker that hangs may have many of them waiting
        return False

    async def _handshake(self, connection: socket.socket) -> Handshake | None:
        """Return the handshake of a media socket; None: this is for the HTTP server. Raises OSError."""
        again = _AGAIN_SECONDS
        while True:
            head = await _peeked(connection)
            if not self._may_be_media(head):
                return None
            end = head.find(b"\r\n\r\n")
            if end >= 0 or len(head) >= MOST_HEAD:
                return parse(head[:end]) if end >= 0 else None
            await asyncio.sleep(again)
            again *= 2

    def _may_be_media(self, head: bytes) -> bool:
        start = head[: self._longest]
        return bool(start) and any(start.startswith(each) or each.startswith(start) for each in self._starts)


async def _peeked(connection: socket.socket) -> bytes:
    """Return the bytes that can be read, and leave them there; b"" at the end of the connection."""
    try:
        return connection.recv(MOST_HEAD, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        pass
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(connection, _wake, readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection)
    with contextlib.suppress(BlockingIOError):
        return connection.recv(MOST_HEAD, socket.MSG_PEEK)
    return b""


def _is_cut(head: bytes) -> bool:
    """Whether what has come of a request may be the beginning of one that names a node."""
    method, blank, target = head.partition(b" ")
    if target[:1] in (b"h", b"H"):
        if is_cut_before_path(target):
            return True
        head = method + blank + origin_form(target)[0]
    return bool(head) and _NODE_START.fullmatch(head) is not None


def _wake(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


def parse(head: bytes) -> Handshake | None:
    """Return the handshake in the head of a request, without its last empty line; None: it is not a plain one.

    Plain (RFC 6455, section 4.1): GET in HTTP/1.1 with one Host, `Connection: Upgrade` without other words, `Upgrade:
    websocket`, version 13 and a key, no body, and every line a header. Each of the media servers takes all of that, and
    none may take more: the call is claimed before it is asked.
    """
    request, *lines = head.split(b"\r\n")
    asked = _REQUEST.fullmatch(request)
    if asked is None or len(lines) > MOST_HEADERS:
        return None
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        # Not one expression: it would try every way to divide the blanks, for minutes.
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None or _NOT_IN_VALUE.search(value):
            return None
        headers.append((name.lower(), value.strip(b" \t")))
    names = [name for name, _ in headers]
    values = dict(headers)
    if any(names.count(name) != 1 for name in _ONCE):
        return None
    if {b"content-length", b"transfer-encoding", b"expect"} & values.keys():
        return None
    if values[b"upgrade"].lower() != b"websocket" or values[b"connection"].lower() != b"upgrade":
        return None
    if values[b"sec-websocket-version"] != b"13" or _KEY.fullmatch(values[b"sec-websocket-key"]) is None:
        return None
    return Handshake(asked[1], headers)
