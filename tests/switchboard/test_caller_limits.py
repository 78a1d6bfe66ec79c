"""Who counts as one caller, and how many calls they may have."""

from __future__ import annotations

import pytest

from callflow.switchboard.caller_limits import HOUR, CallerLimits, caller_of


def remembered(limits: CallerLimits) -> int:
    return len(limits._count.keys() | limits._lately.keys())


@pytest.mark.parametrize(
    "number",
    [
        "", " ", "+", "anonymous", "Anonymous", "ANONYMOUS", "+anonymous", "unknown", "Unknown Caller", "restricted",
        "Restricted", "private", "Private Number", "unavailable", "withheld", "Number Withheld", "Caller ID blocked",
        "blocked", "out of area", "No Caller ID", "not available", "+266696687", "266696687", "+1266696687",
        "+7378742833", "+2562533", "+8656696", "+464", "+86282452253", "86282452253", "+0", "0000000000",
        "sip:anonymous@anonymous.invalid", '"Anonymous" <sip:anonymous@anonymous.invalid>',
        "sip:c8oqz84@anonymous.invalid", "sip:anonymous@203.0.113.5:5060;transport=tls", "sips:unknown@unknown.invalid",
        "<sip:@203.0.113.5>", "sip:266696687@203.0.113.5", "sip:restricted@carrier.example",
    ],
)  # fmt: skip
def test_whoever_withholds_their_number_is_nobody_in_particular(number: str) -> None:
    assert caller_of(number) == ""
    limits = CallerLimits(1, 1)
    assert [limits.take(f"call {n}", number, n) for n in range(5)] == [("", "")] * 5
    assert remembered(limits) == 0


@pytest.mark.parametrize(
    "number",
    ["+15550100001", "1001", "client:joe", "sip:1001@pbx.example", "+4930123456", "Ann", "+12666966870", "911"],
)
def test_everybody_else_is_told_apart(number: str) -> None:
    assert caller_of(number) != ""
    limits = CallerLimits(at_once=1)
    assert limits.take("a", number, 0) == ("", "")
    assert limits.take("b", number, 0) == ("caller_busy", "this caller has 1 call already")
    assert limits.take("c", "+15550100099", 0) == ("", "")


def test_one_caller_of_a_switchboard_is_not_the_same_extension_of_another() -> None:
    assert caller_of("sip:1001@a.example") != caller_of("sip:1001@b.example")
    assert caller_of('"Ann" <sip:1001@a.example;transport=tls>') == caller_of("sip:1001@A.example")


def test_without_limits_nothing_is_refused() -> None:
    limits = CallerLimits()
    assert {limits.take(f"call {n}", "+15550100001", 0.0) for n in range(50)} == {("", "")}


def test_a_place_is_free_when_a_call_is_over() -> None:
    limits = CallerLimits(at_once=2)
    assert [limits.take(name, "+15550100001", 0)[0] for name in "abc"] == ["", "", "caller_busy"]
    limits.over("c")  # it never had a place
    assert limits.take("d", "+15550100001", 0)[1] == "this caller has 2 calls already"
    limits.over("a")
    limits.over("a")
    assert [limits.take(name, "+15550100001", 0)[0] for name in "de"] == ["", "caller_busy"]
    for name in "bd":
        limits.over(name)
    assert remembered(limits) == 0


def test_a_call_that_is_asked_for_again_counts_once() -> None:
    limits = CallerLimits(at_once=2, per_hour=2)
    assert [limits.take("a", "+15550100001", n)[0] for n in range(9)] == [""] * 9
    assert limits.take("b", "+15550100001", 9) == ("", "")


def test_the_hour_slides_and_what_was_refused_does_not_count() -> None:
    limits = CallerLimits(per_hour=2)
    for name, at in (("a", 0.0), ("b", 1800.0)):
        assert limits.take(name, "+15550100001", at) == ("", "")
        limits.over(name)
    refused = ("caller_limit", "this caller has had 2 calls within an hour already")
    assert [limits.take("c", "+15550100001", at) for at in (1900.0, 2500.0, HOUR - 1)] == [refused] * 3
    assert limits.take("c", "+15550100001", HOUR) == ("", "")
    assert limits.take("d", "+15550100001", HOUR + 1)[0] == "caller_limit"
    assert limits.take("d", "+15550100001", HOUR + 1800) == ("", "")


def test_a_call_of_the_process_before_counts_from_when_it_began() -> None:
    limits = CallerLimits(at_once=1, per_hour=2)
    limits.taken("a", "+15550100001", at=-HOUR + 100, now=0.0)
    assert limits.take("a", "+15550100001", 0) == ("", "")
    assert limits.take("b", "+15550100001", 0)[0] == "caller_busy"
    limits.over("a")
    assert limits.take("b", "+15550100001", 0) == ("", "")
    limits.over("b")
    assert limits.take("c", "+15550100001", 50)[0] == "caller_limit"
    assert limits.take("c", "+15550100001", 101) == ("", "")
    limits.taken("d", "anonymous", at=0, now=200)


def test_no_more_callers_are_remembered_than_may_be() -> None:
    limits = CallerLimits(per_hour=1, most=10)
    for n in range(1000):
        limits.take(f"call {n}", f"+1555010{n:04}", float(n) / 1000)
        limits.over(f"call {n}")
    assert remembered(limits) == 10
    assert limits.take("again", "+15550100999", 2.0)[0] == "caller_limit"
    assert limits.take("forgotten", "+15550100000", 2.0) == ("", "")
    limits.over("forgotten")
    limits.take("late", "+15550109999", 2 * HOUR)
    assert remembered(limits) == 1, "callers of hours ago are remembered"


def test_calls_at_other_nodes_count_for_the_next_decision() -> None:
    limits = CallerLimits(at_once=2, per_hour=5)
    assert limits.are_set
    assert limits.take("a", "+15550100001", 0) == ("", "")
    limits.learn("+15550100001", ["a", "b", "x"], 3)
    assert limits.take("b", "+15550100001", 1)[0] == "caller_busy", "a is ours and counts once, b is this call"
    limits.learn("+15550100001", [], 5)
    assert limits.take("c", "+15550100001", 2)[0] == "caller_limit"
    assert limits.take("d", "+15550100001", 3) == ("", ""), "what was learned is for one decision"
    assert not CallerLimits().are_set
