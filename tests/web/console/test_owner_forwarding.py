"""Requests of operators go to the node that has the call, once at most, and wait for none that is being moved.

Whole requests between two nodes: test_forwarding_to_owners.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.exc import SQLAlchemyError
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from callflow.cluster.forwarding import CONSOLE, Stream
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.web.console import owner_forwarding as module
from callflow.web.console.listen import MOVED
from callflow.web.console.owner_forwarding import OwnerForwarder
from tests.web.asgi import Answer, ask, scope


CALL = "11111111-1111-4111-8111-111111111111"
PATH = f"/api/calls/{CALL}/hangup"


Pieces = tuple[bytes | Exception, ...]


class World:
    """This node, a cluster, and the other node, which answers `pieces`."""

    def __init__(self, *, owner: str | None = "w2", live: bool = False, pieces: Pieces = (b"there",)) -> None:
        self.me, self.claims, self.view = "w1", self, None
        self.owner_is, self.is_here, self.pieces = owner, live, pieces
        self.others = {"w2": Peer("w2", "unix:w2")}
        self.asked_all = 0
        self.sent: list[tuple[Any, ...]] = []
        self.served: list[str] = []
        self.kept = 0
        self.length = ""
        self.headers: list[tuple[str, str]] = [("X-Name", "Zo\xc3\xab")]
        self.history: Any = None
        self.is_moving = False
        self.messages: list[Any] = []
        """What was answered."""

    def peer(self, name: str) -> Peer | None:
        return self.others.get(name)

    async def owner(self, call: str) -> str | None:
        return self.owner_is

    async def who_has(self, call: str) -> str:
        self.asked_all += 1
        return "w2"

    def has(self, call: str) -> bool:
        return False

    def is_going(self, call: str) -> bool:
        return self.is_moving

    def is_coming(self, call: str) -> bool:
        return False

    def is_live(self, call: str) -> bool:
        return self.is_here

    def live(self, call: str) -> Any:
        if not self.is_here or call != CALL:
            return None

        @contextlib.contextmanager
        def serving() -> Any:
            self.kept += 1
            yield

        return SimpleNamespace(is_handed_over=False, mailbox=SimpleNamespace(is_held=False, serving=serving))

    @contextlib.asynccontextmanager
    async def stream(
        self, peer: Peer, app: str, method: str, target: str, headers: Any, body: bytes, *, seconds: float
    ) -> Any:
        self.sent.append((peer.name, app, method, target, body))

        async def told() -> AsyncIterator[bytes]:
            for each in self.pieces:
                if isinstance(each, Exception):
                    raise each
                yield each

        if self.pieces and isinstance(self.pieces[0], Exception):
            raise self.pieces[0]
        yield Stream(202, self.headers, told(), self.length)

    def while_living(self, peer: Peer) -> Any:
        return contextlib.nullcontext()

    async def inner(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    def asked(
        self, path: str = PATH, method: str = "POST", body: bytes | list[bytes] = b"{}", *, led: bool = False
    ) -> Answer:
        one = OwnerForwarder(self.inner, cast(Any, self), cast(Any, self), lambda: self, self.history)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def noted(message: Any) -> None:
                self.messages.append(message)
                await send(message)

            await one({**scope, **({FORWARDED: "w3"} if led else {})}, receive, noted)

        return asyncio.run(ask(app, method, path, body=body))


def test_a_request_about_a_call_of_another_node_is_led_there_as_it_came() -> None:
    world = World()
    answer = world.asked(f"{PATH}?x=%41", body=[b"one ", b"two"])
    assert (answer.status, answer.body) == (202, b"there")
    assert answer.headers["x-name"] == "Zoë", "byte for byte"
    assert world.sent == [("w2", CONSOLE, "POST", f"{PATH}?x=%41", b"one two")]
    assert world.served == []


@pytest.mark.parametrize(
    "path",
    ["/", "/api/calls", "/api/calls/x/hangup", f"/api/calls/{CALL}x", f"/x{PATH}", f"/api/calls/{'A' + CALL[1:]}"],
)
def test_what_is_about_no_call_of_ours_stays_here(path: str) -> None:
    world = World()
    assert world.asked(path).body == b"here"
    assert world.sent == []


def test_a_call_that_is_live_here_is_kept_while_something_changes_it() -> None:
    world = World(live=True)
    assert world.asked().body == b"here"
    assert world.kept == 1
    world.asked(method="GET")
    assert (world.kept, world.sent) == (1, [])


@pytest.mark.parametrize("owner", ["", "a node that is gone"])
def test_a_call_that_no_other_living_node_has_is_answered_here(owner: str) -> None:
    world = World(owner=owner)
    assert world.asked().body == b"here"
    assert world.asked_all == 0


def test_what_the_database_does_not_know_is_asked_of_the_nodes() -> None:
    world = World(owner=None)
    assert world.asked().body == b"there"
    assert world.asked_all == 1


def test_a_request_is_led_on_once_and_then_told_to_come_again() -> None:
    world = World(owner="w2")
    answer = world.asked(led=True)
    assert (answer.status, answer.headers["retry-after"], world.sent) == (503, "1", [])
    assert "just been moved" in answer.json()["error"]
    for owner in ("", None):
        assert World(owner=owner).asked(led=True).body == b"here"


def test_a_call_that_is_being_moved_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOVED_SECONDS", 0.0)
    goes, comes = World(), World(owner="w1")
    goes.is_moving = True
    for world in (goes, comes):
        answer = world.asked()
        assert (answer.status, "being moved" in answer.json()["error"], world.sent) == (503, True, [])


def test_a_node_that_is_away_is_told_as_that_and_one_that_breaks_off_leaves_a_short_answer() -> None:
    away = PeerAway("node w2 does not answer", sent=True)
    answer = World(pieces=(away,)).asked()
    assert (answer.status, "does not answer" in answer.json()["error"]) == (503, True)
    cut = World(pieces=(b"half", away))
    assert cut.asked().body == b"half"
    cut.length = "100"
    assert cut.asked().headers["content-length"] == "100"
    assert cut.messages[-1]["more_body"] is True, "whoever reads sees that some is missing"


class Closing:
    """The other node's end of a WebSocket, which closes at the moment at which something is passed to it."""

    subprotocol, close_code = None, 1001

    def __init__(self) -> None:
        self.is_closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self.is_closed.wait()
        for piece in list[bytes]():
            yield piece

    async def send(self, piece: Any) -> None:
        self.is_closed.set()
        raise ConnectionClosedOK(Close(1001, ""), None)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("told", "closed"),
    [({"type": "websocket.receive", "text": "x"}, [1001]), ({"type": "websocket.disconnect"}, [])],
    ids=["the other node closes", "the operator goes"],
)
def test_an_operators_socket_is_closed_as_the_other_node_closes_its_own(told: Any, closed: list[int]) -> None:
    async def main() -> list[Any]:
        world, messages, other = World(), [{"type": "websocket.connect"}, told], Closing()

        async def connect(*about: Any) -> Closing:
            return other

        async def close() -> None:
            other.is_closed.set()

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            world.messages.append(message)

        world.connect, other.close = connect, close  # type: ignore[attr-defined, method-assign]
        one = OwnerForwarder(world.inner, cast(Any, world), cast(Any, world), lambda: world)
        asking = scope("GET", f"/api/live/{CALL}/events", kind="websocket")
        await asyncio.wait_for(one(asking, receive, send), 1)
        return [message["code"] for message in world.messages if message["type"] == "websocket.close"]

    assert asyncio.run(main()) == closed


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (ConnectionRefusedError(), [("websocket.accept", None), ("websocket.close", MOVED)]),
        (PeerAway("gone", sent=False), [("websocket.accept", None), ("websocket.close", MOVED)]),
        (InvalidStatus(Response(401, "", Headers())), [("websocket.close", 1011)]),
    ],
    ids=["its process has ended", "it does not answer", "it refuses"],
)
def test_who_opens_a_socket_for_a_call_of_a_node_that_has_just_died_is_told_to_come_again(
    trouble: Exception, told: list[Any]
) -> None:
    """A server answered 403, as to somebody who may not listen."""

    async def main() -> list[Any]:
        world = World()

        async def connect(*about: Any) -> Any:
            raise trouble

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            world.messages.append(message)

        world.connect = connect  # type: ignore[attr-defined]
        one = OwnerForwarder(world.inner, cast(Any, world), cast(Any, world), lambda: world)
        await one(scope("GET", f"/api/calls/{CALL}/listen", kind="websocket"), receive, send)
        return [(message["type"], message.get("code")) for message in world.messages]

    assert asyncio.run(main()) == told


@pytest.mark.parametrize(
    ("row", "led"),
    [
        (None, False), ({"call_id": CALL, "ended_at": None}, True), ({"call_id": CALL, "ended_at": "x"}, False),
        ({"call_id": None, "ended_at": None}, False), (SQLAlchemyError("away"), False),
    ],
)  # fmt: skip
def test_a_stream_may_name_a_live_call_by_the_carriers_id(row: Any, led: bool) -> None:
    async def listed_call(name: str) -> Any:
        if isinstance(row, Exception):
            raise row
        return row

    world = World()
    world.history = SimpleNamespace(is_readable=True, store=SimpleNamespace(listed_call=listed_call))
    one = OwnerForwarder(world.inner, cast(Any, world), cast(Any, world), lambda: world, world.history)
    one._recordings = None
    assert asyncio.run(ask(one, "GET", "/api/live/CA1/sse")).body == (b"there" if led else b"here")
    world.history.is_readable = False
    assert asyncio.run(ask(one, "GET", "/api/live/CA1/sse")).body == b"here"


def test_a_lifespan_is_the_apps_own() -> None:
    seen: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    world = World()
    one = OwnerForwarder(inner, cast(Any, world), cast(Any, world), lambda: world)
    asyncio.run(one({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
