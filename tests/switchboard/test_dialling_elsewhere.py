"""Calls that one node asks another to dial: what it is told, and when it dials itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest

from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.forwarding import Answer, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import Peer
from callflow.contracts.errors import CarrierError, DialRefused, PeerAway
from callflow.switchboard.dialer import Dialer, Dialled, DialRequest
from callflow.switchboard.dialling_elsewhere import DiallingElsewhere


HERE, THERE = Dialled("c1", "fake", "leg", "ringing", is_new=True), Dialled("c2", "fake", "leg", "ringing", is_new=True)
ENOUGH = DialRefused(429, "enough for this minute", wait=5)
WISH = DialRequest(to_number="+12025550100", variables={"name": "Ann"}, session={"voice": "cedar"}, key="k")


class Node:
    """Both the dialler of a node and the way to it."""

    elsewhere: Callable[[DialRequest], Awaitable[Dialled]] | None = None

    def __init__(self, made: Dialled | Exception) -> None:
        self.made, self.asked = made, list[DialRequest]()

    async def dial_here(self, request: DialRequest) -> Dialled:
        self.asked.append(request)
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


class Cluster:
    """What one node knows of the other, and the way to it."""

    keys = CarrierKeys()

    def __init__(self, far: DiallingElsewhere, placed: str = "") -> None:
        self._far, self._placed = far, placed

    def place(self, carrier: str = "", call: str = "") -> str:
        return self._placed

    def peer(self, name: str) -> Peer | None:
        return Peer(name, "unix:/w2") if name == "w2" else None

    def living(self) -> list[Peer]:
        return [Peer("w2", "unix:/w2")]

    async def send(self, *given: Any, body: bytes, **more: Any) -> Answer:
        told, status = await self._far.take(body)
        return Answer(status, [], msgspec.json.encode(told))


def asked(
    other: Dialled | Exception, wish: DialRequest = WISH, placed: str = "w2", own: Dialled | Exception = HERE
) -> tuple[Any, Node, Node]:
    """What the dialler of one node answers, and both diallers."""
    here, there = Node(own), Node(other)
    far = DiallingElsewhere(cast(Dialer, there), cast(Membership, None), cast(Forwarding, None))

    async def main() -> Any:
        near = DiallingElsewhere(
            cast(Dialer, here), cast(Membership, Cluster(far, placed)), cast(Forwarding, Cluster(far))
        )
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
    made, here, there = asked(THERE, placed="me")
    assert (made, here.asked, there.asked) == (HERE, [WISH], [])


def test_with_no_dial_left_here_in_this_minute_it_is_made_where_there_is_one() -> None:
    """Each node has a share of DIALS_PER_MINUTE: where calls were over before the next one was asked for, those of one
    node were used up, and the rest of the minute's calls refused."""
    made, here, there = asked(THERE, placed="me", own=ENOUGH)
    assert (made, here.asked, there.asked) == (THERE, [WISH], [WISH])
    refused, _, there = asked(ENOUGH, placed="me", own=ENOUGH)
    assert (refused.status, there.asked) == (429, [WISH])
    refused, _, there = asked(ENOUGH, own=ENOUGH)
    assert (refused.status, there.asked) == (429, [WISH]), "it is asked once"


def test_what_was_refused_here_for_another_reason_is_asked_nowhere_else() -> None:
    refused, _, there = asked(THERE, placed="me", own=DialRefused(403, "not that number"))
    assert (refused.status, there.asked) == (403, [])


def test_a_node_that_had_no_dial_left_a_moment_ago_is_not_asked_again_for_each_call() -> None:
    here, there = Node(ENOUGH), Node(ENOUGH)
    far = DiallingElsewhere(cast(Dialer, there), cast(Membership, None), cast(Forwarding, None))
    near = DiallingElsewhere(cast(Dialer, here), cast(Membership, Cluster(far, "me")), cast(Forwarding, Cluster(far)))

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(DialRefused):
                await near.dial(WISH)

    asyncio.run(main())
    assert (len(here.asked), len(there.asked)) == (3, 1)


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
