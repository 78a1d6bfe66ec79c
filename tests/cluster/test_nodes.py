"""Who leads, who takes a new call, how many calls of a dead node: by table."""

from __future__ import annotations

import pytest

from callflow.cluster.nodes import Node, State, View, leader, lost, machine_of, place, share


def node(name: str, epoch: int = 1, *, calls: int = 0, capacity: int = 10, state: State = "up", **more: float) -> Node:
    return Node(name=name, epoch=epoch, calls=calls, capacity=capacity, state=state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nodes", "leads"),
    [
        ([], ""),
        ([node("a", 2), node("b", 1)], "b"),
        ([node("a", 2), node("b", 1, state="dead")], "a"),
        ([node("a", 2), node("b", 1, state="draining")], "a"),
        ([node("b", 1, state="draining"), node("c", 3, state="dead")], "b"),
    ],
)
def test_the_node_that_lives_longest_leads(nodes: list[Node], leads: str) -> None:
    assert leader(View(tuple(nodes))) == leads


@pytest.mark.parametrize(
    ("nodes", "placed", "taken_by"),
    [
        ([node("me"), node("b")], {}, "me"),
        ([node("me", calls=1), node("b")], {}, "b"),
        ([node("me", calls=1), node("b")], {"b": 2}, "me"),
        ([node("me", calls=4), node("b", calls=7, capacity=20)], {}, "b"),
        ([node("me", calls=1), node("b", state="draining")], {}, "me"),
        ([node("me", calls=10), node("b", calls=9)], {}, "b"),
        ([node("me", calls=10), node("b", calls=10)], {}, "me"),
        ([node("me", state="draining"), node("b", calls=9)], {}, "b"),
        ([node("me", calls=5), node("b", lag_ms=250.0)], {}, "me"),
        ([node("me", calls=10), node("b", lag_ms=250.0)], {}, "b"),
        ([], {}, "me"),
    ],
)
def test_a_new_call_goes_where_the_most_room_is(nodes: list[Node], placed: dict[str, int], taken_by: str) -> None:
    assert place(nodes, placed, "me") == taken_by


def test_placed_calls_are_spread_evenly_before_the_others_have_counted_them() -> None:
    nodes, placed = [node("a", capacity=100), node("b", capacity=100), node("c", capacity=100)], dict.fromkeys("abc", 0)
    for _ in range(90):
        placed[place(nodes, placed, "a")] += 1
    assert set(placed.values()) == {30}


@pytest.mark.parametrize(
    ("orphans", "survivors", "taken"), [(1, 1, 1), (3, 2, 1), (40, 1, 10), (40, 2, 10), (40, 8, 3), (1000, 4, 10)]
)
def test_each_survivor_takes_its_share(orphans: int, survivors: int, taken: int) -> None:
    assert share(orphans, survivors) == taken


def test_a_claim_of_another_epoch_is_another_nodes() -> None:
    assert lost({"x", "y", "z"}, {"x": ("a", 2), "y": ("a", 1), "z": ("b", 2)}, ("a", 2)) == {"y", "z"}


def test_a_node_that_begins_again_counts_as_a_death() -> None:
    before = View((node("a", 1), node("b", 2)))
    assert View((node("a", 3), node("b", 2))).deaths_since(before)
    assert not View((node("a", 1), node("b", 2), node("c", 3))).deaths_since(before)


@pytest.mark.parametrize(("name", "machine"), [("a-w1", "a"), ("a-w12", "a"), ("w1", ""), ("a", "a"), ("a-w", "a-w")])
def test_workers_of_one_machine_are_known_by_their_names(name: str, machine: str) -> None:
    assert machine_of(name) == machine
