"""Decisions about the nodes of a cluster, pure: who leads, who takes a new call, how many calls of a dead one.

All of them are taken from a `View`, which every node reads from the database at each renewal of its lease.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal


State = Literal["up", "draining", "dead"]
LEASE_SECONDS: Final = 3.0
"""How long a node counts as alive after it was last heard of."""
RENEW_SECONDS: Final = 0.5
MARGIN_SECONDS: Final = 0.3
"""So much before the others may declare it dead, a node stops trusting its lease."""
MISSED_SECONDS: Final = LEASE_SECONDS / 2
"""A node whose last renewal began longer ago has missed some."""
LANES: Final = 1000
"""The last digits of an epoch, as many as this has, are no other living node's: ids may end with them."""
_LATE_MS: Final = 200.0
"""A node whose event loop is later than this takes new calls only when the others are full or as late."""
_DEAD_SECONDS: Final = 86400.0
"""How long a dead node is listed."""
_PUNCTUAL_SECONDS: Final = 1.5
"""A node that has renewed its lease within this time, as far as another one knows, which looks every half second."""
_CLOCK_STEP_SECONDS: Final = 1.0
"""A clock that differs from a monotonic one by more than this since it was last read has been set."""
_ROUNDING: Final = 1e-9
_CLEARLY: Final = 0.04
"""A node of many that is fuller than the mean by a smaller share keeps a call that has come to it. Of two, none does:
there a single call makes a difference."""
_DIED_SECONDS: Final = 5.0
"""How long a death counts as one of just now, from the end of the lease."""
_MOST_PLACED: Final = 1000
_WORKER: Final = re.compile(r"(^|-)w[0-9]+$")
_MOST_AT_ONCE: Final = 10
"""Calls that a node takes over in one transaction: few, so that all survivors get their share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One row of `nodes`."""

    name: str
    epoch: int
    address: str = ""
    capacity: int = 1
    calls: int = 0
    lag_ms: float = 0.0
    state: State = "up"
    lease_until: float = 0.0
    """Unix time in seconds, by the database's clock."""
    started_at: float = 0.0
    """Unix time in seconds, by the database's clock."""

    @property
    def key(self) -> tuple[str, int]:
        """Name and epoch: what a claim names."""
        return self.name, self.epoch


@dataclass(frozen=True, slots=True)
class View:
    """The nodes as the database had them at one moment."""

    nodes: tuple[Node, ...] = ()
    now: float = 0.0
    """By the database's clock."""

    def alive(self) -> list[Node]:
        """Return the nodes that have not been declared dead, in the order of their epochs."""
        return sorted((node for node in self.nodes if node.state != "dead"), key=lambda node: node.epoch)

    def punctual(self) -> list[Node]:
        """Return the living nodes that have renewed their leases lately: one that hangs gets no more calls."""
        late = self.now + LEASE_SECONDS - _PUNCTUAL_SECONDS
        return [node for node in self.alive() if node.lease_until >= late]

    def named(self, name: str) -> Node | None:
        """Return the living node of this name."""
        return next((node for node in self.nodes if node.name == name and node.state != "dead"), None)

    def expired(self) -> list[Node]:
        """Return the nodes whose lease has run out and that nobody has declared dead yet. One that ends later than any
        lease can was renewed before the clock was set back."""
        no_lease = self.now + LEASE_SECONDS + _CLOCK_STEP_SECONDS
        return [node for node in self.nodes if node.state != "dead" and not self.now <= node.lease_until <= no_lease]

    def forgettable(self) -> list[Node]:
        """Return the nodes that have been dead for so long that nobody asks for them any more; never the one with the
        highest epoch, so that none is given twice."""
        highest = max((node.epoch for node in self.nodes), default=0)
        return [
            node
            for node in self.nodes
            if node.state == "dead" and node.lease_until < self.now - _DEAD_SECONDS and node.epoch != highest
        ]


class LeaseJudgement:
    """When a node may judge the leases of others. Times are seconds of a monotonic clock.

    A node that has missed renewals itself, or that begins, does not know whether the others had trouble: after an
    outage of the database all leases have run out, and the first node that is there would declare all others dead. So
    it waits for a whole lease first. So it does when the database's clock was set, which lets all leases run out at
    once, and when leases end earlier than was seen before: a standby that takes over may not have the last renewals.
    Deaths of which there is evidence are no matter of this.
    """

    def __init__(self) -> None:
        self._renewed: float | None = None
        self._until = 0.0
        self._clock: tuple[float, float] | None = None
        self._leases: dict[tuple[str, int], float] = {}

    def allows(self, now: float) -> bool:
        """Return whether a renewal that begins now may declare nodes dead whose leases have run out."""
        if self._renewed is None or now - self._renewed > MISSED_SECONDS:
            self._until = now + LEASE_SECONDS
        return now >= self._until

    def renewed(self, began: float) -> None:
        """Note a renewal that has succeeded, by its beginning."""
        self._renewed = began

    def saw(self, view: View, now: float) -> None:
        """Note what the database says, as often as it is read."""
        clock, leases = self._clock or (view.now, now), self._leases
        is_set = abs(view.now - clock[0] - (now - clock[1])) > _CLOCK_STEP_SECONDS
        if is_set or any(node.lease_until < leases.get(node.key, node.lease_until) for node in view.nodes):
            self._until = max(self._until, now + LEASE_SECONDS)
        self._clock, self._leases = (view.now, now), {node.key: node.lease_until for node in view.nodes}


def next_epoch(highest: int, living: Collection[int]) -> int:
    """Return the epoch of a node that joins: above the `highest` that there was, and with an end of its own among the
    `living`."""
    taken = {epoch % LANES for epoch in living}
    return next((epoch for epoch in range(highest + 1, highest + 1 + LANES) if epoch % LANES not in taken), highest + 1)


def leader(view: View) -> str:
    """Return the name of the node that does what one does for all; "": there is none.

    The living node with the lowest epoch: a node that joins never takes the work from another. One that drains only
    leads while nobody else is there.
    """
    alive = view.alive()
    first = next((node for node in alive if node.state == "up"), alive[0] if alive else None)
    return first.name if first is not None else ""


def place(nodes: Sequence[Node], placed: Mapping[str, int], me: str) -> str:
    """Return the name of the node for a new call: `me`, unless this node is clearly fuller than the nodes are on
    average; then one of those that are not.

    Each node begins at another place of that list: what the others have is known half a second late, and if all of them
    chose the emptiest one, it would get all calls of that time. `placed`: calls that this node has placed since the
    others last said how many they have. A full or draining node takes a call only if all are; then `me` decides, and
    the caller hears what a busy server says.
    """

    def load(node: Node) -> float:
        return (node.calls + placed.get(node.name, 0)) / max(node.capacity, 1)

    free = [node for node in nodes if node.state == "up" and load(node) < 1.0]
    if not free:
        return me
    quick = [node for node in free if node.lag_ms < _LATE_MS] or free
    mean = sum(map(load, quick)) / len(quick) + _ROUNDING
    clearly = 1.0 + _CLEARLY * (1.0 - 2.0 / max(len(quick), 2))
    if any(node.name == me and load(node) <= mean * clearly for node in quick):
        return me
    fit = sorted(node.name for node in quick if load(node) <= mean)
    return fit[(sum(node.name < me for node in nodes) + sum(placed.values())) % len(fit)]


def allotment(view: View, me: str, orphans: int, whole: int = 0) -> int:
    """Return how many calls of dead nodes `me` takes now; what is left, it takes when the others have had time for
    theirs.

    The first who learns of a death has some tenths of a second before the others do, in which it could take all calls:
    then it restores them one after the other, and the callers wait. `orphans`: how many calls are nobody's now. What
    nodes had that died just now tells how many there were before others took some. A draining node takes none, unless
    there is nobody else. `whole`: of how many that are nobody's these are a part, where not all nodes can
    take all; 0: they are all.
    """
    able = [node.name for node in view.nodes if node.state == "up"] or [node.name for node in view.alive()]
    if not orphans or me not in able:
        return 0
    died = [node for node in view.nodes if node.state == "dead" and node.lease_until > view.now - _DIED_SECONDS]
    before = sum(node.calls for node in died) * orphans // (whole or orphans)
    return -(-max(orphans, before) // len(able))


class RecentPlacements:
    """Calls that this node has placed lately, of which their nodes have not said yet that they have them."""

    def __init__(self) -> None:
        self._placed: dict[object, tuple[float, str]] = {}
        """By call, the oldest first."""

    def add(self, name: str, now: float, call: str = "") -> None:
        """Note a call for a node, in place of what was noted of that call. "": it has no id yet. `now`: seconds of a
        monotonic clock."""
        key = call or object()
        self._placed.pop(key, None)
        if len(self._placed) >= _MOST_PLACED:
            del self._placed[next(iter(self._placed))]
        self._placed[key] = (now, name)

    def counts(self, now: float, but: str = "") -> Counter[str]:
        """Return how many calls each node has got that it may not have told of, without the call `but`: what is decided
        anew must not count twice. `now`: as for `add`."""
        old = now - 2 * RENEW_SECONDS
        while self._placed and next(iter(self._placed.values()))[0] <= old:
            del self._placed[next(iter(self._placed))]
        return Counter(name for call, (_, name) in self._placed.items() if call != but)


def share(orphans: int, survivors: int) -> int:
    """Return how many calls of a dead node to take in the next transaction."""
    return max(1, min(_MOST_AT_ONCE, -(-orphans // max(2 * survivors, 1))))


def machine_of(name: str) -> str:
    """Return what the names of the workers of one machine have in common: "a" of a-w1, "" of w1."""
    return _WORKER.sub("", name)


def out_of_reach(view: View) -> list[str]:
    """Return the dead nodes on whose machines no node lives: what lies there cannot be had now."""
    living = {machine_of(node.name) for node in view.alive()}
    return [node.name for node in view.nodes if node.state == "dead" and machine_of(node.name) not in living]


def successors(view: View, me: str, before: Collection[str]) -> list[str]:
    """Return the nodes on the machine of `me` that take calls, and were not there `before`."""
    others = [node.name for node in view.punctual() if node.state == "up" and node.name not in before]
    return [name for name in others if machine_of(name) == machine_of(me)]


def is_cut_off(me: str, answers: Mapping[str, bool | None]) -> bool:
    """Return whether `me`, which cannot renew its lease, is alone with that, so that the others have its calls.
    `answers`: of each other node, whether it reaches the database; None: it does not answer.

    If one does, it is. If none does, the database is away for all, and everybody goes on. If not one of two or more
    other machines answers at all, it is this machine that is cut off from them and from the database. Of a single other
    machine that cannot be said: the database may lie there.
    """
    if any(answers.values()):
        return True
    machines = {machine_of(name) for name in answers} - {machine_of(me)}
    answering = {machine_of(name) for name, answer in answers.items() if answer is not None}
    return len(machines) > 1 and not machines & answering


def lost(calls: Collection[str], owners: Mapping[str, tuple[str, int]], mine: tuple[str, int]) -> set[str]:
    """Return those of the calls that another node has. `owners`: the claims of the database, by call."""
    return {call for call in calls if owners.get(call, mine) != mine}
