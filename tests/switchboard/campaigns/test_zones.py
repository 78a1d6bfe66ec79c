"""The time zones in which a telephone number may lie, as a text and as zones."""

from __future__ import annotations

from datetime import datetime

import pytest

from callflow.switchboard.campaigns import zones
from callflow.switchboard.campaigns.schedule import Schedule


OFFICE = Schedule(begins=9 * 60, ends=18 * 60)
ALWAYS = Schedule(0, 1440, tuple(range(7)))


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_zones_of_numbers() -> None:
    assert zones.zones_of("+4930901820") == "Europe/Berlin"
    assert zones.zones_of("+12125550100") == "America/New_York"
    assert len(zones.zones_of("+61491570006").split(",")) > 1  # a mobile, which may be anywhere
    assert zones.zones_of("+15550100007") == ""
    for nothing in ("", "Mars/Olympus", "../etc/passwd", "America", "/etc/localtime", "x" * 300, "a\x00b"):
        assert zones.zone(nothing) is None


def test_zones_that_are_not_known_any_more_are_never_open() -> None:
    assert zones.open_now(Schedule(0, 1440, tuple(range(7))), ["Mars/Olympus", "UTC"], 0.0) == ["UTC"]
    assert zones.next_open(OFFICE, [("Mars/Olympus", 0.0)], 0.0) is None
    assert zones.next_open(OFFICE, [("UTC", at("2026-11-27T12:00+00:00")), ("UTC", 0.0)], 0.0) == 9 * 3600


@pytest.mark.parametrize("names", ["", ",", "UTC,", "UTC,Mars/Olympus", " UTC", "utc/", "UTC;Europe/Berlin"])
def test_a_text_with_one_zone_that_is_not_there_is_no_list_of_zones(names: str) -> None:
    with pytest.raises(LookupError):
        zones.read(names)
    assert zones.open_now(ALWAYS, [names], 0.0) == []
    assert zones.next_open(ALWAYS, [(names, 0.0)], 0.0) is None


def test_what_is_told_of_a_number_can_be_read_again() -> None:
    for number in ("+4930901820", "+61491570006", "+12125550100"):
        names = zones.zones_of(number)
        assert [zone.key for zone in zones.read(names)] == sorted(names.split(","))


def test_the_first_row_is_called_next_whichever_stands_in_front() -> None:
    early, late = ("Asia/Tokyo", at("2026-11-27T00:00+00:00")), ("America/New_York", at("2026-11-27T00:00+00:00"))
    now = at("2026-11-26T23:00+00:00")  # 8 in the morning in Tokyo
    for waiting in ([early, late], [late, early], [("Mars/Olympus", 0.0), late, early]):
        assert zones.next_open(OFFICE, waiting, now) == at("2026-11-27T09:00+09:00")
    assert zones.next_open(OFFICE, [], now) is None


def test_no_row_is_called_before_it_waits_or_in_the_past() -> None:
    now, later = at("2026-11-27T12:00+00:00"), at("2026-11-27T13:00+00:00")
    assert zones.next_open(OFFICE, [("UTC", 0.0)], now) == now
    assert zones.next_open(OFFICE, [("UTC", later)], now) == later
