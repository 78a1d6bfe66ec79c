"""How fast lists of calls are dialled: each at its own pace, and together at the pace of the carrier's account. Pure.

An account takes what the list with the highest figure asks for. So two lists that run side by side share it, and do not
add up.
"""

from __future__ import annotations

from collections.abc import Sequence

from callflow.switchboard.campaigns.plan import Plan


class Pace:
    """The pace of one list, or of all lists on one account. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.per_second, self.at_once = 1.0, 1
        self.next_dial = 0.0

    def follow(self, plans: Sequence[Plan]) -> None:
        """Take the highest figures of these plans."""
        self.per_second = max(plan.per_second for plan in plans)
        self.at_once = max(plan.at_once for plan in plans)

    def dialled(self, at: float) -> None:
        """Note a call that begins at this time."""
        self.next_dial = max(self.next_dial, at + 1 / self.per_second)


def moments(now: float, seconds: float, most: int, own: Pace, account: Pace) -> list[float]:
    """Return when calls of a list may begin within the next `seconds`, at most so many."""
    found: list[float] = []
    at = max(now, own.next_dial, account.next_dial)
    while len(found) < most and at < now + seconds:
        found.append(at)
        at += max(1 / own.per_second, 1 / account.per_second)
    return found
