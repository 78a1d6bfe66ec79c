"""How far the carrier has played: the send clock, the marks, and what both say together."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.media.playback_clock import PlaybackClock


SECOND = 8000
"""Bytes of one second."""


def clock_with(*sent: tuple[float, int]) -> PlaybackClock:
    """Make a clock that was told of these pieces of audio: time in seconds, bytes."""
    clock = PlaybackClock()
    for now, size in sent:
        clock.send(size, now)
    return clock


def test_nothing_was_sent() -> None:
    clock = PlaybackClock()
    assert (clock.position(5.0), clock.held(5.0), clock.ends_at(5.0)) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("sent", "now", "position", "ends_at"),
    [
        pytest.param([(10.0, SECOND)], 10.0, 0, 11.0, id="just sent"),
        pytest.param([(10.0, SECOND)], 10.25, SECOND // 4, 11.0, id="a quarter played"),
        pytest.param([(10.0, SECOND)], 11.0, SECOND, 11.0, id="all played"),
        pytest.param([(10.0, SECOND)], 30.0, SECOND, 11.0, id="long played"),
        pytest.param([(10.0, SECOND), (10.5, SECOND)], 11.0, SECOND, 12.0, id="the second waits for the first"),
        pytest.param([(10.0, SECOND), (15.0, SECOND)], 15.5, SECOND * 3 // 2, 16.0, id="after a pause"),
    ],
)
def test_the_send_clock(sent: list[tuple[float, int]], now: float, position: int, ends_at: float) -> None:
    clock = clock_with(*sent)
    assert clock.position(now) == position
    assert clock.held(now) == clock.sent - position
    assert clock.ends_at(now) == pytest.approx(ends_at)
    assert clock.runs_until == pytest.approx(ends_at)


def test_a_mark_proves_what_was_played_before_it() -> None:
    clock = clock_with((10.0, SECOND))
    clock.send_mark("one")
    clock.send(SECOND, 10.0)
    assert clock.mark_returned("one", 11.0)
    assert clock.confirmed == SECOND
    assert clock.position(10.2) == SECOND, "no clock can take back what a mark has proved"


def test_a_mark_proves_the_marks_before_it() -> None:
    clock = PlaybackClock()
    for name in ("one", "two", "three"):
        clock.send(SECOND, 0.0)
        clock.send_mark(name)
    assert clock.mark_returned("two", 2.0)
    assert clock.confirmed == 2 * SECOND
    assert not clock.mark_returned("one", 2.0), "it counts as returned"
    assert clock.stale_marks == 1
    assert clock.mark_returned("three", 3.0)


def test_a_mark_that_is_late_shows_that_the_carrier_has_fallen_behind() -> None:
    clock = PlaybackClock()
    for number in range(4):
        clock.send(SECOND, 0.0)
        clock.send_mark(str(number))
    clock.mark_returned("0", 1.05)  # the way back takes 50 ms
    assert clock.position(1.5) == SECOND * 3 // 2
    clock.mark_returned("1", 2.35)
    assert clock.ends_at(2.35) == pytest.approx(4.3), "0.3 s later than the quickest mark"
    assert clock.position(2.5) == pytest.approx(SECOND * 2.2, abs=1)
    clock.mark_returned("2", 3.05)
    assert clock.ends_at(3.05) == pytest.approx(4.0), "it has caught up"


def test_the_carrier_catches_up_in_a_pause() -> None:
    clock = PlaybackClock()
    for name in ("one", "two"):
        clock.send(SECOND, 0.0)
        clock.send_mark(name)
    clock.mark_returned("one", 1.0)
    clock.mark_returned("two", 2.4)
    clock.send(SECOND, 2.1)
    assert clock.ends_at(2.1) == pytest.approx(3.1 + 0.3)
    clock.send(SECOND, 4.0)
    assert clock.ends_at(4.0) == pytest.approx(5.0), "the gap was longer than what it was behind"


@pytest.mark.parametrize(("now", "early"), [(0.89, True), (0.91, False), (1.0, False)])
def test_a_mark_that_comes_too_early_proves_nothing(now: float, *, early: bool) -> None:
    clock = clock_with((0.0, SECOND))
    clock.send_mark("one")
    assert clock.mark_returned("one", now)
    assert clock.early_marks == early
    assert clock.confirmed == (0 if early else SECOND)
    assert clock.marked == (0 if early else SECOND), "another mark is to follow the audio"


def test_marks_of_before_a_reset_are_stale() -> None:
    clock = clock_with((0.0, SECOND))
    clock.send_mark("one")
    clock.reset()
    assert (clock.sent, clock.marked, clock.confirmed, clock.position(0.1)) == (0, 0, 0, 0)
    assert not clock.mark_returned("one", 0.1)
    assert clock.stale_marks == 1
    assert not clock.mark_returned("never sent", 0.1)
    assert clock.stale_marks == 2


def test_the_quickest_mark_is_remembered_across_a_reset() -> None:
    clock = clock_with((0.0, SECOND))
    clock.send_mark("one")
    clock.mark_returned("one", 1.2)
    clock.reset()
    clock.send(SECOND, 5.0)
    clock.send_mark("two")
    clock.mark_returned("two", 6.5)
    assert clock.ends_at(6.4) <= 6.4
    clock.send(SECOND, 6.0)
    assert clock.ends_at(6.0) == pytest.approx(7.0 + 0.3), "0.3 s later than the mark of before"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "mark", "return", "clear"]), st.integers(1, 30), st.floats(0.0, 0.5, width=16)
        ),
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_positions_are_in_bounds_and_never_go_back(acts: list[tuple[str, int, float]]) -> None:
    clock, now, names = PlaybackClock(), 0.0, itertools.count()
    under_way: list[str] = []
    position = returned = 0
    for what, size, pause in acts:
        now += pause
        if what == "send":
            clock.send(160 * size, now)
        elif what == "mark":
            under_way.append(str(next(names)))
            clock.send_mark(under_way[-1])
        elif what == "return" and under_way:
            name = under_way.pop(min(size, len(under_way)) - 1)
            known = clock.mark_returned(name, now)
            returned += not known
        elif what == "clear":
            clock.reset()
            position = 0
        assert 0 <= clock.confirmed <= clock.position(now) <= clock.sent
        assert clock.marked <= clock.sent
        assert clock.held(now) == clock.sent - clock.position(now)
        assert (clock.ends_at(now) > now) <= (clock.held(now) > 0)
        if what != "return":  # a late mark shows that less was heard than the clock had said
            assert clock.position(now) >= position - 1, "it may go back by what is lost in rounding: one byte"
        position = clock.position(now)
        assert clock.stale_marks == returned
    assert clock.position(now + 3600) == clock.sent


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0.0, 2.0, width=16)), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_carrier_that_keeps_time_is_followed_exactly(pieces: list[tuple[int, float]]) -> None:
    """The clock says at each moment what a carrier has played that begins each piece as soon as it can."""
    clock, now, free_at = PlaybackClock(), 0.0, 0.0
    played: list[tuple[float, float]] = []
    for number, (frames, pause) in enumerate(pieces):
        now += pause
        begin = max(now, free_at)
        free_at = begin + frames * 0.02
        played.append((begin, free_at))
        clock.send(frames * 160, now)
        clock.send_mark(str(number))
        heard = sum(max(0.0, min(now, end) - start) for start, end in played)
        assert clock.position(now) == pytest.approx(heard * SECOND, abs=2)
    for number, (_, end) in enumerate(played):
        clock.mark_returned(str(number), end + 0.04)
        assert clock.confirmed == sum(frames for frames, _ in pieces[: number + 1]) * 160
    assert (clock.stale_marks, clock.early_marks) == (0, 0)
