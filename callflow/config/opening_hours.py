"""When a line is open, as the setting `hours` says it: `mon-fri 9-18, sat 10-14:30`. Pure but for the zone's file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo


WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60
_PART: Final = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<begins>\d{1,2}(?::\d{2})?)\s*-\s*(?P<ends>\d{1,2}(?::\d{2})?)"
)
NEVER: Final = "never"
_EXAMPLE: Final = "mon-fri 9-18, sat 10-14:30"


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """The hours of one line."""

    text: str
    """As it was written."""
    parts: tuple[tuple[frozenset[int], int, int], ...]
    """Weekdays (0: Monday), and from which minute of the day to which; the end is not included. An end that is not
    after its beginning is on the next day."""
    zone: ZoneInfo

    def is_open(self, now: float) -> bool:
        """Return whether the line is open. `now`: Unix time, in seconds."""
        local = datetime.fromtimestamp(now, self.zone)
        minute, today = local.hour * 60 + local.minute, local.weekday()
        yesterday = (today - 1) % 7
        for days, begins, ends in self.parts:
            if begins < ends:
                if today in days and begins <= minute < ends:
                    return True
            elif (today in days and minute >= begins) or (yesterday in days and minute < ends):
                return True
        return False


def is_never(text: str) -> bool:
    """Return whether these hours keep the line closed."""
    return text.strip().lower() == NEVER


def checked(text: str) -> str:
    """Check a text of hours; "": always open. Raises ValueError."""
    _parts(text)
    return text


def read(text: str, zone: str) -> OpeningHours | None:
    """Return the hours of a checked text; None: the line is always open. Reads files."""
    return OpeningHours(text.strip(), _parts(text), ZoneInfo(zone)) if text.strip() else None


def _parts(text: str) -> tuple[tuple[frozenset[int], int, int], ...]:
    if not text.strip() or is_never(text):
        return ()
    return tuple(_part(part.strip().lower()) for part in text.split(","))


def _part(text: str) -> tuple[frozenset[int], int, int]:
    found = _PART.fullmatch(text)
    if found is None:
        raise ValueError(f"must be weekdays and hours, such as {_EXAMPLE}")
    first = found["first"] or WEEKDAYS[0]
    last = found["last"] or found["first"] or WEEKDAYS[-1]
    if first not in WEEKDAYS or last not in WEEKDAYS:
        raise ValueError(f"must name weekdays as {', '.join(WEEKDAYS)}, such as {_EXAMPLE}")
    begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
    days = frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return days, _minute(found["begins"], _DAY_MINUTES - 1), _minute(found["ends"], _DAY_MINUTES)


def _minute(text: str, most: int) -> int:
    hour, _, minute = text.partition(":")
    found = int(hour) * 60 + int(minute or 0)
    if found > most or int(minute or 0) > 59:
        raise ValueError(f"must have times of day from 0 to 24, such as {_EXAMPLE}")
    return found
