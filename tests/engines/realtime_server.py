"""A few lines of Realtime server for the client to talk to, as obliging or as hostile as a test wants it.

It shares nothing with the sandbox's emulator: two independent readings of the protocol are better than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from callflow.contracts.engine import EngineEvent, SessionContext, SessionLost
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from tests.configs import realtime_config


BRIEF = SessionContext("call")
PEER = "peer"
"""The name of the server's own tasks, to tell them from the client's."""


class Peer:
    """One connection, seen from the server."""

    def __init__(self, ws: ServerConnection) -> None:
        self.ws = ws
        self.messages: list[str] = []

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.messages]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def send(self, kind: str, **fields: Any) -> None:
        await self.ws.send(json.dumps({"type": kind, "event_id": "e", **fields}))

    async def refuse(self, code: str = "unknown_parameter", about: str | None = None, message: str = "m") -> None:
        await self.send("error", error={"type": "t", "code": code, "message": message, "event_id": about})

    def stop_reading(self) -> None:
        self.ws.transport.pause_reading()

    def drop(self) -> None:
        self.ws.transport.abort()


Answer = Callable[[Peer, dict[str, Any]], Awaitable[None]]


async def confirm(peer: Peer, event: dict[str, Any]) -> None:
    """What an obliging server does with a `session.update`."""
    await peer.send("session.updated", session=event["session"])


async def ignore(peer: Peer, event: dict[str, Any]) -> None:
    pass


class Server:
    """`refusals` are the HTTP answers to the next handshakes; `on_update` is what a `session.update` leads to."""

    def __init__(self, on_update: Answer, refusals: list[tuple[int, dict[str, str]]]) -> None:
        self.on_update = on_update
        self.refusals = refusals
        self.hang = False
        self.released = asyncio.Event()
        self.url = ""
        self.handshakes: list[Request] = []
        self.peers: list[Peer] = []
        self.moved = asyncio.Event()

    async def handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name(PEER)
        self.handshakes.append(request)
        self.moved.set()
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return Response(status, "No", Headers(**headers), b"no")
        if self.hang:
            await self.released.wait()
        return None

    async def serve(self, ws: ServerConnection) -> None:
        peer = Peer(ws)
        self.peers.append(peer)
        self.moved.set()
        with contextlib.suppress(ConnectionClosed):
            await peer.send("session.created", session={})
            async for message in ws:
                assert isinstance(message, str), "audio is base64 inside JSON: nothing is ever sent as binary"
                peer.messages.append(message)
                self.moved.set()
                event = json.loads(message)
                if event["type"] == "session.update":
                    await self.on_update(peer, event)
        self.moved.set()


class Client:
    """The engine under test, its ears, and its `run`."""

    def __init__(self, server: Server, settings: dict[str, Any]) -> None:
        self.server = server
        self.heard: list[EngineEvent] = []
        self.fault: Exception | None = None
        self.config = realtime_config(**{"url": server.url, "instructions": "Be brief.", **settings})
        self.engine = OpenAIRealtime(self.config, BRIEF, self.hear)
        self.running: asyncio.Task[None] | None = None

    def hear(self, event: EngineEvent) -> None:
        self.heard.append(event)
        self.server.moved.set()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    def start(self) -> None:
        self.running = asyncio.create_task(self._run(), name="run")

    async def _run(self) -> None:
        try:
            await self.engine.run()
        finally:
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert not [name for name in names if name.startswith("engine-")], "run ended before its own tasks did"

    async def ended(self) -> None:
        """`run` has ended by itself, and left nothing behind."""
        assert self.running is not None
        await self.running
        await self.nothing_left()

    async def nothing_left(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)  # a cancelled task needs a turn of the loop to be gone
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and task.get_name() != PEER]
        assert left == []

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.server.moved.clear()
            await self.server.moved.wait()

    def of(self, kind: type[EngineEvent]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    async def lost(self) -> str:
        """The reason of the only `SessionLost`, told as the last of all, after which nothing is left."""
        await self.ended()
        last = self.heard[-1]
        assert isinstance(last, SessionLost)
        assert len(self.of(SessionLost)) == 1
        return last.reason

    async def peer(self) -> Peer:
        """The server's side of the newest connection."""
        await self.until(lambda: self.server.peers)
        return self.server.peers[-1]


@asynccontextmanager
async def client(
    on_update: Answer = confirm, *, refusals: list[tuple[int, dict[str, str]]] | None = None, **settings: Any
) -> AsyncIterator[Client]:
    """A client that has not started yet, and its server."""
    server = Server(on_update, refusals or [])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # a peer that stops reading is soon felt
    listener.bind(("127.0.0.1", 0))
    async with serve(
        server.serve,
        sock=listener,
        process_request=server.handshake,
        ping_interval=None,
        open_timeout=None,
        close_timeout=0.1,
        max_size=None,
    ):
        server.url = f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/realtime"
        one = Client(server, settings)
        try:
            yield one
        finally:
            if one.running is not None and not one.running.done():
                one.running.cancel()
                await asyncio.wait([one.running])
            for peer in server.peers:
                peer.drop()
            server.released.set()


def run(work: Callable[[], Awaitable[None]]) -> None:
    """The body of a test on a loop of its own; it may take 10 s."""

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await work()

    asyncio.run(bounded())
