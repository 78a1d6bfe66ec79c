"""A second node of a cluster, for tests of what nodes send each other: it listens on a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from callflow.cluster.claims import Claims
from callflow.cluster.forwarding import CONSOLE, PUBLIC, Forwarding
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.nodes import View
from callflow.cluster.peers import Peer
from callflow.contracts.media import HandoverInput
from callflow.web.cluster_listener import bind, create_cluster_app
from callflow.web.console.live.service import LiveService
from callflow.web.console.live.sse import Seats, frame
from callflow.web.listener import Listener


SECRET = b"s" * 32
CALL = "11111111-1111-4111-8111-111111111111"


@dataclass
class Known:
    """Peers that are known, and what was told of them."""

    peers: dict[str, Peer]
    me: str = "w1"
    suspects: list[str] = field(default_factory=list)
    lease_holds: bool = True
    takes_over: bool = True
    looked: int = 0
    view: View = field(default_factory=View)
    owner_is: str | None = "w2"
    asked: int = 0
    """How often the database was asked whose a call is."""
    live: tuple[str, ...] = (CALL,)
    """At the other node."""
    claims: Claims = field(default_factory=Claims)

    def has(self, call: str) -> bool:
        return call in self.live

    async def look_again(self) -> None:
        self.looked += 1

    def peer(self, name: str) -> Peer | None:
        return self.peers.get(name)

    def beside(self) -> Sequence[Peer]:
        return []

    def living(self) -> Sequence[Peer]:
        return list(self.peers.values())

    def place(self, carrier: str = "", call: str = "") -> str:
        return self.me

    async def owner(self, call: str) -> str | None:
        self.asked += 1
        return self.owner_is

    def suspect(self, name: str) -> None:
        self.suspects.append(name)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Tells what it was asked, in two pieces; a WebSocket gets its words back."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "words"})
        while (message := await receive())["type"] == "websocket.receive":
            told = message.get("bytes")
            await send({"type": "websocket.send", "bytes": told} if told else {
                "type": "websocket.send", "text": f"{message['text']}!",
            })  # fmt: skip
        return
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 202, "headers": [(b"x-from", scope[FORWARDED].encode())]})
    await send({"type": "http.response.body", "body": scope["raw_path"] + b"?", "more_body": True})
    await send({"type": "http.response.body", "body": scope["query_string"] + b" " + body})


@contextlib.asynccontextmanager
async def other_node(
    folder: Path, given: list[str] | None = None, console: Any = echo, history: Any = None
) -> AsyncIterator[tuple[Known, Forwarding]]:
    """A node `w2` that listens, and what this node `w1` has to reach it. `history`: that node's."""
    address = f"unix:{folder}/cluster/w2.sock"
    known = Known({"w2": Peer("w2", address)})

    async def wall(business: str) -> AsyncGenerator[bytes, None]:
        yield frame("snapshot", {"calls": [{"id": CALL}], "counters": {}})
        await asyncio.sleep(60)

    live = SimpleNamespace(node_seats=Seats(), own_wall=SimpleNamespace(watch=wall))

    async def take(calls: list[str], giver: str) -> list[str] | None:
        assert giver == "w1"
        (given if given is not None else []).extend(calls)
        return [call for call in calls if call == CALL] or None

    apps = {PUBLIC: echo, CONSOLE: console}

    async def handover_input(call: str) -> HandoverInput:
        return HandoverInput(b"\x00\xff words", "1*#") if call == CALL else HandoverInput()

    app = create_cluster_app(
        known, SECRET, apps, take, cast(LiveService, live), history, cast(Any, None), known.has, handover_input
    )
    listener = Listener(bind(address), app, media_ping_seconds=0)
    await listener.open()
    forwarding = Forwarding("w1", SECRET, known)
    try:
        yield known, forwarding
    finally:
        await forwarding.close()
        await listener.close()
