"""What other nodes tell of their calls: one stream from each, read frame by frame, and the end of each is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.cluster.forwarding import CLUSTER, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.web.console.live import other_nodes
from callflow.web.console.live.other_nodes import LOST, OtherNodes
from callflow.web.console.live.sse import HEARTBEAT, frame


class Nodes:
    """Other nodes, by name: the pieces that each sends, and then it stays silent, unless `ends`."""

    def __init__(self, ends: bool = True, **pieces: list[bytes] | PeerAway) -> None:
        self.pieces, self.ends = pieces, ends
        self.status = 200
        self.asked: list[tuple[str, str, str, str]] = []
        self.open = 0

    def living(self) -> list[Peer]:
        return [Peer(name, f"http://{name}") for name in self.pieces]

    @contextlib.asynccontextmanager
    async def stream(self, peer: Peer, app: str, method: str, path: str, *, seconds: float) -> AsyncIterator[Any]:
        self.asked.append((peer.name, app, method, path))
        given_ = self.pieces[peer.name]
        if isinstance(given_, PeerAway):
            raise given_

        async def told() -> AsyncIterator[bytes]:
            for each in given_:
                yield each
            if not self.ends:
                await asyncio.Event().wait()

        self.open += 1
        try:
            yield SimpleNamespace(status=self.status, pieces=told())
        finally:
            self.open -= 1


def listened(nodes: Nodes, until: Callable[[list[Any]], bool], path: str = "/live") -> list[tuple[str, str, Any]]:
    """What is told, until that is enough."""

    async def main() -> list[tuple[str, str, Any]]:
        told: list[tuple[str, str, Any]] = []
        others = OtherNodes(cast(Membership, nodes), cast(Forwarding, nodes), path)
        others.close()
        others.open(lambda *one: told.append(one))
        async with asyncio.timeout(5):
            while not until(told):  # noqa: ASYNC110 - it has no event for that
                await asyncio.sleep(0)
        before = list(told)
        others.close()
        await asyncio.sleep(0)
        others.close()
        while nodes.open:  # noqa: ASYNC110 - its tasks are being cancelled
            await asyncio.sleep(0)
        return before

    return asyncio.run(main())


def lost(told: list[Any]) -> bool:
    return any(event == LOST for _, event, _ in told)


def test_each_node_is_asked_once_and_what_it_tells_has_its_name() -> None:
    nodes = Nodes(False, a=[frame("call", {"id": "x"})], b=[frame("gone", {"id": "y"}, 5)])
    told = listened(nodes, lambda told: len(told) == 2)
    assert sorted(told) == [("a", "call", {"id": "x"}), ("b", "gone", {"id": "y"})]
    assert nodes.asked == [("a", CLUSTER, "GET", "/live"), ("b", CLUSTER, "GET", "/live")]


def test_another_stream_of_the_same_nodes_has_another_path() -> None:
    nodes = Nodes(a=[])
    others = OtherNodes(cast(Membership, nodes), cast(Forwarding, nodes)).beside("/logs", pause=0.5)
    assert (others._path, others._pause) == ("/logs", 0.5)
    listened(nodes, lost, "/logs")
    assert nodes.asked[0][3] == "/logs"


@given(st.lists(st.integers(1, 60), max_size=6))
def test_it_does_not_matter_where_the_pieces_are_cut(cuts: list[int]) -> None:
    whole = b"".join([frame("call", {"id": f"x{number}", "text": "a\n\nb"}) + HEARTBEAT for number in range(3)])
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(whole[at : at + cut])
        at += cut
    told = listened(Nodes(a=[*pieces, whole[at:]]), lost)
    assert told == [*(("a", "call", {"id": f"x{number}", "text": "a\n\nb"}) for number in range(3)), ("a", LOST, None)]


@pytest.mark.parametrize(
    "pieces",
    [
        PeerAway("away", sent=False), [], [b"event: call\ndata: {"], [b"event: call\ndata: {\n\n"], [b"data: {}\n\n"],
        [b"event: \xff\ndata: {}\n\n"], [b'event: call\ndata: "\xff"\n\n'], [HEARTBEAT], [b"\n\n\n\n"],
    ],
    ids=["away", "nothing", "half", "no json", "no event", "no text", "no utf-8", "heartbeat", "empty"],
)  # fmt: skip
def test_what_cannot_be_read_is_told_to_nobody_and_the_node_is_lost(pieces: Any) -> None:
    assert listened(Nodes(a=pieces), lost) == [("a", LOST, None)]


def test_a_node_that_sends_without_an_end_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_nodes, "_MOST_FRAME", 100)
    nodes = Nodes(False, a=[b"x" * 60, b"x" * 60])
    assert listened(nodes, lost) == [("a", LOST, None)]


def test_a_node_that_was_lost_is_asked_again_and_one_that_is_dead_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_nodes, "_LOOK_SECONDS", 0.0)
    nodes = Nodes(a=PeerAway("away", sent=False))
    told = listened(nodes, lambda told: len(told) >= 3)
    assert set(told) == {("a", LOST, None)}
    assert len(nodes.asked) >= 3
    gone = Nodes(False, a=[frame("call", {})])

    def dies(told: list[Any]) -> bool:
        if told:
            gone.pieces.clear()
        return lost(told)

    assert listened(gone, dies) == [("a", "call", {}), ("a", LOST, None)]


def test_a_living_node_that_tells_nothing_is_known_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_nodes, "_LOOK_SECONDS", 0.0)
    nodes = Nodes(False, full=[frame("call", {"id": "x"})], away=PeerAway("away", sent=False))
    nodes.status = 503
    told: list[tuple[str, str, Any]] = []

    async def main() -> None:
        others = OtherNodes(cast(Membership, nodes), cast(Forwarding, nodes))
        others.open(lambda *one: told.append(one))

        async def until_missing(names: set[str]) -> None:
            async with asyncio.timeout(5):
                while others.missing != names:  # noqa: ASYNC110 - it has no event for that
                    await asyncio.sleep(0)

        await until_missing({"full", "away"})
        assert {event for _, event, _ in told} == {LOST}, "what a node refuses with is no event"
        nodes.status = 200
        await until_missing({"away"})
        nodes.pieces.clear()
        await until_missing(set())
        others.close()

    asyncio.run(main())
