"""What is told to the model after an interruption, against the truth of a simulated carrier, condition by condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callflow.media.carrier_lag import CarrierLag
from tests.media.simulated_carrier import Condition, Simulation, simulate


pytestmark = pytest.mark.exhaustive
AS_FAST: dict[str, Any] = {"speed": 1.0, "delta_ms": (20,)}
SLOWER: dict[str, Any] = {"speed": 0.98, "delta_ms": (20,)}
"""So that there is a gap before each piece. It had a mark, 30 a second, and nothing was learned from late ones."""


@pytest.fixture
def interruptions(pytestconfig: pytest.Config) -> int:
    return 500 if pytestconfig.getoption("--long") else 120


@pytest.mark.parametrize("link_ms", [0, 50, 150])
@pytest.mark.parametrize("speed", [1.3, 5])
def test_on_a_plain_link_the_error_is_small(link_ms: float, speed: float, interruptions: int) -> None:
    outcome = simulate(Condition(link_ms=link_ms, speed=speed), interruptions=interruptions)
    assert outcome.percentile(0.99) <= 10


@pytest.mark.parametrize(
    ("how", "p95"),
    [
        pytest.param({"late_done_ms": 150}, 10, id="the engine says late that it has finished"),
        pytest.param({"stall_ms": 60}, 10, id="our own process stalls"),
        pytest.param({"prebuffer_ms": 100}, 10, id="the carrier waits for audio that comes at once"),
        pytest.param({"jitter_ms": 250}, 60, id="jitter"),
        pytest.param({"jitter_ms": 250, "ordered": False}, 60, id="jitter, and marks overtake each other"),
        pytest.param({"jitter_ms": 250, "link_ms": 0}, 60, id="jitter on a short link"),
        pytest.param({"pause_ms": 120}, 60, id="pauses"),
        pytest.param({"pause_ms": 120, "link_ms": 0}, 60, id="pauses on a short link"),
        pytest.param({"pause_ms": 120, "speed": 5}, 60, id="pauses, quick engine"),
        pytest.param({"jitter_ms": 250, **AS_FAST}, 60, id="jitter, an engine as fast as we play"),
        pytest.param({"jitter_ms": 250, **SLOWER}, 60, id="jitter, an engine slower than we play"),
        pytest.param({"pause_ms": 120, **AS_FAST}, 60, id="pauses, an engine as fast as we play"),
        pytest.param({"pause_ms": 120, **SLOWER}, 60, id="pauses, an engine slower than we play"),
    ],
)
def test_jitter_and_a_carrier_that_falls_behind(how: dict[str, Any], p95: float, interruptions: int) -> None:
    outcome = simulate(Condition(**{"link_ms": 50, **how}), interruptions=interruptions)
    # a few interruptions make a rough percentile
    assert outcome.percentile(0.95) <= (p95 if interruptions >= 500 else 1.25 * p95)


@pytest.mark.parametrize("how", [{"delta_ms": (60,)}, {"speed": 1.0}], ids=["quick engine", "as fast as we play"])
def test_a_carrier_that_waits_before_it_plays_is_found_out_before_anybody_interrupts(how: dict[str, Any]) -> None:
    """The first answer of each call was wrong by what the carrier waits."""
    errors = []
    for seed in range(1, 21):
        one = Simulation(Condition(link_ms=50, prebuffer_ms=200, **how), seed)
        one.speak(0, 4.0)
        one.run(one.now + one.dice.uniform(1.5, 3.5))
        one.interrupt(4.0)
        one.run(one.now + 1.0)
        errors += one.outcome.errors
    assert max(errors) <= 10


@pytest.mark.parametrize(
    "how", [{"speed": 1.3, "delta_ms": (60,)}, AS_FAST], ids=["quick engine", "as fast as we play"]
)
def test_such_a_carrier_is_found_out_although_the_caller_always_interrupts_at_once(how: dict[str, Any]) -> None:
    """No mark was under way then that a `clear` could return, so all that was sent counted as heard."""
    late = []
    for seed in range(1, 21):
        one = Simulation(Condition(link_ms=50, prebuffer_ms=200, **how), seed)
        one.speak(0, 2.0)
        one.run(one.now + 6.0)
        for number in range(1, 5):
            began = one.now
            one.speak(number, 4.0)
            one.run(began + 0.06 + one.dice.uniform(0.0, 0.08))
            one.interrupt(4.0)
            one.run(one.now + 1.5)
        late += one.outcome.errors[1:]
        assert one.playout.probe == "", "a mark that tells nothing new"
    assert max(late) <= 10


def test_jitter_and_pauses_together_are_no_worse_than_a_pause(interruptions: int) -> None:
    outcome = simulate(Condition(link_ms=50, jitter_ms=250, pause_ms=120), interruptions=interruptions)
    assert outcome.percentile(0.5) <= 40
    assert outcome.percentile(0.95) <= 130


@pytest.mark.parametrize("speed", [1.0, 5])
def test_a_link_that_stands_still_for_seconds_is_no_lost_mark(speed: float, interruptions: int) -> None:
    """Whatever was sent meanwhile counted as heard, but for half a second."""
    outcome = simulate(
        Condition(link_ms=50, speed=speed, delta_ms=(20,), spike_ms=3000, both_ways=True), interruptions=interruptions
    )
    assert outcome.percentile(0.95) <= 500


def test_a_carrier_stands_still_if_three_marks_are_overdue_and_for_three_seconds_at_most() -> None:
    lag, due = CarrierLag(), 10.0

    def returned(count: int) -> None:
        nonlocal due
        for _ in range(count):
            due += 0.2
            lag.await_marks(due, due + 0.2, due + 0.4)
            lag.mark(0.1, 0.0, due + 0.1)
        due += 0.2
        lag.await_marks(due, due + 0.2, due + 0.4)

    def believed(after: float) -> float:
        """What is believed so long after the third mark was expected."""
        return lag.seconds(due + 0.5 + after)

    lag.await_marks(due, due + 0.2, due + 0.4)
    assert believed(2.0) <= 0.5, "nobody knows whether it returns marks"
    returned(1)
    assert [believed(after) for after in (1.0, 2.9)] == pytest.approx([1.2, 3.1])
    assert believed(3.1) <= 0.5, "it returns no marks any more"
    lag.gap(1.0, due + 2.0)
    assert believed(1.0 + 1.0) == pytest.approx(1.2), "marks behind a gap come later"
    lag.gap(4.0, due + 7.0)
    assert believed(5.0 + 2.0) <= 0.5, "and the caller does not wait for them again"
    returned(3)
    assert believed(1.0) == pytest.approx(1.2)
    lag.cleared(due + 4.0)
    returned(2)
    assert believed(1.0) <= 0.5


def test_pings_tell_a_network_that_holds_up_the_marks_from_a_carrier_that_pauses() -> None:
    """Both at once: by the marks alone, either may be taken for the other."""
    how = Condition(link_ms=50, spike_ms=300, pause_ms=60)
    blind = simulate(how, interruptions=500)
    seeing = simulate(replace(how, answers_pings=True), interruptions=500)
    assert seeing.percentile(0.99) <= 0.75 * blind.percentile(0.99)
    assert seeing.percentile(0.99) <= 70


@pytest.mark.parametrize("how", [{"jitter_ms": 250}, {"jitter_ms": 250, "ordered": False}, {"pause_ms": 120}])
def test_pings_make_nothing_worse(how: dict[str, Any], interruptions: int) -> None:
    condition = Condition(link_ms=50, **how)
    blind = simulate(condition, interruptions=interruptions)
    seeing = simulate(replace(condition, answers_pings=True), interruptions=interruptions)
    assert seeing.percentile(0.95) <= blind.percentile(0.95) + 2


def test_a_stall_of_our_process_which_holds_up_a_pong_too_is_subtracted_once() -> None:
    """A carrier that was behind by 0.3 s counted as one that was behind by 0.15 s where it answers pings."""

    def judged(*, pings: bool) -> tuple[float, float]:
        lag, due = CarrierLag(), 10.0
        for _ in range(6):
            due += 0.5
            lag.await_marks(due, due + 0.5, due + 1.0)
            if pings:
                lag.pings.sent(due - 0.05)
                lag.pings.answered(due + 0.05)
            lag.mark(0.1, 0.0, due + 0.1)
        due += 0.5
        lag.await_marks(due, due + 0.5, due + 1.0)
        if pings:
            lag.pings.sent(due + 0.25)
        lag.stalled(0.1, due + 0.44)  # it began before the pong and the mark were there
        overdue = lag.seconds(due + 0.44)
        if pings:
            lag.pings.answered(due + 0.44)
        lag.mark(0.44, 0.0, due + 0.44)
        return overdue, lag.behind

    assert judged(pings=True) == pytest.approx(judged(pings=False))


def test_a_line_whose_marks_are_in_time_costs_no_pings_but_the_first() -> None:
    outcome = simulate(Condition(link_ms=50, answers_pings=True), interruptions=60)
    calls = 60 / 12 + 1
    assert outcome.pings <= 4 * calls * 1.5


def test_marks_are_closer_together_only_for_a_carrier_that_falls_behind() -> None:
    plain = simulate(Condition(link_ms=50), interruptions=60)
    jitter = simulate(Condition(link_ms=50, jitter_ms=250), interruptions=60)
    pauses = simulate(Condition(link_ms=50, pause_ms=120), interruptions=60)
    plainly = plain.marks / plain.seconds
    assert jitter.marks / jitter.seconds < 1.15 * plainly
    assert pauses.marks / pauses.seconds > 2 * plainly


@pytest.mark.parametrize("speed", [0.9, 0.98, 1.0])
def test_an_engine_that_is_late_by_a_moment_gets_no_mark_for_each_frame(speed: float) -> None:
    outcome = simulate(Condition(link_ms=50, speed=speed, delta_ms=(20,)), interruptions=30)
    assert outcome.marks / outcome.seconds < 5


@given(
    link_ms=st.integers(0, 200),
    speed=st.sampled_from([0.9, 1.0, 1.3, 5.0]),
    delta_ms=st.sampled_from([(20,), (60,), (100,), (60, 120, 200, 400)]),
    seed=st.integers(1, 10_000),
)
@settings(max_examples=10, deadline=None)
def test_whatever_link_and_pace_the_error_is_small_on_a_plain_link(
    link_ms: int, speed: float, delta_ms: tuple[int, ...], seed: int
) -> None:
    condition = Condition(link_ms=link_ms, speed=speed, delta_ms=delta_ms)
    assert simulate(condition, interruptions=10, seed=seed).percentile(1.0) <= 10


@given(
    st.lists(st.tuples(st.sampled_from(["mark", "gap", "overtaken", "clear", "stall"]), st.floats(0, 2)), max_size=60)
)
@example([("mark", 0.0), ("mark", 1.0), ("mark", 1.0), ("mark", 1.0), ("gap", 1.0)])
@example([("mark", 0.5), ("mark", 1.0), ("mark", 2.0), ("gap", 0.75), ("mark", 0.0)])
@settings(max_examples=200, deadline=None)
def test_whatever_the_marks_say_the_lag_is_no_more_than_the_latest_mark_was_late(acts: list[tuple[str, float]]) -> None:
    lag, now, latest = CarrierLag(), 10.0, 0.0
    for what, seconds in acts:
        now += 0.2
        match what:
            case "mark":
                lag.mark(seconds, 0.0, now)
                latest = max(latest, seconds)
            case "gap":
                lag.gap(seconds, now)
            case "overtaken":
                lag.overtaken(seconds, 0.0)
            case "clear":
                lag.cleared(now)
                lag.returned_at_once(seconds, now)
            case _:
                lag.stalled(seconds, now)
        assert 0.0 <= lag.behind <= latest
        assert 0.0 <= lag.seconds(now) <= 2 * latest + 0.5
        assert lag.network is None or 0.0 <= lag.network <= 2.0
