"""A cluster in virtual time: callers who come and go, nodes that die, freeze, drain and lose their database.

Counts what must not happen: calls that nobody serves any more, and calls that two nodes command. Times are seconds of
virtual time, from the beginning of the simulation on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from callflow.cli.bench.simulation.costs import Costs
from callflow.cli.bench.simulation.database import Database, Key
from callflow.cli.bench.simulation.kernel import Kernel, Signal
from callflow.cli.bench.simulation.load import Call, Load, Step
from callflow.cli.bench.simulation.member import Member
from callflow.cli.bench.simulation.node import SimulatedNode
from callflow.cluster.nodes import Node, View, allotment, leader, place


Fault = Literal["process killed", "machine lost", "frozen", "link cut", "drained", "database down"]
FAULTS: Final[tuple[Fault, ...]] = ("process killed", "machine lost", "frozen", "link cut", "drained", "database down")
_LOCK_LOOK_SECONDS: Final = 0.1
_HEALTH_SECONDS: Final = 1.5
"""How long a load balancer believes in a frozen node."""
_AGAIN_SECONDS: Final = 2.0
"""After which a carrier sends a webhook again that nobody answered."""
_RESTART_SECONDS: Final = 8.0
_SETTLE_SECONDS: Final = 40.0
"""At the end, without faults."""


@dataclass(slots=True)
class Event:
    """A fault, and what came of it."""

    fault: Fault
    at: float
    node: str
    calls: int
    gaps: list[float] = field(default_factory=list)
    """How long each caller waited who had to, in seconds."""


@dataclass(slots=True)
class Result:
    """What was counted."""

    events: list[Event]
    calls: int
    lost: int = 0
    """Calls that no living node serves at the end."""
    never_written: int = 0
    """Calls of a node that died before the database, which was away, had got their first entry."""
    double: int = 0
    """Commands of a node for a call of another one, which is not the repetition of a step in the journal."""
    repeated: int = 0
    """Commands of steps that were in the journal when the call was taken over: the same command again."""
    unknown_to_next: int = 0
    """Steps taken without the journal, of calls that were taken over before they were written."""
    refused: int = 0
    left_claims: int = 0
    """Claims on calls that are over."""
    leaders: int = 0
    """Looks at which more than one node thought that it leads, with a lease."""
    most_over_mean: float = 0.0
    """The fullest node divided by the mean of all, at the 99th percentile of the looks."""
    lag_p99: float = 0.0
    """Of the nodes' loops, in seconds."""
    transactions: Mapping[str, float] = field(default_factory=dict)
    """In a second, by kind."""
    utilisation: Mapping[str, float] = field(default_factory=dict)
    """Cores of the database at work, by kind."""
    longest_wait: float = 0.0
    """For a core of the database, in seconds."""
    longest_queue: int = 0
    late: int = 0


class World:
    """All nodes, their database, and the callers."""

    def __init__(
        self,
        seed: int,
        load: Load,
        costs: Costs,
        *,
        place: Callable[[Sequence[Node], Mapping[str, int], str], str] = place,
        allotment: Callable[[View, str, int], int] = allotment,
    ) -> None:
        self.kernel, self.dice, self.load = Kernel(), random.Random(seed), load
        self.costs = costs
        self.place, self.allotment = place, allotment
        self.database = Database(self.kernel, self.dice, costs)
        self.nodes: dict[str, SimulatedNode] = {}
        for number in range(load.nodes):
            machine = number // load.of_machine
            name = f"m{machine}-w{number % load.of_machine + 1}"
            self.nodes[name] = SimulatedNode(self, name, machine, load.capacity)
        self.calls: dict[int, Call] = {}
        self._events: list[Event] = []
        self._event_of: dict[int, Event] = {}
        """By call: the fault for which it waits."""
        self.refused = self.unknown_to_next = 0
        self._double = self._repeated = 0
        self._frozen_at: dict[str, float] = {}
        self._imbalance: list[float] = []
        self._lags: list[float] = []
        self._leaders = 0
        self._is_settling = False

    # The run

    def run(self, faults: Sequence[tuple[float, Fault]]) -> Result:
        """Let the time pass, with these faults at these moments. Returns what was counted."""
        for node in self.nodes.values():
            node.boot()
        self.kernel.run(1.0)
        self._populate()
        self.kernel.after(0.0, self._arrive)
        self.kernel.after(1.0, self._look)
        for at, fault in faults:
            self.kernel.after(at, self._strike, fault)
        self.kernel.run(self.load.seconds)
        self._is_settling = True
        self.kernel.run(self.load.seconds + _SETTLE_SECONDS)
        return self._result()

    def _populate(self) -> None:
        rows, rest = self.database.rows, self.load.calls
        for number, node in enumerate(self.nodes.values()):
            share = rest // (len(self.nodes) - number)
            rest -= share
            calls = [self._call(has_begun=True) for _ in range(share)]
            rows.claim([call.id for call in calls], node.key)
            for call in calls:
                call.is_written = True
            node.adopt(calls)

    def _call(self, *, has_begun: bool = False) -> Call:
        seconds = self.dice.expovariate(1 / self.load.talk)
        call = Call(len(self.calls), self.kernel.now + seconds, has_begun=has_begun)
        self.calls[call.id] = call
        self.kernel.after(seconds, self._hang_up, call)
        return call

    def _arrive(self) -> None:
        if self._is_settling:
            return
        call = self._call()
        self._deliver(call)
        if self.dice.random() < self.load.twice:
            self.kernel.after(0.005, self._deliver, call)
        self.kernel.after(self.dice.expovariate(self.load.calls / self.load.talk), self._arrive)

    def _deliver(self, call: Call) -> None:
        node = self._any_node()
        if node is None or node.host.state == "frozen":
            self.kernel.after(_AGAIN_SECONDS, self._deliver_again, call)
        if node is not None:
            node.host.start(node.webhook(call))

    def _deliver_again(self, call: Call) -> None:
        if not call.is_over and not call.has_begun:
            self._deliver(call)

    def _any_node(self) -> SimulatedNode | None:
        """The load balancer's choice."""
        now = self.kernel.now
        fit = [node for node in self.nodes.values() if self._looks_fit(node, now)]
        return self.dice.choice(fit) if fit else None

    def _looks_fit(self, node: SimulatedNode, now: float) -> bool:
        state = node.host.state
        if state == "ended" or (state == "frozen" and now - self._frozen_at[node.name] > _HEALTH_SECONDS):
            return False
        row = node.view.named(node.name)
        return row is not None and row.state == "up"

    def _hang_up(self, call: Call) -> None:
        """The caller hangs up: the node that serves the call gets the webhook, as soon as there is one."""
        call.is_over = True
        if not call.has_begun:
            return
        key = self.database.rows.claims.get(call.id)
        for node in self.nodes.values():
            if node.host.state == "running" and call.id in node.calls and (key is None or key == node.key):
                node.note(call, "ended")
                return
        if key is not None or call.has_begun:
            self.kernel.after(0.5, self._hang_up_again, call)

    def _hang_up_again(self, call: Call) -> None:
        if self.database.rows.claims.get(call.id) is not None:
            self._hang_up(call)

    def _look(self) -> None:
        up = [node for node in self.nodes.values() if self._looks_fit(node, self.kernel.now)]
        if up:
            loads = [len(node.calls) for node in up]
            mean = sum(loads) / len(loads)
            self._imbalance.append(max(loads) / mean if mean else 1.0)
            self._lags += [node.host.lag for node in up]
        running = [node for node in self.nodes.values() if node.host.state == "running"]
        self._leaders += sum(node.lease_holds and leader(node.view) == node.name for node in running) > 1
        self.kernel.after(0.5, self._look)

    # What nodes ask and tell

    def has_ended(self, asks: Member, node: Node) -> bool:
        """Return whether the lock of a node is free, for one on the same machine that asks."""
        other = self.nodes[node.name]
        return other.machine == asks.machine and (other.host.state == "ended" or other.epoch not in (0, node.epoch))

    def others_take_over(self, node: Member) -> Signal:
        """Ask the other nodes whether they take over what has lost its lease."""
        done = Signal()
        reach = any(
            other is not node and other.host.state == "running" and other.takes_over for other in self.nodes.values()
        )
        self.kernel.after(0.05, done.fire, reach)
        return done

    def command(self, node: Member, step: Step, *, is_written: bool) -> None:
        """Carry out what a step of a node asks for, and count the commands for a call that another living node has."""
        if step.kind == "began":
            step.call.voice = node.name
        owner: Key | None = self.database.rows.claims.get(step.call.id)
        if owner is None or owner == step.key or not self.database.rows.lives(owner):
            return
        if is_written or step.kind == "began":  # two nodes answer with the same command, under the same id
            self._repeated += 1
        else:
            self._double += 1

    def fell_silent(self, call: Call) -> None:
        """Note that a node no longer serves a call: another one that does is its voice from now on, or it falls
        silent."""
        key = self.database.rows.claims.get(call.id)
        if key is not None and (owner := self.nodes[key[0]]).key == key and call in owner.live:
            call.voice = owner.name
        else:
            self._silence(call)

    def _silence(self, call: Call) -> None:
        call.voice = ""
        if call.silent_since is None and not call.is_over:
            call.silent_since = self.kernel.now

    def heard(self, call: Call, node: Member) -> None:
        """Note that a caller hears something again, unless the node is a former one that does not know it yet."""
        if self.database.rows.claims.get(call.id) not in (None, node.key):
            return
        call.voice = node.name
        if call.silent_since is not None:
            if (event := self._event_of.pop(call.id, None)) is not None:
                event.gaps.append(self.kernel.now - call.silent_since)
            call.silent_since = None

    def has_drained(self, node: Member) -> None:
        """End a node that has handed all its calls over, and start its successor."""
        self._end(node)
        self.kernel.after(_RESTART_SECONDS, node.boot)

    # Faults

    def _strike(self, fault: Fault) -> None:
        running = [
            node for node in self.nodes.values()
            if node.host.state == "running" and self._looks_fit(node, self.kernel.now) and node.calls
        ]  # fmt: skip
        if fault == "database down":
            self._note(fault, "", [])
            self.database.go_down()
            self.kernel.after(self.dice.uniform(1.0, 12.0), self.database.come_up)
        if len(running) < 2 or fault == "database down":
            return
        node = self.dice.choice(running)
        seconds = self.dice.uniform(1.0, 12.0)
        if fault == "process killed":
            self._kill(fault, [node])
        elif fault == "machine lost":
            self._kill(fault, [each for each in running if each.machine == node.machine])
        elif fault == "frozen":
            self._note(fault, node.name, node.live, falls_silent=True)
            self._frozen_at[node.name] = self.kernel.now
            host = node.host
            host.freeze()
            self.kernel.after(seconds, self._thaw, node, host)
        elif fault == "link cut":
            self._note(fault, node.name, node.live)
            self.database.cut(node.host)
            self.kernel.after(seconds, self.database.mend, node.host)
        else:
            self._note(fault, node.name, node.live)
            self.database.rows.drain(node.name)

    def _kill(self, fault: Fault, nodes: Sequence[SimulatedNode]) -> None:
        for node in nodes:
            self._note(fault, node.name, [*node.calls.values()], falls_silent=True)
        for node in nodes:
            self._end(node)
            self.kernel.after(_RESTART_SECONDS, node.boot)

    def _end(self, node: Member) -> None:
        node.host.end()
        for mate in self.nodes.values():
            if mate.machine == node.machine and mate.host.state == "running":
                self.kernel.after(self.dice.uniform(0.0, _LOCK_LOOK_SECONDS), mate.wake)

    def _thaw(self, node: SimulatedNode, host: object) -> None:
        if node.host is not host:
            return
        node.host.thaw()
        for call in list(node.live):  # without a takeover the stream goes on where it was
            if self.database.rows.claims.get(call.id) == node.key:
                self.heard(call, node)

    def _note(self, fault: Fault, name: str, calls: Sequence[Call], *, falls_silent: bool = False) -> None:
        event = Event(fault, self.kernel.now, name, len(calls))
        self._events.append(event)
        for call in calls:
            self._event_of[call.id] = event
            if falls_silent:
                self._silence(call)

    def _result(self) -> Result:
        rows, load = self.database.rows, self.load
        result = Result(self._events, len(self.calls))
        for call in self.calls.values():
            key = rows.claims.get(call.id)
            if call.is_over:
                result.left_claims += key is not None
            elif call.has_begun and not self._is_served(call, key):
                result.lost += call.is_written
                result.never_written += not call.is_written
        result.double, result.repeated, result.refused = self._double, self._repeated, self.refused
        result.unknown_to_next, result.leaders = self.unknown_to_next, self._leaders
        result.most_over_mean = percentile(self._imbalance, 0.99)
        result.lag_p99 = percentile(self._lags, 0.99)
        seconds = load.seconds + _SETTLE_SECONDS
        result.transactions = _by(self.database.done, seconds)
        result.utilisation = _by(self.database.busy_of, seconds)
        result.longest_wait, result.longest_queue = self.database.longest_wait, self.database.longest_queue
        result.late = self.database.late
        return result

    def _is_served(self, call: Call, key: Key | None) -> bool:
        if key is None or not self.database.rows.lives(key):
            return False
        node = self.nodes[key[0]]
        return node.key == key and node.host.state == "running" and call in node.live


def _by(counts: Mapping[str, float], seconds: float) -> dict[str, float]:
    return {kind: counts[kind] / seconds for kind in sorted(counts)}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them does not exceed; 0: there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
