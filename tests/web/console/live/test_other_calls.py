"""The live calls of other nodes: whose row counts, and when one is gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callflow.web.console.live.other_calls import OtherCalls


def row(call: str) -> dict[str, str]:
    return {"id": call, "business": "shop"}


def test_a_call_that_moves_is_there_once_and_its_former_owner_cannot_end_it() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    calls.add("b", row("x"))
    assert calls.remove("a", "x") is None
    assert calls.rows({}) == [row("x")]
    assert calls.rows({"x"}) == []  # this node has it by now
    assert calls.remove("b", "x") == row("x")
    assert calls.rows({}) == []


def test_rows_of_a_node_that_is_gone_stay_until_others_had_time_to_take_its_calls_over() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    calls.add("a", row("y"))
    calls.lost("a", 10.0)
    calls.add("b", row("x"))
    assert calls.forgotten(14.9) == []
    assert calls.forgotten(15.0) == [row("y")]
    assert [each["id"] for each in calls.rows({})] == ["x"]


def test_a_node_that_stays_away_is_lost_once_and_its_rows_do_not_stay_for_ever() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    for again in range(9):  # each attempt to listen to it again fails
        calls.lost("a", 10.0 + again / 2)
    assert calls.forgotten(14.9) == []
    assert calls.forgotten(15.0) == [row("x")]
    assert calls.forgotten(15.0) == []


def test_a_node_that_comes_back_in_time_keeps_what_it_tells_of_again_and_nothing_else() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    calls.add("a", row("y"))
    calls.lost("a", 10.0)
    calls.add("a", row("x"))
    assert calls.forgotten(99.0) == [row("y")]
    calls.lost("a", 100.0)
    assert calls.forgotten(104.9) == []
    assert calls.forgotten(105.0) == [row("x")], "a second loss has a time of grace of its own"


def test_a_call_that_ended_while_its_node_was_lost_is_not_told_again() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    calls.lost("a", 10.0)
    assert calls.remove("a", "x") == row("x")
    assert calls.remove("a", "x") is None
    assert calls.forgotten(99.0) == []


def test_the_counters_of_a_lost_node_count_no_more() -> None:
    calls = OtherCalls()
    calls.counters.update(a={"live": 1}, b={"live": 2})
    calls.lost("a", 1.0)
    calls.lost("nobody", 1.0)
    assert calls.counters == {"b": {"live": 2}}


def test_whose_a_call_is_and_that_nobody_knows_of_another() -> None:
    calls = OtherCalls()
    calls.add("a", row("x"))
    assert (calls.business("x"), calls.business("y")) == ("shop", "")
    assert ("x" in calls, "y" in calls) == (True, False)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "lost"]), st.sampled_from("ab"), st.sampled_from("xyz")), max_size=30
)


@given(STEPS)
def test_when_all_nodes_are_lost_nothing_is_left_after_the_time_of_grace(steps: list[tuple[str, str, str]]) -> None:
    calls, now = OtherCalls(), 0.0
    for step, node, call in steps:
        now += 0.1
        if step == "add":
            calls.add(node, row(call))
        elif step == "remove":
            calls.remove(node, call)
        else:
            calls.lost(node, now)
    for node in "ab":
        calls.lost(node, now)
    there = calls.rows({})
    gone = calls.forgotten(now + 5.0)
    assert sorted(each["id"] for each in gone) == sorted(each["id"] for each in there)
    assert calls.rows({}) == []
