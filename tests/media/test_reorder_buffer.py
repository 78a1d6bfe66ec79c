"""Numbered frames are put back into order, and none that can still be used is lost or kept waiting for long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.media.reorder_buffer import ReorderBuffer


def pushed(reorder: ReorderBuffer, chunks: list[int]) -> list[int]:
    """The numbers that came out, in order; each frame carries its own."""
    return [int(payload) for chunk in chunks for payload in reorder.push(chunk, str(chunk))]


@st.composite
def shuffles(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A window, and 1, 2, 3, … with each frame at most that far behind its place."""
    window = draw(st.integers(1, 5))
    count = draw(st.integers(1, 60))
    delay = st.integers(0, window)
    return window, sorted(range(1, count + 1), key=lambda chunk: chunk + draw(delay) + 0.5 * draw(st.booleans()))


@given(shuffles())
def test_any_shuffle_within_the_window_comes_out_in_order(shuffle: tuple[int, list[int]]) -> None:
    window, chunks = shuffle
    reorder = ReorderBuffer(window)
    out = pushed(reorder, chunks)
    assert out == sorted(chunks)
    assert reorder.late == 0
    assert not reorder.held


def test_frames_that_come_ahead_of_others_are_counted() -> None:
    reorder = ReorderBuffer(3)
    assert pushed(reorder, [1, 2, 3]) == [1, 2, 3]
    assert (reorder.ahead, reorder.late) == (0, 0)
    assert pushed(reorder, [6, 5, 4, 7]) == [4, 5, 6, 7]
    assert (reorder.ahead, reorder.late) == (2, 0)
    assert pushed(reorder, [4, 8]) == [8]
    assert (reorder.ahead, reorder.late) == (2, 1)


@given(shuffles(), st.integers(2, 10**12))
def test_counting_may_begin_anywhere(shuffle: tuple[int, list[int]], start: int) -> None:
    window, chunks = shuffle
    chunks = [start + window, *(start + window + chunk for chunk in chunks)]
    assert pushed(ReorderBuffer(window), chunks) == sorted(chunks)


@given(shuffles(), st.data())
def test_repeats_are_dropped(shuffle: tuple[int, list[int]], data: st.DataObject) -> None:
    window, chunks = shuffle
    repeated = data.draw(st.lists(st.integers(0, len(chunks) - 1), max_size=20))
    twice = [chunk for place, chunk in enumerate(chunks) for _ in range(1 + repeated.count(place))]
    reorder = ReorderBuffer(window)
    assert pushed(reorder, twice) == sorted(chunks)
    assert reorder.late == len(repeated)


@given(st.lists(st.integers(-3, 40), max_size=80), st.integers(0, 5))
def test_whatever_comes_nothing_waits_beyond_the_window_and_nothing_comes_out_twice(
    chunks: list[int], window: int
) -> None:
    reorder = ReorderBuffer(window)
    came = 0
    for chunk in chunks:
        came += len(reorder.push(chunk, ""))
        assert len(reorder.held) <= window
    came += len(reorder.flush())
    assert came + reorder.late == len(chunks)
    assert not reorder.held


def test_a_missing_frame_delays_the_others_by_the_window_at_most() -> None:
    reorder = ReorderBuffer(3)
    assert pushed(reorder, [1, 2]) == [1, 2]
    assert [pushed(reorder, [chunk]) for chunk in (4, 5, 6, 7, 8)] == [[], [], [], [4, 5, 6, 7], [8]]
    assert pushed(reorder, [3]) == [], "its place was given up"
    assert reorder.late == 1


def test_the_timer_ends_the_wait_for_a_missing_frame() -> None:
    reorder = ReorderBuffer(3)
    assert pushed(reorder, [1, 3, 4]) == [1]
    assert reorder.flush() == ("3", "4")
    assert reorder.flush() == ()
    assert pushed(reorder, [2, 5]) == [5]


def test_a_lost_beginning_is_waited_for_only_within_the_window() -> None:
    assert pushed(ReorderBuffer(3), [2, 1, 3]) == [1, 2, 3]
    assert pushed(ReorderBuffer(3), [4, 1, 2, 3]) == [1, 2, 3, 4]
    assert pushed(ReorderBuffer(3), [5, 6, 7]) == [5, 6, 7]
    assert pushed(ReorderBuffer(1), [2, 1]) == [1, 2], "the first frame was dropped where it came second"


def test_frames_without_a_number_pass_in_the_order_of_their_coming() -> None:
    reorder = ReorderBuffer(3)
    assert pushed(reorder, [0, 0, 0]) == [0, 0, 0]
    assert pushed(ReorderBuffer(3), [1, 3, 0, 4]) == [1, 3, 0, 4], "and what was held goes before them"


def test_a_frame_without_a_number_does_not_decide_where_counting_begins() -> None:
    """The first one did, and the numbered ones after it were held until the window was full."""
    assert pushed(ReorderBuffer(3), [0, 500, 501]) == [0, 500, 501]


def test_without_a_window_frames_are_taken_as_they_come() -> None:
    """Those that came out of order were dropped."""
    reorder = ReorderBuffer(0)
    assert pushed(reorder, [2, 1, 1, 3, 9, 4]) == [2, 1, 1, 3, 9, 4]
    assert reorder.late == 0


def test_what_was_held_when_counting_began_anew_is_old() -> None:
    order = ReorderBuffer(3)
    for chunk in (1, 2, 3, 5):
        order.push(chunk, f"old {chunk}")
    passed = [order.push(2, "new") for _ in range(51)]
    assert passed[-1] == ("new",)
    assert order.flush() == ()


@pytest.mark.parametrize("first", [1, 2, 700])
def test_a_carrier_that_counts_anew_loses_no_word(first: int) -> None:
    """A whole second of the caller was lost."""
    reorder = ReorderBuffer(3)
    for chunk in range(60_000, 65_536):
        reorder.push(chunk, "old")
    assert pushed(reorder, [65_537]) == [], "one is missing"
    anew = list(range(first, first + 100))
    assert [pushed(reorder, [chunk]) for chunk in anew[:4]] == [[], [], [65_537, *anew[:3]], [anew[3]]]
    assert pushed(reorder, anew[4:]) == anew[4:]
    assert reorder.late == 0


def test_one_number_that_is_far_too_high_costs_nothing() -> None:
    """It silenced the caller for the rest of the call, and later for a second."""
    reorder = ReorderBuffer(3)
    assert pushed(reorder, [1, 2, 10**9]) == [1, 2]
    reorder.flush()
    assert pushed(reorder, list(range(3, 200))) == list(range(3, 200))


def test_old_frames_among_new_ones_are_no_other_numbering() -> None:
    reorder = ReorderBuffer(3)
    pushed(reorder, list(range(1, 101)))
    assert pushed(reorder, [7, 101, 8, 102, 9, 103, 10, 104]) == [101, 102, 103, 104]
    assert pushed(reorder, [20, 30, 40, 20, 21, 105]) == [105]
    assert reorder.late == 9


def test_a_carrier_that_counts_anew_soon_after_the_beginning_is_heard_again_within_a_second() -> None:
    reorder = ReorderBuffer(3)
    pushed(reorder, list(range(1, 31)))
    assert pushed(reorder, list(range(1, 100))) == list(range(31, 100))
