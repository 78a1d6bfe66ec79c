"""Who may run a tool: a table of what is held, and who is refused then."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.tools.concurrency import Bounds, Holder, Slot, Slots, describe_holders


BOUNDS = Bounds(most=64, per_call=8, per_tool=32, reserve=16)


def holding(*groups: tuple[int, str, str], bounds: Bounds = BOUNDS) -> Slots:
    """So many places each, for a tool in a call."""
    places = Slots(bounds)
    for number, tool, call in groups:
        for _ in range(number):
            places.take(call, tool, 0.0)
    return places


def spread(number: int, tool: str = "t") -> list[tuple[int, str, str]]:
    """So many places in as many calls, each for a tool of its own."""
    return [(1, f"{tool}{n}", f"c{n}") for n in range(number)]


CASES = [
    ("nobody holds any", [], "a", "look", ""),
    ("a call just below its share", [(7, "look", "a")], "a", "look", ""),
    ("a call with its share", [(8, "look", "a")], "a", "look", "call"),
    ("a call with its share, another tool", [(8, "look", "a")], "a", "add", "call"),
    ("a call with its share of several tools", [(4, "look", "a"), (4, "add", "a")], "a", "more", "call"),
    ("another call than the one with its share", [(8, "look", "a")], "b", "look", ""),
    ("a tool just below its share", [(8, "look", "a"), (8, "look", "b"), (8, "look", "c"), (7, "look", "d")], "e",
     "look", ""),
    ("a tool with its share", [(8, "look", call) for call in "abcd"], "e", "look", "tool"),
    ("a tool with its share, another tool", [(8, "look", call) for call in "abcd"], "e", "add", ""),
    ("one more than the reserve is left", [*spread(46), (1, "x", "mine")], "mine", "look", ""),
    ("the reserve is left, for a call that holds some", [*spread(47), (1, "x", "mine")], "mine", "look", "reserve"),
    ("the reserve is left, for a call that holds none", [*spread(47), (1, "x", "mine")], "other", "look", ""),
    ("one is left, for a call that holds none", spread(63), "other", "look", ""),
    ("one is left, for a call that holds some", spread(63), "c1", "look", "reserve"),
    ("none is left", spread(64), "other", "look", "all"),
    ("more are taken than there are", spread(70), "other", "look", "all"),
]  # fmt: skip


@pytest.mark.parametrize(("held", "call", "tool", "refusal"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_who_may_take_a_place(held: list[tuple[int, str, str]], call: str, tool: str, refusal: str) -> None:
    assert holding(*held).refusal(call, tool) == refusal


def test_what_is_given_back_can_be_taken_again() -> None:
    places = Slots(BOUNDS)
    taken = [places.take("a", "look", 0.0) for _ in range(8)]
    assert places.refusal("a", "look") == "call"
    places.give_back(taken[3])
    assert places.refusal("a", "look") == ""
    with pytest.raises(KeyError):
        places.give_back(taken[3])
    assert places.free == BOUNDS.most - 7, "given back twice, counted once"


def test_the_holders_are_named_by_tool_and_call_with_how_many_and_for_how_long() -> None:
    places = Slots(BOUNDS)
    for since, tool, call in [(0.0, "look", "a"), (5.0, "look", "a"), (2.0, "look", "b"), (1.0, "add", "b")]:
        places.take(call, tool, since)
    holders = places.holders(10.0)
    assert holders == [Holder("look", "a", 2, 10.0), Holder("add", "b", 1, 9.0), Holder("look", "b", 1, 8.0)]
    assert describe_holders(holders).startswith("look 2 times in call a (10 s), add 1 time in call b (9 s)")
    assert describe_holders([]) == "nobody"


def test_a_line_of_a_log_stays_one() -> None:
    line = describe_holders(holding(*spread(60)).holders(1.0))
    assert len(line) < 400
    assert line.endswith("54 others")


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz"), st.booleans()), max_size=60))
def test_whoever_obeys_never_passes_a_bound(wishes: list[tuple[str, str, bool]]) -> None:
    bounds = Bounds(most=10, per_call=4, per_tool=6, reserve=3)
    places = Slots(bounds)
    taken: list[Slot] = []
    for call, tool, returns in wishes:
        if returns and taken:
            places.give_back(taken.pop(0))
        if not places.refusal(call, tool):
            taken.append(places.take(call, tool, 0.0))
        calls, tools = Counter(one.call for one in taken), Counter(one.tool for one in taken)
        assert places.free == bounds.most - len(taken) >= 0
        assert max(calls.values(), default=0) <= bounds.per_call
        assert max(tools.values(), default=0) <= bounds.per_tool
        if places.free:
            newcomer = next(tool for tool in "xyz_" if tools[tool] < bounds.per_tool)
            assert places.refusal("newcomer", newcomer) == "", "who has nothing gets what is free"
