"""Operators' requests that another node's call is about reach that node, and wait while a call is being moved.

The same without a second node: test_owner_forwarding.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.mailbox import Mailbox
from callflow.cluster.forwarding import Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.nodes import Node, View
from callflow.cluster.peers import Peer
from callflow.web.console import owner_forwarding
from callflow.web.console.auth import AccessMiddleware
from callflow.web.console.owner_forwarding import OwnerForwarder
from callflow.web.console.policy import AccessPolicy
from tests.e2e.product import until
from tests.in_loop import in_loop
from tests.loop import run_apart
from tests.web.asgi import ask, scope
from tests.web.other_node import CALL, SECRET, Known, echo, other_node


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


class Stopped:
    """A process that was stopped: after a stream or a socket has begun there comes nothing more, and no end."""

    def __init__(self) -> None:
        self.is_asked = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.is_asked = True
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        elif scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("kind", "method", "path", "first", "last"),
    [
        ("http", "GET", "events", {"body": b"begun"}, {"type": "http.response.body", "body": b""}),
        ("http", "POST", "hangup", {}, {"type": "http.response.body"}),
        ("websocket", "GET", "listen", {"type": "websocket.accept"}, {"type": "websocket.close", "code": 4412}),
    ],
)
def test_who_waits_for_a_node_that_was_stopped_is_told_to_come_again_when_it_is_dead(
    tmp_path: Path, kind: str, method: str, path: str, first: dict[str, Any], last: dict[str, Any]
) -> None:
    """Listening and streams stayed open, and silent, for as long as the node stood still; others waited for 10 s."""

    async def main() -> None:
        stopped = Stopped()
        async with other_node(tmp_path, console=stopped) as (known, forwarding):
            waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            waiting.put_nowait(
                {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b"{}"}
            )
            sent: list[dict[str, Any]] = []

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            asked = scope(method, f"/api/calls/{CALL}/{path}", [("host", "localhost")], kind)
            asked["subprotocols"] = []
            serving = asyncio.create_task(forwarder(known, forwarding)(asked, waiting.get, send))
            await until(lambda: stopped.is_asked, "the request to be there", 5)
            if first:
                await until(lambda: sent and first.items() <= sent[-1].items(), "the beginning", 5)
            known.peers.clear()
            await asyncio.wait_for(serving, 3)
            assert last.items() <= sent[-1].items()
            if not first:
                assert sent[0]["status"] == 503
                assert b"does not answer" in sent[-1]["body"]

    run_apart(main())
