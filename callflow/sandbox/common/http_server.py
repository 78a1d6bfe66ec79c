"""A small HTTP/1.1 server that can close a connection without an answer, and the owner of background tasks."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import h11
import msgspec


log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 16 * 1024 * 1024


class Tasks:
    """Owns background tasks: `close` cancels them all, and errors are logged and kept in `failures`.

    Args:
        owner: stands in front of every task's name.
    """

    def __init__(self, owner: str = "sandbox") -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failures: list[BaseException] = []
        self._closing = False

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task."""
        task = asyncio.create_task(work, name=f"{self._owner}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if self._closing:
            task.cancel()
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)
            log.error("%s failed", task.get_name(), exc_info=error)

    def busy(self, name: str) -> bool:
        """Return whether a task whose name begins with `name` is still running."""
        return any(task.get_name().startswith(f"{self._owner}: {name}") for task in self._tasks)

    async def close(self) -> None:
        """Cancel all tasks (but the one that calls this) and wait for their end. What they start then never runs."""
        self._closing = True
        try:
            while mine := [task for task in self._tasks if task is not asyncio.current_task()]:
                for task in mine:
                    task.cancel()
                await asyncio.gather(*mine, return_exceptions=True)
        finally:
            self._closing = False


@dataclass(slots=True)
class Request:
    """An HTTP request with its whole body."""

    method: str
    path: str
    """As sent, percent-encoded, without the query."""
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(slots=True)
class Response:
    """An HTTP answer; `content-length` is added when it is sent."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    """Close the connection instead of answering."""


def in_url(host: str) -> str:
    """Return an address as it is written in a URL: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def json_response(status: int, value: Any, headers: dict[str, str] | None = None) -> Response:
    """Make an answer whose body is `value` as JSON."""
    return Response(status, msgspec.json.encode(value), {"content-type": "application/json", **(headers or {})})


class HttpServer:
    """Serves `handler` on a port; 0 takes a free one. Bodies of more than 16 MiB are refused with 413."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]], host: str, port: int, tasks: Tasks) -> None:
        self._handler = handler
        self._address = (host, port)
        self._tasks = tasks
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = port

    async def start(self) -> None:
        """Listen; `port` is the real one afterwards. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self.accept, *self._address, family=socket.AF_UNSPEC)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._server is not None:
            await self._server.wait_closed()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, also one that was opened on another port."""
        self._writers.add(writer)
        self._tasks.spawn(self._serve(reader, writer), "HTTP connection")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while (request := await _read(connection, reader, writer)) is not None:
                response = await self._handler(request)
                if response.lost:
                    break
                await _write(connection, writer, response)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await _write(connection, writer, Response(error.error_status_hint, headers={"connection": "close"}))
        except OSError:
            pass  # the peer has gone, so there is no one to answer
        finally:
            self._writers.discard(writer)
            writer.transport.abort() if connection.our_state is h11.SEND_RESPONSE else writer.close()


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError("body too large", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path, _, query = head.target.decode("ascii").partition("?")
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
            return Request(head.method.decode("ascii"), path, query, headers, bytes(body))
        else:
            return None


async def _write(connection: h11.Connection, writer: asyncio.StreamWriter, response: Response) -> None:
    headers = {**response.headers, "content-length": str(len(response.body))}
    head = h11.Response(status_code=response.status, headers=list(headers.items()))
    writer.write(connection.send(head) or b"")
    writer.write(connection.send(h11.Data(data=response.body)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
