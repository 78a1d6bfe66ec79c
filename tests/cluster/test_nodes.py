"""Who leads, who takes a new call, how many calls of a dead node: by table."""

from __future__ import annotations

import pytest

from callflow.cluster.nodes import (
    LEASE_SECONDS,
    LeaseJudgement,
    Node,
    RecentPlacements,
    State,
    View,
    allotment,
    is_cut_off,
    leader,
    lost,
    machine_of,
    next_epoch,
    place,
    share,
)


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


def test_a_node_that_has_missed_renewals_gets_no_more_calls() -> None:
    now = 100.0
    nodes = (
        node("me", lease_until=now + LEASE_SECONDS), node("b", lease_until=now + LEASE_SECONDS - 1.0),
        node("c", lease_until=now + LEASE_SECONDS - 1.6), node("d", lease_until=now + LEASE_SECONDS, state="dead"),
    )  # fmt: skip
    assert [one.name for one in View(nodes, now).punctual()] == ["me", "b"]


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
    assert max(placed.values()) - min(placed.values()) <= 2


def test_a_call_that_is_placed_once_more_counts_once() -> None:
    """Webhooks that had to wait are decided on anew, as those that come while a node starts."""
    nodes, placed = [node("a", capacity=100), node("b", capacity=100)], RecentPlacements()

    def put(call: str) -> str:
        chosen = place(nodes, placed.counts(7.0, call), "a")
        placed.add(chosen, 7.0, call)
        return chosen

    once = {call: put(call) for call in map(str, range(8))}
    assert sorted(once.values()) == ["a"] * 4 + ["b"] * 4
    anew = {call: put(call) for call in ("0", "2", "4", "6")}
    assert sorted((once | anew).values()) == ["a"] * 4 + ["b"] * 4
    assert placed.counts(7.0) == {"a": 4, "b": 4}


def test_placements_are_forgotten_when_their_nodes_have_told_of_them() -> None:
    placed = RecentPlacements()
    for now, call in ((0.0, ""), (0.0, ""), (0.9, "c"), (1.0, "d")):
        placed.add("a", now, call)
    assert placed.counts(0.9) == {"a": 4}
    assert placed.counts(1.0, "d") == {"a": 1}
    for _ in range(5000):
        placed.add("b", 1.0)
    assert placed.counts(1.0) == {"b": 1000}, "they are bounded"


def test_nodes_that_know_the_same_do_not_all_choose_the_same_node() -> None:
    """What the others have is known half a second late: one node would get all calls of that time."""
    nodes = [node(f"n{number}", calls=10 if number < 5 else 2, capacity=100) for number in range(10)]
    assert len({place(nodes, {}, f"n{number}") for number in range(5)}) == 5
    assert [place(nodes, {}, f"n{number}") for number in range(5, 10)] == [f"n{number}" for number in range(5, 10)]


@pytest.mark.parametrize(
    ("orphans", "survivors", "taken"), [(1, 1, 1), (3, 2, 1), (40, 1, 10), (40, 2, 10), (40, 8, 3), (1000, 4, 10)]
)
def test_each_survivor_takes_its_share(orphans: int, survivors: int, taken: int) -> None:
    assert share(orphans, survivors) == taken


def test_a_claim_of_another_epoch_is_another_nodes() -> None:
    assert lost({"x", "y", "z"}, {"x": ("a", 2), "y": ("a", 1), "z": ("b", 2)}, ("a", 2)) == {"y", "z"}


@pytest.mark.parametrize(
    ("highest", "living", "given"), [(0, [], 1), (7, [3, 7], 8), (1002, [3, 1002], 1004), (1002, [1, 2], 1003)]
)
def test_no_two_living_nodes_have_epochs_with_the_same_end(highest: int, living: list[int], given: int) -> None:
    assert next_epoch(highest, living) == given


def died(calls: int, *, ago: float) -> Node:
    return node("dead", 9, calls=calls, state="dead", lease_until=1000.0 - ago)


@pytest.mark.parametrize(
    ("nodes", "orphans", "taken"),
    [
        ([node("me"), node("b"), node("c"), died(60, ago=1)], 60, 20),
        ([node("me"), node("b"), node("c"), died(60, ago=1)], 40, 20),  # another has taken its own already
        ([node("me"), node("b"), node("c"), died(60, ago=30)], 10, 4),
        ([node("me"), node("b"), died(5, ago=1)], 0, 0),
        ([node("me"), died(40, ago=1)], 40, 40),
        ([node("me", state="draining"), node("b"), died(40, ago=1)], 40, 0),
        ([node("me", state="draining"), died(40, ago=1)], 40, 40),
    ],
)
def test_no_survivor_takes_what_others_would_take_a_moment_later(nodes: list[Node], orphans: int, taken: int) -> None:
    assert allotment(View(tuple(nodes), 1000.0), "me", orphans) == taken


@pytest.mark.parametrize(("name", "machine"), [("a-w1", "a"), ("a-w12", "a"), ("w1", ""), ("a", "a"), ("a-w", "a-w")])
def test_workers_of_one_machine_are_known_by_their_names(name: str, machine: str) -> None:
    assert machine_of(name) == machine


def test_a_clock_that_was_set_lets_no_lease_run_out() -> None:
    for step in (+5.0, -5.0, +3600.0):
        judgement = LeaseJudgement()
        judgement.allows(0.0)
        for beat in range(10):  # twice a second
            judgement.saw(View((), 1000.0 + beat / 2), beat / 2)
            judgement.renewed(beat / 2)
        assert judgement.allows(5.0)
        judgement.saw(View((), 1005.0 + step), 5.0)
        assert not judgement.allows(5.0)
        for at in (5.5, 6.5, 7.5):
            judgement.renewed(at)
            judgement.saw(View((), 1000.0 + at + step), at)
            assert not judgement.allows(at)
        assert judgement.allows(8.0)


def test_a_standby_that_has_not_got_the_last_renewals_lets_no_lease_run_out() -> None:
    """It had taken over within a second, and the first node that was there declared all others dead, which lived."""
    judgement = LeaseJudgement()

    def beat(at: float, renewed: float, epoch: int = 1) -> bool:
        may_judge = judgement.allows(at)
        judgement.renewed(at)
        other = Node(name="other", epoch=epoch, lease_until=1000.0 + renewed + LEASE_SECONDS)
        judgement.saw(View((other,), 1000.0 + at), at)
        return may_judge and judgement.allows(at)

    assert [beat(at, at) for at in (0.0, 1.0, 2.0, 3.0, 4.0)] == [False, False, False, True, True]
    assert beat(5.0, 4.5), "it is only late"
    assert beat(5.5, 2.0, epoch=2), "it has begun anew"
    assert not beat(6.0, 1.0, epoch=2)
    assert [beat(at, 1.0, epoch=2) for at in (7.0, 8.0, 8.9, 9.0)] == [False, False, False, True], "it has died"


def test_a_lease_from_before_the_clock_was_set_back_runs_out() -> None:
    """Else the calls of a node that died at that moment would be nobody's until the time comes again."""
    now = 1000.0
    leases = {"alive": now + LEASE_SECONDS, "dead": now - 0.1, "from before": now + 3600}
    view = View(tuple(Node(name=name, epoch=n, lease_until=at) for n, (name, at) in enumerate(leases.items())), now)
    assert [node.name for node in view.expired()] == ["dead", "from before"]


def test_who_has_missed_renewals_declares_nobody_dead_for_a_lease() -> None:
    """After an outage of the database all leases have run out, and not because the nodes are dead."""
    judgement = LeaseJudgement()
    assert not judgement.allows(-5.0), "the others may be trying as well, after an outage for all"
    judgement.renewed(-5.0)
    for at in (-4.5, -4.0, -3.0, -2.5):
        assert not judgement.allows(at)
        judgement.renewed(at)
    assert judgement.allows(-2.0), "it takes the calls of those that died before"
    judgement.renewed(-1.0)
    judgement.renewed(0.0)
    assert judgement.allows(0.6)
    assert not judgement.allows(10.0)
    judgement.renewed(10.0)
    assert not judgement.allows(10.5)
    judgement.renewed(10.5)
    for late in (11.5, 12.5):
        assert not judgement.allows(late)
        judgement.renewed(late)
    assert judgement.allows(10.0 + LEASE_SECONDS)


@pytest.mark.parametrize(
    ("answers", "over"),
    [
        ({}, False),
        ({"b": True, "c": None}, True),
        ({"b": False, "c": None}, False),
        ({"b": None}, False),
        ({"b-w1": None, "b-w2": None}, False),
        ({"b": None, "c": None}, True),
        ({"a-w2": False, "b": None, "c": None}, True),
        ({"a-w2": None, "b": None}, False),
    ],
)
def test_who_is_cut_off_from_all_other_machines_lets_go(answers: dict[str, bool | None], over: bool) -> None:
    assert is_cut_off("a-w1", answers) is over
