"""A node of the simulation: its lease, its journal, and the calls that it has.

It decides with `cluster/nodes.py`, and does in the same order what `cluster/heartbeat.py`, `cluster/membership.py`,
`cluster/claims.py` and `history/journal_writer.py` do.
"""

from __future__ import annotations

import abc
import functools
import math
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, Protocol

from callflow.cli.bench.simulation.costs import Costs
from callflow.cli.bench.simulation.database import WAITS, Database, Key
from callflow.cli.bench.simulation.kernel import Host, Kernel, Signal, Work
from callflow.cli.bench.simulation.load import Call, Load, Step
from callflow.cluster.nodes import (
    LEASE_SECONDS,
    MARGIN_SECONDS,
    MISSED_SECONDS,
    RENEW_SECONDS,
    LeaseJudgement,
    Node,
    RecentPlacements,
    View,
)


_GATHER_SECONDS: Final = 0.05
_STEP_SECONDS: Final = 0.25
"""How long a step waits for the journal."""
_BATCH: Final = 500
RETRY_SECONDS: Final = (0.25, 0.5, 1.0, 2.0)
WATCH_SECONDS: Final = 0.25
_WEBHOOK_SECONDS: Final = 0.7


class Environment(Protocol):
    """What a node finds around itself: see `World`."""

    kernel: Kernel
    database: Database
    dice: random.Random
    costs: Costs
    load: Load
    calls: dict[int, Call]
    refused: int
    unknown_to_next: int
    place: Callable[[Sequence[Node], Mapping[str, int], str], str]
    allotment: Callable[[View, str, int], int]

    @property
    def nodes(self) -> Mapping[str, Member]:
        """All nodes, by name."""

    def has_ended(self, asks: Member, node: Node) -> bool:
        """Return whether the lock of a node is free, for one on the same machine that asks."""

    def others_take_over(self, node: Member) -> Signal:
        """Ask the other nodes whether they take over what has lost its lease."""

    def command(self, node: Member, step: Step, *, is_written: bool) -> None:
        """Carry out what a step of a node asks for."""

    def fell_silent(self, call: Call) -> None:
        """Note that a node no longer serves a call that it has served."""

    def heard(self, call: Call, node: Member) -> None:
        """Note that a caller hears something again, from this node."""

    def has_drained(self, node: Member) -> None:
        """Note that a node has handed all its calls over, and ends."""


class Member(abc.ABC):
    """One serving process, or several one after the other under the same name."""

    def __init__(self, world: Environment, name: str, machine: int, capacity: int) -> None:
        self._world, self.name, self.machine, self.capacity = world, name, machine, capacity
        self._kernel, self._database, self._dice, self._costs = world.kernel, world.database, world.dice, world.costs
        self.host = Host(self._kernel)
        self.host.end()
        self.calls: dict[int, Call] = {}
        self.live: list[Call] = []
        """Those of `calls` that are served, in no order."""

    def boot(self) -> None:
        """Start a process of this name."""
        self.host = Host(self._kernel)
        self.view, self.epoch, self.key = View(), 0, (self.name, 0)
        self._renewed, self._judgement, self._rejoins = -LEASE_SECONDS, LeaseJudgement(), False
        self.trouble = self._has_let_go = False
        self.calls, self.live = {}, []
        self._place_of: dict[int, int] = {}
        self._held: dict[int, Key] = {}
        self._fresh: set[int] = set()
        self._gone: set[int] = set()
        self._placed = RecentPlacements()
        self._suspects: set[Key] = set()
        self._steps: list[Step] = []
        self._under_way: list[Step] = []
        self._wake, self._beat_came, self._changed, self._urgent = Signal(), Signal(), Signal(), Signal()
        self._is_handing_over = False
        for work in (self._renew(), self._write(), self._watch_steps(), self._take_steps(), self._take_over()):
            self.host.start(work)
        self.host.start(self._watch_lease())

    # The lease

    def wake(self) -> None:
        """Renew the lease now."""
        self._wake.fire()

    @property
    def lease_holds(self) -> bool:
        """Whether nobody can have declared this node dead, by its own clock."""
        return self._kernel.now < self._renewed + LEASE_SECONDS - MARGIN_SECONDS

    @property
    def takes_over(self) -> bool:
        """What it tells another node that asks whether its calls are being taken over."""
        return self._kernel.now < self._renewed + MISSED_SECONDS and self._judgement.allows(self._kernel.now)

    def _row(self) -> Node:
        return Node(
            name=self.name, epoch=self.epoch, capacity=self.capacity, calls=len(self.calls),
            lag_ms=1000 * self.host.lag,
        )  # fmt: skip

    def _renew(self) -> Work:
        while True:
            began, node, suspects = self._kernel.now, self._row(), frozenset(self._suspects)
            may_judge, rejoins = self._judgement.allows(began), self._rejoins
            cost = self._costs.beat

            commit = functools.partial(self._commit_beat, node, suspects, may_judge, rejoins)
            answer = yield self._database.ask("renew a lease", self.host, cost, commit, patience=2.0)
            if answer.ok:
                self._suspects.clear()
                self._judgement.renewed(began)
                epoch, view, was_fenced = answer.value
                self._on_beat(epoch, view, was_fenced, began)
            else:
                self.trouble = True
            came, self._beat_came = self._beat_came, Signal()
            came.fire()
            self._wake = Signal()
            self._kernel.after(RENEW_SECONDS, self._wake.fire)
            yield self._wake

    def _commit_beat(
        self, node: Node, suspects: frozenset[Key], may_judge: bool, rejoins: bool, _: Any
    ) -> tuple[int, View, bool] | object:
        rows, now = self._database.rows, self._kernel.now
        view = rows.view(now)
        others = [each for each in view.alive() if each.name != self.name]
        gone = [each for each in others if each.key in suspects or self._world.has_ended(self, each)]
        expired = view.expired() if may_judge else []
        late = [each for each in expired if each.name != self.name and each not in gone]
        if any(self._database.is_held(each) for each in (*gone, *late)):
            return WAITS
        epoch, was_fenced = node.epoch, False
        if not epoch or rejoins or not rows.renew(node, now):
            was_fenced = bool(epoch)
            epoch = rows.join(replace(node, calls=0), now)
        rows.fence(gone, now, expired=False)
        rows.fence(late, now, expired=True)
        return epoch, rows.view(now), was_fenced

    def _on_beat(self, epoch: int, view: View, was_fenced: bool, began: float) -> None:
        before, self.view, self.epoch = self.view, view, epoch
        if was_fenced:
            self._rejoins = self._has_let_go = False
            self.let_go_of_all()
        self.key = (self.name, epoch)
        self._renewed = began
        self.trouble = self._has_let_go = False
        if {node.key: node.state for node in before.alive()} != {node.key: node.state for node in view.alive()}:
            self._changed.fire()
        mine = view.named(self.name)
        if mine is not None and mine.state == "draining" and not self._is_handing_over:
            self._is_handing_over = True
            self.host.start(self._hand_all_over())

    def let_go_of_all(self) -> None:
        """Drop all calls: others have them."""
        if not self._has_let_go:
            self._has_let_go = True
            self._gone.update(self._held)
            self._held.clear()
            for call in list(self.calls.values()):
                if call.id not in self._fresh:  # nobody else knows of it
                    self._let_go(call)

    def _let_go(self, call: Call) -> None:
        self._held.pop(call.id, None)
        self._fresh.discard(call.id)
        self._gone.add(call.id)
        if self.forget(call) and call.voice == self.name:
            self._world.fell_silent(call)

    def _may_act(self, call: Call | None = None) -> Generator[float | Signal, Any, bool]:
        if call is not None and call.id in self._fresh:
            return True
        for _ in range(int(LEASE_SECONDS / WATCH_SECONDS)):
            if self.lease_holds:
                return True
            if self._has_let_go:
                return False
            self.wake()
            either = Signal()
            self._beat_came.then(either.fire)
            self._kernel.after(WATCH_SECONDS, either.fire)
            yield either
            if self.trouble and not self.lease_holds:
                break
        if self.lease_holds:
            return True
        asked, reached = -math.inf, False
        while self._kernel.now - asked > MISSED_SECONDS:
            asked = self._kernel.now
            reached = yield self._world.others_take_over(self)
        if reached:
            self.let_go_of_all()
            self._rejoins = True
            self.wake()
        return not self._has_let_go

    def _watch_lease(self) -> Work:
        while True:
            yield WATCH_SECONDS
            if self.epoch and not self.lease_holds and not self._has_let_go and self.calls:
                yield from self._may_act()

    # The journal

    def note(self, call: Call, kind: Literal["began", "step", "ended"]) -> None:
        """Write down a step of a call, and take it when it is written."""
        self._steps.append(Step(call, kind, self._kernel.now, self.key))
        self._urgent.fire()

    def _take_steps(self) -> Work:
        """Let every call that is served take a step now and then."""
        rate = self._world.load.steps
        while True:
            if not self.live:
                yield 0.1
                continue
            yield self._dice.expovariate(rate * len(self.live))
            if self.live:
                self.note(self._dice.choice(self.live), "step")

    def _write(self) -> Work:
        failures, written_at = 0, self._kernel.now
        while True:
            if not self._steps:
                self._urgent = Signal()
                self._kernel.after(_GATHER_SECONDS, self._urgent.fire)
                yield self._urgent
            notes = min(_BATCH, round(self._world.load.notes * len(self.live) * (self._kernel.now - written_at)))
            batch, self._steps = self._steps[:_BATCH], self._steps[_BATCH:]
            if not batch and (not notes or not self.live):
                continue
            self._under_way, now, key = batch, self._kernel.now, self.key
            self._compute(self._costs.commit)
            answer = yield self._write_batch(batch, notes)
            if not answer.ok or answer.value is None:
                self._under_way, self._steps = [], batch + self._steps
                for step in self._steps:
                    self._go_on_without_journal(step)
                yield RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                continue
            failures, written_at, self._under_way = 0, now, []
            self._on_written(batch, answer.value, key)

    def _write_batch(self, batch: Sequence[Step], notes: int) -> Signal:
        calls = {step.call.id for step in batch}
        calls |= {self._dice.choice(self.live).id for _ in range(min(3, notes)) if self.live}
        held, fresh, gone = calls & self._held.keys(), calls & self._fresh, calls & self._gone
        former = {call for call in held if self._held[call] != self.key}
        held, gone = held - former, gone | former
        ended = {step.call.id for step in batch if step.kind == "ended"}
        key = self.key
        cost = self._costs.journal + self._costs.entry * (len(batch) + notes) + self._costs.claim * len(fresh)
        holds = key if held or fresh else None
        return self._database.ask(
            "write the journal", self.host, cost,
            lambda _: self._database.rows.admit(key, held, fresh, gone, ended), holds=holds,
        )  # fmt: skip

    def _on_written(self, batch: Sequence[Step], elsewhere: set[int], key: Key) -> None:
        for call_id in sorted(elsewhere):
            if (call := self.calls.get(call_id)) is not None:
                self._let_go(call)
        for step in batch:
            if step.call.id in elsewhere:
                continue
            if step.has_gone_on:
                step.call.unwritten -= 1
            if step.kind == "ended":
                self._held.pop(step.call.id, None)
                self.forget(step.call)
            elif step.kind == "began":
                self._fresh.discard(step.call.id)
                self._held[step.call.id] = key
                step.call.is_written = True
            if not step.has_gone_on:
                self._world.command(self, step, is_written=True)

    def _watch_steps(self) -> Work:
        while True:
            yield _GATHER_SECONDS
            for step in (*self._under_way, *self._steps):
                if step.at > self._kernel.now - _STEP_SECONDS:
                    break
                self._go_on_without_journal(step)

    def _go_on_without_journal(self, step: Step) -> None:
        if not step.has_gone_on and step.call.id in self.calls:
            step.has_gone_on = True
            step.call.unwritten += 1
            self.host.start(self._act_unwritten(step))

    def _act_unwritten(self, step: Step) -> Work:
        may = yield from self._may_act(step.call)
        if may and step.call.id in self.calls:
            self._world.command(self, step, is_written=False)

    # Calls

    @abc.abstractmethod
    def _take_over(self) -> Work:
        """Take calls of dead nodes over, for ever."""

    @abc.abstractmethod
    def receive(self, call: Call, key: Key) -> None:
        """Go on with a call that a draining node has handed over to the process of this key."""

    @abc.abstractmethod
    def _hand_all_over(self) -> Work:
        """Give all calls to others, and end."""

    def webhook(self, call: Call, *, is_forwarded: bool = False) -> Work:
        """Take the first webhook of a call, or send it to the node with the most room."""
        yield self._compute(self._costs.webhook)
        chosen = self.name
        if not is_forwarded:
            here = [
                replace(node, calls=len(self.calls)) if node.name == self.name else node
                for node in self.view.punctual()
            ]
            chosen = self._world.place(here, self._placed.counts(self._kernel.now), self.name)
        if chosen != self.name:
            self._placed.add(chosen, self._kernel.now)
            other = self._world.nodes[chosen]
            if other.host.state != "ended":
                other.host.start(other.webhook(call, is_forwarded=True))
                if other.host.state == "running":
                    return
                yield _WEBHOOK_SECONDS  # the other one is frozen, and will take it when it goes on
            elif (node := self.view.named(chosen)) is not None:
                self._suspects.add(node.key)
                self.wake()
        yield from self._begin(call)

    def _begin(self, call: Call) -> Work:
        if call.id in self.calls or call.id in self._gone or call.is_over:
            return
        if len(self.calls) >= self.capacity:
            if not call.has_begun:
                self._world.refused += 1
                call.is_over = True
            return
        self.calls[call.id] = call
        self._fresh.add(call.id)
        call.has_begun = True
        self._serve(call)
        self.note(call, "began")
        yield self._compute(self._costs.set_up)

    def _serve(self, call: Call) -> None:
        self._place_of[call.id] = len(self.live)
        self.live.append(call)

    def adopt(self, calls: Sequence[Call]) -> None:
        """Have calls from the beginning on."""
        for call in calls:
            self.calls[call.id], call.voice = call, self.name
            self._held[call.id] = self.key
            self._serve(call)

    def forget(self, call: Call) -> bool:
        """Have a call no longer. Returns whether this node had it."""
        place_ = self._place_of.pop(call.id, None)
        if place_ is not None:
            last = self.live.pop()
            if last is not call:
                self.live[place_] = last
                self._place_of[last.id] = place_
        return self.calls.pop(call.id, None) is not None

    def _compute(self, seconds: float) -> float:
        """Return after how long the event loop has done that beside the audio."""
        free = max(0.1, 1.0 - self._costs.audio * len(self.live))
        return self.host.compute(seconds / free)
