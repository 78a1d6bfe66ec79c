"""This process as a node of a cluster: its lease, the others as far as is known, and whether it may act.

Whether a node may act: while its lease holds by its own clock, yes. When it cannot be renewed, the others are asked. If
one of them reaches the database, and has for a lease, this node's calls are being taken over there, and it lets go of
them. If none does, the database is gone for everybody, or was a moment ago, and all go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection

from callflow.cluster import node_store
from callflow.cluster.beside import Beside
from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.claims import Claims
from callflow.cluster.heartbeat import Heartbeat, Renewal
from callflow.cluster.node_lock import NodeLock
from callflow.cluster.nodes import (
    LEASE_SECONDS,
    MARGIN_SECONDS,
    MISSED_SECONDS,
    Node,
    RecentPlacements,
    View,
    leader,
    machine_of,
    place,
)
from callflow.cluster.orphans import Allotment, allotment_of, unserved
from callflow.cluster.peers import NodeConfig, Peer
from callflow.contracts.errors import Overloaded
from callflow.contracts.media import HandoverInput
from callflow.history.database import Database
from callflow.history.history import History


_Found = TypeVar("_Found")

log = logging.getLogger(__name__)

_OWNER_SECONDS: Final = 3.0
"""How long a question for a call's owner waits while the call is being taken over."""
_ASK_SECONDS: Final = 0.5
"""How long a caller waits for the database."""
_AWAY_SECONDS: Final = 0.1
"""The same while it does not answer."""
_AGAIN_SECONDS: Final = 0.05
_WATCH_SECONDS: Final = 0.25
_YOUNG_SECONDS: Final = 3.0
"""A node that has joined within this time may not listen yet."""
_LEAVE_SECONDS: Final = 2.0
"""How long a node that ends waits until the others can know of it."""
_TOGETHER_SECONDS: Final = 0.15
"""Nodes that are stopped together say so within this time."""


async def _nobody() -> bool:
    return False


async def _unheard(peer: Peer, calls: Sequence[str]) -> Collection[str] | None:
    return None


async def _silent(node: str, call: str) -> HandoverInput:
    return HandoverInput()


async def _to_nobody() -> None:
    pass


class Membership:
    """The cluster as one node sees it; implements `Peers`. Made when a loop runs."""

    def __init__(
        self, config: NodeConfig, history: History, *, calls: Callable[[], int], lag: Callable[[], float]
    ) -> None:
        """`calls`: returns how many are live here, also on a thread. `lag`: how late the event loop is, in ms."""
        self.me = config.name
        self._database: Database = history.database
        self._calls = calls
        self.claims = history.journal.fence = Claims()
        self.view, self.keys = View(), CarrierKeys()
        self.unserved: dict[str, int] = {}  # how many calls of dead nodes no living node can serve, by carrier
        self.epoch = 0
        """Of this node; 0: it has not joined yet."""
        self.trouble = ""
        """Why the lease cannot be renewed; "": it can."""
        self._renewed = -math.inf
        """When the last renewal began that has succeeded."""
        self._judges = False
        """The last renewal declared dead whose lease had run out."""
        self._placed = RecentPlacements()
        self.changed = asyncio.Event()
        """Set at each renewal that shows other nodes than the one before; whoever waits for it clears it."""
        self.draining = asyncio.Event()
        """Set while this node has been told to hand its calls over, as far as it knows."""
        self._keeps_waiting = False
        """The database has not answered the last question within its time."""
        self._joined, self._beat_came, self._is_known = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.on_fenced: Callable[[], None] = lambda: None
        """Called when this node turns out to have been declared dead: its calls are another's. Must not wait."""
        self.others_take_over: Callable[[], Awaitable[bool]] = _nobody
        """Asks the other nodes whether one of them takes over what has lost its lease. Never raises; takes a second at
        most."""
        self.tell: Callable[[Peer, Sequence[str]], Awaitable[Collection[str] | None]] = _unheard
        """Tells a node that it has been given calls. Returns those that it has, and it takes no others; None: that
        is not known. Never raises; takes a second at most."""
        self.handover_input: Callable[[str, str], Awaitable[HandoverInput]] = _silent
        """Asks a node, by its name, for what a caller said during the handover: see `Forwarding.handover_input`."""
        self.announce: Callable[[], Awaitable[None]] = _to_nobody
        """Tells all other nodes that this one has joined. Never raises; takes a second at most."""
        self._announcing: asyncio.Task[None] | None = None
        self._has_let_go = False
        self.is_leaving = False
        """This process is ending: it takes no call over."""
        self.takes_given = True
        """What others give to this node goes on here. Not once it lets go of its last calls."""
        self._watch: asyncio.Task[None] | None = None
        lock = NodeLock(config.folder, config.name)
        self.together = Beside(config, lock)
        own = Node(name=config.name, epoch=0, address=config.address, capacity=config.capacity)
        self._heartbeat = Heartbeat(
            self._database.url, own, lock, measure=lambda: (calls(), lag()),
            on_beat=self._on_beat, on_trouble=self._on_trouble,
        )  # fmt: skip

    # Its life

    async def join(self) -> None:
        """Join; the history must be open. Returns when this node is a member and the others know it, however long that
        takes."""
        self._heartbeat.start()
        self._watch = asyncio.create_task(self._watch_lease(), name="lease")
        await self._joined.wait()
        await self._become_known()

    async def _become_known(self) -> None:
        await self.announce()
        self._is_known.set()

    async def known(self) -> bool:
        """Wait until the other nodes know this one, which has just joined: before, they send nothing here that is about
        its calls. One that cannot join is known to nobody. Returns whether it had to wait."""
        waits = bool(self.epoch) and not self._is_known.is_set()
        if waits:
            await self._is_known.wait()
        return waits

    async def look_again(self) -> None:
        """Learn which nodes there are now, if the database says so within a quarter of a second, and look for calls of
        nobody."""
        asked = time.monotonic()
        self.changed.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WATCH_SECONDS):
                while self._renewed < asked:
                    self._beat_came.clear()
                    self._heartbeat.renew_now()
                    await self._beat_came.wait()

    async def close(self) -> None:
        """Leave the cluster: calls that are still here are taken over by others."""
        if self._watch is None:
            self.together.vanish()
            return
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        if self._announcing is not None:
            self._announcing.cancel()
        await self._heartbeat.close()

    def _on_beat(self, beat: Renewal) -> None:
        before, self.view, self.epoch = self.view, beat.view, beat.epoch
        if beat.was_fenced:
            log.error("this node was declared dead meanwhile: its calls are with the others, and it begins anew")
            self._has_let_go = False  # what it was just taking over then, it has to let go of, too
            self._let_go()
            self._is_known.clear()
            self._announcing = asyncio.create_task(self._become_known(), name="announcing")
        self.claims.key = (self.me, beat.epoch)
        self._renewed, self._judges = beat.began, beat.judges
        if self.trouble:
            log.warning("the lease of this node is renewed again")
        self.trouble, self._has_let_go, self._keeps_waiting = "", False, False
        if {node.key: node.state for node in before.alive()} != {node.key: node.state for node in beat.view.alive()}:
            self.changed.set()
        (self.draining.set if self.is_draining else self.draining.clear)()
        self._joined.set()
        self._beat_came.set()

    def _on_trouble(self, what: str) -> None:
        if not self.trouble:
            log.error("THE LEASE OF THIS NODE CANNOT BE RENEWED (%s)", what)
        self.trouble = what
        self._beat_came.set()

    def _let_go(self) -> None:
        if not self._has_let_go:
            self._has_let_go = True
            self.on_fenced()

    # May it act?

    @property
    def lease_holds(self) -> bool:
        """Whether no other node can have declared this one dead, by this node's own clock."""
        return time.monotonic() < self._lease_end

    @property
    def _lease_end(self) -> float:
        """In seconds of the monotonic clock; without a lease, long ago."""
        return self._renewed + LEASE_SECONDS - MARGIN_SECONDS

    @property
    def reaches_database(self) -> bool:
        """Whether the lease was renewed so lately that the database was there when another node, which asks, could not
        renew its own. A lease that merely holds says nothing: in an outage for all it runs out a moment later."""
        return time.monotonic() < self._renewed + MISSED_SECONDS

    @property
    def takes_over(self) -> bool:
        """Whether this node takes the calls of others whose leases have run out: not right after an outage, which may
        have been one for all."""
        return self.reaches_database and self._judges

    async def may_act(self, call: str = "") -> bool:
        """Return whether this node may go on with a call, or with all, although something was not written. Waits while
        that is not known, for as long as a lease at most. False: it has let go of its calls.

        A call that began here and was never written is one that no other node can go on with.
        """
        if self.claims.is_fresh(call):
            return True
        for _ in range(int(LEASE_SECONDS / _WATCH_SECONDS)):
            if self.lease_holds or self._has_let_go:
                return self.lease_holds
            if self.trouble:
                break
            self._beat_came.clear()
            self._heartbeat.renew_now()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._beat_came.wait()
        return await self._may_act_alone()

    async def _may_act_alone(self) -> bool:
        asked, others_do = -math.inf, False
        while time.monotonic() - asked > MISSED_SECONDS:  # a process that was stopped meanwhile asks again
            asked = time.monotonic()
            others_do = await self.others_take_over()
        if others_do:
            log.error("the database is out of reach for this node alone: the other nodes have its calls now")
            self._let_go()
            self._heartbeat.rejoin()
            return False
        return not self._has_let_go

    async def _watch_lease(self) -> None:
        """Let go of all calls when the lease is lost while other nodes live, even if no call takes a step."""
        while True:
            await asyncio.sleep(max(self._lease_end - time.monotonic(), _WATCH_SECONDS))
            if self.epoch and not self.lease_holds and not self._has_let_go and self._calls():
                await self.may_act()

    # Who else is there: see `Peers`

    def peer(self, name: str) -> Peer | None:
        node = self.view.named(name)
        known = Peer(name, node.address) if node is not None else self.together.peer(name, self.view)
        return known if name != self.me else None

    def living(self) -> Sequence[Peer]:
        return [Peer(node.name, node.address) for node in self.view.alive() if node.name != self.me]

    def beside(self) -> Sequence[Peer]:
        return self.together.unseen(self.view)

    def place(self, carrier: str = "", call: str = "") -> str:
        nodes = [node for node in self.view.punctual() if node.name == self.me or self.keys.serves(node.name, carrier)]
        chosen = place(nodes, self._placed.counts(time.monotonic(), call), self.me)
        self.count_placed(chosen, call)
        return chosen

    def count_placed(self, name: str, call: str) -> None:
        """Learn that a node gets a call, of which it will tell only at its next renewal."""
        self._placed.add(name, time.monotonic(), call)

    def place_elsewhere(self, carrier: str = "") -> str:
        """Return the name of the node that would take a call of that carrier from here; "": none takes calls."""
        others = [node for node in self.view.punctual() if node.name != self.me and node.state == "up"]
        others = [node for node in others if self.keys.serves(node.name, carrier)]
        chosen = place(others, self._placed.counts(time.monotonic()), "")
        if not chosen and others:  # all are full: a call that lives goes before one that has not begun
            chosen = min(others, key=lambda node: node.calls / max(node.capacity, 1)).name
        return chosen

    async def ask(self, reading: Coroutine[Any, Any, _Found], most: float = _ASK_SECONDS) -> _Found:
        """Return what the database says, while a caller waits: so many seconds at most, and hardly any while it hangs.
        Raises TimeoutError, and what `reading` raises."""
        is_away = bool(self.trouble) or self._keeps_waiting
        try:
            found = await self._database.soon(reading, min(most, _AWAY_SECONDS) if is_away else most)
        except TimeoutError:
            self._keeps_waiting = True
            raise
        self._keeps_waiting = False
        return found

    async def owner(self, call: str) -> str | None:
        def work(connection: Connection) -> tuple[str, bool]:
            return node_store.owner(connection, call)

        try:
            async with asyncio.timeout(_OWNER_SECONDS):
                while True:
                    name, lives = await self.ask(self._database.read(work))
                    if name and lives and name != self.me and self.view.named(name) is None:
                        await self.look_again()  # it has just joined
                    if not name or lives:
                        return name
                    await asyncio.sleep(_AGAIN_SECONDS)
        except Exception as error:
            log.warning("call %s: the node that has this call is not known: %s", call, type(error).__name__)
            return None

    def suspect(self, name: str) -> None:
        node = self.view.named(name)
        is_young = node is not None and self.view.now - node.started_at < _YOUNG_SECONDS
        if node is not None and name != self.me and not is_young:
            log.warning("node %s refuses connections", name)
            self._heartbeat.declare_dead(node)

    @property
    def leads(self) -> bool:
        """Whether this node does what one does for all."""
        return self.lease_holds and leader(self.view) == self.me

    @property
    def is_draining(self) -> bool:
        """Whether this node has been told to hand its calls over."""
        return any(node.name == self.me and node.state == "draining" for node in self.view.nodes)

    @property
    def has_room_beside(self) -> bool:
        """Whether another worker of this machine takes new calls: whoever accepts a connection passes it on."""
        machine = machine_of(self.me)
        others = [node for node in self.view.alive() if node.name != self.me and machine_of(node.name) == machine]
        return any(node.state == "up" and node.calls < node.capacity for node in others)

    # Calls of dead nodes

    async def allotment(self) -> Allotment:
        """Return which calls of dead nodes this node takes now, and learn which can be served by none. Raises what the
        driver raises."""
        left = await self._database.read(node_store.orphans)
        self.unserved = unserved(self.view, self.me, self.keys, left)
        return Allotment() if self.is_leaving else allotment_of(self.view, self.me, self.keys, left)

    async def take_orphans(self, most: int, of: Collection[str] | None = None) -> list[str]:
        """Claim a share of the calls whose node is dead, at most so many, of these carriers (None: of all). Returns
        their ids."""
        key, alive = (self.me, self.epoch), len(self.view.alive())
        found = await self._database.write(lambda each: node_store.take_orphans(each, key, alive, most, of))
        self.claims.hold(found, key)
        return found

    async def disown_unclaimed(self) -> None:
        """Leave the unfinished calls that no node ever had, those of a process that served alone, to all nodes."""
        while await self._database.write(node_store.disown_unclaimed):
            self.changed.set()
        await self.announce()

    async def give(self, call: str, to: str, of: tuple[str, int] | None = None) -> tuple[str, int] | None:
        """Give the claim on a call to a node that takes calls, or back to this one, and return the key that it is under
        now; None: another node has taken the call over, or it has ended. `of`: the key under which a node has it that
        has not taken it; None: it is this one's.

        Raises what the driver raises, and Overloaded if that node takes no calls any more.
        """
        node = self.view.named(to)
        if node is None:
            raise Overloaded(f"node {to} is gone")
        key = of or (self.me, self.epoch)
        states = ("up", "draining") if to == self.me else ("up",)
        is_given = await self._database.write(lambda each: node_store.hand_over(each, call, key, node.key, states))
        self.claims.drop([call])
        if is_given and to == self.me:
            self.claims.hold([call], node.key)
        return node.key if is_given else None

    async def take_given(self, calls: Sequence[str] | None) -> list[str]:
        """Return those of the calls that others have given to this node and that it has not taken yet: it has them now.
        None: all that there are, and then those that it does not take any more are left to the others."""
        key = (self.me, self.epoch)

        async def given(among: Collection[str] | None) -> list[str]:
            mine = await self._database.read(lambda connection: node_store.claimed_by(connection, key))
            return [call for call in mine if not self.claims.has(call) and (among is None or call in among)]

        if found := await given(calls):
            found = await given(found)  # asked again: one that was given away just after the first question is none
        if found and self.takes_given:
            self.claims.hold(found, key)
        elif found and calls is None:
            await self._database.write(lambda connection: node_store.disown(connection, found, key))
        return found if self.takes_given else []

    async def claimed(self, calls: Sequence[str]) -> set[str]:
        """Return those of the calls that some node has, dead or alive. Raises what the driver raises."""
        return await self._database.read(lambda connection: node_store.claimed(connection, calls))

    async def set_state(self, name: str, state: Literal["up", "draining"], epoch: int | None = None) -> bool:
        """Let a node drain, or take calls again: the one of this epoch, None: whichever has the name. Returns whether
        there is one. Raises what the driver raises."""
        done = await self._database.write(lambda connection: node_store.set_state(connection, name, state, epoch))
        self._heartbeat.renew_now()
        return done

    async def begin_to_leave(self) -> None:
        """Tell the others that this node takes nothing more, and learn which of them are leaving at the same moment.
        Raises what the driver raises."""
        self.is_leaving = True
        self._heartbeat.leave_soon()
        # With a wrong NODE another machine has this name, and goes on.
        await self.ask(self.set_state(self.me, "draining", self.epoch), _LEAVE_SECONDS)
        await asyncio.sleep(_TOGETHER_SECONDS)
        await self.look_again()

    async def claim(self, call: str) -> bool:
        """Claim one unfinished call, unless somebody has it. Returns whether this node has it now."""
        key = (self.me, self.epoch)

        def work(connection: Connection) -> bool:
            node_store.begin(connection)
            return node_store.claim(connection, [call], key).get(call) == key

        if is_mine := await self._database.write(work):
            self.claims.hold([call], key)
        return is_mine
