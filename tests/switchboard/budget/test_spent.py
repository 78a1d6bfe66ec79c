"""Days in a time zone, and how near a ceiling is."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.switchboard.budget.spent import Ceilings, Spent, day_of


DEAREST = 0.1


@pytest.mark.parametrize(
    ("zone", "now", "date", "hours"),
    [
        ("UTC", "2026-03-01T23:59:59+00:00", "2026-03-01", 24),
        ("Europe/Berlin", "2026-03-01T23:30:00+00:00", "2026-03-02", 24),
        ("Europe/Berlin", "2026-03-29T12:00:00+02:00", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25T02:30:00+01:00", "2026-10-25", 25),
        ("America/Los_Angeles", "2026-07-04T06:59:00+00:00", "2026-07-03", 24),
        ("Asia/Kathmandu", "2026-07-03T18:15:00+00:00", "2026-07-04", 24),
    ],
)
def test_a_day_is_one_of_its_time_zone(zone: str, now: str, date: str, hours: int) -> None:
    moment = datetime.fromisoformat(now).timestamp()
    day = day_of(moment, ZoneInfo(zone))
    assert day.date == date
    assert day.begins <= moment < day.ends
    assert day.ends - day.begins == hours * 3600


@given(st.floats(0, 4e9), st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"]))
def test_days_follow_each_other_without_a_gap(now: float, zone: str) -> None:
    day = day_of(now, ZoneInfo(zone))
    assert day.begins <= now < day.ends
    assert day_of(day.ends, ZoneInfo(zone)).begins == day.ends
    assert day_of(day.begins, ZoneInfo(zone)) == day


def test_an_unknown_price_is_not_0() -> None:
    unpriced = Spent(calls=1, minutes=20, unpriced_minutes=20)
    assert unpriced.usd(DEAREST) == pytest.approx(2.0)
    assert Ceilings(usd=2.0).share(unpriced, DEAREST) == pytest.approx(1.0)
    assert Ceilings(minutes=10).share(unpriced, DEAREST) == pytest.approx(2.0)


def test_the_nearer_ceiling_counts() -> None:
    spent = Spent(calls=3, minutes=30, engine_usd=1.5, carrier_usd=0.5)
    assert Ceilings().share(spent, DEAREST) == 0
    assert not Ceilings().any
    assert Ceilings(minutes=60, usd=2.5).share(spent, DEAREST) == pytest.approx(0.8)
    assert Ceilings(minutes=60, usd=2.5).said(spent, DEAREST) == "30.00 of 60 minutes and $2.00 of $2.5"
    assert Ceilings(minutes=1234567, usd=12345.67).said(spent, DEAREST) == (
        "30.00 of 1234567 minutes and $2.00 of $12345.67"
    )


@given(st.lists(st.builds(Spent, st.integers(0, 9), *[st.floats(0, 100)] * 4), max_size=5))
def test_sums_are_of_every_figure(parts: list[Spent]) -> None:
    total = sum(parts, Spent())
    assert total.calls == sum(one.calls for one in parts)
    assert total.usd(DEAREST) == pytest.approx(sum(one.usd(DEAREST) for one in parts))
