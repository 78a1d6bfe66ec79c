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
    clock.send_mark("one", 10.0)
    clock.send(SECOND, 10.0)
    assert clock.mark_returned("one", 11.0)
    assert clock.confirmed == SECOND
    assert clock.position(10.2) == SECOND, "no clock can take back what a mark has proved"


def test_a_mark_proves_the_marks_before_it() -> None:
    clock = PlaybackClock()
    for name in ("one", "two", "three"):
        clock.send(SECOND, 0.0)
        clock.send_mark(name, 0.0)
    assert clock.mark_returned("two", 2.0)
    assert clock.confirmed == 2 * SECOND
    assert not clock.mark_returned("one", 2.0), "it counts as returned"
    assert clock.stale_marks == 1
    assert clock.mark_returned("three", 3.0)


def talked(*delays: float, every: float = 0.2) -> PlaybackClock:
    """Make a clock that has sent audio with a mark every `every` seconds, of which the first came back that late."""
    clock = PlaybackClock()
    for number in range(len(delays) + 10):
        clock.send(int(every * SECOND), 0.0)
        clock.send_mark(str(number), 0.0)
    for number, delay in enumerate(delays):
        clock.mark_returned(str(number), (number + 1) * every + delay)
    return clock


@pytest.mark.parametrize(
    ("delays", "lag"),
    [
        pytest.param([0.05], 0.0, id="the way back"),
        pytest.param([0.05, 0.05, 0.05], 0.0, id="always the same"),
        pytest.param([0.05, 0.25, 0.05], 0.0, id="a spike of the network is over with the next mark"),
        pytest.param([0.25, 0.05], 0.0, id="also if it was the first"),
        pytest.param([0.05, 0.17, 0.17, 0.17], 0.12, id="a carrier that has fallen behind stays behind"),
        pytest.param([0.05, 0.29, 0.29, 0.29, 0.17, 0.21], 0.12, id="little more than the least of the last three"),
        pytest.param([0.05, 0.17, 0.17, 0.17, 0.17, 0.09], 0.04, id="what it was behind by was less"),
    ],
)
def test_lateness_is_judged_over_several_marks(delays: list[float], lag: float) -> None:
    clock = talked(*delays)
    believed = clock.lag.behind
    assert lag - 0.001 <= believed <= lag + 0.035
    assert clock.lag.network == pytest.approx(min(delays))


def test_a_single_late_mark_is_half_believed_until_it_is_known_what_they_mean() -> None:
    assert talked(0.05, 0.25).lag.seconds(0.65) == pytest.approx(0.1)


def test_after_spikes_of_the_network_a_late_mark_is_hardly_believed() -> None:
    clock = talked(0.05, 0.25, 0.05, 0.25, 0.05, 0.25, 0.05, 0.25)
    assert clock.lag.seconds(1.85) < 0.02


def test_a_late_mark_of_a_carrier_that_falls_behind_is_believed() -> None:
    clock = talked(0.05, 0.17, 0.17, 0.17, 0.17, 0.17, 0.29)
    assert clock.lag.is_unsteady
    assert clock.lag.behind == pytest.approx(0.24, abs=0.03)


def test_an_overdue_mark_is_evidence_too() -> None:
    clock = talked(0.05, 0.05, 0.05)
    assert clock.lag.seconds(1.0) == pytest.approx(0.0), "the next mark may be lost"
    assert clock.lag.seconds(1.4) > 0.0, "two are overdue"
    known = talked(0.05, 0.17, 0.17, 0.17)
    before = known.lag.seconds(1.16)
    assert known.lag.seconds(1.21) > before + 0.03, "it pauses again: one overdue mark is enough"
    assert known.position(3600.0) == known.sent


def test_a_mark_that_was_overtaken_was_late_on_the_network() -> None:
    clock = talked(0.05, 0.05)
    trust = clock.lag._trust
    clock.mark_returned("3", 0.85)
    assert clock.lag._trust < trust
    assert clock.lag.seconds(0.85) == 0.0


def test_a_stall_of_our_own_process_is_no_lateness() -> None:
    late, stalled = talked(0.05, 0.05), talked(0.05, 0.05)
    stalled.lag.stalled(0.1, 0.75)
    for clock in (late, stalled):
        clock.mark_returned("2", 0.75)
    assert late.lag.seconds(0.75) == pytest.approx(0.05)
    assert stalled.lag.seconds(0.75) == pytest.approx(0.0, abs=1e-9)
    stalled.lag.stalled(0.3, 1.25)
    assert stalled.lag.seconds(1.25) == 0.0, "the marks that are overdue may have come meanwhile"


def test_the_carrier_catches_up_in_a_gap() -> None:
    clock = PlaybackClock()
    for number in range(5):
        clock.send(SECOND, 0.0)
        clock.send_mark(str(number), 0.0)
    for number, delay in enumerate((0.05, 0.35, 0.35, 0.35, 0.35)):
        clock.mark_returned(str(number), 1.0 + number + delay)
    clock.send(SECOND, 5.1)
    assert clock.lag.behind == pytest.approx(0.2), "the gap was shorter than what it was behind"
    clock.send(SECOND, 8.0)
    assert clock.lag.behind == 0.0, "it has run empty"


def test_a_mark_that_was_sent_long_after_its_audio_does_not_show_when_that_was_played() -> None:
    clock = talked(0.05, 0.05)
    clock.send_mark("late", 20.0)
    clock.mark_returned("late", 20.05)
    assert (clock.confirmed, clock.lag.seconds(20.05)) == (clock.sent, 0.0)


def test_a_clear_shows_that_the_carrier_waits_before_it_plays() -> None:
    clock = talked(0.2, 0.2, 0.2)
    clock.reset(0.9)
    assert not clock.mark_returned("12", 1.0)
    assert clock.lag.network == pytest.approx(0.1)
    clock.send(SECOND, 2.0)
    assert clock.position(2.3) == pytest.approx(0.2 * SECOND, abs=1), "it began 100 ms later"


@pytest.mark.parametrize(
    ("sent_ms", "after_ms", "marked", "wants"),
    [(0, 0, False, False), (40, 20, False, True), (200, 20, False, True), (200, 20, True, False), (40, 20, True, True)],
    ids=["nothing was sent", "no mark", "no mark, much audio", "one that comes back for it", "one under way anyway"],
)
def test_a_clear_for_which_no_mark_comes_back_wants_one_beside_it(
    sent_ms: int, after_ms: int, marked: bool, wants: bool
) -> None:
    clock = PlaybackClock()
    if sent_ms:
        clock.send(sent_ms * 8, 10.0)
    if marked:
        clock.send_mark("m", 10.0)
    now = 10.0 + after_ms / 1000
    assert clock.wants_probe(now) is wants
    if wants:
        clock.send_mark("probe", now)
        clock.reset(now)
        clock.mark_returned("probe", now + 0.1)
        assert clock.lag.network == pytest.approx(0.1)
        clock.send(320, now + 1.0)
        assert not clock.wants_probe(now + 1.0), "one is enough"


def test_a_mark_sent_with_nothing_to_play_shows_the_round_trip_and_is_not_stale() -> None:
    clock = PlaybackClock()
    assert clock.open("opening", 10.0)
    clock.send(SECOND, 10.0)
    assert not clock.open("again", 10.0), "it would wait for the audio"
    assert not clock.mark_returned("opening", 10.1), "it proves nothing about the audio"
    assert clock.lag.network == pytest.approx(0.1)
    assert (clock.confirmed, clock.stale_marks) == (0, 0)
    assert not clock.wants_probe(10.1)
    clock.reset(11.0)
    assert not clock.open("again", 11.0), "one is enough"


def test_a_mark_that_was_under_way_anyway_does_not_show_the_round_trip() -> None:
    clock = PlaybackClock()
    clock.send(SECOND, 0.0)
    clock.send_mark("one", 0.0)
    clock.reset(0.99)
    assert not clock.mark_returned("one", 1.0)
    assert clock.lag.network is None


@pytest.mark.parametrize(("now", "early"), [(0.89, True), (0.91, False), (1.0, False)])
def test_a_mark_that_comes_too_early_proves_nothing(now: float, *, early: bool) -> None:
    clock = clock_with((0.0, SECOND))
    clock.send_mark("one", 0.0)
    assert clock.mark_returned("one", now)
    assert clock.early_marks == early
    assert clock.confirmed == (0 if early else SECOND)
    assert clock.marked == (0 if early else SECOND), "another mark is to follow the audio"


def test_marks_of_before_a_reset_are_stale() -> None:
    clock = clock_with((0.0, SECOND))
    clock.send_mark("one", 0.0)
    clock.reset(0.1)
    assert (clock.sent, clock.marked, clock.confirmed, clock.position(0.1)) == (0, 0, 0, 0)
    assert not clock.mark_returned("one", 0.1)
    assert clock.stale_marks == 1
    assert not clock.mark_returned("never sent", 0.1)
    assert clock.stale_marks == 2


def test_the_quickest_mark_is_remembered_across_a_reset() -> None:
    clock = clock_with((0.0, SECOND))
    clock.send_mark("one", 0.0)
    clock.mark_returned("one", 1.2)
    clock.reset(1.2)
    for number in range(5):
        clock.send(SECOND, 5.0)
        clock.send_mark(str(number), 5.0)
    for number in range(3):
        clock.mark_returned(str(number), 6.5 + number)
    assert clock.ends_at(8.5) >= 10.3, "0.3 s later than the mark of before"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "mark", "return", "clear"]), st.integers(1, 30), st.floats(0.0, 0.5, width=16)
        ),
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
@pytest.mark.exhaustive
def test_whatever_comes_positions_are_in_bounds_and_never_go_back(acts: list[tuple[str, int, float]]) -> None:
    clock, now, names = PlaybackClock(), 0.0, itertools.count()
    under_way: list[str] = []
    position = returned = 0
    was_overdue = False
    for what, size, pause in acts:
        now += pause
        if what == "send":
            clock.send(160 * size, now)
        elif what == "mark":
            under_way.append(str(next(names)))
            clock.send_mark(under_way[-1], now)
        elif what == "return" and under_way:
            name = under_way.pop(min(size, len(under_way)) - 1)
            known = clock.mark_returned(name, now)
            returned += not known
        elif what == "clear":
            clock.reset(now)
            position = 0
        assert 0 <= clock.confirmed <= clock.position(now) <= clock.sent
        assert clock.marked <= clock.sent
        assert clock.held(now) == clock.sent - clock.position(now)
        assert (clock.ends_at(now) > now) <= (clock.held(now) > 0)
        if what == "return":  # a late mark shows that less was heard than the clock had said
            was_overdue = clock.lag.is_unsteady
        elif not was_overdue:  # and so does an overdue mark of a carrier that is known to pause
            assert clock.position(now) >= position - 1, "it may go back by what is lost in rounding: one byte"
        position = clock.position(now)
        assert clock.stale_marks == returned
    assert clock.position(now + 3600) == clock.sent


@pytest.mark.exhaustive
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
        clock.send_mark(str(number), now)
        heard = sum(max(0.0, min(now, end) - start) for start, end in played)
        assert clock.position(now) == pytest.approx(heard * SECOND, abs=2)
    for number, (_, end) in enumerate(played):
        clock.mark_returned(str(number), end + 0.04)
        assert clock.confirmed == sum(frames for frames, _ in pieces[: number + 1]) * 160
    assert (clock.stale_marks, clock.early_marks) == (0, 0)
