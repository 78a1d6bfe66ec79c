"""How fast lists of calls are dialled: each at its own pace, and together at the pace of the carrier's account. Pure.

An account takes what the list with the highest figure asks for. So two lists that run side by side share it, and do not
add up. When the carrier refuses, it takes less for a while: fewer calls at once, and after a rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callflow.switchboard.campaigns.schedule import Schedule


_REST_SECONDS, _MOST_REST_SECONDS = 5.0, 300.0
_DOUBLES_SECONDS: Final = 60.0
"""After which twice as many calls are tried as there were when the carrier refused one more."""
_MOST_ROUNDS: Final = 8
"""Rests that follow each other, a quarter of an hour in all, after which whoever dials gives up."""


class Pace:
    """The pace of one list, or of all lists on one account. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.per_second, self.at_once = 1.0, 1
        self.next_dial = 0.0
        self._rounds = 0
        self._rests_until = 0.0
        self._room, self._room_at = 0, 0.0
        """How many calls were live when one more was refused, and when that was; 0: none was refused."""
        self._limited = 0
        """How many were refused in a row, as far as is known because there were too many."""

    def follow(self, schedules: Sequence[Schedule]) -> None:
        """Take the highest figures of these schedules."""
        self.per_second = max(schedule.per_second for schedule in schedules)
        self.at_once = max(schedule.at_once for schedule in schedules)

    def dialled(self, at: float) -> None:
        """Note a call that begins at this time."""
        self.next_dial = max(self.next_dial, at + 1 / self.per_second)

    def most(self, now: float) -> int:
        """Return how many calls may be live now."""
        if not self._room:
            return self.at_once
        grown = self._room * 2.0 ** min((now - self._room_at) / _DOUBLES_SECONDS, 30)
        return min(self.at_once, int(grown))

    def refused(self, now: float, live: int | None) -> bool:
        """Note that the carrier has refused a call, and rest. `live`: how many calls it has beside, if there may be too
        many; None: that was not the reason. Returns whether to give up, because nothing but refusals came for long."""
        if live is not None:
            self._limited += 1
            if self._limited > 1:  # one alone may be about a number
                self._room, self._room_at = max(min(live, self.most(now)), 1), now
        if now < self._rests_until:
            return False  # it was dialled before the rest began
        self._rounds += 1
        if self._rounds > _MOST_ROUNDS:
            self._rounds = 0
            return True
        self._rests_until = now + min(_REST_SECONDS * 2.0 ** (self._rounds - 1), _MOST_REST_SECONDS)
        self.next_dial = max(self.next_dial, self._rests_until)
        return False

    def reached(self) -> None:
        """Note that the carrier has made a call."""
        self._rounds = self._limited = 0


def moments(now: float, seconds: float, most: int, own: Pace, account: Pace) -> list[float]:
    """Return when calls of a list may begin within the next `seconds`, at most so many."""
    found: list[float] = []
    at = max(now, own.next_dial, account.next_dial)
    while len(found) < most and at < now + seconds:
        found.append(at)
        at += max(1 / own.per_second, 1 / account.per_second)
    return found
