"""When a number may be called, in every zone in which it may lie, and how often."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callflow.switchboard.campaigns import zones
from callflow.switchboard.campaigns.outcomes import ANSWERED, CANCELED, UNKNOWN
from callflow.switchboard.campaigns.schedule import PAUSES, Schedule, read_schedule


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


USUAL: dict[str, Any] = {**PAUSES, "unknown": None}
OFFICE = Schedule(begins=9 * 60, ends=18 * 60)


@pytest.mark.parametrize(
    ("now", "names", "is_open"),
    [
        ("2026-11-27T08:59:59+01:00", "Europe/Berlin", False),  # a Friday
        ("2026-11-27T09:00:00+01:00", "Europe/Berlin", True),
        ("2026-11-27T17:59:59+01:00", "Europe/Berlin", True),
        ("2026-11-27T18:00:00+01:00", "Europe/Berlin", False),
        ("2026-11-28T12:00:00+01:00", "Europe/Berlin", False),  # a Saturday
        # The weekday is that of the number: Friday in Los Angeles is Saturday in Sydney.
        ("2026-11-27T17:00:00-08:00", "America/Los_Angeles", True),
        ("2026-11-27T17:00:00-08:00", "Australia/Sydney", False),
        ("2026-11-27T09:30:00-05:00", "America/New_York", True),
        ("2026-11-27T09:30:00-05:00", "America/Chicago,America/New_York", False),
        ("2026-11-27T10:00:00-05:00", "America/Chicago,America/New_York", True),
        ("2026-11-27T17:30:00-06:00", "America/Chicago,America/New_York", False),
        # Clocks change: 9:00 is another moment on the Monday after than on the Friday before.
        ("2026-03-06T14:00:00+00:00", "America/New_York", True),
        ("2026-03-09T13:00:00+00:00", "America/New_York", True),
        ("2026-03-06T13:00:00+00:00", "America/New_York", False),
        ("2026-10-23T07:00:00+00:00", "Europe/Berlin", True),
        ("2026-10-26T07:00:00+00:00", "Europe/Berlin", False),
        ("2026-10-26T08:00:00+00:00", "Europe/Berlin", True),
        ("2026-11-27T09:00:00+05:45", "Asia/Kathmandu", True),
        ("2026-11-27T08:59:00+05:45", "Asia/Kathmandu", False),
    ],
)
def test_the_hours_are_those_of_the_number(now: str, names: str, is_open: bool) -> None:
    assert OFFICE.is_open(at(now), zones.read(names)) is is_open
    assert (zones.open_now(OFFICE, [names], at(now)) == [names]) is is_open


@pytest.mark.parametrize(
    ("after", "names", "following"),
    [
        ("2026-11-27T12:00:00+01:00", "Europe/Berlin", "2026-11-27T12:00:00+01:00"),
        ("2026-11-27T06:00:00+01:00", "Europe/Berlin", "2026-11-27T09:00:00+01:00"),
        ("2026-11-27T18:00:00+01:00", "Europe/Berlin", "2026-11-30T09:00:00+01:00"),
        ("2026-03-06T18:00:00-05:00", "America/New_York", "2026-03-09T09:00:00-04:00"),
        ("2026-11-27T06:00:00-05:00", "America/Los_Angeles,America/New_York", "2026-11-27T09:00:00-08:00"),
        ("2026-11-27T06:00:00-05:00", "America/New_York,Asia/Tokyo", None),
    ],
)
def test_the_next_moment_is_the_first_at_which_the_hours_hold_in_all_zones(
    after: str, names: str, following: str | None
) -> None:
    found = OFFICE.next_open(at(after), zones.read(names))
    assert found == (at(following) if following else None)


@pytest.mark.parametrize(
    ("hours", "after", "name", "following"),
    [
        # an hour is missing: what begins within it begins when the clocks change
        ("2:30-5", "2026-03-08T01:00:00-05:00", "America/New_York", "2026-03-08T03:00:00-04:00"),
        ("2:15-3:15", "2026-03-29T00:30:00+01:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00"),
        # an hour comes twice
        ("2:30-3", "2026-10-25T02:04:13+01:00", "Europe/Berlin", "2026-10-25T02:30:00+01:00"),
        ("1:30-2:30", "2026-10-25T02:40:00+02:00", "Europe/Berlin", "2026-10-25T02:00:00+01:00"),
        ("1:15-1:45", "2026-11-01T01:50:00-04:00", "America/New_York", "2026-11-01T01:15:00-05:00"),
    ],
)
def test_hours_on_days_on_which_the_clocks_change(hours: str, after: str, name: str, following: str) -> None:
    problems: list[str] = []
    schedule = read_schedule({"hours": hours, "weekdays": "mon-sun"}, problems)
    assert problems == []
    assert schedule.next_open(at(after), zones.read(name)) == at(following)


@pytest.mark.parametrize(("name", "begin"), [("Europe/Berlin", "2026-03-22"), ("America/New_York", "2026-10-25")])
def test_wherever_the_clocks_change_the_hours_hold(name: str, begin: str) -> None:
    """Each quarter of an hour of two weeks, in zones that change their clocks within them."""
    schedule, zone = Schedule(begins=0, ends=3 * 60, weekdays=tuple(range(7))), ZoneInfo(name)
    for quarter in range(14 * 96):
        now = at(f"{begin}T00:00:00+00:00") + quarter * 900
        assert schedule.is_open(now, [zone]) is (datetime.fromtimestamp(now, zone).hour < 3)
        following = schedule.next_open(now, [zone])
        assert following is not None
        assert schedule.is_open(following, [zone])
        assert following - now <= 26 * 3600


@pytest.mark.parametrize(
    ("outcome", "tries", "pause"),
    [
        (ANSWERED, 1, None), (CANCELED, 1, None), (UNKNOWN, 1, None), ("busy", 1, 300.0), ("busy", 2, 300.0),
        ("busy", 3, None), ("fax", 1, None), ("no_answer", 1, 3600.0), ("failed", 1, 900.0), ("machine", 2, 3600.0),
    ],
)  # fmt: skip
def test_a_number_is_called_again_after_the_pause_of_its_outcome(outcome: str, tries: int, pause: float | None) -> None:
    assert Schedule().retry_at(outcome, tries, 1000.0) == (None if pause is None else 1000.0 + pause)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, {"hours": "09:00-18:00", "weekdays": "mon,tue,wed,thu,fri", "attempts": 3, "pauses": USUAL}),
        ({"hours": "9-18"}, {"hours": "09:00-18:00"}),
        ({"hours": "08:30 - 24"}, {"hours": "08:30-24:00"}),
        ({"weekdays": "sat-mon"}, {"weekdays": "mon,sat,sun"}),
        ({"weekdays": ["Monday", "wed"]}, {"weekdays": "mon,wed"}),
        ({"attempts": "2", "at_once": "7", "calls_per_second": "0.5"}, {"attempts": 2, "at_once": 7}),
        ({"pauses": {"busy": 1, "failed": None}}, {"pauses": {**USUAL, "busy": 1, "failed": None}}),
        ({"pauses": "busy:1, failed:never"}, {"pauses": {**USUAL, "busy": 1, "failed": None}}),
    ],
)
def test_a_schedule_is_read_and_told(given: dict[str, Any], told: dict[str, Any]) -> None:
    problems: list[str] = []
    schedule = read_schedule(given, problems)
    assert problems == []
    assert {name: schedule.to_json()[name] for name in told} == told
    assert read_schedule(schedule.to_json(), problems) == schedule
    assert problems == []


@pytest.mark.parametrize(
    "given",
    [
        {"hours": "18-9"}, {"hours": "9"}, {"hours": "9-25"}, {"hours": "24-24"}, {"hours": 9}, {"weekdays": "fry"},
        {"weekdays": ""}, {"weekdays": 1}, {"attempts": 0}, {"attempts": 1.5}, {"attempts": True}, {"attempts": "many"},
        {"at_once": 0}, {"calls_per_second": 0}, {"calls_per_second": "nan"}, {"calls_per_second": 1e9},
        {"pauses": 7}, {"pauses": {"busy": -1}}, {"pauses": {"answered": 1}}, {"pauses": {"busy": "soon"}},
        {"pauses": "busy"},
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(given: dict[str, Any]) -> None:
    problems: list[str] = []
    read_schedule(given, problems)
    assert len(problems) == 1
    assert problems[0].startswith(next(iter(given)))
