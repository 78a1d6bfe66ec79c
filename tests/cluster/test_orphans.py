"""Which calls of dead nodes a node takes, by the keys that it has and the others have."""

from __future__ import annotations

from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.nodes import View
from callflow.cluster.orphans import Allotment, allotment_of, unserved
from tests.cluster.test_nodes import node


BOTH = ("telnyx", "twilio")


def keys(*mine: str, **others: tuple[str, ...]) -> CarrierKeys:
    made = CarrierKeys(mine)
    for name, theirs in others.items():
        made.told(name, theirs)
    return made


def view(*nodes: object) -> View:
    dead = node("dead", calls=40, state="dead", lease_until=999.0)
    return View((*nodes, dead), 1000.0)  # type: ignore[arg-type]


def test_nodes_with_the_same_keys_share_all() -> None:
    left = {"": 1, "telnyx": 20, "twilio": 19}
    for me, other in (("a", "b"), ("b", "a")):
        took = allotment_of(view(node("a"), node("b")), me, keys(*BOTH, **{other: BOTH}), left)
        assert took == Allotment(20, frozenset(left))


def test_who_alone_has_the_keys_of_a_carrier_takes_all_its_calls_at_once() -> None:
    """It took half of them, and of the rest half again, because the other one counted as able."""
    left = {"telnyx": 20, "twilio": 20}
    both = view(node("a"), node("b"))
    assert allotment_of(both, "a", keys(*BOTH, b=("telnyx",)), left) == Allotment(30, frozenset(BOTH))
    assert allotment_of(both, "b", keys("telnyx", a=BOTH), left) == Allotment(10, frozenset({"telnyx"}))
    assert unserved(both, "b", keys("telnyx", a=BOTH), left) == {}


def test_a_node_that_drains_takes_what_nobody_else_can_serve() -> None:
    """They waited for ever: it drained, and the node that did not had not the keys."""
    drains = view(node("a", state="draining"), node("b"))
    left = {"telnyx": 20, "twilio": 20}
    assert allotment_of(drains, "a", keys(*BOTH, b=("telnyx",)), left) == Allotment(20, frozenset({"twilio"}))
    assert allotment_of(drains, "b", keys("telnyx", a=BOTH), left) == Allotment(20, frozenset({"telnyx"}))


def test_calls_of_a_carrier_whose_keys_no_living_node_has_are_counted() -> None:
    left = {"": 1, "telnyx": 3, "twilio": 2}
    alone = view(node("b"), node("a", state="dead"))
    assert unserved(alone, "b", keys("telnyx", a=BOTH), left) == {"twilio": 2}
    assert allotment_of(alone, "b", keys("telnyx", a=BOTH), {"twilio": 2}) == Allotment()
    assert unserved(view(node("b"), node("c")), "b", keys("telnyx"), left) == {}, "c may have them"
