"""The database of the simulation: rows, locks and a queue in front of some cores; a transaction is there when it is
flushed.

What the statements of `cluster/node_store.py` do is done here to two dicts; a test compares both. Times are seconds of
virtual time.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from callflow.cli.bench.simulation.costs import Costs
from callflow.cli.bench.simulation.kernel import Host, Kernel, Signal
from callflow.cluster.nodes import LEASE_SECONDS, Node, View, lost, share


Key = tuple[str, int]
_NETWORK: Final = 0.00025
"""Seconds of one way to the database."""
_REFUSED: Final = 0.01
"""Seconds until a client knows that the database is down."""
_LATE: Final = 0.1
"""How long a transaction waits in the queue at least to be counted as late."""


class Rows:
    """Nodes and claims, and what each statement does to them."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.claims: dict[int, Key] = {}
        self._of: dict[Key, dict[int, None]] = {}
        """Claims by owner."""
        self._taken: set[int] = set()
        """Calls whose claims a transaction that is under way has locked."""

    def lives(self, key: Key) -> bool:
        """Return whether a node has not been declared dead, and has not left."""
        node = self.nodes.get(key[0])
        return node is not None and node.epoch == key[1] and node.state != "dead"

    def view(self, now: float) -> View:
        """Read all nodes."""
        return View(tuple(self.nodes.values()), now)

    def join(self, node: Node, now: float) -> int:
        """Add a node, or let one begin again. Returns its epoch."""
        known = [each.epoch for each in self.nodes.values()] + [epoch for _, epoch in self._of]
        epoch = max(known, default=0) + 1
        row = replace(node, epoch=epoch, state="up", lease_until=now + LEASE_SECONDS, started_at=now)
        self.nodes[node.name] = row
        return epoch

    def renew(self, node: Node, now: float) -> bool:
        """Renew a lease, and say how the node is. False: it was declared dead."""
        if not self.lives(node.key):
            return False
        self.nodes[node.name] = replace(
            self.nodes[node.name], lease_until=now + LEASE_SECONDS, calls=node.calls, lag_ms=node.lag_ms
        )
        return True

    def fence(self, victims: Iterable[Node], now: float, *, expired: bool) -> list[Node]:
        """Declare nodes dead. Returns those that this has declared."""
        done = []
        for victim in victims:
            if self.lives(victim.key) and not (expired and self.nodes[victim.name].lease_until != victim.lease_until):
                self.nodes[victim.name] = replace(self.nodes[victim.name], state="dead")
                done.append(victim)
        return done

    def drain(self, name: str) -> None:
        """Let a node hand its calls over."""
        if name in self.nodes and self.nodes[name].state == "up":
            self.nodes[name] = replace(self.nodes[name], state="draining")

    def leave(self, key: Key) -> None:
        """Remove a node that ends."""
        if (node := self.nodes.get(key[0])) is not None and node.epoch == key[1]:
            del self.nodes[key[0]]

    def claim(self, calls: Sequence[int], key: Key) -> dict[int, Key]:
        """Claim calls unless somebody has them. Returns who has each of them now."""
        for call in calls:
            if call not in self.claims:
                self._give(call, key)
        return {call: self.claims[call] for call in calls}

    def release(self, calls: Iterable[int], key: Key) -> None:
        """Give up the claims of a node."""
        for call in calls:
            if self.claims.get(call) == key:
                self._forget(call)

    def hand_over(self, calls: Iterable[int], key: Key, to: Key) -> None:
        """Give a node's claims to another."""
        for call in calls:
            if self.claims.get(call) == key:
                self._give(call, to)

    def orphans(self) -> list[int]:
        """Return the calls whose node is dead, or has left."""
        return [call for key in self._of if not self.lives(key) for call in self._of[key]]

    def of(self, key: Key) -> list[int]:
        """Return the calls that a node has."""
        return list(self._of.get(key, ()))

    def lock_orphans(self, key: Key, survivors: int, most: int) -> list[int]:
        """Choose a share of the orphans, without those that another transaction is taking."""
        orphans = self.orphans()
        if not orphans or not self.lives(key):
            return []
        free = sorted(call for call in orphans if call not in self._taken)
        found = free[: min(most, share(len(orphans), survivors))]
        self._taken.update(found)
        return found

    def unlock(self, calls: Iterable[int]) -> None:
        """Let other transactions take these calls."""
        self._taken.difference_update(calls)

    def take(self, calls: Sequence[int], key: Key) -> list[int]:
        """Claim orphans that this transaction has locked."""
        found = [call for call in calls if call in self.claims]  # nobody releases what is nobody's
        for call in found:
            self._give(call, key)
        return found

    def admit(self, key: Key, held: set[int], fresh: set[int], gone: set[int], ended: set[int]) -> set[int] | None:
        """Do what `Claims.admit` does: claim what is new, release what is over. Returns what may not be written; None:
        nothing is written, and it is tried again."""
        if not (held or fresh):
            return gone
        if not self.lives(key):
            return None if fresh else gone | held
        gone = gone | (lost(fresh, self.claim(sorted(fresh), key), key) if fresh else set())  # type: ignore[arg-type, operator]
        self.release(ended - gone, key)
        return gone

    def _give(self, call: int, key: Key) -> None:
        self._forget(call)
        self.claims[call] = key
        self._of.setdefault(key, {})[call] = None

    def _forget(self, call: int) -> None:
        before = self.claims.pop(call, None)
        if before is not None:
            of = self._of[before]
            del of[call]
            if not of:
                del self._of[before]


@dataclass(slots=True)
class _Job:
    kind: str
    host: Host
    seconds: float
    begin: Callable[[], Any]
    commit: Callable[[Any], Any]
    undo: Callable[[Any], object]
    holds: Key | None
    done: Signal
    asked: float
    run: int
    found: Any = None


@dataclass(slots=True)
class Answer:
    """What a client gets."""

    ok: bool
    value: Any = None


def _nothing(*_: object) -> None:
    pass


class Database:
    """One database server."""

    def __init__(self, kernel: Kernel, dice: random.Random, costs: Costs) -> None:
        self._kernel, self._dice, self._costs = kernel, dice, costs
        self.rows = Rows()
        self.is_up = True
        self._run = 0
        """Counts its restarts: what is under way then, fails."""
        self._cut: set[Host] = set()
        self._free = costs.cores
        self._queue: list[_Job] = []
        self._head = 0
        self._holds: Counter[Key] = Counter()
        """Nodes whose rows transactions hold, so that nobody can declare them dead."""
        self._after_release: list[Callable[[], None]] = []
        self.done: Counter[str] = Counter()
        """Transactions, by kind."""
        self.busy_of: defaultdict[str, float] = defaultdict(float)
        """Processor time, by kind, in seconds."""
        self.late = 0
        self.longest_wait = 0.0
        self.longest_queue = 0

    def go_down(self) -> None:
        """Stop, and lose what is under way."""
        self.is_up = False
        self._run += 1

    def come_up(self) -> None:
        """Answer again, after `go_down`."""
        self.is_up = True

    def cut(self, host: Host) -> None:
        """Let nothing of this client through, without a word."""
        self._cut.add(host)

    def mend(self, host: Host) -> None:
        """Let the client through again."""
        self._cut.discard(host)

    def ask(
        self,
        kind: str,
        host: Host,
        seconds: float,
        commit: Callable[[Any], Any],
        *,
        begin: Callable[[], Any] = _nothing,
        undo: Callable[[Any], object] = _nothing,
        holds: Key | None = None,
        patience: float = 5.0,
    ) -> Signal:
        """Run a transaction. The signal gets an `Answer`.

        `seconds`: the processor time that it takes. `begin`: what it locks and reads. `commit`: what it changes;
        returns the answer. `undo`: lets go of what `begin` has locked. `holds`: the node whose row it holds meanwhile.
        `patience`: after how many seconds the client gives up.
        """
        done = Signal()
        kernel = self._kernel
        if not self.is_up:
            kernel.after(_REFUSED, done.fire, Answer(False))
            return done
        kernel.after(patience, done.fire, Answer(False))
        if host not in self._cut:
            job = _Job(kind, host, seconds, begin, commit, undo, holds, done, kernel.now, self._run)
            kernel.after(_NETWORK, self._arrive, job)
        return done

    def _arrive(self, job: _Job) -> None:
        self._queue.append(job)
        self.longest_queue = max(self.longest_queue, len(self._queue) - self._head)
        self._next()

    def _next(self) -> None:
        while self._free and self._head < len(self._queue):
            job = self._queue[self._head]
            self._head += 1
            if self._head > 1000:
                del self._queue[: self._head]
                self._head = 0
            if job.run != self._run or job.done.is_set:
                job.done.fire(Answer(False))
                continue
            waited = self._kernel.now - job.asked - _NETWORK
            self.longest_wait = max(self.longest_wait, waited)
            self.late += waited > _LATE
            if job.holds is not None:
                self._holds[job.holds] += 1
            job.found = job.begin()
            seconds = self._dice.gammavariate(4.0, job.seconds / 4.0)
            self.busy_of[job.kind] += seconds
            self._free -= 1
            self._kernel.after(seconds, self._computed, job)

    def _computed(self, job: _Job) -> None:
        self._free += 1
        self._kernel.after(self._dice.expovariate(1 / self._costs.flush), self._flushed, job)
        self._next()

    def _flushed(self, job: _Job) -> None:
        """The transaction is in the log, unless the database or the client has ended: then nobody knows."""
        is_whole = job.run == self._run and job.host.state != "ended" and not job.done.is_set
        if is_whole or self._dice.random() < 0.5:
            value = self._commit_or_wait(job)
            if value is WAITS:
                return
        else:
            value = None
            job.undo(job.found)
        self._release(job)
        self.done[job.kind] += 1
        if job.run == self._run and job.host not in self._cut:
            self._kernel.after(_NETWORK, job.done.fire, Answer(True, value))
        elif job.run != self._run:
            job.done.fire(Answer(False))

    def _commit_or_wait(self, job: _Job) -> Any:
        value = job.commit(job.found)
        if value is WAITS:
            self._after_release.append(lambda: self._flushed(job))
        return value

    def is_held(self, node: Node) -> bool:
        """Return whether a transaction holds the row of a node."""
        return self._holds[node.key] > 0

    def _release(self, job: _Job) -> None:
        if job.holds is not None:
            self._holds[job.holds] -= 1
            waiting, self._after_release = self._after_release, []
            for go_on in waiting:
                go_on()


WAITS: Final = object()
"""What a commit returns that wants to declare a node dead whose row another transaction holds."""
