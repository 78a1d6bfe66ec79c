"""Restores the calls of the previous process from the history, and keeps other processes from restoring them.

Callers are served meanwhile. What follows for each call is decided by the rows `call_recovered` of
`callflow/call/machine/table.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from callflow.call.call import Call
from callflow.call.machine import RECOVERING, STREAMING
from callflow.call.outbound_order import OutboundOrder
from callflow.call.restore import restore_call
from callflow.cluster.membership import Membership
from callflow.cluster.ownership import Ownership
from callflow.contracts import events
from callflow.contracts.carrier import PHONE, ActiveCall, Carrier
from callflow.contracts.errors import CarrierError
from callflow.history.history import AGAIN_SECONDS, History
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.switchboard import restored_images
from callflow.switchboard.call_configs import Began
from callflow.switchboard.cluster_duties import ClusterDuties
from callflow.switchboard.keep_running import Part, keep_all_running
from callflow.switchboard.number_ids import NumberIds
from callflow.switchboard.reconciliation import Reconciliation
from callflow.switchboard.status_checks import StatusChecks
from callflow.switchboard.switchboard import Switchboard
from callflow.switchboard.webhook_gate import WebhookGate


log = logging.getLogger(__name__)

_LOST_LEG_SECONDS: Final = 10.0
"""How long a lost leg waits for the history."""
_LOCK_SECONDS: Final = 0.2
"""Interval of the checks whether another process still owns the history."""
_CLOSE_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.01
_HEARD_SECONDS: Final = 0.6
_LEFT_SECONDS: Final = 2.0
"""How long a node that has given a call waits for its media stream; it waits for an answer for 1 s."""
_MOST_LOADS: Final = 1000
_MOST_LOST_LEGS: Final = 100
"""The most legs that are looked into at once; the next comparison with the carrier finds the others."""
_QUESTIONS: Final = 20
"""The most simultaneous requests to carriers."""


async def _nothing(*_: object) -> None:
    pass


class Recovery:
    """Opens the history, and continues its unfinished calls."""

    def __init__(self, history: History, *, reconcile_seconds: float, membership: Membership | None = None) -> None:
        """`reconcile_seconds`: interval of the comparisons of our calls with the carriers'; 0: none. `membership`: of
        this node in a cluster; None: this process serves alone."""
        self._history, self._membership = history, membership
        self._ownership = Ownership(history.database)
        self._reconcile_seconds = reconcile_seconds
        self.opened = asyncio.Event()
        """Set when the history is open and the calls of the previous process are known."""
        self.began = asyncio.get_running_loop().time()
        self._carriers: dict[str, Carrier] = {}
        self._duties: ClusterDuties | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lost_legs: set[asyncio.Task[None]] = set()
        self._questions = asyncio.Semaphore(_QUESTIONS)
        self._status_checks = StatusChecks(history.now, lambda call: self.reconciliation.doubt(call), self._questions)
        self._number_ids = NumberIds(self._note_number_id)
        self._givers: dict[str, str] = {}
        """Who has given calls to this node that it is just taking, by call."""
        self._has_all = False
        """This process serves alone, and has all calls that there are."""
        history.journal.on_began = self._number_ids.began
        history.is_nobodys = self._is_nobodys

    def begin(
        self,
        switchboard: Switchboard,
        carriers: Sequence[Carrier],
        learn: Callable[[str], None] = lambda address: None,
        *,
        load: Callable[[], Awaitable[None]] | None = None,
        prepare: Callable[[Mapping[str, Any], Began], Awaitable[None]] = _nothing,
        outbound: Callable[[OutboundOrder, Mapping[str, Any], Began], OutboundOrder] = lambda order, _, __: order,
        follow: Callable[[], Coroutine[Any, Any, None]] | None = None,
        in_charge: Callable[[], Mapping[str, Part]] = dict,
    ) -> None:
        """Start opening the history and restoring its unfinished calls. Returns at once.

        `learn`: receives our public address, as the previous process knew it. `load`: reads the operators' changes of
        settings from the database. `prepare`: receives the operators' changes and the profile under which a restored
        call began. `outbound`: makes the config of an outbound call that is restored, on a thread. `follow`: reads
        again what other processes change of the settings, until cancelled. `in_charge`: makes the parts of the work of
        the one process that owns the history, by name; they begin when that is this one, as often as it becomes that,
        and are cancelled at the end.
        """
        self._switchboard, self._learn, self._load, self._prepare = switchboard, learn, load, prepare
        self._outbound, self._in_charge, self._follow = outbound, in_charge, follow
        self._carriers = {carrier.name: carrier for carrier in carriers}
        self.reconciliation = Reconciliation(
            self._history, switchboard, self._carriers, self._questions, self._bring_back_if_ours,
            self._status_checks.ask,
        )  # fmt: skip
        self._gate = WebhookGate(self, self._history, self._membership, switchboard, self._carriers)
        switchboard.on_lost_leg = self._look_into
        self._number_ids.begin(self._carriers)
        self._tasks.append(asyncio.create_task(self._run(), name="recovery"))

    async def _is_nobodys(self, call: str) -> bool:
        """Return whether no process has an unfinished call: its end was lost, and so its claim may still be here."""
        if self._switchboard.is_live(call):
            return False
        if self._membership is None:
            return self._has_all
        owner = await self._membership.owner(call)
        return owner == "" or (owner == self._membership.me and not self._membership.claims.is_coming(call))

    def _note_number_id(self, call: str, number: str) -> None:
        self._history.journal.add(JournalEntry.of(notes.NumberId(number=number), call=call, at=self._history.now()))

    def _look_into(self, carrier: Carrier, leg: ActiveCall) -> None:
        """Find out in the history whose this leg is; a leg whose call is over is hung up."""
        if len(self._lost_legs) < _MOST_LOST_LEGS:
            task = asyncio.create_task(self._account_for(carrier, leg), name="lost leg")
            self._lost_legs.add(task)
            task.add_done_callback(self._lost_legs.discard)

    async def _account_for(self, carrier: Carrier, leg: ActiveCall) -> None:
        if not await self.is_open(_LOST_LEG_SECONDS):
            return
        try:
            await self.reconciliation.account_for(carrier, leg)
        except CarrierError as error:
            log.warning("call %s: its leg cannot be ended: %s", leg.call, error)
        except Exception:
            log.exception("call %s: its leg cannot be checked because of an internal error", leg.call)

    async def is_open(self, seconds: float) -> bool:
        """Wait for `opened`, at most `seconds`. Returns whether `opened` is set."""
        try:
            async with asyncio.timeout(seconds):
                await self.opened.wait()
        except TimeoutError:
            return False
        return True

    def lacks(self) -> str:
        """Return why new calls are better sent elsewhere: `draining`: this node has been told to drain; `database`: the
        history cannot be written, or the lease not be renewed; `starting`: the history is being opened; "": nothing."""
        member = self._membership
        if member is not None and member.is_draining:
            return "draining"
        if self._history.journal.trouble or (member is not None and member.trouble):
            return "database"
        return "" if self.opened.is_set() else "starting"

    def has_room_beside(self) -> bool:
        """Return whether another worker of this machine takes new calls."""
        return self._membership is not None and self._membership.has_room_beside

    async def begun(self, webhook_event: events.WebhookEvent | None) -> bool:
        """Wait until this process knows which calls it has: see `WebhookGate.begun`."""
        return await self._gate.begun(webhook_event)

    async def hold(self, webhook_event: events.WebhookEvent, *, coming: str = "") -> bool:
        """Wait while the call of a webhook is being moved: see `WebhookGate.hold`."""
        return await self._gate.hold(webhook_event, coming=coming)

    async def look_up(self, webhook_event: events.WebhookEvent) -> None:
        """Ask the history about the call of a webhook: see `WebhookGate.look_up`."""
        await self._gate.look_up(webhook_event)

    async def close(self) -> None:
        """Write the last journal entries, then release the history for another process."""
        # A database driver that is cancelled while it connects may never return.
        await self.is_open(_CLOSE_SECONDS if not self._history.journal.trouble else 0.0)
        tasks = [*self._tasks, *self._lost_legs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._status_checks.close(), self._number_ids.close(), return_exceptions=True)
        await self._history.journal.close()
        if self._membership is not None:
            await self._membership.close()
        await self._ownership.release()

    async def _run(self) -> None:
        if self._membership is not None:
            await self._membership.together.appear()
        await self._history.open()
        self._tasks.append(asyncio.create_task(self._history.own_retention.run(), name="own retention"))
        await self._try_to_load()
        if self._follow is not None:
            self._tasks.append(asyncio.create_task(self._follow(), name="changes of others"))
        if self._membership is not None:
            self._history.journal.on_elsewhere = self._is_elsewhere
            self._tasks.append(asyncio.create_task(self._reconcile(), name="reconciliation"))
            self._duties = takeover = ClusterDuties(
                self._membership, self._switchboard, self._ownership,
                bring_back=self._recover_all, lead=self._work_for_all, opened=self.opened,
            )  # fmt: skip
            await self._membership.join()
            await takeover.run()
            return
        while True:
            await self._take_charge()
            await self._try_to_load()  # the previous process may have changed the settings meanwhile
            await self._try_to_recover()
            self._has_all = True
            self.opened.set()
            work = [asyncio.create_task(each) for each in (self._work_for_all(), self._reconcile())]
            try:
                await self._ownership.lost()
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
            self._let_go_of_all()

    def _let_go_of_all(self) -> None:
        """Leave the calls that another process has found in the history while this one could not be reached."""
        self._has_all = False
        journal = self._history.journal
        calls = [call.id for call in self._switchboard.calls]
        waiting = {call: {entry.name for _, entry in journal.waiting_of(call)} for call in calls}
        known = [call for call in calls if notes.Began.kind not in waiting[call]]
        log.error("another Callflow took the history while this one could not reach it: it has %d calls", len(known))
        for call in known:
            journal.forget(call)
            self._switchboard.let_go(call)

    async def _work_for_all(self) -> None:
        """Do what one process does for all that share the history, until cancelled."""
        history = self._history
        await keep_all_running(
            {"retention": history.retention.run, "deletions": history.deletions.run, **self._in_charge()}
        )

    async def _reconcile(self) -> None:
        while self._reconcile_seconds:
            await asyncio.sleep(self._reconcile_seconds)
            await self.reconciliation.run_once(lists=self._membership is None or self._membership.leads)

    async def keep(self, call: str) -> None:
        """Go on with a call that no other node would take. Never raises."""
        if self._duties is not None:
            await self._duties.keep(call)

    async def take_given(self, calls: Sequence[str], giver: str) -> Sequence[str] | None:
        """Take calls that the node `giver` has given to this one, and return those that this node has now; None: that
        is not known yet. Returns when their callers are heard here, or soon: who gives many waits for that with the
        next. Never raises."""
        if self._duties is None:
            return None
        self._givers.update(dict.fromkeys(calls, giver))
        try:
            taken = await self._duties.take_given(calls)
        finally:
            for call in calls:
                self._givers.pop(call, None)
        until = asyncio.get_running_loop().time() + _HEARD_SECONDS
        while asyncio.get_running_loop().time() < until and any(map(self._is_between, calls)):  # noqa: ASYNC110 - a few
            await asyncio.sleep(_LOOK_SECONDS)
        return taken

    async def _is_left(self, name: str) -> None:
        """Return when nothing is left of a call that this node wanted to give away a moment ago, and its last entries
        are written. Raises TimeoutError."""
        async with asyncio.timeout(_LEFT_SECONDS):
            while (call := self._switchboard.live(name)) is not None and call.is_handed_over:  # noqa: ASYNC110 - rare
                await asyncio.sleep(_LOOK_SECONDS)
            if self._history.journal.waiting_of(name):
                await self._history.journal.flushed()

    def _is_between(self, name: str) -> bool:
        """Whether a call waits for its media stream."""
        call = self._switchboard.live(name)
        return call is not None and call.model.state in (STREAMING, RECOVERING) and not call.relay.is_flowing

    def _is_elsewhere(self, call: str) -> None:
        if self._membership is not None and not self._membership.claims.has_come_back(call):
            self._membership.claims.drop([call])
            self._switchboard.let_go(call)

    async def _recover_all(self, names: Sequence[str], given: bool) -> Sequence[str]:
        """Recover calls that this node has claimed. `given`: a living node had them a moment ago, so that nobody has
        to ask whether they are still there. Returns when each goes on here, or at once those that cannot be read now:
        they are to be tried again, and the others go on meanwhile."""
        asking, unread = await self._recover(names, given=given)
        if not unread:
            await asyncio.gather(*asking)
        return unread

    async def _recover(
        self, names: Sequence[str], *, given: bool = False
    ) -> tuple[list[asyncio.Task[None]], Sequence[str]]:
        """Restore unfinished calls until the database fails. Returns what asks about the restored ones, which then go
        on here, and the names of those that are to be tried again: first those that were not tried yet, so that one
        that can never be read keeps no other one waiting."""
        back: list[Call] = []
        unread: Sequence[str] = ()
        for tried, name in enumerate(names):
            try:
                call = await self._bring_back_alone(name, given=given)
            except (SQLAlchemyError, OSError):
                unread = [*names[tried + 1 :], name]
                log.exception("%d CALLS CANNOT BE READ, so that nobody serves them; it is tried again", len(unread))
                break
            if call is not None:
                back.append(call)
        if back:
            log.warning("recovering %d of the calls of another process", len(back))
        await restored_images.show_again(self._history.database, back)
        return [self._status_checks.begin(call, given=given) for call in back], unread

    async def _try_to_load(self) -> None:
        """Call `load` once. If that fails, a task of its own tries again."""
        if self._load is None:
            return
        try:
            await self._load()
        except Exception as error:
            what = self._history.database.trouble(error)
            log.error("SETTINGS KEPT IN THE DATABASE CANNOT BE READ (%s): calls go on without them", what)
            self._tasks.append(asyncio.create_task(self._load_again(self._load), name="kept settings"))

    async def _load_again(self, load: Callable[[], Awaitable[None]]) -> None:
        for pause in (*AGAIN_SECONDS, *(AGAIN_SECONDS[-1],) * _MOST_LOADS):
            await asyncio.sleep(pause)
            with contextlib.suppress(Exception):
                await load()
                log.warning("the settings kept in the database could be read now, and hold for coming calls")
                return

    async def _take_charge(self) -> None:
        """Return when this process owns the calls of this history."""
        while not await self._is_in_charge():
            if not self.opened.is_set():
                log.warning("another Callflow uses this history: its calls are left alone until it ends")
                self.opened.set()
            await asyncio.sleep(_LOCK_SECONDS)

    async def _is_in_charge(self) -> bool:
        try:
            return await self._ownership.take()
        except Exception as error:
            what = self._history.database.trouble(error)
            log.error("it cannot be found out whether another Callflow uses this history: %s", what)
            await asyncio.sleep(AGAIN_SECONDS[-1])
            return False

    async def _try_to_recover(self) -> None:
        """Recover the calls of the process before. Returns when all that can be read are restored."""
        left: Sequence[str] | None = None
        for pause in AGAIN_SECONDS:
            try:
                left = await self._history.store.unfinished() if left is None else left
            except Exception:
                log.exception("calls of the process before cannot be looked for; it is tried again")
            else:
                _, left = await self._recover(left)
                if not left:
                    return
            await asyncio.sleep(pause)
        log.error("CALLS OF THE PROCESS BEFORE CANNOT BE READ: they are not recovered")

    async def _bring_back_alone(self, name: str, *, given: bool) -> Call | None:
        """Restore an unfinished call: one bad journal must not keep other calls from being recovered. Raises what the
        database raises."""
        try:
            return await self._bring_back(name, given=given)
        except (SQLAlchemyError, OSError):
            raise
        except Exception:
            log.exception("call %s cannot be recovered because of an internal error", name)
            if self._membership is not None:
                self._membership.claims.arrived(name)
            return None

    async def _bring_back_if_ours(self, name: str) -> Call | None:
        """Restore an unfinished call, unless another node has it."""
        if self._membership is not None and not await self._membership.claim(name):
            return None
        return await self._bring_back(name)

    async def _bring_back(self, name: str, *, given: bool = False) -> Call | None:
        """Restore an unfinished call from its journal; its carrier is asked for the call's status later."""
        call = await self._restore(name, given=given)
        if self._membership is not None:
            self._membership.claims.arrived(name)
        return call

    async def _restore(self, name: str, *, given: bool) -> Call | None:
        await self._is_left(name)
        if self._switchboard.is_live(name):
            return None
        keyed = await self._history.store.keyed_journal(name)
        entries = [entry for _, entry in keyed]
        self._history.journal.seed_read(keyed)
        try:
            old = restore_call(entries)
        except Exception:
            log.exception("the journal of call %s makes no sense", name)
            old = None
        if old is not None and old.problems:
            log.error(
                "call %s: %d journal entries make no sense, and are passed over; the first: %s", name, *old.problems
            )
        carrier = self._carriers.get(old.carrier) if old is not None else None
        if old is None or carrier is None:
            if old is not None and old.carrier == PHONE:
                log.info("call %s was one of the page's phone, which has gone with the process before", name)
            else:
                log.error("call %s cannot be recovered, and is closed as interrupted: is its carrier set up?", name)
            self._history.close_interrupted(name, keyed)
            return None
        await self._prepare(old.overrides, old.profile)
        if old.order is not None:
            old.order = await asyncio.to_thread(self._outbound, old.order, old.overrides, old.profile)
        if old.part_of is not None:
            old.part_of = await asyncio.to_thread(self._outbound, old.part_of, old.overrides, old.profile)
        began = notes.Began(
            carrier=old.carrier, from_number=old.from_number, to_number=old.to_number, number=old.ids.number,
            direction="inbound" if old.order is None else "outbound",
        )  # fmt: skip
        self._number_ids.began(name, began)
        if old.address:
            self._learn(old.address)
        if self._membership is not None and not self._membership.claims.has(name):
            log.warning("call %s: another node has taken this call over meanwhile", name)
            return None
        if self._membership is not None:
            self._status_checks.broke(name, old.at)
            old.given = given
            if giver := self._givers.get(name):
                old.handover_input = partial(self._membership.handover_input, giver, name)
        return self._switchboard.restore(carrier, old)
