"""What calls have taken, and whether that is more than they may. Pure.

A day is a calendar day in one time zone; a call belongs to the day on which it began. Minutes count from the answer.
A price that is not known is not 0: of such a call the minutes count, at the dearest minute of the price catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


WARN_SHARE = 0.8
"""At this share of a ceiling there is a warning."""


class Day(NamedTuple):
    """A calendar day: its date (ISO 8601), and when it begins and ends, in Unix time (seconds)."""

    date: str
    begins: float
    ends: float


def day_of(now: float, zone: ZoneInfo) -> Day:
    """Return the day of a moment. `now`: Unix time, in seconds."""
    midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = (midnight + timedelta(days=1)).replace(fold=0)
    return Day(midnight.date().isoformat(), midnight.timestamp(), following.timestamp())


@dataclass(frozen=True, slots=True)
class Spent:
    """What some calls have taken."""

    calls: int = 0
    minutes: float = 0.0
    engine_usd: float = 0.0
    """Of the calls whose price is known."""
    carrier_usd: float = 0.0
    """As far as the carrier has told it."""
    unpriced_minutes: float = 0.0
    """Minutes of the calls whose price is not known."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.calls + other.calls,
            self.minutes + other.minutes,
            self.engine_usd + other.engine_usd,
            self.carrier_usd + other.carrier_usd,
            self.unpriced_minutes + other.unpriced_minutes,
        )

    def usd(self, dearest_minute: float) -> float:
        """Return what counts in US dollars. `dearest_minute`: for each minute without a known price."""
        return self.engine_usd + self.carrier_usd + self.unpriced_minutes * dearest_minute


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What calls may take in a day; 0: as much as they like."""

    minutes: float = 0.0
    usd: float = 0.0

    @property
    def any(self) -> bool:
        """Whether any ceiling is set."""
        return self.minutes > 0 or self.usd > 0

    def share(self, spent: Spent, dearest_minute: float) -> float:
        """Return how much of the ceiling that is nearer has been used; 1.0: all of it."""
        shares = [0.0]
        if self.minutes > 0:
            shares.append(spent.minutes / self.minutes)
        if self.usd > 0:
            shares.append(spent.usd(dearest_minute) / self.usd)
        return max(shares)

    def said(self, spent: Spent, dearest_minute: float) -> str:
        """Return what has been used of which ceiling, as a clause."""
        parts = []
        if self.minutes > 0:
            parts.append(f"{spent.minutes:.2f} of {self.minutes:.15g} minutes")
        if self.usd > 0:
            parts.append(f"${spent.usd(dearest_minute):.2f} of ${self.usd:.15g}")
        return " and ".join(parts)
