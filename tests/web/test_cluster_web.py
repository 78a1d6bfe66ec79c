"""What a node has for the others: which connections it hands on, its listening sockets, and its calls' last words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.cluster.forwarding import PUBLIC
from callflow.cluster.membership import Membership
from callflow.cluster.nodes import Node, View
from callflow.cluster.peers import NodeConfig, Peer
from callflow.cluster.socket_passing import TAKE_LISTENERS, send, socket_path
from callflow.contracts.errors import PeerAway
from callflow.contracts.media import HandoverInput
from callflow.history.history import History
from callflow.switchboard.dialer import Dialer
from callflow.web import cluster_web
from callflow.web.cluster_web import ClusterWeb
from callflow.web.console.live.service import LiveService
from callflow.web.console.live.sse import Seats
from callflow.web.web_app import WebApp
from tests.in_loop import in_loop
from tests.web.console.bare import LiveCalls


CALL = "11111111-1111-4111-8111-111111111111"
SAID = HandoverInput(b"since then", "1#")


class Machine:
    """A folder with the worker w1, which takes no more than these know: w2 lives, w3 is dead."""

    def __init__(self, folder: Path, words: Any = None, beside: Collection[str] = ()) -> None:
        self.folder, self.adopted, self.given = folder, list[socket.socket](), list[Any]()
        config = NodeConfig(
            name="w1", address=f"unix:{folder}/w1.sock", folder=folder / "cluster", capacity=10, secret=b"s" * 32,
            beside=dict.fromkeys(beside, ""),
        )  # fmt: skip
        self.membership: Any = SimpleNamespace(
            view=View((Node(name="w1", epoch=1), Node(name="w2", epoch=2), Node(name="w3", epoch=3, state="dead"))),
            me="w1", takes_over=True, suspect=lambda name: None, peer=lambda name: Peer("w1", config.address),
            look_again=self._look,
        )  # fmt: skip
        self.history: Any = SimpleNamespace(recordings=folder, on_deleted=None)
        calls = LiveCalls(**({CALL: SimpleNamespace(handover_input=words)}))
        self.web = ClusterWeb(
            config, cast(Membership, self.membership), cast(History, self.history), lambda: cast(Any, calls)
        )

    async def _look(self) -> None:
        self.given.append("looked")

    async def take(self, calls: Any, giver: str) -> Any:
        self.given.append((giver, calls))
        return [CALL]

    async def open(self) -> None:
        live = cast(LiveService, SimpleNamespace(node_seats=Seats()))
        await self.web.open(
            WebApp("public"), None, self.adopted.append, self.take, live, cast(Dialer, SimpleNamespace())
        )


@contextlib.asynccontextmanager
async def machine(folder: Path, words: Any = None) -> AsyncIterator[Machine]:
    the = Machine(folder, words)
    await the.open()
    try:
        yield the
    finally:
        await the.web.close()
        for each in the.adopted:
            each.close()


@contextlib.contextmanager
def worker(folder: Path, name: str) -> Any:
    """The datagram socket of another worker."""
    path = socket_path(folder / "cluster", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.bind(str(path))
        own.settimeout(5)
        yield own


@pytest.mark.parametrize(
    ("name", "is_handed_on"), [("w2", True), ("w1", False), ("w3", False), ("w9", False), ("../w2", False)]
)
@in_loop
async def test_a_connection_goes_to_the_living_worker_that_it_names_and_else_stays(
    tmp_path: Path, name: str, is_handed_on: bool
) -> None:
    """w3 would take it and never answer: a process that is stopped keeps its socket."""
    async with machine(tmp_path) as the:
        with worker(tmp_path, "w2") as second, worker(tmp_path, "w3"):
            ours, theirs = socket.socketpair()
            with theirs:
                assert the.web.passing(ours, name) is is_handed_on
                assert (ours.fileno() == -1) is is_handed_on, "who has it closes it"
                if is_handed_on:
                    word, files, _, _ = socket.recv_fds(second, 64, 4)
                    assert word == PUBLIC.encode()
                    with socket.socket(fileno=files[0]) as passed:
                        passed.sendall(b"it lives")
                    assert theirs.recv(20) == b"it lives"
            ours.close()


@in_loop
async def test_a_worker_that_has_just_joined_is_not_known_and_gets_its_connections(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        with worker(tmp_path, "w4"):
            ours, theirs = socket.socketpair()
            with theirs:
                assert the.web.passing(ours, "w4")


@in_loop
async def test_a_connection_for_a_worker_that_takes_none_at_the_moment_is_not_given_up(tmp_path: Path) -> None:
    """Linux lets 11 of them wait, unless it is told otherwise."""
    async with machine(tmp_path) as the:
        with worker(tmp_path, "w2") as second, contextlib.ExitStack() as opened:

            def fill() -> None:
                for _ in range(2000):
                    ours, _ = map(opened.enter_context, socket.socketpair())
                    assert the.web.passing(ours, "w2")

            with pytest.raises(BlockingIOError):
                fill()
            _, files, _, _ = socket.recv_fds(second, 64, 4)
            socket.socket(fileno=files[0]).close()
            ours, _ = map(opened.enter_context, socket.socketpair())
            assert the.web.passing(ours, "w2"), "now there is room"


@in_loop
async def test_a_worker_waits_until_it_knows_those_that_began_with_it_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the = Machine(tmp_path, beside=["w1", "w2", "w4"])
    waiting = asyncio.create_task(the.web.meet())
    await asyncio.sleep(0.05)
    assert not waiting.done(), "w4 is not known yet"
    the.membership.view = View((*the.membership.view.nodes, Node(name="w4", epoch=4)))
    await asyncio.wait_for(waiting, 0.5)
    monkeypatch.setattr(cluster_web, "_MEET_SECONDS", 0.02)
    await asyncio.wait_for(Machine(tmp_path, beside=["w3"]).web.meet(), 0.5)  # w3 has died at its start
    await the.web.close()


@in_loop
async def test_what_other_workers_hand_over_is_served_here(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert send(socket_path(tmp_path / "cluster", "w1"), PUBLIC, [ours])
            async with asyncio.timeout(5):
                while not the.adopted:  # noqa: ASYNC110 - the loop's reader has no event
                    await asyncio.sleep(0)
            assert not the.adopted[0].getblocking()
        await the.web.close()
        assert not socket_path(tmp_path / "cluster", "w1").exists()


@in_loop
async def test_the_listening_sockets_are_given_to_whoever_asks_and_who_has_gone_is_no_reason_to_leave(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path) as the:
        has_left, times = asyncio.Event(), list[int]()

        def leave() -> None:
            times.append(1)
            has_left.set()

        with socket.create_server(("127.0.0.1", 0)) as listening:
            the.web.give_listeners([listening], leave)
            gone, nobody = socket.socketpair()
            nobody.close()
            ours, theirs = socket.socketpair()
            theirs.settimeout(5)
            with gone, ours, theirs:
                for each in (gone, ours):  # they are served in this order
                    assert send(socket_path(tmp_path / "cluster", "w1"), TAKE_LISTENERS, [each])
                await asyncio.wait_for(has_left.wait(), 5)
                word, files, _, _ = socket.recv_fds(theirs, 64, 4)
                with socket.socket(fileno=files[0]) as given:
                    assert (word, given.getsockname()) == (b"listeners", listening.getsockname())
            assert times == [1]


@in_loop
async def test_last_words_are_those_of_a_live_call_that_keeps_some(tmp_path: Path) -> None:
    class Words:
        async def take(self) -> HandoverInput:
            return SAID

    peer = Peer("w1", f"unix:{tmp_path}/w1.sock")
    async with machine(tmp_path, Words()) as the:
        assert await the.web.forwarding.handover_input("w1", CALL) == SAID
        assert await the.web.forwarding.handover_input("w1", "gone") == HandoverInput()
        assert await the.web.forwarding.tell_given(peer, [CALL]) == [CALL]
        assert the.given == [("w1", [CALL])]
    with pytest.raises(PeerAway):
        await the.web.forwarding.ask(peer, "GET", "/state")
    async with machine(tmp_path) as the:
        assert await the.web.forwarding.handover_input("w1", CALL) == HandoverInput(), "it is not being moved"


@in_loop
async def test_what_membership_and_history_tell_the_others_goes_by_this_nodes_requests(tmp_path: Path) -> None:
    the = Machine(tmp_path)
    forwarding = the.web.forwarding
    assert the.history.on_deleted == forwarding.tell_deleted
    for name, method in (
        ("tell", "tell_given"), ("handover_input", "handover_input"), ("announce", "announce"),
        ("others_take_over", "others_take_over"),
    ):  # fmt: skip
        assert getattr(the.membership, name) == getattr(forwarding, method)
    await the.web.close()  # it was never opened
