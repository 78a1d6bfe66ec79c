"""When the numbers of a campaign may be called, when and whether again, and how fast. Pure: time is an argument.

Hours and weekdays are those of the number that is called. A number may lie in several time zones: then the hours must
hold in all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from callflow.config.opening_hours import WEEKDAYS
from callflow.switchboard.campaigns.outcomes import ANSWERED, CANCELED, OUTCOMES


PAUSES: Final[Mapping[str, float]] = {"busy": 300.0, "no_answer": 3600.0, "failed": 900.0, "machine": 3600.0}
"""Seconds until the next attempt, by outcome. After one that is not named here the number is not called again."""
MOST_ATTEMPTS: Final = 20
MOST_PAUSE: Final = 30 * 86400.0
MOST_PER_SECOND: Final = 50.0
_DAYS_AHEAD: Final = 9
"""Every weekday begins once within so many days, wherever the time zone changes its clocks."""
_HOURS: Final = re.compile(r"([01]?[0-9]|2[0-4])(?::([0-5][0-9]))?-([01]?[0-9]|2[0-4])(?::([0-5][0-9]))?")
_SEPARATOR: Final = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the rows of one campaign are called."""

    begins: int = 9 * 60
    ends: int = 18 * 60
    """The allowed time of the day, in minutes after midnight; `ends` is not allowed any more."""
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    """0: Monday."""
    attempts: int = 3
    pauses: Mapping[str, float] = field(default_factory=lambda: dict(PAUSES))
    """Seconds until the next call, by the outcome of the last one."""
    per_second: float = 1.0
    """The most calls that are begun in one second."""
    at_once: int = 5
    """The most live calls of this campaign, all on one account of a carrier."""

    def to_json(self) -> dict[str, Any]:
        """Return the schedule in the words of the API: `{"hours", "weekdays", "attempts", "pauses", "calls_per_second",
        "at_once"}`, the pauses in seconds."""
        return {
            "hours": f"{_clock(self.begins)}-{_clock(self.ends)}",
            "weekdays": ",".join(WEEKDAYS[day] for day in self.weekdays),
            "attempts": self.attempts,
            "pauses": {outcome: self.pauses.get(outcome) for outcome in OUTCOMES},
            "calls_per_second": self.per_second,
            "at_once": self.at_once,
        }

    def is_open(self, now: float, zones: Sequence[tzinfo]) -> bool:
        """Return whether a number in one of these zones may be called now (Unix time, seconds)."""
        return all(self._holds(datetime.fromtimestamp(now, zone)) for zone in zones)

    def _holds(self, local: datetime) -> bool:
        return local.weekday() in self.weekdays and self.begins <= local.hour * 60 + local.minute < self.ends

    def next_open(self, after: float, zones: Sequence[tzinfo]) -> float | None:
        """Return when a number in one of these zones may be called next, in Unix time; None: never in all of them."""
        if self.is_open(after, zones):
            return after
        found = {begin for zone in zones for begin in self._beginnings(after, zone) if begin > after}
        return next((begin for begin in sorted(found) if self.is_open(begin, zones)), None)

    def _beginnings(self, after: float, zone: tzinfo) -> Iterable[float]:
        """Yield the moments at which the hours may begin: by the clock, twice where an hour comes twice, and when the
        clocks change."""
        today = datetime.fromtimestamp(after, zone).date()
        for ahead in range(_DAYS_AHEAD):
            day = today + timedelta(days=ahead)
            local = datetime(day.year, day.month, day.day, self.begins // 60, self.begins % 60, tzinfo=zone)
            yield from (local.replace(fold=fold).astimezone(UTC).timestamp() for fold in (0, 1))
            change = _clock_change(datetime(day.year, day.month, day.day, tzinfo=zone))
            if change is not None:
                yield change

    def retry_at(self, outcome: str, tries: int, now: float) -> float | None:
        """Return when a number is called again after this outcome of its newest call; None: not any more. `now` and
        what is returned: Unix time, in seconds. `tries`: how many calls there were, this one included, and without
        those that the carrier refused."""
        pause = self.pauses.get(outcome)
        if outcome in (ANSWERED, CANCELED) or pause is None or tries >= self.attempts:
            return None
        return now + pause


def _clock_change(midnight: datetime) -> float | None:
    """Return when the clocks change on the day that begins then, in Unix time, to the minute; None: they do not."""

    def offset(at: float) -> timedelta | None:
        return datetime.fromtimestamp(at, midnight.tzinfo).utcoffset()

    first = midnight.astimezone(UTC).timestamp()
    last = first + 86_400
    if offset(first) == offset(last):
        return None
    begin, end = 0, 1440  # minutes: the offset is the old one at `begin`, and another one at `end`
    while end - begin > 1:
        middle = (begin + end) // 2
        begin, end = (middle, end) if offset(first + 60 * middle) == offset(first) else (begin, middle)
    return first + 60 * end


def read_schedule(given: Mapping[str, Any], problems: list[str]) -> Schedule:
    """Read a schedule in the words of the API; values may be texts. What is wrong is added to `problems`, a sentence
    each."""
    begins, ends = _hours(given.get("hours", "9-18"), problems)
    return Schedule(
        begins=begins, ends=ends,
        weekdays=_weekdays(given.get("weekdays", "mon-fri"), problems),
        attempts=int(_number(given, "attempts", 3, 1, MOST_ATTEMPTS, problems, whole=True)),
        pauses=_pauses(given.get("pauses", {}), problems),
        per_second=_number(given, "calls_per_second", 1.0, 0.01, MOST_PER_SECOND, problems),
        at_once=int(_number(given, "at_once", 5, 1, 10_000, problems, whole=True)),
    )  # fmt: skip


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _hours(given: object, problems: list[str]) -> tuple[int, int]:
    found = _HOURS.fullmatch(str(given).replace(" ", ""))
    if found is not None:
        begins, ends = (int(found[place]) * 60 + int(found[place + 1] or 0) for place in (1, 3))
        if begins < ends <= 24 * 60:
            return begins, ends
    problems.append('hours must be a time of the day from and to, such as "9-18" or "09:30-17:00", and not overnight.')
    return 0, 0


def _weekdays(given: object, problems: list[str]) -> tuple[int, ...]:
    parts = given if isinstance(given, list) else _SEPARATOR.split(str(given).strip())
    days: set[int] = set()
    try:
        for part in parts:
            first, _, last = str(part).lower().partition("-")
            begin, end = (WEEKDAYS.index(name[:3]) for name in (first, last or first))
            days |= {(begin + more) % 7 for more in range((end - begin) % 7 + 1)}
    except ValueError:
        days = set()
    if not days:
        problems.append('weekdays must be days such as "mon-fri" or "mon,wed,sat".')
    return tuple(sorted(days))


def _pauses(given: object, problems: list[str]) -> dict[str, float]:
    found: dict[str, Any] = {}
    if isinstance(given, str):
        found = {name: value for name, _, value in (part.partition(":") for part in _SEPARATOR.split(given) if part)}
    elif isinstance(given, Mapping):
        found = dict(given)
    pauses: dict[str, float] = dict(PAUSES)
    for name, value in found.items():
        if value is None or value == "never":
            pauses.pop(name, None)
        elif (seconds := _float(value)) is not None and 0 <= seconds <= MOST_PAUSE:
            pauses[name] = seconds
        else:
            problems.append("pauses must hold seconds by outcome, of 30 days at most; null or never: not again.")
            break
    if not isinstance(given, (str, Mapping)) or not pauses.keys() | found.keys() <= set(OUTCOMES):
        problems.append(f'pauses must be seconds by outcome, which are {", ".join(OUTCOMES)}: {{"busy": 300}}.')
    return pauses


def _number(
    given: Mapping[str, Any], name: str, usual: float, least: float, most: float, problems: list[str],
    *, whole: bool = False,
) -> float:  # fmt: skip
    value = _float(given.get(name, usual))
    if value is None or not least <= value <= most or (whole and value != int(value)):
        problems.append(f"{name} must be a {'whole ' if whole else ''}number from {least:.15g} to {most:.15g}.")
        return usual
    return value


def _float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
