"""Renews the lease of this node, reads the other nodes, and declares dead whose lease has run out or whose process has
ended.

All of it is done by a thread with an event loop and a connection of its own, so that neither audio nor a slow query
holds it up. But a lease means that callers are served: while the event loop of the calls hangs, it is not renewed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from sqlalchemy import URL, Connection

from callflow.cluster import node_store
from callflow.cluster.node_lock import NodeLock
from callflow.cluster.nodes import RENEW_SECONDS, LeaseJudgement, Node, View, leader
from callflow.contracts.errors import Overloaded
from callflow.history.database import Database
from callflow.timers import Timers


_Found = TypeVar("_Found")

log = logging.getLogger(__name__)

_RENEW, _LOOK = "renew", "look"
"""Timers."""
_TRY_SECONDS: Final = 2.0
"""How long one renewal may take at a server; a file waits for a shorter time by itself."""
_LOOK_SECONDS: Final = 0.1
"""Interval of the looks at the locks of those nodes of this machine whose end the system does not tell."""
_HANGS_SECONDS: Final = 3.0
"""An event loop that does nothing for so long hangs: no caller hears anything meanwhile."""
_JOIN_END_SECONDS: Final = 3.0
_SILENT_SECONDS: Final = RENEW_SECONDS * 1.5
"""A node that has not renewed its lease for so long is taken for dead by one that needs its name."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What one renewal found."""

    epoch: int
    view: View
    began: float
    """When the renewal began, in seconds of the monotonic clock: the lease counts from then."""
    was_fenced: bool = False
    """This node had been declared dead, or had let go of its calls, and has joined anew, with no calls."""
    judges: bool = False
    """This node declares dead whose lease has run out: see `LeaseJudgement`."""


class Heartbeat:
    """The thread of one node. The callbacks are called on the event loop that made it."""

    def __init__(
        self,
        url: URL,
        node: Node,
        lock: NodeLock,
        *,
        measure: Callable[[], tuple[int, float]],
        on_beat: Callable[[Renewal], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        """`node`: name, address and capacity. `measure`: returns how many calls this node has, and how late its event
        loop is, in ms; called on the thread. `on_trouble`: learns why a renewal failed."""
        self._url, self._node, self._lock = url, node, lock
        self._measure, self._on_beat, self._on_trouble = measure, on_beat, on_trouble
        self._main = asyncio.get_running_loop()
        self._answered, self._is_asked = time.monotonic(), False
        """When the loop of the calls last did what it was asked for, and whether it has something to do."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._timers = Timers()
        """Of the thread's loop."""
        self._is_closing = False
        self._suspects: set[tuple[str, int]] = set()
        self._judgement = LeaseJudgement()
        self._rejoins = False
        self._view = View()
        self._watched: dict[tuple[str, int], int] = {}
        """Nodes of this machine whose end this one is told of, with the file descriptors of their processes."""
        self._epoch = 0
        self._rival: tuple[Node, float] | None = None
        """Who has this name, and since when that one has not renewed its lease, as far as was seen."""
        self._thread = threading.Thread(target=self._serve, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Join the cluster, and stay in it until `close`."""
        self._answered = time.monotonic()  # nothing was asked of the loop before
        self._thread.start()

    def declare_dead(self, node: Node) -> None:
        """Fence a node whose process is known to be gone."""
        self._suspects.add(node.key)
        self._awake()

    def rejoin(self) -> None:
        """Give up the lease, and with it all claims, and join anew: this node has let go of its calls."""
        self._rejoins = True
        self._awake()

    def leave_soon(self) -> None:
        """Drain from now on, also after joining anew."""
        self._node = replace(self._node, state="draining")

    def renew_now(self) -> None:
        """Renew at once, because something has changed."""
        self._awake()

    async def close(self) -> None:
        """Leave the cluster, within a few seconds."""
        self._is_closing = True
        self._awake()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _JOIN_END_SECONDS)

    def _awake(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:  # it is closing at this moment
                pass

    # On the thread

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception:
            log.exception("THE LEASE OF THIS NODE IS NOT RENEWED ANY MORE because of an internal error")

    async def _run(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        database = Database(self._url, here=True)
        try:
            while not self._is_closing:
                await self._beat(database)
                await self._pause()
            try:
                node = replace(self._node, epoch=self._epoch)
                await self._write(database, lambda connection: node_store.leave(connection, node))
            except Exception as error:
                log.warning("leaving the cluster failed (%s): the lease runs out instead", database.trouble(error))
        finally:
            for key in list(self._watched):
                self._unwatch(key)
            self._lock.release()
            await database.close()

    async def _beat(self, database: Database) -> None:
        began, suspects = time.monotonic(), frozenset(self._suspects)  # more may come meanwhile
        if not self._is_asked:
            self._is_asked = True
            self._tell(self._answer, None)
        if began - self._answered > _HANGS_SECONDS:
            return
        try:
            self._lock.take()
            beat = await self._write(database, lambda connection: self._renew(connection, began, suspects))
        except Exception as error:
            self._tell(self._on_trouble, f"{type(error).__name__}: {database.trouble(error)}")
            return
        if beat is None:
            return
        self._epoch, self._view = beat.epoch, beat.view
        if self._lock.epoch != beat.epoch:
            try:
                self._lock.remember(beat.epoch)
            except OSError as error:  # the next beat tries again: the lease is worth more than this file
                log.warning("the file of this node's lock cannot be written: %s", error)
        self._suspects.difference_update(suspects)
        self._judgement.renewed(began)
        if beat.was_fenced:
            self._rejoins = False
        self._tell(self._on_beat, beat)

    async def _write(self, database: Database, work: Callable[[Connection], _Found]) -> _Found:
        """Run one transaction. On a file, by this very thread: a second one would cost as much as the transaction."""
        if database.is_sqlite:
            return database.write_here(work)
        async with asyncio.timeout(_TRY_SECONDS):
            return await database.write(work)

    def _renew(self, connection: Connection, began: float, suspects: Collection[tuple[str, int]]) -> Renewal | None:
        """Renew or join, fence the dead, and read all nodes: one transaction. Returns None if this node may not
        join yet. Raises Overloaded if its name is taken."""
        calls, lag_ms = self._measure()
        node, was_fenced = replace(self._node, epoch=self._epoch, calls=calls, lag_ms=lag_ms), False
        if not self._epoch or self._rejoins or not node_store.renew(connection, node):
            was_fenced = bool(self._epoch)
            if self._may_have_rival(node_store.view(connection), began):
                return None
            node = replace(node, epoch=node_store.join(connection, node), calls=0)
        view = node_store.view(connection)
        self._judgement.saw(view, time.monotonic())
        others = [each for each in view.alive() if each.name != node.name]
        gone = [each for each in others if each.key in suspects or self._has_ended(each)]
        judges = self._judgement.allows(began)
        expired = view.expired() if judges else []
        late = [each for each in expired if each.name != node.name and each not in gone]
        fenced = node_store.fence(connection, gone, expired=False) + node_store.fence(connection, late, expired=True)
        if leader(view) == node.name and (forgettable := view.forgettable()):
            node_store.forget(connection, forgettable)
        for each in fenced:
            why = "its process has ended" if each in gone else "it has not been heard of for 3 s"
            log.warning("node %s is declared dead: %s", each.name, why)
        return Renewal(node.epoch, node_store.view(connection) if fenced else view, began, was_fenced, judges)

    def _may_have_rival(self, view: View, now: float) -> bool:
        """Return whether it takes another look to know that no other machine has a living node of this name. Raises
        Overloaded if one has: two nodes of one name would declare each other dead for ever."""
        rival = view.named(self._node.name)
        if rival is None or rival.epoch in (self._epoch, self._lock.epoch) or rival.lease_until < view.now:
            return False
        before, since = self._rival or (None, now)
        if before is None or before.epoch != rival.epoch:
            self._rival = rival, now
            return True
        if before.lease_until != rival.lease_until:
            self._rival = rival, now
            raise Overloaded(
                f"another machine has a node {rival.name}, at {rival.address}: set another NODE here, which every"
                " machine of a cluster needs"
            )
        return now - since < _SILENT_SECONDS

    def _has_ended(self, node: Node) -> bool:
        return self._lock.is_dead(*node.key)

    async def _pause(self) -> None:
        """Wait until the next renewal is due, or something has changed."""
        loop, wake = self._loop, self._wake
        if self._is_closing or loop is None or wake is None:
            return
        self._timers.start(_RENEW, RENEW_SECONDS, wake.set)
        if unwatched := self._watch(loop, wake):
            self._timers.start(_LOOK, _LOOK_SECONDS, self._look_for_the_dead, unwatched, wake)
        await wake.wait()
        wake.clear()
        self._timers.stop(_RENEW, _LOOK)

    def _look_for_the_dead(self, unwatched: Sequence[Node], wake: asyncio.Event) -> None:
        if any(map(self._has_ended, unwatched)):
            wake.set()
        else:
            self._timers.start(_LOOK, _LOOK_SECONDS, self._look_for_the_dead, unwatched, wake)

    def _watch(self, loop: asyncio.AbstractEventLoop, wake: asyncio.Event) -> list[Node]:
        """Wait for the ends of the others' processes. Returns the nodes of this machine whose ends have to be looked
        for instead."""

        def ended(key: tuple[str, int]) -> None:
            self._unwatch(key)
            wake.set()

        others = {node.key: node for node in self._view.alive() if node.name != self._node.name}
        for key in self._watched.keys() - others.keys():
            self._unwatch(key)
        for key in others.keys() - self._watched.keys():
            process = self._lock.process(*key)
            if process is not None:
                self._watched[key] = process
                loop.add_reader(process, ended, key)
        return [node for key, node in others.items() if key not in self._watched and self._lock.is_here(*key)]

    def _unwatch(self, key: tuple[str, int]) -> None:
        assert self._loop is not None
        process = self._watched.pop(key)
        self._loop.remove_reader(process)
        os.close(process)

    def _answer(self, _: None) -> None:
        """Show that the event loop of the calls works; called there."""
        has_hung = time.monotonic() - self._answered > _HANGS_SECONDS
        self._answered, self._is_asked = time.monotonic(), False
        if has_hung:
            log.error("the event loop of the calls hung for seconds: the lease was not renewed meanwhile")
            self._awake()

    def _tell(self, callback: Callable[..., None], what: object) -> None:
        try:
            self._main.call_soon_threadsafe(callback, what)
        except RuntimeError:  # the process is ending
            self._is_closing = True
