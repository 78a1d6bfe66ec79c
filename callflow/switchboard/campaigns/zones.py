"""The time zones of telephone numbers. For threads: the first number reads tables, and each zone a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

from callflow.switchboard.campaigns.schedule import Schedule


_SEPARATOR: Final = ","


def zone(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name; None: there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def zones_of(number: str) -> str:
    """Return the names of all zones in which a number in E.164 may lie, as one text that `read` takes; "": they are not
    known."""
    import phonenumbers
    from phonenumbers import timezone

    names = timezone.time_zones_for_number(phonenumbers.parse(number, None))
    known = all(zone(name) is not None for name in names) and timezone.UNKNOWN_TIMEZONE not in names
    return _SEPARATOR.join(sorted(names)) if known else ""


def read(names: str) -> list[ZoneInfo]:
    """Return the zones of such a text. Raises LookupError for a zone that this machine has no more."""
    found = [zone(name) for name in names.split(_SEPARATOR)]
    if None in found:
        raise LookupError(names)
    return [each for each in found if each is not None]


def open_now(schedule: Schedule, groups: Iterable[str], now: float) -> list[str]:
    """Return those of these texts in whose zones numbers may be called now (Unix time, seconds). Zones that are not
    known any more are never open."""
    found = []
    for names in groups:
        try:
            if schedule.is_open(now, read(names)):
                found.append(names)
        except LookupError:
            continue
    return found


def next_open(schedule: Schedule, waiting: Iterable[tuple[str, float]], now: float) -> float | None:
    """Return when the next row may be called, in Unix time; None: no row waits. `waiting`: a text of zones, and from
    when on a row in them waits."""
    times = []
    for names, at in waiting:
        try:
            times.append(schedule.next_open(max(at, now), read(names)))
        except LookupError:
            continue
    return min((at for at in times if at is not None), default=None)
