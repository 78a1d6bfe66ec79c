"""Watches what the calls of today take, refuses calls past a ceiling, and ends those in progress with a goodbye.

Calls that have ended are summed up by the database; calls in progress are looked at themselves, so there is no counter
that could leak. They are looked through once a second, and not for each new call: only near a ceiling does what has
come in between matter. Between the end of a call and its row in the database its figures are kept here. Of the live
calls of other nodes the database knows when they were answered, and what the model has cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from callflow.call.call import Call
from callflow.call.call_config import CallConfig
from callflow.contracts.errors import DatabaseError
from callflow.contracts.event import part_of
from callflow.contracts.events import BudgetReached, GoodbyeRequested
from callflow.history.history import History
from callflow.history.spending import Running, Sums
from callflow.history.write_errors import unexplained
from callflow.switchboard.budget.spent import WARN_SHARE, Ceilings, Day, Spent, day_of
from callflow.timers import Timers


log = logging.getLogger(__name__)

REASON: Final = "budget"
_LOOK_SECONDS: Final = 1.0
_READ_SECONDS: Final = 15.0
_READ_OTHERS_SECONDS: Final = 3.0
"""The same where other nodes have calls, too."""
_MOST_LATELY: Final = 50_000
"""Ended calls that are kept here while the database cannot be read."""
_MOST_CALLERS: Final = 20
_WITH_AGENT: Final = ("answered", "streaming", "recovering")
"""States in which a call is ended for its cost. A caller who talks with a person is left alone: also with one who
speaks in place of the agent."""


class _Limits(NamedTuple):
    """What the calls of a profile may take in a day, as a call's config has it."""

    profile: str
    minutes: float
    usd: float

    @property
    def ceilings(self) -> Ceilings:
        """Return them without the profile."""
        return Ceilings(self.minutes, self.usd)


@dataclass(frozen=True, slots=True)
class _Ended:
    began: float
    profile: str
    spent: Spent


class Budget:
    """The budget of one server. It lives on the loop that serves the calls."""

    def __init__(
        self,
        history: History,
        calls: Callable[[], Sequence[Call]],
        *,
        ceilings: Ceilings,
        zone: ZoneInfo,
        dearest_minute: float,
        node: str = "",
    ) -> None:
        """`calls`: returns the live calls. `ceilings`: of all calls together; those of a profile stand in the config of
        its calls. `zone`: in which days are counted. `dearest_minute`: US dollars, see `Spent.usd`. `node`: the name of
        this node in a cluster; "": it serves alone."""
        self._history, self._calls, self._node = history, calls, node
        self._ceilings, self._zone, self._dearest = ceilings, zone, dearest_minute
        self._loop = asyncio.get_running_loop()
        self._timers = Timers()
        self._day = day_of(history.now(), zone)
        self._written: dict[str, Spent] = {}
        """What the ended calls of today took, by profile, as the database says."""
        self._lately: dict[str, _Ended] = {}
        """Calls that have ended here and are not in `_written` yet, by id, oldest first."""
        self._others: list[Running] = []
        """Live calls of other nodes."""
        self._summed: Mapping[str, Spent] = {}
        """What `_spent` returned last."""
        self._summed_at = -inf
        """When, on the loop's clock; `-inf`: it does not hold any more."""
        self._warned: set[str] = set()
        self._told: set[str] = set()
        """Calls that are being ended."""
        self.is_known = False
        """Whether the database has told what was spent before."""

    # What calls may do

    def refusal(self, config: CallConfig) -> tuple[str, str]:
        """Return the reason for which no call of this config begins now, and a sentence about it; ("", ""): none."""
        why = self._over_now(_limits(config))
        return (REASON, why) if why else ("", "")

    def dial_refusal(self, config: CallConfig) -> str:
        """Return why no call of this config is dialled now, as a clause; "": it may be. Callers are not sent away for
        what nobody knows, but nobody has to be dialled."""
        limits = _limits(config)
        if not self.is_known and self._are_set(limits):
            return "what today's calls have taken is not known yet"
        return self._over_now(limits)

    def ended(self, call: Call) -> None:
        """Take the figures of a call that is over."""
        self._told.discard(call.id)
        self._lately[call.id] = _Ended(call.began, call.config.profile, self._of(call))
        self._summed_at = -inf
        while len(self._lately) > _MOST_LATELY:
            del self._lately[next(iter(self._lately))]

    # What it tells at any time

    @property
    def calls_today(self) -> int:
        """Return how many calls of today there are and were, as far as is known."""
        return _sum(self._spent()).calls

    def live_costs(self) -> Callable[[Call], tuple[float | None, float | None]]:
        """Return a function that tells of a live call what it has cost so far in US dollars (None: not known), and at
        how many the budget ends it if no other call costs anything (None: no ceiling in dollars holds for it)."""
        found: list[tuple[Mapping[str, Spent], float]] = []  # calls are looked through only where a ceiling asks for it

        def cost(call: Call) -> tuple[float | None, float | None]:
            usd, limits = call.agent.usage.usd, _limits(call.config)
            if not (self._ceilings.usd or limits.usd):
                return usd, None
            if not found:
                spent = self._spent()
                found.append((spent, _sum(spent).usd(self._dearest)))
            spent, total = found[0]
            own = spent.get(limits.profile, Spent()).usd(self._dearest)
            ceilings = ((self._ceilings.usd, total), (limits.usd, own))
            left = [max(ceiling - used, 0.0) for ceiling, used in ceilings if ceiling > 0]
            return usd, self._of(call).usd(self._dearest) + min(left)

        return cost

    # Its work

    async def run(self) -> None:
        """Watch what the calls take, until cancelled."""
        read_at = self._loop.time()
        while True:
            try:
                if self._loop.time() >= read_at:
                    pause = _READ_OTHERS_SECONDS if self._node else _READ_SECONDS
                    read_at = self._loop.time() + (pause if await self._read() else _LOOK_SECONDS)
                self.look()
            except Exception as error:
                text = "the costs of calls cannot be counted for a moment: %s"
                log.error(text, type(error).__name__, exc_info=unexplained(error))
            if self._history.is_readable:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            read_at = self._loop.time()  # nobody knows yet what was spent before
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._history.opened.wait(), _LOOK_SECONDS)

    def look(self) -> None:
        """Warn and end the calls that are past a ceiling."""
        if self._history.now() >= self._day.ends:
            self._next_day()
        calls = self._calls()
        limits = {_limits(call.config) for call in calls}
        if not any(map(self._are_set, limits)) and not self._ceilings.any:
            return
        spent = self._spent()
        over = {each: why for each in limits if (why := self._over(each, spent))}
        for call in calls if over else ():
            if call.id in self._told or not _has_agent(call) or call.model.farewell:
                continue
            limit = _limits(call.config)
            if limit in over:
                self._end(call, over[limit])
        self._warn(spent, limits)

    def _end(self, call: Call, why: str) -> None:
        self._told.add(call.id)
        seconds = call.config.deadline_seconds["call"]
        call.post(BudgetReached(why=why))
        self._timers.start(call.id, seconds, self._say_goodbye, call, why)

    def _say_goodbye(self, call: Call, why: str) -> None:
        if _has_agent(call):
            falls_back = call.config.over_budget == "fallback"
            call.post(GoodbyeRequested(reason=REASON, why=why, fall_back=falls_back))
        else:
            self._told.discard(call.id)  # a person has the caller now

    def _warn(self, spent: Mapping[str, Spent], limits: Collection[_Limits]) -> None:
        """Say once a day that little is left. `limits`: those of live calls, which can be reached."""
        every = [("", self._ceilings, _sum(spent))]
        every += [(one.profile or "(none)", one.ceilings, spent.get(one.profile, Spent())) for one in limits]
        for name, ceilings, used in every:
            if name not in self._warned and ceilings.share(used, self._dearest) >= WARN_SHARE:
                self._warned.add(name)
                whose = f"the calls of profile {name}" if name else "all calls"
                log.warning("%s have used %s of today's budget", whose, ceilings.said(used, self._dearest))

    async def _read(self) -> bool:
        """Ask the database what ended calls took. Returns False while it cannot be asked."""
        if not self._history.is_readable or self._history.journal.trouble:
            return False
        day = self._day
        try:
            lately, spending = list(self._lately), self._history.spending
            sums, there, others = await spending.of_profiles(day.begins, day.ends, lately, self._node)
        except (SQLAlchemyError, DatabaseError, OSError) as error:
            log.warning("the costs of today's calls cannot be read: %s", type(error).__name__)
            return False
        if day != self._day:
            return False
        self._written, self._others = {one.name: spent_of(one) for one in sums}, others
        self._summed_at = -inf
        self._lately = {
            call: ended for call, ended in self._lately.items() if call not in there and ended.began >= day.begins
        }
        self.is_known = True
        return True

    def _next_day(self) -> None:
        self._day = day_of(self._history.now(), self._zone)
        self._written, self._others, self._warned = {}, [], set()
        self._summed_at = -inf

    # What was spent

    def _of(self, call: Call) -> Spent:
        return Spent(*self._taken(call))

    def _taken(self, call: Call) -> tuple[int, float, float, float, float]:
        """Return the parts of `Spent` of one call."""
        minutes = max(self._seconds(call), 0.0) / 60
        usd = call.agent.usage.usd
        is_part = part_of(call.ids) != ""  # its call counts for it, but for what the model costs
        is_led = call.is_outbound and call.config.route == "sip" and usd is None
        unpriced = minutes if usd is None and not is_led else 0.0
        return 0 if is_part else 1, 0.0 if is_part else minutes, usd or 0.0, 0.0, unpriced

    def _seconds(self, call: Call) -> float:
        """Return how long a call has been answered, an earlier process included."""
        if call.answered_before is not None:
            return self._history.now() - call.answered_before
        here = call.relay.answered_at
        return 0.0 if here is None else min(self._loop.time() - here, self._history.now() - call.began)

    def _spent(self) -> Mapping[str, Spent]:
        """Return what the calls of today took so far, those in progress included, by profile. Looks through all live
        calls: about a millisecond for a thousand."""
        begins, ends = self._day.begins, self._day.ends
        taken: dict[str, list[tuple[float, ...]]] = {}  # no object for each call
        for call in self._calls():
            if begins <= call.began < ends:
                taken.setdefault(call.config.profile, []).append(self._taken(call))
        found = dict(self._written)
        for profile, each in taken.items():
            calls, *others = map(sum, zip(*each, strict=True))
            found[profile] = found.get(profile, Spent()) + Spent(int(calls), *others)
        for one in self._lately.values():
            if begins <= one.began < ends:
                found[one.profile] = found.get(one.profile, Spent()) + one.spent
        for other in self._elsewhere():
            found[other.profile] = found.get(other.profile, Spent()) + self._of_other(other)
        self._summed, self._summed_at = found, self._loop.time()
        return found

    def _elsewhere(self) -> list[Running]:
        """Return the live calls of other nodes, but for those that have come here since, or have ended here."""
        here = {call.id for call in self._calls()} if self._others else set()
        return [one for one in self._others if one.call not in here and one.call not in self._lately]

    def _of_other(self, one: Running) -> Spent:
        minutes = 0.0 if one.answered_at is None else max(self._history.now() - one.answered_at, 0.0) / 60
        unpriced = minutes if one.engine_usd is None and not one.is_led else 0.0
        return Spent(0 if one.is_part else 1, minutes, one.engine_usd or 0.0, one.carrier_usd, unpriced)

    def _are_set(self, limits: _Limits) -> bool:
        return self._ceilings.any or limits.ceilings.any

    def _over_now(self, limits: _Limits) -> str:
        """Return which ceiling a new call is past, as `_over` does. Where it is far from any, what was found within the
        last second tells that, with as much as all calls can have taken since."""
        if not self._are_set(limits):
            return ""
        since = self._loop.time() - self._summed_at
        if since < _LOOK_SECONDS and self._most_share(limits, since) < WARN_SHARE:
            return ""
        return self._over(limits, self._spent())

    def _most_share(self, limits: _Limits, since: float) -> float:
        """Return how much of the ceiling that is nearest can have been used at most; 1.0: all of it. `since`: seconds
        since all was summed up."""
        minutes = len(self._calls()) * since / 60
        total, own = (
            spent + Spent(0, minutes, 0.0, 0.0, minutes)
            for spent in (_sum(self._summed), self._summed.get(limits.profile, Spent()))
        )
        return max(self._ceilings.share(total, self._dearest), limits.ceilings.share(own, self._dearest))

    def _over(self, limits: _Limits, spent: Mapping[str, Spent]) -> str:
        """Return which ceiling a call with these limits is past, as a clause; "": none."""
        total, own = _sum(spent), spent.get(limits.profile, Spent())
        if self._ceilings.share(total, self._dearest) >= 1:
            return f"all calls of {self._day.date} have used {self._ceilings.said(total, self._dearest)}"
        if limits.ceilings.share(own, self._dearest) >= 1:
            name = f"profile {limits.profile}" if limits.profile else "numbers without a profile"
            return f"the calls of {name} have used {limits.ceilings.said(own, self._dearest)} of {self._day.date}"
        return ""

    # What operators see

    async def describe(self, configs: Mapping[str, CallConfig]) -> dict[str, Any]:
        """Return what the calls of today took: in all, by profile, by caller, by live call. `configs`: by profile."""
        spent = self._spent()
        profiles = []
        for name in sorted({*spent, *configs}):
            config = configs.get(name)
            of = Ceilings(config.profile_daily_minutes, config.profile_daily_usd) if config else Ceilings()
            profiles.append({"profile": name, **self._told_of(spent.get(name, Spent()), of)})
        return {
            "day": self._day.date,
            "zone": str(self._zone),
            "known": self.is_known,
            "all": self._told_of(_sum(spent), self._ceilings),
            "profiles": profiles,
            "callers": await self._callers(self._day),
            "live": [
                {
                    "id": call.id,
                    "profile": call.config.profile,
                    "caller": (call.to_number if call.is_outbound else call.from_number) or None,
                    **self._told_of(self._of(call), Ceilings()),
                }
                for call in self._calls()
            ]
            + [
                {
                    "id": one.call,
                    "profile": one.profile,
                    "caller": one.caller or None,
                    **self._told_of(self._of_other(one), Ceilings()),
                }
                for one in self._elsewhere()
            ],
        }

    async def _callers(self, day: Day) -> list[dict[str, Any]]:
        """Return the callers whose ended calls cost most."""
        if not self._history.is_readable or self._history.journal.trouble:
            return []
        found = await self._history.spending.of_callers(day.begins, day.ends, _MOST_CALLERS)
        return [{"caller": one.name or None, **self._told_of(spent_of(one), Ceilings())} for one in found]

    def _told_of(self, spent: Spent, ceilings: Ceilings) -> dict[str, Any]:
        told: dict[str, Any] = {
            "calls": spent.calls,
            "minutes": round(spent.minutes, 2),
            "usd": round(spent.usd(self._dearest), 4),
            "engineUsd": round(spent.engine_usd, 4),
            "carrierUsd": round(spent.carrier_usd, 4),
            "unpricedMinutes": round(spent.unpriced_minutes, 2),
        }
        if ceilings.any:
            told["ceilings"] = {"minutes": ceilings.minutes or None, "usd": ceilings.usd or None}
            told["used"] = round(ceilings.share(spent, self._dearest), 4)
        return told


def spent_of(sums: Sums) -> Spent:
    """Return what the history has as `Spent`."""
    return Spent(sums.calls, sums.seconds / 60, sums.engine_usd, sums.carrier_usd, sums.unpriced_seconds / 60)


def _limits(config: CallConfig) -> _Limits:
    return _Limits(config.profile, config.profile_daily_minutes, config.profile_daily_usd)


def _sum(spent: Mapping[str, Spent]) -> Spent:
    return sum(spent.values(), Spent())


def _has_agent(call: Call) -> bool:
    return call.model.state in _WITH_AGENT and not call.take_over.by
