"""Decides which calls are accepted. A refused call goes through the machine, too, and its journal has the reason."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from callflow.call.call import Call
from callflow.call.call_config import CallConfig
from callflow.call.call_notes import without_voice
from callflow.config import opening_hours
from callflow.contracts.errors import Overloaded
from callflow.contracts.events import CallInitiated, CallRefused, CallTurnedAway, Event, GoodbyeRequested
from callflow.switchboard.caller_limits import CallerLimits
from callflow.switchboard.lag_admission import LagAdmission


_FULL: Final = "busy"
_NO_ROOM: Final = {
    _FULL: "too many calls are live (MAX_CONCURRENT_CALLS)",
    "draining": "the server is being stopped, and takes no new calls",
}
"""Why no call is dialled, by the reason for which a caller would be refused."""


class BudgetRules(Protocol):
    """What admission asks of a budget."""

    def refusal(self, config: CallConfig) -> tuple[str, str]:
        """Return the reason for which no call of this config begins now, and a sentence; ("", ""): none."""

    def dial_refusal(self, config: CallConfig) -> str:
        """Return why no call of this config is dialled now, as a clause; "": it may be."""

    def ended(self, call: Call) -> None:
        """Take the figures of a call that is over."""


class Admission:
    """Decides about new calls: none while the server drains, at most `max_calls` at once, each caller within its
    limits, and all within the budget of the day."""

    def __init__(
        self,
        max_calls: int,
        callers: CallerLimits,
        load: LagAdmission,
        counts: Counter[str],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`counts`: the counter for `calls` and `refused`. `now`: returns Unix time, in seconds."""
        self._now = now
        self.budget: BudgetRules | None = None
        """What the calls of a day may take; None: as much as they like."""
        self._load = load
        self._max_calls, self.callers, self._counts = max_calls, callers, counts
        self._away: set[str] = set()
        """Live calls that were turned away for want of room, and hear a sentence or are connected with a person: they
        take no room from those with the agent."""
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        """False: every new call is refused."""

    def close(self) -> None:
        """Refuse every call from now on."""
        self.is_open = False

    def admit(self, call: Call, event: Event, live: int) -> Event:
        """Decide about a new call, and return the call's first event. `live`: the live calls, this call included.

        A refused call that rings begins with `CallRefused`, or with `CallTurnedAway` if it is to hear a sentence. A
        refused call that is answered already gets a goodbye.
        """
        self._counts["calls"] += 1
        is_part = call.given_config is not None  # of a conversation that was admitted when it was dialled
        reason, why = ("", "") if is_part else self._refusal(call, live)
        if not reason:
            return event
        self._counts["refused"] += 1
        way = self._way(call.config, reason)
        if reason == _FULL and way != "busy":
            self._away.add(call.id)
        if isinstance(event, CallInitiated):
            return without_voice(_turned_away(way, reason, why, event), call.carrier.can)
        fall_back = way == "fallback"
        self._loop.call_soon(call.post, GoodbyeRequested(reason=reason, why=why, fall_back=fall_back))
        return event

    def admit_profile(self, config: CallConfig, event: CallInitiated) -> Event:
        """Decide about an admitted call that rings and has got another profile: its hours and its budget hold, too.
        Returns the call's first event."""
        reason, why = self._of_profile(config)
        if not reason:
            return event
        self._counts["refused"] += 1
        return _turned_away(self._way(config, reason), reason, why, event)

    def admit_dial(self, live: int, config: CallConfig | None) -> None:
        """Decide about a call that is to be dialled. `live`: the live calls, this call included. Raises Overloaded."""
        if why := self.dial_refusal(live, config):
            self._counts["refused_dials"] += 1
            raise Overloaded(why)
        self._counts["dials"] += 1

    def dial_refusal(self, live: int, config: CallConfig | None) -> str:
        """Return why a call is not dialled now, as a clause; "": it may be. `live`: as for `admit_dial`."""
        reason, why = self._no_room(live)
        if reason:
            return why or _NO_ROOM[reason]
        return self.budget.dial_refusal(config) if self.budget is not None and config is not None else ""

    def count_restored(self, call: Call, seconds: float) -> None:
        """Count a call that another process accepted `seconds` ago."""
        now = self._loop.time()
        self.callers.taken(call.id, call.from_number, now - seconds, now)

    def ended(self, call: Call) -> None:
        """Stop counting the call among its caller's live calls."""
        self.callers.over(call.id)
        self._away.discard(call.id)
        if self.budget is not None:
            self.budget.ended(call)

    def _refusal(self, call: Call, live: int) -> tuple[str, str]:
        """Return the reason of a refusal, and a sentence that explains it, if one is needed. ("", ""): the call is
        accepted."""
        reason, why = self._no_room(live)
        if not reason:
            reason, why = self._of_profile(call.config)
        if reason:
            return reason, why
        return self.callers.take(call.id, call.from_number, self._loop.time())

    def _of_profile(self, config: CallConfig) -> tuple[str, str]:
        opening = config.opening
        if opening is not None and not opening.is_open(self._now()):
            is_never = opening_hours.is_never(opening.text)
            return "closed", "hours is never" if is_never else f"the line is open {opening.text} ({opening.zone})"
        return ("", "") if self.budget is None else self.budget.refusal(config)

    def _no_room(self, live: int) -> tuple[str, str]:
        live -= len(self._away)
        if live > self._max_calls:
            return _FULL, ""
        if not self.is_open:
            return "draining", ""
        why = self._load.refusal(live - 1)
        return (_FULL if why else ""), why

    def _way(self, config: CallConfig, reason: str) -> str:
        """Return what is done for a caller who is refused: `busy`, a sentence, or `fallback`."""
        if reason == _FULL and (len(self._away) >= self._max_calls or not self.is_open):
            return "busy"
        ways = {"budget": config.over_budget, "closed": config.when_closed, _FULL: config.when_full}
        return ways.get(reason, "busy")


def _turned_away(way: str, reason: str, why: str, event: CallInitiated) -> Event:
    """Return the first event of a call that rings and is refused. `way`: what `Admission._way` says."""
    if way == "busy":
        return CallRefused(reason=reason, why=why, from_number=event.from_number, to_number=event.to_number)
    return CallTurnedAway(
        reason=reason, why=why, from_number=event.from_number, to_number=event.to_number, fall_back=way == "fallback"
    )
