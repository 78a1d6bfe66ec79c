"""Looks now and then, at the carriers, whether our numbers still lead here: a part of the setup that others may change.

The carriers are asked seldom: when somebody looks at the page and it was not done for a while, and else four times an
hour; and then once an hour whether they were told what to do while this server does not answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from callflow.contracts import addresses
from callflow.contracts.diagnostics import Finding
from callflow.switchboard.number_service import Listing


log = logging.getLogger(__name__)

SEEN_SECONDS: Final = 300.0
"""For so long a list is new enough for those who look at the page."""
EVERY_SECONDS: Final = 900.0
FAILOVER_SECONDS: Final = 3600.0
"""That takes a question for each number."""
_FIRST_SECONDS: Final = 60.0
_MOST_SHOWN: Final = 5

Listed = Callable[[], Awaitable[Listing]]
FailoverCheck = Callable[[], Awaitable[Sequence[Finding]]]


async def no_failover() -> Sequence[Finding]:
    """Return no finding: the carriers are to do nothing."""
    return ()


class NumberWatch:
    """What the carriers said last."""

    def __init__(
        self, listed: Listed | None, clock: Callable[[], float] = time.monotonic, failover: FailoverCheck = no_failover
    ) -> None:
        """`listed`: asks all carriers for our numbers; None: there are none to ask. `clock`: seconds of a steady
        clock. `failover`: asks them what they were told to do while this server does not answer."""
        self._listed, self._clock, self._failover = listed, clock, failover
        self._failover_due = 0.0
        self._of_failover: Sequence[Finding] = ()
        self._due = clock() + _FIRST_SECONDS
        self._asked_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self.findings: Sequence[Finding] = ()

    def look(self, *, is_watched: bool) -> None:
        """Ask anew, if it is time for that; returns at once. `is_watched`: somebody looks at the page."""
        now = self._clock()
        is_time = now - self._asked_at >= SEEN_SECONDS if is_watched else now >= self._due
        if self._listed is None or not is_time or self._task is not None:
            return
        self._asked_at, self._due = now, now + EVERY_SECONDS
        is_due = is_watched or now >= self._failover_due
        self._failover_due = now + FAILOVER_SECONDS if is_due else self._failover_due
        self._task = asyncio.create_task(self._ask(self._listed, is_due), name="where numbers lead")

    async def _ask(self, listed: Listed, is_due: bool) -> None:
        try:
            found = list(judged(await listed()))
            self.findings = [*found, *self._of_failover]
            if is_due:
                self._of_failover = await self._failover()
                self.findings = [*found, *self._of_failover]
        except Exception as error:
            log.warning("the carriers' settings of our numbers cannot be looked up: %r", error)
        finally:
            self._task = None

    def close(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()


def judged(listing: Listing) -> Iterator[Finding]:
    """Judge a list of numbers: what could not be asked, what leads elsewhere although it was pointed here, and whether
    any leads here."""
    if listing.problems:
        remedy = "look at the keys of that carrier, and whether this machine reaches it: ask the doctor"
        yield Finding("carrier account", "wrong", " ".join(listing.problems), remedy)
    here = [one for one, _ in listing.numbers if one.is_here]
    for one, pointed in listing.numbers:
        key = f"number {one.number}"
        if one.is_here and one.lacks:
            yield Finding("number", "note", f"{one.number} lacks: {'; '.join(one.lacks)}", "point it here again", key)
        elif not one.is_here and pointed is not None and not pointed.temporary:
            why = "; ".join(one.overrides) or f"it leads to {addresses.shown(one.leads_to) or 'nowhere'}"
            what = f"{one.number} was pointed here, and does not lead here any more: {why}"
            yield Finding("number", "wrong", what, "point it here again, or undo that", key)
    if here:
        names = ", ".join(one.number for one in here[:_MOST_SHOWN])
        yield Finding("numbers", "ok", f"{len(here)} lead here: {names}{' …' if len(here) > _MOST_SHOWN else ''}")
    elif listing.numbers:
        yield Finding("numbers", "note", f"none of {len(listing.numbers)} leads here", "point one here")
    elif not listing.problems:
        yield Finding("numbers", "note", "the accounts have none", "buy one at your carrier")
