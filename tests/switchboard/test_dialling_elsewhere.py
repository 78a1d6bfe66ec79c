"""Calls that one node asks another to dial: what it is told, and when it dials itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest

from callflow.cluster.forwarding import Answer, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import Peer
from callflow.contracts.errors import CarrierError, DialRefused, PeerAway
from callflow.switchboard.dialer import Dialer, Dialled, DialRequest
from callflow.switchboard.dialling_elsewhere import DiallingElsewhere


HERE, THERE = Dialled("c1", "fake", "leg", "ringing", is_new=True), Dialled("c2", "fake", "leg", "ringing", is_new=True)
WISH = DialRequest(to_number="+12025550100", variables={"name": "Ann"}, session={"voice": "cedar"}, key="k")


class Node:
    """Both the dialler of a node and the way to it."""

    elsewhere: Callable[[DialRequest], Awaitable[Dialled | None]] | None = None

    def __init__(self, made: Dialled | Exception) -> None:
        self.made, self.asked = made, list[DialRequest]()

    async def dial_here(self, request: DialRequest) -> Dialled:
        self.asked.append(request)
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


def asked(other: Dialled | Exception, wish: DialRequest = WISH, placed: str = "w2") -> tuple[Any, Node, Node]:
    """What the dialler of one node answers, and both diallers."""
    here, there = Node(HERE), Node(other)
    far = DiallingElsewhere(cast(Dialer, there), cast(Membership, None), cast(Forwarding, None))

    class Cluster:
        def place(self, carrier: str = "") -> str:
            return placed

        def peer(self, name: str) -> Peer | None:
            return Peer(name, "unix:/w2") if name == "w2" else None

        async def send(self, *given: Any, body: bytes, **more: Any) -> Answer:
            told, status = await far.take(body)
            return Answer(status, [], msgspec.json.encode(told))

    async def main() -> Any:
        near = DiallingElsewhere(cast(Dialer, here), cast(Membership, Cluster()), cast(Forwarding, Cluster()))
        try:
            return await near.dial(wish)
        except (DialRefused, CarrierError) as error:
            return error

    return asyncio.run(main()), here, there


def test_the_other_node_gets_the_same_words_and_its_call_is_told() -> None:
    made, here, there = asked(THERE)
    assert (made, here.asked, there.asked) == (THERE, [], [WISH])


def test_a_request_without_a_key_gets_one_so_that_it_may_be_made_here_as_well() -> None:
    _, _, there = asked(THERE, DialRequest(to_number="+12025550100"))
    assert len(there.asked[0].key) == 36


def test_with_most_room_here_it_is_made_here() -> None:
    assert asked(THERE, placed="me")[0] is None


@pytest.mark.parametrize(
    "trouble",
    [
        DialRefused(503, "no room", wait=5),
        DialRefused(429, "enough for this minute", wait=5),
        PeerAway("it does not answer", sent=True),
    ],
)
def test_a_node_that_cannot_now_or_does_not_answer_leaves_it_to_this_one(trouble: Exception) -> None:
    made, here, _ = asked(trouble)
    assert (made, here.asked) == (HERE, [WISH]), "with the same key, so that it is dialled once"


def test_what_would_be_refused_here_as_well_is_told() -> None:
    refused, here, _ = asked(DialRefused(403, "not that number", "and not at night"))
    assert (refused.status, refused.reasons, here.asked) == (403, ("not that number", "and not at night"), [])
    failed, here, _ = asked(CarrierError("no such number", status=422, code="10016"))
    assert (str(failed), failed.status, failed.code, here.asked) == ("no such number", 422, "10016", [])
