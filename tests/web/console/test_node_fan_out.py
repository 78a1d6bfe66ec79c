"""What an operator has asked this node is asked of all others, and those that do not answer are left out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart import Response

from callflow.cluster.forwarding import CONSOLE, Answer, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.web.console import node_fan_out
from callflow.web.console.node_fan_out import NodeFanOut
from tests.web.asgi import ask
from tests.web.console.bare import bare_app


class Nodes:
    """Other nodes, which answer what they are given here."""

    def __init__(self, answers: Mapping[str, Answer | Exception]) -> None:
        self.answers = answers
        self.me = "me"
        self.asked: list[tuple[str, str, str, str]] = []
        self.headers: list[tuple[str, str]] = []

    def living(self) -> list[Peer]:
        return [Peer(name, f"http://{name}") for name in self.answers]

    async def send(
        self, peer: Peer, app: str, method: str, target: str, headers: Sequence[tuple[str, str]], *, seconds: float
    ) -> Answer:
        self.asked.append((peer.name, app, method, target))
        self.headers = list(headers)
        answer = self.answers[peer.name]
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body: bytes = b"[]", status: int = 200) -> Answer:
    return Answer(status, [], body)


def asked(
    nodes: Nodes, wanted: str = "", *, forwarded: str = "", method: str = "GET", missing: str = "", **headers: Any
) -> dict[str, Answer]:
    app, found = bare_app(), dict[str, Answer]()
    every = NodeFanOut(cast(Membership, nodes), cast(Forwarding, nodes))
    assert every.me == "me"

    @app.get("/x")
    async def route() -> Response:
        found.update(await every.answers(wanted))
        return Response(b"")

    async def as_it_came(scope: Any, receive: Any, send: Any) -> None:
        more = {FORWARDED: forwarded} if forwarded else {}
        await cast(Any, app)({**scope, "raw_path": b"/%78", **more}, receive, send)

    answer = asyncio.run(ask(as_it_came, method, "/x", **headers))
    assert answer.status == 200
    assert (missing in answer.headers["warning"]) if missing else ("warning" not in answer.headers)
    return found


def test_each_other_node_is_asked_the_same_to_the_letter() -> None:
    nodes = Nodes({"a": ok(b"1"), "b": ok(b"2")})
    assert {name: answer.body for name, answer in asked(nodes, cookie="k=v").items()} == {"a": b"1", "b": b"2"}
    assert nodes.asked == [("a", CONSOLE, "GET", "/%78"), ("b", CONSOLE, "GET", "/%78")]
    assert ("cookie", "k=v") in [(name.lower(), value) for name, value in nodes.headers]


def test_who_asks_for_the_head_alone_has_it_made_of_whole_answers() -> None:
    """A list of all nodes was made of bodies that were empty, and failed."""
    nodes = Nodes({"a": ok(b"1")})
    assert asked(nodes, method="HEAD")["a"].body == b"1"
    assert [method for _, _, method, _ in nodes.asked] == ["GET"]


def test_a_node_that_is_away_or_refuses_is_left_out_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(node_fan_out, "_warnings", SimpleNamespace(say=lambda name, *_: told.append(name)))
    nodes = Nodes({"a": PeerAway("gone", sent=False), "b": ok(b"2"), "c": ok(status=401), "d": ok(status=204)})
    assert list(asked(nodes, missing="do not answer: a, c, d.")) == ["b"], "who is left out is said"
    assert told == ["a"]


def test_a_request_that_another_node_has_sent_goes_no_further() -> None:
    nodes = Nodes({"a": ok()})
    assert asked(nodes, forwarded="b") == {}
    assert nodes.asked == []


def test_the_form_that_is_wanted_takes_the_place_of_what_the_browser_takes() -> None:
    nodes = Nodes({"a": ok()})
    asked(nodes, "text/plain", accept="text/html")
    assert [value for name, value in nodes.headers if name.lower() == "accept"] == ["text/plain"]
    asked(nodes, accept="text/html")
    assert [value for name, value in nodes.headers if name.lower() == "accept"] == ["text/html"]


def test_without_other_nodes_there_is_nobody_to_ask() -> None:
    assert asked(Nodes({})) == {}
