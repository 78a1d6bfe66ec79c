"""How long the network holds up what comes from the carrier, by pings, by table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.media.ping_evidence import PingEvidence


def answered(*round_trips: float, start: float = 10.0) -> tuple[PingEvidence, float]:
    """Pings with these round trips, one a second. Returns the time after the last pong, too."""
    pings, now = PingEvidence(), start
    for round_trip in round_trips:
        pings.sent(now)
        pings.answered(now + round_trip)
        now += 1.0
    return pings, now


@pytest.mark.parametrize(
    ("round_trips", "usual"),
    [
        pytest.param((), None, id="none"),
        pytest.param((0.1, 0.1), None, id="too few"),
        pytest.param((0.1, 0.3, 0.1), 0.1, id="one of three was late"),
        pytest.param((0.1,) * 9 + (0.2,) * 5, 0.2, id="the network has become slower"),
    ],
)
def test_the_usual_round_trip_is_that_of_most_of_the_last_pings(
    round_trips: tuple[float, ...], usual: float | None
) -> None:
    pings, _ = answered(*round_trips)
    assert pings.usual == (None if usual is None else pytest.approx(usual))


@pytest.mark.parametrize(
    ("waited", "held_up"),
    [
        pytest.param(0.05, 0.0, id="before it is due"),
        pytest.param(0.1, 0.0, id="when it is due"),
        pytest.param(0.35, 0.25, id="overdue"),
        pytest.param(0.65, 0.0, id="lost"),
    ],
)
def test_an_overdue_pong_shows_for_how_long_the_network_holds_things_up(waited: float, held_up: float) -> None:
    pings, now = answered(0.1, 0.1, 0.1)
    pings.sent(now)
    assert pings.held_up(now + waited) == pytest.approx(held_up)


def test_what_comes_together_with_a_late_pong_was_held_up_with_it() -> None:
    pings, now = answered(0.1, 0.1, 0.1)
    pings.sent(now)
    pings.answered(now + 0.3)
    assert pings.held_up(now + 0.31) == pytest.approx(0.2)
    assert pings.held_up(now + 0.35) == 0.0, "the network goes on"


def test_a_peer_that_answers_no_pings_gives_no_evidence() -> None:
    pings = PingEvidence()
    assert pings.is_learning
    pings.sent(10.0)
    assert pings.held_up(10.4) == 0.0
    pings.answered(20.0)
    pings.answered(20.1)
    assert pings.usual is None, "a pong that nobody waits for was counted"


def test_pings_have_a_distance_and_wait_for_their_pong() -> None:
    pings, now = answered(0.1, 0.1, 0.1)
    pings.sent(now)
    assert not pings.wants_another(now + 0.2), "the last one has no pong yet"
    assert pings.wants_another(now + 0.61), "a lost one is waited for"
    pings.answered(now + 0.05)
    assert not pings.wants_another(now + 0.06)
    assert pings.wants_another(now + 0.11)


@given(st.lists(st.tuples(st.sampled_from(["sent", "answered"]), st.floats(0, 2)), max_size=60), st.floats(0, 2))
def test_whatever_comes_it_is_bounded(acts: list[tuple[str, float]], later: float) -> None:
    pings, now = PingEvidence(), 10.0
    for what, after in acts:
        now += after
        getattr(pings, what)(now)
        assert 0.0 <= pings.held_up(now + later) <= 0.5
    assert len(pings._round_trips) <= 9
