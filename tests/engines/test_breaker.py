"""How often a vendor is asked that refuses, by table: time and jitter are arguments."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import RefusalCounts as Counts
from callflow.engines.breaker import MOST_WAIT, Breaker, Pace, error_of, is_temporary, refusal_counts, retry_after


NOW = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT."""

ANSWERS: dict[tuple[int, str, str], Counts] = {
    (429, "rate_limit_exceeded", ""): "one",
    (408, "", ""): "one",
    (500, "", ""): "one",
    (502, "", ""): "one",
    (503, "", ""): "one",
    (529, "", ""): "one",
    (401, "invalid_api_key", ""): "at once",
    (401, "", ""): "at once",
    (403, "", ""): "at once",
    (403, "unsupported_country_region_territory", ""): "at once",
    (403, "model_not_found", ""): "",
    (403, "", "model"): "",
    (403, "", "session.voice"): "",
    (404, "model_not_found", ""): "",
    (404, "", ""): "",
    (400, "missing_required_parameter", "model"): "",
    (400, "", ""): "",
    (426, "", ""): "",
    (302, "", ""): "",
}


@pytest.mark.parametrize(("answer", "kind"), ANSWERS.items())
def test_what_an_answer_says_about_the_account(answer: tuple[int, str, str], kind: Counts) -> None:
    assert refusal_counts(*answer) == kind
    assert is_temporary(answer[0]) == (kind == "one")


BODIES: list[tuple[Any, tuple[str, str]]] = [
    ({"error": {"code": "model_not_found", "param": "model"}}, ("model_not_found", "model")),
    ({"error": {"code": 7, "param": None}}, ("", "")),
    ({"error": "no"}, ("", "")),
    ({"error": None}, ("", "")),
    (["error"], ("", "")),
    (None, ("", "")),
    ("no", ("", "")),
]


@pytest.mark.parametrize(("body", "told"), BODIES)
def test_what_the_body_of_an_answer_tells(body: Any, told: tuple[str, str]) -> None:
    assert error_of(body) == told


WAITS: dict[str, tuple[list[str], float]] = {
    "seconds": (["3"], 3.0),
    "with a point": (["1.5"], 1.5),
    "white space": ([" 7 "], 7.0),
    "nothing": ([], 0.0),
    "empty": ([""], 0.0),
    "none": (["0"], 0.0),
    "below none": (["-1"], 0.0),
    "words": (["soon"], 0.0),
    "not a number": (["nan"], 0.0),
    "without end": (["inf"], 0.0),
    "other digits": (["\u0663"], 0.0),
    "a day": (["86400"], 60.0),
    "more than there is": (["9" * 400], 0.0),
    "a date": (["Sun, 06 Nov 1994 08:49:47 GMT"], 10.0),
    "a date, the second form": (["Sunday, 06-Nov-94 08:49:47 GMT"], 10.0),
    "a date, the third form": (["Sun Nov  6 08:49:47 1994"], 10.0),
    "another zone": (["Sun, 06 Nov 1994 09:49:47 +0100"], 10.0),
    "a date that has been": (["Sun, 06 Nov 1994 08:49:27 GMT"], 0.0),
    "a date far away": (["Sun, 06 Nov 2094 08:49:37 GMT"], 60.0),
    "no date": (["Sun, 99 Nov 1994 08:49:47 GMT"], 0.0),
    "half a date": (["Sun, 06 Nov"], 0.0),
    "two": (["2", "4"], 4.0),
    "two, one of them nothing": (["2", "soon"], 2.0),
}


@pytest.mark.parametrize("name", WAITS)
def test_how_long_an_answer_asks_to_wait(name: str) -> None:
    after, seconds = WAITS[name]
    assert retry_after(after, NOW) == seconds


def test_a_date_is_meant_by_the_clock_of_the_answer() -> None:
    after, date = ["Sun, 06 Nov 1994 09:00:05 GMT"], "Sun, 06 Nov 1994 09:00:00 GMT"
    assert retry_after(after, NOW, date=date) == 5.0
    assert retry_after(after, NOW + 3600, date=date) == 5.0
    assert retry_after(["Sun, 06 Nov 1994 08:49:47 GMT"], NOW, date="who knows") == 10.0


def test_milliseconds() -> None:
    assert retry_after([], NOW, milliseconds=["1500"]) == 1.5
    assert retry_after(["2"], NOW, milliseconds=["1500"]) == 2.0
    assert retry_after([], NOW, milliseconds=["soon"]) == 0.0


@given(st.lists(st.text(max_size=80), max_size=3), st.lists(st.text(max_size=80), max_size=3), st.text(max_size=80))
def test_whatever_the_headers_say_it_is_a_wait_with_a_bound(after: list[str], ms: list[str], date: str) -> None:
    assert 0 <= retry_after(after, NOW, milliseconds=ms, date=date) <= MOST_WAIT


# One call


def asks(until: float, *, wait: float = 0.0, jitter: float = 0.0, handshake: float = 0.0) -> list[float]:
    """When a call asks that is refused every time, `handshake` seconds later."""
    pace, now, found = Pace(), 0.0, []
    while (now := pace.may_begin_at(now, float("-inf"))) < until:
        pace.began(now)
        found.append(now)
        now += handshake
        pace.refused(now, wait, jitter)
    return found


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("wait", [0.0, 1.0, 2.0])
def test_a_call_asks_five_times_and_never_leaves_a_gap_of_three_seconds(wait: float, jitter: float) -> None:
    times = asks(10.0, wait=wait, jitter=jitter)
    assert len(asks(15.0, wait=wait, jitter=jitter)) <= 5
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 3.0
    assert times[-1] > 7.0, "an engine that recovers then is asked no more"


@pytest.mark.parametrize("wait", [0.0, 0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("handshake", [0.0, 0.2, 2.0])
def test_no_fifteen_seconds_have_more_than_five_attempts(wait: float, jitter: float, handshake: float) -> None:
    times = asks(100.0, wait=wait, jitter=jitter, handshake=handshake)
    assert all(later - earlier >= 15.0 for earlier, later in zip(times, times[5:], strict=False))
    assert all(later - earlier >= wait for earlier, later in itertools.pairwise(times)), (
        "it came before it was asked to"
    )


def test_two_calls_do_not_ask_at_the_same_moments() -> None:
    assert not set(asks(9.0, jitter=0.2)[1:]) & set(asks(9.0, jitter=0.7)[1:])
    assert not set(asks(9.0, jitter=0.2, wait=2.0)[1:]) & set(asks(9.0, jitter=0.7, wait=2.0)[1:])


def test_a_long_wait_that_was_asked_for_is_kept() -> None:
    assert asks(30.0, wait=8.0) == [0.0, 8.0, 16.0, 24.0]


def test_a_handshake_that_hangs_has_another_beside_it_within_three_seconds() -> None:
    pace, times, now = Pace(), [], 0.0
    while (now := pace.may_begin_at(now, float("-inf"))) < 10.0:
        pace.began(now)
        times.append(now)
        now += pace.HANDSHAKE_SECONDS
        pace.hangs(now)
    assert times == pytest.approx([0.0, 2.9, 5.8, 8.7])


def test_what_one_session_was_told_holds_for_the_next() -> None:
    pace = Pace()
    pace.began(0.0)
    pace.refused(0.1, 4.0, 0.0)
    assert pace.may_begin_at(0.2, float("-inf")) == pytest.approx(4.1)


def test_a_session_that_was_had_and_lost_is_replaced_at_once_but_not_for_ever() -> None:
    pace, times, now = Pace(), [], 100.0
    for _ in range(12):
        now = pace.may_begin_at(now, float("-inf"))
        pace.began(now)
        times.append(now)
        pace.opened()
        now += 0.1
    assert times == pytest.approx([*(100.0 + number / 10 for number in range(10)), 115.5, 115.6])


def test_when_the_breaker_has_closed_a_call_asks_at_once_unless_it_has_asked_enough() -> None:
    pace = Pace()
    pace.began(0.0)
    pace.refused(0.1, 8.0, 0.0)
    assert pace.may_begin_at(4.0, 4.0) == 4.0
    assert pace.may_begin_at(4.0, -1.0) == pytest.approx(8.1)
    for now in (4.0, 4.1, 4.2, 4.3):
        pace.began(now)
    assert pace.may_begin_at(5.0, 5.0) == 15.5


def test_a_pace_is_outdated_when_it_says_no_more_than_a_new_one() -> None:
    pace = Pace()
    assert pace.is_outdated(0.0)
    pace.users += 1
    assert not pace.is_outdated(0.0)
    pace.began(0.0)
    assert not pace.is_outdated(20.0)
    pace.users -= 1
    assert not pace.is_outdated(15.0)
    assert pace.is_outdated(15.5)


# All calls

# Moments, and what is heard of a call then (ok, or what a failure counts); when that opens it.
STORIES: dict[str, tuple[Sequence[tuple[float, str]], float | None]] = {
    "five in a row": ([(0, "one"), (1, "one"), (2, "one"), (3, "one"), (4, "one")], 4),
    "five at the same moment": ([(0, "one")] * 5, 0),
    "five within ten seconds": ([(0, "one"), (1, "one"), (2, "one"), (3, "one"), (10, "one")], 10),
    "four": ([(0, "one")] * 4, None),
    "one call alone": ([(0, "one")] * 50, None),
    "one call alone, with a key that is refused": ([(0, "one"), (1, "at once")], 1),
    "too far apart": ([(0, "one"), (1, "one"), (2, "one"), (3, "one"), (10.1, "one")], None),
    "the last five of six": ([(0, "one"), (8, "one"), (9, "one"), (10, "one"), (11, "one"), (12, "one")], 12),
    "a success among them": ([*[(0, "one")] * 4, (1, "ok"), *[(2, "one")] * 4], None),
    "five after a success": ([*[(0, "one")] * 4, (1, "ok"), *[(2, "one")] * 5], 2),
    "a key that is refused": ([(0, "at once")], 0),
    "a key that is refused, later": ([(0, "ok"), (5, "at once")], 5),
    "one model": ([(0, "")] * 50, None),
    "one model among them": ([*[(0, "one")] * 2, *[(1, "")] * 9, *[(2, "one")] * 3], 2),
    "four, and one model": ([*[(0, "one")] * 4, *[(1, "")] * 9], None),
}


@pytest.mark.parametrize("name", STORIES)
def test_what_opens_it(name: str) -> None:
    steps, opens_at = STORIES[name]
    breaker, opened, calls = Breaker(), None, 1 if "alone" in name else 2
    for number, (at, what) in enumerate(steps):
        if what == "ok":
            breaker.succeeded(at)
        elif breaker.failed(at, f"call {number % calls}", what, "HTTP 503"):  # type: ignore[arg-type]
            assert opened is None, "it was opened twice"
            opened = at
    assert opened == opens_at
    assert breaker.is_open == (opens_at is not None)
    assert breaker.why == ("HTTP 503" if breaker.is_open else "")


def opened(at: float = 0.0, wait: float = 0.0, jitter: float = 0.0) -> Breaker:
    breaker = Breaker()
    assert breaker.failed(at, "a", "at once", "HTTP 401", wait, jitter)
    return breaker


def probes(
    breaker: Breaker, until: float, kind: Counts = "one", *, jitter: float = 0.0, takes: float = 0.0
) -> list[float]:
    """When it is probed, if every probe fails, after `takes` or as long as it may take."""
    found = []
    while (now := breaker.probe_at) < until:
        breaker.probe_began(now)
        found.append(now)
        assert not breaker.probe_ended(now + min(takes, breaker.probe_seconds), kind, "HTTP 503", 0.0, jitter)
        assert breaker.is_open
    return found


@pytest.mark.parametrize("jitter", [0.0, 0.999])
@pytest.mark.parametrize("takes", [0.0, 1.0, 99.0], ids=["at once", "slowly", "hangs"])
def test_probes_come_within_three_seconds_at_first_and_then_less_often(jitter: float, takes: float) -> None:
    times = [0.0, *probes(opened(jitter=jitter), 300.0, jitter=jitter, takes=takes)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(gap < 3.0 for gap, at in zip(gaps, times, strict=False) if at < 8.0)
    assert len([at for at in times if at <= 15.0]) <= 10
    assert 20.0 < gaps[-1] <= 30.0


def test_two_servers_do_not_probe_at_the_same_moments() -> None:
    early, late = (probes(opened(jitter=jitter), 300.0, jitter=jitter) for jitter in (0.999, 0.0))
    assert not set(early) & set(late)
    assert all(0.75 * there <= here < there for here, there in zip(early, late, strict=False))


def test_a_probe_waits_as_long_as_was_asked_for() -> None:
    assert opened(wait=20.0).probe_at == 20.0
    breaker = opened()
    breaker.probe_began(1.0)
    breaker.probe_ended(1.1, "one", "HTTP 429", 9.0)
    assert breaker.probe_at == pytest.approx(10.1)
    assert breaker.why == "HTTP 429"
    breaker.failed(5.0, "a", "one", "HTTP 503", 30.0)  # a call that had asked before
    assert breaker.probe_at == 35.0
    assert not breaker.failed(6.0, "a", "one", "HTTP 503", 1.0), "it is open"
    assert breaker.probe_at == 35.0, "nothing that comes later shortens what was asked for"


@pytest.mark.parametrize("by", ["a probe", "a call", "an answer about one model"])
def test_what_closes_it(by: str) -> None:
    breaker = opened()
    if by == "a call":
        assert breaker.succeeded(3.0)
    else:
        breaker.probe_began(2.0)
        assert breaker.probe_ended(3.0, "")
    assert (breaker.state, breaker.why, breaker.closed_at) == ("closed", "", 3.0)
    for _ in range(4):
        assert not breaker.failed(3.0, "a", "one", "HTTP 503"), "what was before it closed is counted still"
    assert breaker.failed(3.0, "b", "one", "HTTP 503")
    assert breaker.probe_at == 4.0, "its probes begin as often as the first time"


def test_a_probe_that_comes_after_a_call_was_let_in_says_nothing() -> None:
    breaker = opened()
    breaker.probe_began(2.0)
    assert breaker.succeeded(3.0)
    assert not breaker.probe_ended(4.0, "one", "HTTP 503")
    assert breaker.state == "closed"


def test_nobody_asks_while_it_is_open_and_few_at_once_while_nobody_knows() -> None:
    breaker = Breaker()
    assert [under_way for under_way in range(100) if breaker.has_room(under_way)] == list(range(12))
    breaker.succeeded(0.0)
    assert breaker.has_room(99), "calls wait for each other although all is well"
    breaker.failed(1.0, "a", "one", "HTTP 503")
    assert not breaker.has_room(99)
    breaker.failed(1.0, "a", "at once", "HTTP 401")
    assert not breaker.has_room(0)
    breaker.probe_began(2.0)
    assert not breaker.has_room(0)
    breaker.probe_ended(2.1, "")
    assert breaker.has_room(0)
    assert not breaker.has_room(99), "the first moment after it was closed is a storm"


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.sampled_from(["ok", "one", "at once", "", "probe"]), st.floats(0, 60)),
        max_size=60,
    )
)
def test_in_any_order_a_probe_is_always_due_within_a_minute(steps: list[tuple[float, str, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for after, what, wait in steps:
        now += after
        if what == "ok":
            breaker.succeeded(now)
            assert not breaker.is_open
        elif what != "probe":
            breaker.failed(now, str(len(steps) % 2), what, "why", wait, 0.5)  # type: ignore[arg-type]
        elif breaker.state == "open" and breaker.probe_at <= now:
            breaker.probe_began(now)
            breaker.probe_ended(now, "one", "why", wait, 0.5)
        if breaker.is_open:
            assert breaker.probe_at <= now + MOST_WAIT
            assert breaker.why
