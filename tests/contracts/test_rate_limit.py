"""How often something may happen: so many at once, and so many a second in the long run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.rate_limit import RateLimit


def test_so_many_at_once_and_no_more_until_there_was_time_for_one() -> None:
    one = RateLimit(per_second=1.0, at_once=3)
    assert [one.take(10.0) for _ in range(5)] == [True, True, True, False, False]
    assert [one.take(at) for at in (10.9, 11.0, 11.5, 12.0)] == [False, True, False, True]
    assert [one.take(99.0) for _ in range(4)] == [True, True, True, False]


def test_what_is_saved_up_is_bounded_and_time_that_stands_still_saves_nothing() -> None:
    one = RateLimit(per_second=10.0, at_once=2)
    assert [one.take(10**9) for _ in range(3)] == [True, True, False]
    assert [one.take(10**9) for _ in range(3)] == [False, False, False]


def test_where_nothing_may_happen_nothing_does() -> None:
    assert not any(RateLimit(per_second=100.0, at_once=0).take(float(at)) for at in range(100))
    never_again = RateLimit(per_second=0.0, at_once=1)
    assert [never_again.take(float(at)) for at in range(1, 4)] == [True, False, False]


@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=40), st.integers(1, 5), st.sampled_from([0.5, 1.0, 4.0]))
def test_in_no_stretch_of_time_is_more_let_through_than_was_said(
    pauses: list[float], at_once: int, rate: float
) -> None:
    one, now, taken = RateLimit(per_second=rate, at_once=at_once), 100.0, list[float]()
    for pause in pauses:
        now += pause
        if one.take(now):
            taken.append(now)
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= at_once + (taken[last] - began) * rate + 1e-6
