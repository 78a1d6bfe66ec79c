"""The minutes of the last hour."""

from __future__ import annotations

import pytest

from callflow.telemetry.last_hour import LastHour, merged, percentile


NOON = 1_700_000_040.0 // 60 * 60


def test_each_minute_has_its_own_figures() -> None:
    hour = LastHour()
    for ms in range(1, 101):
        hour.answered(NOON + 1, ms)
    hour.began(NOON + 2)
    hour.lagged(NOON + 3, 0.0042)
    hour.began(NOON + 61)
    hour.began(NOON + 62)
    hour.ended(NOON + 63, "c", "success")
    told = hour.minutes(NOON + 70)
    assert told == {
        "at": [NOON, NOON + 60],
        "calls": [1, 2],
        "p50": [51, None],
        "p95": [96, None],
        "lag": [4.2, None],
        "ended": {"success": 1},
    }
    assert hour.latency(NOON + 70) == (51, 96)
    assert (hour.result("c"), hour.result("another")) == ("success", "")


def test_what_is_older_than_an_hour_is_not_told() -> None:
    hour = LastHour()
    hour.answered(NOON, 100)
    hour.ended(NOON, "c", "caller")
    later = NOON + 3601
    assert hour.minutes(later) == {"at": [], "calls": [], "p50": [], "p95": [], "lag": [], "ended": {}}
    assert hour.latency(later) == (None, None)
    hour.began(later)
    assert hour.minutes(later)["calls"] == [1]


@pytest.mark.exhaustive
def test_no_more_than_sixty_minutes_and_no_more_than_their_sums_are_kept() -> None:
    hour = LastHour()
    for minute in range(200):
        for ms in range(3000):
            hour.answered(NOON + 60 * minute, ms)
    told = hour.minutes(NOON + 60 * 199)
    assert len(told["at"]) == 60
    assert len(hour._latencies) == 2000
    assert all(not minute.latencies for minute in list(hour._minutes)[:-1])


def test_a_clock_that_steps_back_goes_on_in_the_newest_minute() -> None:
    hour = LastHour()
    hour.began(NOON + 60)
    hour.began(NOON)
    assert hour.minutes(NOON + 61)["calls"] == [2]


def test_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7], 0.95) == 7
    assert percentile([3, 1, 2], 0.5) == 2


def test_the_hours_of_several_processes_are_one_hour() -> None:
    whole, parts = LastHour(), [LastHour(), LastHour()]
    for ms in range(1500):
        for hour in (whole, parts[ms % 5 == 0]):
            hour.answered(NOON + 1 + ms / 100, ms)
    for number, hour in enumerate(parts):
        hour.began(NOON + 60 * number)
        hour.lagged(NOON + 60, 0.001 * (number + 1))
        hour.ended(NOON + 61, f"c{number}", "success")
    told = merged([hour.minutes(NOON + 70, waits=True) for hour in parts])
    assert (told["at"], told["calls"]) == ([NOON, NOON + 60], [1, 1])
    assert (told["lag"], told["ended"]) == ([None, 2.0], {"success": 2})
    for name in ("p50", "p95"):
        assert told[name] == [pytest.approx(whole.minutes(NOON + 70)[name][0], rel=0.05), None]
    few = LastHour()
    few.answered(NOON, 10)
    few.answered(NOON, 20)
    assert merged([few.minutes(NOON, waits=True)]) == few.minutes(NOON)
