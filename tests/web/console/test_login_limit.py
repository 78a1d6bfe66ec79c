"""How often a wrong token may be tried."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from callflow.web.console.login_limit import EACH, EACH_OF_ALL, TRIES, TRIES_OF_ALL, LoginLimit


def test_an_address_has_some_tries_at_once_and_then_one_in_so_many_seconds() -> None:
    limit = LoginLimit()
    for _ in range(TRIES):
        assert limit.wait("a", 100.0) == 0
        limit.failed("a", 100.0)
    assert limit.wait("a", 100.0) == EACH
    assert limit.wait("b", 100.0) == 0
    assert limit.wait("a", 100.0 + EACH) == 0
    limit.failed("a", 100.0 + EACH)
    assert limit.wait("a", 100.0 + EACH) == EACH
    assert limit.wait("a", 1000.0) == 0


def test_all_addresses_together_have_a_limit_too_and_memory_does_not_grow() -> None:
    limit = LoginLimit()
    for number in range(TRIES_OF_ALL):
        assert limit.wait(f"a{number}", 5.0) == 0
        limit.failed(f"a{number}", 5.0)
    assert limit.wait("another", 5.0) > 0
    for number in range(5000):
        limit.failed(f"b{number}", 5.0)
    assert len(limit._full) <= 1000


def test_who_is_over_the_limit_waits_whole_seconds_and_not_one_too_few() -> None:
    limit = LoginLimit()
    for _ in range(TRIES):
        limit.failed("a", 0.0)
    for late in (0.0, 0.001, 0.999, 1.0, 4.5):
        assert limit.wait("a", late) == math.ceil(EACH - late)
        assert limit.wait("a", late + limit.wait("a", late)) == 0, "a client that waits as it was told is let in"


def test_the_address_that_is_forgotten_is_the_one_that_tried_longest_ago() -> None:
    limit = LoginLimit()
    for address in ("early", "late"):
        limit.failed(address, 0.0)
    for number in range(998):
        limit.failed(f"x{number}", 0.0)
    limit.failed("early", 0.0)
    limit.failed("one more", 0.0)
    assert set(limit._full) == {"early", "one more", *(f"x{number}" for number in range(998))}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 100)), max_size=60))
def test_nobody_has_more_tries_than_at_once_and_one_in_so_many_seconds(tries: list[tuple[str, float]]) -> None:
    limit, taken, now = LoginLimit(), list[tuple[str, float]](), 0.0
    for address, pause in tries:
        now += pause / 10
        if limit.wait(address, now) == 0:
            taken.append((address, now))
            limit.failed(address, now)
    for address in "ab":
        own = [at for each, at in taken if each == address]
        for first in range(len(own)):
            for last in range(first, len(own)):
                assert last - first + 1 <= TRIES + (own[last] - own[first]) / EACH + 1e-6


def test_a_clock_that_stands_still_or_is_behind_gives_no_tries_back() -> None:
    limit = LoginLimit()
    for number in range(TRIES):
        limit.failed("a", 100.0 - number)
    assert limit.wait("a", 100.0) > 0
    assert limit.wait("b", 100.0 - TRIES) == 0


def test_the_tries_of_all_come_back_with_time() -> None:
    limit = LoginLimit()
    for number in range(TRIES_OF_ALL):
        limit.failed(f"a{number}", 0.0)
    assert limit.wait("b", 0.0) == math.ceil(EACH_OF_ALL)
    assert limit.wait("b", EACH_OF_ALL) == 0
