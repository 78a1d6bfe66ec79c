"""Who gets in: a call that is refused is a call, too. It goes through the machine, and its journal says why."""

from __future__ import annotations

import asyncio
from collections import Counter

from callflow.call.call import Call
from callflow.contracts.events import CallInitiated, CallRefused, Event, GoodbyeRequested
from callflow.switchboard.limits import CallerLimits


class Admission:
    """Decides about new calls: none while the server drains, no more at the same time than are allowed, and no more of
    one caller."""

    def __init__(self, max_calls: int, callers: CallerLimits, counts: Counter[str]) -> None:
        """`counts`: where `calls` and `refused` are counted."""
        self._max_calls, self._callers, self._counts = max_calls, callers, counts
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        """False: every new call is refused."""

    def close(self) -> None:
        """Refuse every call from now on."""
        self.is_open = False

    def admit(self, call: Call, event: Event, live: int) -> Event:
        """Decide about a new call, and return the event that it begins with. `live`: how many there are, this one among
        them.

        A call that rings and is refused begins with `CallRefused`. One that is answered already is told goodbye.
        """
        self._counts["calls"] += 1
        reason, why = self._refusal(call, live)
        if not reason:
            return event
        self._counts["refused"] += 1
        if isinstance(event, CallInitiated):
            return CallRefused(reason=reason, why=why, from_number=event.from_number, to_number=event.to_number)
        self._loop.call_soon(call.post, GoodbyeRequested(reason=reason, why=why))
        return event

    def count_restored(self, call: Call, seconds: float) -> None:
        """Count a call that another process let in, so many seconds ago."""
        now = self._loop.time()
        self._callers.taken(call.id, call.from_number, now - seconds, now)

    def ended(self, call: Call) -> None:
        """Count the call no longer as one of its caller's live calls."""
        self._callers.over(call.id)

    def _refusal(self, call: Call, live: int) -> tuple[str, str]:
        """Return the reason, and the same in words where the reason alone does not say all. ("", ""): it gets in."""
        if live > self._max_calls:
            return "busy", ""
        if not self.is_open:
            return "draining", ""
        return self._callers.take(call.id, call.from_number, self._loop.time())
