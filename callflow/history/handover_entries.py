"""The last entries of calls that are given to other processes: each is written in the transaction that gives the call's
claim away, at once or never.

So a call is never between the processes: until that transaction is committed this one has it, and from then on the
other one. Whether it was committed may not be known for a while; then the call goes on here until it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from callflow.contracts.errors import Overloaded
from callflow.history.journal_fence import JournalFence
from callflow.journal.journal import JournalEntry


@dataclass(eq=False, slots=True)
class HandoverEntry:
    """One call that is to be given away."""

    entry: JournalEntry
    to: tuple[str, int]
    """The other process."""
    given: asyncio.Future[bool]
    """Whether the call is the other one's now; False: it is not, and will not be."""
    is_timely: Callable[[], bool] = lambda: True
    """Returns whether it is still to be begun with; asked right before."""
    is_wanted: bool = True

    def withdraw(self) -> None:
        """Do not begin with it any more. What was begun may still come through."""
        self.is_wanted = False


class HandoverEntries:
    """Those that are not settled yet, by the ids of their entries' rows."""

    def __init__(self) -> None:
        self._open: dict[int, HandoverEntry] = {}

    def add(self, key: int, one: HandoverEntry) -> None:
        """Learn of one whose entry is queued."""
        self._open[key] = one

    def may_be_written(self, key: int) -> bool:
        """Return whether an entry may be written now; only the last entry of a hand-over may ever not."""
        one = self._open.get(key)
        if one is not None and one.is_wanted and not one.is_timely():
            one.withdraw()
        return one is None or one.is_wanted

    def refused(
        self, connection: Connection, wanted: Sequence[tuple[int, JournalEntry]], fence: JournalFence | None
    ) -> Collection[int]:
        """Give the claims away whose entries this transaction writes. Returns the entries that it must not write,
        because the other process takes no calls. May run on a thread."""
        found = set()
        for key, one in [(key, self._open[key]) for key, _ in wanted if key in self._open]:
            try:
                if fence is None:
                    raise Overloaded("there is no other process")
                fence.hand_over(connection, one.entry.call, one.to)
            except Overloaded:
                found.add(key)
        return found

    def withdraw_all(self) -> None:
        """Withdraw all: the database is in trouble, and whatever was not written in time is not written later."""
        for one in self._open.values():
            one.withdraw()

    def settle(self, key: int, *, given: bool) -> HandoverEntry | None:
        """Say how the hand-over of this entry has ended, unless that was said before. Returns it."""
        one = self._open.pop(key, None)
        if one is not None and not one.given.done():
            one.given.set_result(given)
        return one
