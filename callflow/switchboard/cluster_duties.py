"""Takes over the calls of dead nodes, and does for all nodes what one of them does, while that is this one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from callflow.cluster.membership import Membership
from callflow.cluster.nodes import RENEW_SECONDS
from callflow.cluster.ownership import Ownership
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history.write_errors import unexplained
from callflow.switchboard.keep_running import keep_running
from callflow.switchboard.switchboard import Switchboard
from callflow.timers import Timers


log = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(log)
"""While the database is away, they would come five times a second."""

_LOOK_SECONDS: Final = 5.0
"""Interval of the looks for calls of nobody, beside those that follow a death at once."""
_LEAD_SECONDS: Final = 0.5
"""Interval of the looks whether this node leads."""
_AGAIN_SECONDS: Final = (0.2, 0.5, 1.0, 2.0)
"""Pauses between tries at a database that does not answer."""


class ClusterDuties:
    """What a node does for the others."""

    def __init__(
        self,
        membership: Membership,
        switchboard: Switchboard,
        ownership: Ownership,
        *,
        bring_back: Callable[[Sequence[str], bool], Awaitable[Sequence[str]]],
        lead: Callable[[], Coroutine[Any, Any, None]],
        opened: asyncio.Event,
    ) -> None:
        """`ownership`: of the history; a process that serves alone has it, and whoever gets it takes its calls over.
        `bring_back`: recovers calls that are claimed for this node; True: a living node has given them. Returns those
        that are to be tried again. `lead`: works for all nodes, until cancelled. `opened`: is set when the calls that
        were nobody's at the start are known.
        """
        self._membership, self._switchboard, self._ownership = membership, switchboard, ownership
        self._bring_back, self._lead, self._opened = bring_back, lead, opened
        self._has_ownership = False
        self._has_adopted = False
        self._said_to_wait: set[str] = set()
        """The carriers of which it was said that calls wait for a node with their keys."""
        self._tasks: asyncio.TaskGroup | None = None
        self._timers = Timers()
        membership.on_fenced = self._let_go_of_all

    async def run(self) -> None:
        """Take part in the cluster, which this node has joined, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            first = tasks.create_task(self._take_first_orphans(tasks), name="orphans")
            tasks.create_task(self._keep_leading(), name="leading")
            await asyncio.wait([first], timeout=_LOOK_SECONDS)
            self._opened.set()
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._membership.changed.wait()
                self._membership.changed.clear()
                await self._take_orphans(tasks)
                if given := await self._take_given(None):
                    tasks.create_task(self._try_to_bring_back(given, given=True), name="taking what was given")

    async def take_given(self, calls: Sequence[str]) -> Sequence[str] | None:
        """Take calls that another node has given to this one, and return those that this node has now; None: that is
        not known, and it looks again. Returns when they go on here. Never raises.

        A node that leaves may end before it has the answer: the calls go on here all the same.
        """
        wanted = await self._take_given(calls)
        if wanted is None:
            return None
        taken = [call for call in calls if self._membership.claims.has(call)]
        await self._bring_given(wanted)
        return taken

    async def keep(self, call: str) -> None:
        """Go on with a call that was to be given away, and that no other node has. Returns when it goes on here. Never
        raises."""
        if self._membership.claims.has(call):
            self._membership.claims.comes_back(call)
            await self._bring_given([call])

    async def _take_given(self, calls: Sequence[str] | None) -> Sequence[str] | None:
        """None: those that the others could not tell of. Returns those that are to be brought back; None: they are not
        known."""
        if self._tasks is None:
            return None  # the first look finds them
        try:
            return await self._membership.take_given(calls)
        except Exception as error:
            _warnings.say("given", "it is not known which calls were given to this node: %s", type(error).__name__)
            return None

    async def _bring_given(self, calls: Sequence[str]) -> None:
        if calls and self._tasks is not None:
            bringing = self._tasks.create_task(self._try_to_bring_back(calls, given=True), name="taking what was given")
            await asyncio.shield(bringing)

    def _let_go_of_all(self) -> None:
        # Of a call that cannot be written yet nobody else knows: it goes on here, and is claimed once it is written.
        calls = [call.id for call in self._switchboard.calls if not self._membership.claims.is_fresh(call.id)]
        self._membership.claims.drop_all()
        for call in calls:
            self._switchboard.let_go(call)

    async def _take_orphans(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Claim as many calls of dead nodes as this node should now; it looks again soon if there were any. Never
        raises. Returns what brings them back: neither the next share nor the next death is held up by the questions
        that a carrier answers late."""
        taking: list[asyncio.Task[None]] = []
        try:
            allotment = await self._membership.allotment()
            left = allotment.most
            self._say_who_waits()
            if left:
                self._timers.start("look again", RENEW_SECONDS, self._membership.changed.set)
            while left > 0 and (calls := await self._membership.take_orphans(left, allotment.of)):
                left -= len(calls)
                taking.append(tasks.create_task(self._try_to_bring_back(calls), name="taking over"))
        except Exception as error:
            _warnings.say(
                "orphans",
                "calls of dead nodes cannot be looked for: %s",
                type(error).__name__,
                exc_info=unexplained(error),
            )
            await asyncio.sleep(_AGAIN_SECONDS[0])
            self._membership.changed.set()
        return taking

    def _say_who_waits(self) -> None:
        """Log once which calls of dead nodes nobody can serve, and once that they wait no more."""
        unserved = self._membership.unserved
        for carrier in unserved.keys() - self._said_to_wait:
            log.error(
                "%d CALLS OF %s ARE NOBODY'S: their node is gone, and no node that lives has the keys of that carrier."
                " They wait for one that has them: start it",
                unserved[carrier], carrier.upper(),
            )  # fmt: skip
        for carrier in self._said_to_wait - unserved.keys():
            log.warning("no call of %s waits any more for a node with the keys of that carrier", carrier)
        self._said_to_wait = set(unserved)

    async def _take_first_orphans(self, tasks: asyncio.TaskGroup) -> None:
        """Take calls that were nobody's at the start. Returns when they go on here."""
        await asyncio.gather(*await self._take_orphans(tasks))

    async def _try_to_bring_back(self, calls: Sequence[str], *, given: bool = False) -> None:
        for pause in itertools.chain(_AGAIN_SECONDS, itertools.repeat(_AGAIN_SECONDS[-1])):
            try:
                calls = await self._bring_back(calls, given)
            except Exception:
                log.exception("calls of another node are not recovered because of an internal error; it is tried again")
            if not calls:
                return
            await asyncio.sleep(pause)
            calls = [call for call in calls if self._membership.claims.has(call)]  # others may have them now

    async def _keep_leading(self) -> None:
        work: asyncio.Task[None] | None = None
        try:
            while True:
                leads = self._membership.leads
                if leads and work is None:
                    log.info("this node leads now: it does the work that one node does for all")
                    work = asyncio.create_task(keep_running("work for all", self._lead), name="work for all")
                elif not leads and work is not None:
                    log.info("another node leads now")
                    await _end(work)
                    work = None
                if leads or self._has_ownership:  # whoever has it is the only one that can
                    await self._adopt()
                await asyncio.sleep(_LEAD_SECONDS)
        finally:
            if work is not None:
                await _end(work)

    async def _adopt(self) -> None:
        """Leave the calls of a process that served alone to all nodes, once it has ended: this one may have no keys of
        their carrier, and a single one would be long about many."""
        try:
            if self._has_adopted or self._membership.is_leaving or self._tasks is None:
                return
            if not self._has_ownership:
                if not await self._ownership.take():
                    return
                self._has_ownership = True
                self._tasks.create_task(self._keep_ownership(), name="ownership")
            await self._membership.disown_unclaimed()
            self._has_adopted = True
        except Exception as error:
            log.warning("calls of a process that served alone cannot be looked for: %s", type(error).__name__)

    async def _keep_ownership(self) -> None:
        """Hold it for the cluster: a process that serves alone must not take the calls of nodes."""
        await self._ownership.lost()
        self._has_ownership = self._has_adopted = False  # whoever has it now serves alone, and may die


async def _end(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
