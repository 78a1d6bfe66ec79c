"""Dials the rows of the campaigns that run, in the process that looks after the calls of the history.

A row is taken in the database before it is dialled, and its call has an Idempotency-Key made of campaign, row and
attempt. So whatever is killed between the two: the journal says whether there was such a call, and nobody is dialled
twice. Live calls are counted where they are, in the switchboard, and never in a counter of our own.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from callflow.cluster.membership import Membership
from callflow.contracts.errors import CarrierError, DialRefused
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history.call_list import of_row
from callflow.history.campaign_store import FINISHED, PAUSED, RUNNING
from callflow.history.history import History
from callflow.history.idempotency_keys import call_of, key_of
from callflow.history.write_errors import unexplained
from callflow.switchboard.campaigns import outcomes, zones
from callflow.switchboard.campaigns.campaigns import request_of
from callflow.switchboard.campaigns.outcomes import (
    ANSWERED,
    MACHINE,
    MESSAGE_LEFT,
    REFUSED,
    UNKNOWN,
    Refusal,
    outcome_of,
)
from callflow.switchboard.campaigns.pace import Pace, moments
from callflow.switchboard.campaigns.schedule import Schedule, read_schedule
from callflow.switchboard.dialer import Dialled, DialRequest
from callflow.switchboard.switchboard import Switchboard


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.25
"""Interval of the looks while calls are made."""
_QUIET_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 5.0
"""Without a campaign that runs: an operator's command may be in another process."""
_TROUBLE_SECONDS: Final = 2.0
_REST_SECONDS: Final = 30.0
"""How long a campaign is left alone, at the longest, in which no row is due."""
_DIAL_SECONDS: Final = 60.0
_LOST_SECONDS: Final = 60.0
"""After this time a call that is not in the history was never made."""
_NO_END_SECONDS: Final = 900.0
"""After this time the end of a call that is not live any more is not waited for: its last words take seconds."""
_BUSY_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 5.0
"""Interval of the looks at lists that are being written."""
_STILL_LOOKS: Final = 6
"""A list to which nothing was added for so many looks is written by nobody: some hundred rows take milliseconds."""
_SOME: Final = 200


@dataclass(slots=True, eq=False)
class _Taken:
    """A row that was taken, and its call."""

    row: Mapping[str, Any]
    call: str
    carrier: str = ""
    """Whose account it is called through; "": not known, it was dialled by an earlier process."""
    was_dialled: bool = False
    """The dialler has made the call."""
    is_elsewhere: bool = False
    """Another node has the call."""
    task: asyncio.Task[None] | None = None
    verdict: Callable[[float], Awaitable[object]] | None = None
    """Writes down that there is no call, given the time."""
    gone_at: float | None = None
    """Since when it is not live any more, on the loop's clock."""


class _Job:
    """A campaign that runs."""

    def __init__(self, campaign: Mapping[str, Any], groups: list[str]) -> None:
        """`groups`: the different texts of zones of its rows."""
        self.asked = json.loads(campaign["asked"])
        self.schedule: Schedule = read_schedule(self.asked["plan"], [])
        self.groups = groups
        self.carrier = str(self.asked["call"]["carrier"])
        self.pace = Pace()
        self.pace.follow([self.schedule])
        self.rests_until = 0.0
        self.is_refused = bool(campaign["error"])
        """The campaign tells why the carrier refuses its calls."""


class CampaignRunner:
    """`run` is its whole life."""

    def __init__(
        self,
        history: History,
        switchboard: Switchboard,
        dial: Callable[[DialRequest], Awaitable[Dialled]],
        cluster: Membership | None = None,
        *,
        most_calls: int,
    ) -> None:
        """`dial`: as `Dialer.dial`. `cluster`: whose nodes make the calls; None: this process is alone. `most_calls`:
        of all campaigns at once and a node, so that callers find a place."""
        self._history, self._switchboard, self._dial, self._most = history, switchboard, dial, most_calls
        self._cluster = cluster
        self._store = history.campaigns
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._taken: dict[str, _Taken] = {}
        """By call."""
        self._jobs: dict[str, _Job] = {}
        self._accounts: dict[str, Pace] = {}
        """By carrier."""
        self._turn = 0
        self._made_at = history.now()
        self._watched_at = float("-inf")
        self._lists: dict[str, tuple[int, int]] = {}
        """Lists that are being written: how many rows there are, and for how many looks there have been no more."""
        self._troubles = RepeatedWarnings(log, logging.ERROR)

    def wake(self) -> None:
        """Look at the campaigns now."""
        for job in self._jobs.values():
            job.rests_until = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Dial until cancelled. A node that leads again calls it again: others may have settled the rows meanwhile."""
        has_begun = False
        try:
            while True:
                self._wake.clear()
                try:
                    if not has_begun:
                        await self._begin()
                        has_begun = True
                    pause = await self._look()
                except Exception as error:
                    what = self._history.database.trouble(error)
                    self._troubles.say(
                        "look", "campaigns stand still for a moment: %s", what, exc_info=unexplained(error)
                    )
                    pause = _TROUBLE_SECONDS
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            tasks = [taken.task for taken in self._taken.values() if taken.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._taken.clear()
            self._lists.clear()

    async def _begin(self) -> None:
        """Account for the rows that the process before this one had taken: a row whose call is not in the history
        was not dialled, and waits again."""
        now = self._history.now()
        if self._cluster is None:  # whoever wrote a list before this process was made is gone
            lists = await self._store.loading()
            await self._break_off([one["id"] for one in lists if one["seq"] < self._made_at * 1e6])
        await self._store.finish_cancelling(now)
        rows = {call_of(key_of(row["campaign"], row["row"], row["tries"])): row for row in await self._store.dialling()}
        names = list(rows)
        for begin in range(0, len(names), _SOME):
            some = names[begin : begin + _SOME]
            known = {row["call_id"] for row in await self._history.store.listed_calls(some)}
            for call in some:
                if call in known or self._switchboard.is_live(call):
                    self._taken[call] = _Taken(rows[call], call, was_dialled=True)
                else:
                    await self._store.put_back(rows[call], now, now)
        if rows:
            log.warning("campaigns go on: %d rows were at work, %d of them with a call", len(rows), len(self._taken))

    async def _break_off(self, lists: list[str]) -> None:
        if lists and (broken := await self._store.break_off(lists, self._history.now())):
            log.warning("%d lists of calls were being written when the server was stopped, and are cancelled", broken)

    async def _watch_lists(self) -> None:
        """Cancel the lists of calls that nobody writes any more. Any node may be writing one, and only what is written
        shows that it lives; so looks are counted and not seconds, in which this one may not have seen the database
        either."""
        if self._loop.time() < self._watched_at + _WATCH_SECONDS:
            return
        self._watched_at = self._loop.time()
        seen, self._lists = self._lists, {}
        for one in await self._store.loading():
            rows, still = seen.get(one["id"], (-1, 0))
            self._lists[one["id"]] = one["rows"], still + 1 if rows == one["rows"] else 0
        await self._break_off([name for name, (_, still) in self._lists.items() if still >= _STILL_LOOKS])

    async def _look(self) -> float:
        """Settle what is over, and dial what is due. Returns the seconds until the next look."""
        await self._settle()
        await self._watch_lists()
        now = self._history.now()
        running = await self._store.running(now)
        self._jobs = {one["id"]: self._jobs[one["id"]] for one in running if one["id"] in self._jobs}
        if not self._switchboard.is_accepting or not running:
            return _LOOK_SECONDS if self._taken else _IDLE_SECONDS
        for one in running:
            if one["id"] not in self._jobs:
                self._jobs[one["id"]] = _Job(one, await self._store.zones(one["id"]))
        for carrier in {job.carrier for job in self._jobs.values()}:
            account = self._accounts.setdefault(carrier, Pace())
            account.follow([job.schedule for job in self._jobs.values() if job.carrier == carrier])
        self._turn += 1
        first = self._turn % len(running)  # of several campaigns each is the first to find room in its turn
        for campaign in running[first:] + running[:first]:
            await self._work_on(campaign)
        return _LOOK_SECONDS if self._taken else _QUIET_SECONDS

    async def _work_on(self, campaign: Mapping[str, Any]) -> None:
        name = campaign["id"]
        job = self._jobs[name]
        account = self._accounts[job.carrier]
        clock, now = self._loop.time(), self._history.now()
        if clock < job.rests_until:
            return
        ours, of_account, all_ = self._live_calls(name, job.carrier)
        room = min(job.schedule.at_once - ours, account.most(clock) - of_account, self._most * self._nodes() - all_)
        due = moments(clock, _LOOK_SECONDS, room, job.pace, account)
        if not due:
            return
        open_ = await asyncio.to_thread(zones.open_now, job.schedule, job.groups, now)
        rows = await self._store.take(name, now, open_, len(due)) if open_ else []
        for row, at in zip(rows, due, strict=False):
            self._begin_call(job, row, at)
        if not rows and not any(taken.row["campaign"] == name for taken in self._taken.values()):
            await self._rest(name, job, now)

    async def _rest(self, name: str, job: _Job, now: float) -> None:
        """Leave a campaign alone until its next row is due, or finish it if there is none."""
        waiting = await self._store.waiting(name)
        if not waiting:
            if await self._store.set_state(name, FINISHED, of=[RUNNING], now=now):
                log.info("campaign %s is finished", name)
            return
        following = await asyncio.to_thread(zones.next_open, job.schedule, waiting, now)
        seconds = _REST_SECONDS if following is None else min(following - now, _REST_SECONDS)
        job.rests_until = self._loop.time() + max(seconds, 0.0)

    def _live_calls(self, name: str, carrier: str) -> tuple[int, int, int]:
        """Return how many calls are live or about to be dialled: of a campaign, of all campaigns on this carrier's
        account, and of all."""
        live = [
            taken for call, taken in self._taken.items()
            if self._switchboard.is_live(call)
            or taken.is_elsewhere
            or (taken.task is not None and not taken.task.done())
        ]  # fmt: skip
        on_account = sum(taken.carrier in ("", carrier) for taken in live)
        return sum(taken.row["campaign"] == name for taken in live), on_account, len(live)

    def _nodes(self) -> int:
        return len(self._cluster.view.alive()) or 1 if self._cluster is not None else 1

    # One row

    def _begin_call(self, job: _Job, row: Mapping[str, Any], at: float) -> None:
        job.pace.dialled(at)
        self._accounts[job.carrier].dialled(at)
        request = request_of(job.asked, row)
        taken = _Taken(row, call_of(request.key), job.carrier)
        self._taken[taken.call] = taken
        taken.task = asyncio.create_task(self._call(job, taken, request, at), name=f"campaign call {taken.call}")

    async def _call(self, job: _Job, taken: _Taken, request: DialRequest, at: float) -> None:
        """Dial a row. Whatever happens here, the row stays taken until `_settle` writes down what became of it."""
        row = taken.row
        await asyncio.sleep(max(at - self._loop.time(), 0.0))
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                await self._dial(request)
            taken.was_dialled = True
        except CarrierError:
            taken.was_dialled = True  # the history has the call, with its end
        except DialRefused as refused:
            self._refused(job, taken, refused)
        except Exception as error:
            # What became of it is found out in the history: whether there is such a call, or not.
            log.error("campaign %s, row %d: its call failed: %s", row["campaign"], row["row"], type(error).__name__)

    def _refused(self, job: _Job, taken: _Taken, refused: DialRefused) -> None:
        row, why = taken.row, " ".join(refused.reasons)
        match refused.status:
            case 422:  # made before, under other settings
                taken.was_dialled = True
            case 403:
                taken.verdict = lambda now: self._store.skip(row, now, why)
            case 429 | 503:
                wait = refused.wait or _BUSY_SECONDS
                job.rests_until = self._loop.time() + wait
                taken.verdict = lambda now: self._store.put_back(row, now, now, why)
            case _:
                taken.verdict = lambda now: self._pause(row, now, why)

    async def _pause(self, row: Mapping[str, Any], now: float, why: str) -> None:
        """Pause a campaign that cannot go on as it was asked for."""
        if await self._store.set_state(row["campaign"], PAUSED, of=[RUNNING], error=why):
            log.error("campaign %s is paused: %s", row["campaign"], why)
        await self._store.put_back(row, now, now, why)

    async def _settle(self) -> None:
        """Write down what became of the calls that are over."""
        over = []
        for taken in list(self._taken.values()):
            if taken.task is not None and not taken.task.done():
                continue
            if taken.verdict is not None:
                await taken.verdict(self._history.now())
                self._drop(taken)
            elif not self._switchboard.is_live(taken.call):
                over.append(taken)
        if over and self._cluster is not None:
            claimed = await self._cluster.claimed([taken.call for taken in over])
            for taken in over:
                taken.is_elsewhere = taken.call in claimed
            over = [taken for taken in over if not taken.is_elsewhere]
        for begin in range(0, len(over), _SOME):
            some = over[begin : begin + _SOME]
            found = {row["call_id"]: row for row in await self._history.store.listed_calls([one.call for one in some])}
            for taken in some:
                await self._settle_one(taken, found.get(taken.call))

    async def _settle_one(self, taken: _Taken, found: Mapping[str, Any] | None) -> None:
        clock, now = self._loop.time(), self._history.now()
        taken.gone_at = clock if taken.gone_at is None else taken.gone_at
        gone = clock - taken.gone_at
        if found is not None and found["ended_at"]:
            listed = of_row(found)
            outcome = outcome_of(str(listed.to_json()["status"]), listed.cause)
            if outcome == MACHINE and outcomes.message_was_left(
                await self._history.store.journal(listed.id, hidden=True)
            ):
                outcome = MESSAGE_LEFT
        elif found is None and not taken.was_dialled:
            if gone >= _LOST_SECONDS:
                await self._store.put_back(taken.row, now, now, "its call was not made")
                self._drop(taken)
            return
        elif gone >= (_LOST_SECONDS if found is None else _NO_END_SECONDS):
            outcome = UNKNOWN  # deleted from the history, or its end was lost
        else:
            return
        schedule = await self._schedule(taken.row["campaign"])
        refused = await self._refusal(found)
        if refused is not None and await self._is_put_back(taken, refused):
            self._drop(taken)
            return
        if refused is None and outcome != UNKNOWN:
            await self._carrier_calls(taken)
        following = schedule.retry_at(outcome, taken.row["tries"] + 1, now)
        if following is None and schedule.retry_at(outcome, 1, now) is not None:
            # it is out of attempts, if all were any
            counted = min(await self._refused_before(taken.row), outcomes.MOST_REFUSED)
            following = schedule.retry_at(outcome, taken.row["tries"] + 1 - counted, now)
        why = refused.why if refused is not None else ""
        await self._store.settle(taken.row, now, outcome, following, ok=outcome in (ANSWERED, MESSAGE_LEFT), reason=why)
        self._drop(taken)

    # Refusals of the carrier

    async def _refusal(self, found: Mapping[str, Any] | None) -> Refusal | None:
        """Return why the carrier has called nobody. `found`: the call, as it is listed."""
        if found is None or found["answered_at"] or not outcomes.may_be_refused(found["hangup_cause"] or ""):
            return None
        entries = await self._history.store.journal(found["call_id"], hidden=True)
        return outcomes.refusal(found["hangup_cause"], entries)

    async def _refused_before(self, row: Mapping[str, Any]) -> int:
        """Return how many earlier calls of a row were refused, as their journals say."""
        calls = [call_of(key_of(row["campaign"], row["row"], tries)) for tries in range(row["tries"])]
        found = await self._history.store.listed_calls(calls)
        return sum([await self._refusal(one) is not None for one in found])

    async def _is_put_back(self, taken: _Taken, refused: Refusal) -> bool:
        """Let a row wait again whose call was refused, and dial less; pause a campaign whose calls are all refused.
        Returns False if it was refused so often that it counts as an attempt."""
        row, clock, now = taken.row, self._loop.time(), self._history.now()
        name, job, account = row["campaign"], self._jobs.get(row["campaign"]), self._accounts.get(taken.carrier)
        gives_up = refused.about == "account"
        if account is not None and not gives_up:
            live = self._live_calls(name, taken.carrier)[1] if refused.about == "limit" else None
            gives_up = account.refused(clock, live)
        state = PAUSED if gives_up else RUNNING
        if await self._store.set_state(name, state, of=[RUNNING], error=refused.why):
            log.warning("campaign %s %s: %s", name, "is paused" if gives_up else "is held back", refused.why)
        if job is not None:
            job.is_refused = True
        before = await self._refused_before(row)
        if before >= outcomes.MOST_REFUSED:
            return False
        wait = 0.0 if gives_up else outcomes.wait_seconds(before + 1)
        await self._store.settle(row, now, REFUSED, now + wait, ok=False, reason=refused.why)
        return True

    async def _carrier_calls(self, taken: _Taken) -> None:
        """Note that the carrier has not refused a call."""
        name = taken.row["campaign"]
        if (account := self._accounts.get(taken.carrier)) is not None:
            account.reached()
        if (job := self._jobs.get(name)) is not None and job.is_refused:
            job.is_refused = False
            await self._store.set_state(name, RUNNING, of=[RUNNING])

    def _drop(self, taken: _Taken) -> None:
        del self._taken[taken.call]

    async def _schedule(self, campaign: str) -> Schedule:
        job = self._jobs.get(campaign)
        if job is not None:
            return job.schedule
        found = await self._store.find(campaign)
        return read_schedule(json.loads(found["asked"])["plan"], []) if found is not None else Schedule()
