"""Requests between nodes, over a Unix socket: what is signed is served, streams and WebSockets pass through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from callflow.call.mailbox import Mailbox
from callflow.cluster.claims import Claims
from callflow.cluster.forwarding import CLUSTER, CONSOLE, PUBLIC, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.nodes import Node, View
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.contracts.media import SaidLast
from callflow.web.cluster_listener import bind, create_cluster_app
from callflow.web.console import owner_forwarding
from callflow.web.console.auth import AccessMiddleware
from callflow.web.console.live.other_nodes import LOST, OtherNodes
from callflow.web.console.live.service import LiveService
from callflow.web.console.live.sse import Seats, frame
from callflow.web.console.owner_forwarding import OwnerForwarder
from callflow.web.console.policy import AccessPolicy
from callflow.web.listener import Listener
from tests.e2e.product import until
from tests.in_loop import in_loop
from tests.web.asgi import ask, scope


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

    def living(self) -> Sequence[Peer]:
        return list(self.peers.values())

    def place(self) -> str:
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

    live = SimpleNamespace(seats=Seats(), own_wall=SimpleNamespace(watch=wall))

    async def take(calls: list[str], giver: str) -> list[str] | None:
        assert giver == "w1"
        (given if given is not None else []).extend(calls)
        return [call for call in calls if call == CALL] or None

    apps = {PUBLIC: echo, CONSOLE: console}

    async def last_words(call: str) -> SaidLast:
        return SaidLast(b"\x00\xff words", "1*#") if call == CALL else SaidLast()

    app = create_cluster_app(
        known, SECRET, apps, take, cast(LiveService, live), history, cast(Any, None), known.has, last_words
    )
    listener = Listener(bind(address), app, media_ping_seconds=0)
    await listener.open()
    forwarding = Forwarding("w1", SECRET, known)
    try:
        yield known, forwarding
    finally:
        await forwarding.close()
        await listener.close()


@in_loop
async def test_a_request_is_led_on_as_it_came(tmp_path: Path) -> None:
    async with other_node(tmp_path) as (known, forwarding):
        peer = known.peers["w2"]
        headers = [("Host", "calls.example.org"), ("Connection", "close"), ("X-Callflow-From", "forged")]
        answer = await forwarding.send(peer, PUBLIC, "POST", "/nodes/w2/webhooks?a=%20b", headers, b"{}", seconds=5)
        assert (answer.status, answer.body) == (202, b"/nodes/w2/webhooks?a=%20b {}")
        assert ("x-from", "w1") in answer.headers


@in_loop
async def test_nodes_tell_each_other_what_they_know_and_give(tmp_path: Path) -> None:
    given: list[str] = []
    async with other_node(tmp_path, given) as (known, forwarding):
        peer = known.peers["w2"]
        assert await forwarding.others_take_over()
        known.takes_over = known.lease_holds = False
        assert not await forwarding.others_take_over()
        await forwarding.announce()
        assert known.looked == 1, "a node that joins is seen at once"
        assert await forwarding.tell_given(peer, [CALL, "another"]) == [CALL]
        assert given == [CALL, "another"]
        assert await forwarding.tell_given(peer, ["another"]) is None, "it does not know"
        assert (await forwarding.who_has(CALL), await forwarding.who_has("another")) == ("w2", "")
        assert await forwarding.last_words("w2", CALL) == (b"\x00\xff words", "1*#")
        assert await forwarding.last_words("w2", "another") == (b"", "")
        await forwarding.close()
        assert await forwarding.who_has(CALL) == "", "this node is ending"
        assert await forwarding.last_words("w2", CALL) == (b"", "")
        with pytest.raises(PeerAway):
            await forwarding.ask(peer, "POST", "/calls", {"calls": 1})
        with pytest.raises(PeerAway):
            await forwarding.ask(peer, "GET", "/nothing")


@in_loop
async def test_a_node_joins_whether_the_others_listen_or_not() -> None:
    forwarding = Forwarding("w1", SECRET, Known({"w3": Peer("w3", "http://127.0.0.1:9")}))
    await forwarding.announce()
    await forwarding.close()


@in_loop
async def test_what_is_not_signed_is_refused(tmp_path: Path) -> None:
    async with other_node(tmp_path) as (known, _):
        transport = httpx.AsyncHTTPTransport(uds=f"{tmp_path}/cluster/w2.sock")
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.post("http://node/public/webhooks", content=b"{}")).status_code == 403
        stranger = Forwarding("w1", b"x" * 32, known)
        assert (await stranger.send(known.peers["w2"], CLUSTER, "GET", "/state", seconds=5)).status == 403
        await stranger.close()


@in_loop
async def test_a_process_that_is_gone_is_told_from_one_that_is_slow(tmp_path: Path) -> None:
    known = Known({"w2": Peer("w2", f"unix:{tmp_path}/w2.sock"), "w3": Peer("w3", "http://127.0.0.1:9")})
    forwarding = Forwarding("w1", SECRET, known)
    for name in ("w2", "w3"):
        with pytest.raises(PeerAway) as caught:
            await forwarding.send(known.peers[name], PUBLIC, "GET", "/", seconds=2)
        assert not caught.value.sent
    assert known.suspects == ["w2", "w3"]
    assert await forwarding.tell_given(known.peers["w2"], [CALL]) is None
    assert not await forwarding.others_take_over()
    await forwarding.close()


def forwarder(known: Known, forwarding: Forwarding, board: dict[str, Any] | None = None) -> OwnerForwarder:
    """`board`: the live calls of this node."""
    calls = board if board is not None else {}
    switchboard = SimpleNamespace(is_live=calls.__contains__, live=calls.get)
    return OwnerForwarder(echo, cast(Membership, known), forwarding, lambda: switchboard)


async def led(forwarder: OwnerForwarder, path: str) -> int:
    """The status with which a request is answered that another node has led here."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await forwarder({**scope("POST", path, [("host", "localhost")]), FORWARDED: "w2"}, receive, send)
    return int(sent[0]["status"])


@in_loop
async def test_an_operators_request_waits_for_a_call_that_is_being_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told that there is no such call, or that it is over."""
    known, path = Known({}), f"/api/calls/{CALL}/hangup"
    forwarding, board = Forwarding("w1", SECRET, known), dict[str, Any]()
    here = forwarder(known, forwarding, board)

    async def waits(change: Callable[[], object]) -> int:
        asked = asyncio.create_task(led(here, path))
        done, _ = await asyncio.wait([asked], timeout=0.05)
        assert not done
        change()
        return await asyncio.wait_for(asked, 5)

    def arrives() -> None:
        board[CALL] = SimpleNamespace(is_handed_over=False, mailbox=Mailbox())
        known.claims.arrived(CALL)

    known.claims.hold([CALL], ("w1", 1))
    assert await waits(arrives) == 202, "it is being taken over"
    mailbox = board[CALL].mailbox
    taking = asyncio.create_task(mailbox.next())
    assert await mailbox.hold(1)
    assert await waits(mailbox.go_on) == 202, "it was to be given away, and stays"
    board.clear()
    known.owner_is = "w1"
    assert await waits(arrives) == 202, "it was given to this node, which has not been told yet"
    board[CALL].is_handed_over = True
    known.claims.gave(CALL)
    known.owner_is = "w2"
    assert await waits(lambda: known.claims.confirm_taken(CALL)) == 503, (
        "it has gone on, and whoever asks is to ask again"
    )
    board.clear()
    known.owner_is = ""
    assert await led(here, path) == 202, "what is about one that is over, its route answers"
    known.claims.hold([CALL], ("w1", 1))
    monkeypatch.setattr(owner_forwarding, "_MOVED_SECONDS", 0.02)
    assert await led(here, path) == 503
    sent: list[dict[str, Any]] = []

    async def connect() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await here(scope("GET", f"/api/calls/{CALL}/listen", [("host", "localhost")], "websocket"), connect, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"], (
        "no server sends HTTP there"
    )
    assert sent[1]["code"] == 4412, "the page connects again"
    taking.cancel()
    await forwarding.close()


@in_loop
async def test_the_database_is_asked_once_for_the_owner_of_a_call_and_not_for_one_that_is_here(tmp_path: Path) -> None:
    async with other_node(tmp_path) as (known, forwarding):
        board = dict[str, Any]()
        here = forwarder(known, forwarding, board)
        answer = await ask(here, "GET", f"/api/calls/{CALL}", body=b"")
        assert (answer.headers["x-from"], known.asked) == ("w1", 1), "it is the other node's"
        board[CALL] = SimpleNamespace(is_handed_over=False, mailbox=Mailbox())
        assert (await led(here, f"/api/calls/{CALL}/hangup"), known.asked) == (202, 1)


@in_loop
async def test_a_call_is_not_moved_while_a_request_is_served_that_changes_it(tmp_path: Path) -> None:
    """What it put into the mailbox would have been lost, and was answered as done."""
    known = Known({})
    forwarding, mailbox = Forwarding("w1", SECRET, known), Mailbox()
    held: list[bool] = []

    async def route(scope: Any, receive: Any, send: Any) -> None:
        held.append(await mailbox.hold(0.02))
        await echo(scope, receive, send)

    call = SimpleNamespace(is_handed_over=False, mailbox=mailbox)
    here = forwarder(known, forwarding, {CALL: call})
    here._inner = route
    taking = asyncio.create_task(mailbox.next())
    await asyncio.sleep(0)
    assert await led(here, f"/api/calls/{CALL}/hangup") == 202
    assert (held, await mailbox.hold(1)) == ([False], True)
    taking.cancel()
    await forwarding.close()


@in_loop
async def test_a_body_that_is_slow_to_come_keeps_no_call_from_being_moved(tmp_path: Path) -> None:
    """It is read to its end before anybody looks for the call."""
    known, mailbox, body = Known({}), Mailbox(), asyncio.Event()
    forwarding = Forwarding("w1", SECRET, known)
    call = SimpleNamespace(is_handed_over=False, mailbox=mailbox)
    here = AccessMiddleware(forwarder(known, forwarding, {CALL: call}), AccessPolicy("localhost", ""))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await body.wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [("host", "localhost"), ("content-type", "application/json")]
    asked = {**scope("POST", f"/api/calls/{CALL}/hangup", headers), FORWARDED: "w2"}
    asking = asyncio.create_task(here(asked, receive, send))
    taking = asyncio.create_task(mailbox.next())
    assert await mailbox.hold(5)
    assert not asking.done()
    mailbox.go_on()
    body.set()
    await asyncio.wait_for(asking, 5)
    assert sent[0]["status"] == 202
    taking.cancel()
    await forwarding.close()


@in_loop
async def test_an_operators_request_reaches_the_owner_of_the_call(tmp_path: Path) -> None:
    async with other_node(tmp_path) as (known, forwarding):
        path = f"/api/calls/{CALL}/say?x=1"
        answer = await ask(forwarder(known, forwarding), "POST", path, body=b'{"text": "Hello."}')
        assert answer.body == f'/api/calls/{CALL}/say?x=1 {{"text": "Hello."}}'.encode()
        assert answer.headers["x-from"] == "w1"
        known.peers.clear()
        with pytest.raises(KeyError):  # served here, where nobody has forwarded it
            await ask(forwarder(known, forwarding), "POST", path)


@in_loop
async def test_the_doctor_is_asked_at_the_node_that_leads(tmp_path: Path) -> None:
    async with other_node(tmp_path) as (known, forwarding):
        for leads in ("w2", "w1"):
            others = [Node(name=name, epoch=5) for name in ("w1", "w2") if name != leads]
            known.view = View((Node(name=leads, epoch=1), *others))
            asked = ask(forwarder(known, forwarding), "POST", "/api/doctor", body=b"{}")
            if leads == "w2":
                assert (await asked).headers["x-from"] == "w1"
            else:
                with pytest.raises(KeyError):  # served here
                    await asked


@in_loop
async def test_an_owner_that_is_gone_is_told_as_that(tmp_path: Path) -> None:
    known = Known({"w2": Peer("w2", f"unix:{tmp_path}/w2.sock")})
    forwarding = Forwarding("w1", SECRET, known)
    answer = await ask(forwarder(known, forwarding), "GET", f"/api/live/{CALL}/events")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "does not answer" in answer.json()["error"]
    await forwarding.close()


@in_loop
async def test_an_operators_socket_reaches_the_owner_of_the_call(tmp_path: Path) -> None:
    async with other_node(tmp_path) as (known, forwarding):
        waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in (
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "Hello", "bytes": None},
            {"type": "websocket.receive", "text": None, "bytes": b"\x01\x02"},
        ):
            waiting.put_nowait(message)
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asked = scope("GET", f"/api/calls/{CALL}/listen", [("host", "localhost")], "websocket")
        asked["subprotocols"] = ["words"]
        serving = asyncio.create_task(forwarder(known, forwarding)(asked, waiting.get, send))
        await until(lambda: len(sent) == 3, "the words to come back", 5)
        assert sent[0] == {"type": "websocket.accept", "subprotocol": "words"}
        assert sent[1:] == [
            {"type": "websocket.send", "text": "Hello!"}, {"type": "websocket.send", "bytes": b"\x01\x02"},
        ]  # fmt: skip
        waiting.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(serving, 5)


@in_loop
async def test_the_walls_of_other_nodes_are_listened_to_and_their_end_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    async with other_node(tmp_path) as (known, forwarding):
        others = OtherNodes(cast(Membership, known), forwarding)
        others.open(lambda node, event, data: told.append((node, event)))
        await until(lambda: told, "the snapshot", 5)
        assert told == [("w2", "snapshot")]
        known.peers.clear()
        await until(lambda: (("w2", LOST)) in told, "the end", 5)
        others.close()
