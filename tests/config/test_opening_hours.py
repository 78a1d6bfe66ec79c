"""When a line is open."""

from __future__ import annotations

from datetime import datetime

import pytest

from callflow.config.opening_hours import checked, read


MONDAY = "2026-11-30"


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        ("mon-fri 9-18", f"{MONDAY}T09:00:00", True),
        ("mon-fri 9-18", f"{MONDAY}T08:59:59", False),
        ("mon-fri 9-18", f"{MONDAY}T18:00:00", False),
        ("mon-fri 9-18", "2026-11-28T12:00:00", False),
        ("mon-fri 9-18, sat 10-14:30", "2026-11-28T14:29:59", True),
        ("Mon-Fri 9-18 , SAT 10 - 14:30", "2026-11-28T14:30:00", False),
        ("9-18", "2026-11-29T12:00:00", True),
        ("0-24", "2026-11-29T23:59:59", True),
        ("22-6", f"{MONDAY}T23:00:00", True),
        ("22-6", f"{MONDAY}T05:59:00", True),
        ("22-6", f"{MONDAY}T06:00:00", False),
        ("fri 22-6", "2026-11-28T05:00:00", True),
        ("fri 22-6", "2026-11-27T05:00:00", False),
        ("sat-mon 9-12", f"{MONDAY}T10:00:00", True),
        ("sat-mon 9-12", "2026-12-01T10:00:00", False),
    ],
)
def test_hours_and_days(hours: str, moment: str, is_open: bool) -> None:
    found = read(checked(hours), "UTC")
    assert found is not None
    assert found.is_open(datetime.fromisoformat(f"{moment}+00:00").timestamp()) is is_open


def test_the_zone_decides_also_when_its_clock_is_changed() -> None:
    found = read("mon-sun 9-10", "Europe/Berlin")
    assert found is not None
    for before_or_after, utc in (("2026-10-24", 7), ("2026-10-26", 8)):
        assert found.is_open(datetime.fromisoformat(f"{before_or_after}T0{utc}:30:00+00:00").timestamp())


def test_no_hours_is_always() -> None:
    assert read(checked(""), "UTC") is None


@pytest.mark.parametrize(
    "text",
    ["mon", "9", "monday 9-18", "mon-fre 9-18", "mon 9-25", "mon 24-3", "mon 9:75-10", "mon 9-18,,", "9-18; sat 9-12"],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as mon-fri 9-18"):
        checked(text)
