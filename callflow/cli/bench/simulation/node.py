"""What a node of the simulation does for others: it takes over the calls of dead nodes, and hands its own over.

In the same order as `switchboard/cluster_duties.py` and `switchboard/moving.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

from callflow.cli.bench.simulation.database import Answer, Key
from callflow.cli.bench.simulation.kernel import Host, Signal, Work
from callflow.cli.bench.simulation.load import Call
from callflow.cli.bench.simulation.member import RETRY_SECONDS, WATCH_SECONDS, Member
from callflow.cluster.nodes import RENEW_SECONDS, place


_LOOK_SECONDS: Final = 5.0
_HAND_OVERS: Final = 10
"""Calls that a draining node hands over at the same time."""
_QUIET_SECONDS: Final = 2.0
"""Until nobody speaks in a call, on average; assumed."""


class SimulatedNode(Member):
    """One serving process, or several one after the other under the same name."""

    # Calls of others

    def _take_over(self) -> Work:
        rows = self._database.rows
        while True:
            either = Signal()
            self._changed.then(either.fire)
            self._kernel.after(_LOOK_SECONDS, either.fire)
            yield either
            self._changed, key = Signal(), self.key
            counted = yield self._database.ask("take over", self.host, self._costs.take, lambda _: len(rows.orphans()))
            left = self._world.allotment(self.view, self.name, counted.value or 0)
            if left:
                self._kernel.after(RENEW_SECONDS, self._look_again, self.host)
            while left > 0:
                key = self.key
                answer = yield self._claim_share(left)
                if not answer.ok or not answer.value:
                    break
                left -= len(answer.value)
                self.host.start(self._bring_back([self._world.calls[call] for call in answer.value], key))
            key = self.key
            given = yield self._list(key)
            calls = [call for call in given.value or () if call not in self._held and call not in self._fresh]
            if calls:
                self.host.start(self._bring_back([self._world.calls[call] for call in calls], key))

    def _list(self, key: Key) -> Signal:
        rows = self._database.rows
        return self._database.ask("take over", self.host, self._costs.take, lambda _: rows.of(key))

    def _look_again(self, host: Host) -> None:
        if host is self.host:
            self._changed.fire()

    def _claim_share(self, most: int) -> Signal:
        key, survivors, rows = self.key, len(self.view.alive()), self._database.rows

        def commit(found: list[int]) -> list[int]:
            rows.unlock(found)
            return rows.take(found, key) if rows.lives(key) else []

        cost = self._costs.take + self._costs.take_of_each * min(10, most)
        return self._database.ask(
            "take over", self.host, cost, commit, begin=lambda: rows.lock_orphans(key, survivors, most),
            undo=rows.unlock, holds=key,
        )  # fmt: skip

    def _bring_back(self, calls: Sequence[Call], key: Key) -> Work:
        restored = []
        self._held.update(dict.fromkeys((call.id for call in calls), key))
        self._gone.difference_update(call.id for call in calls)
        for call in calls:
            for pause in itertools.chain(RETRY_SECONDS, itertools.repeat(RETRY_SECONDS[-1])):
                answer: Answer = yield self._database.ask(
                    "read a journal", self.host, self._costs.read_journal, lambda _: None
                )
                if answer.ok:
                    break
                yield pause
                if self._held.get(call.id) != self.key:
                    break
            yield self._compute(self._costs.restore)
            if self._held.get(call.id) == self.key:
                self._world.unknown_to_next += call.unwritten
                call.unwritten = 0
                self.calls[call.id] = call
                restored.append(call)
        for call in restored:
            self.host.start(self._go_on_with(call))

    def _go_on_with(self, call: Call) -> Work:
        """Ask the carrier, and have it open another media stream."""
        yield self._dice.lognormvariate(0.0, 0.5) * self._costs.carrier
        if call.id not in self.calls:
            return
        if call.is_over:
            self.note(call, "ended")
            return
        self._serve(call)
        yield self._compute(self._costs.set_up)
        yield self._dice.lognormvariate(0.0, 0.3) * self._costs.stream
        if call.id in self.calls:
            self._world.heard(call, self)

    # Draining

    def _hand_all_over(self) -> Work:
        ends = [Signal() for _ in range(_HAND_OVERS)]
        for number, end in enumerate(ends):
            self.host.start(self._hand_over(list(self.calls.values())[number::_HAND_OVERS], end))
        for end in ends:
            yield end
        while self.calls:  # those that others did not take, or that came meanwhile
            end = Signal()
            self.host.start(self._hand_over(list(self.calls.values()), end))
            yield end
            yield WATCH_SECONDS
        key = self.key
        yield self._database.ask("leave", self.host, self._costs.beat, lambda _: self._database.rows.leave(key))
        self._world.has_drained(self)

    def _hand_over(self, calls: Sequence[Call], end: Signal) -> Work:
        rows = self._database.rows
        for call in calls:
            yield self._dice.expovariate(1 / _QUIET_SECONDS)
            others = [node for node in self.view.alive() if node.name != self.name]
            if call.id not in self.calls or call.id not in self._held or not others:
                continue
            chosen = place(others, self._placed.counts(self._kernel.now), others[0].name)
            self._placed.add(chosen, self._kernel.now)
            key, to = self.key, next(node.key for node in others if node.name == chosen)

            def commit(_: Any, call: Call = call, key: Key = key, to: Key = to) -> bool:
                if not rows.lives(key) or not rows.lives(to):
                    return False
                rows.hand_over([call.id], key, to)
                return rows.claims.get(call.id) == to

            while True:
                answer = yield self._database.ask("hand over", self.host, self._costs.take, commit, holds=key)
                if answer.ok:
                    break
                yield RETRY_SECONDS[0]
            if answer.value:
                self._held.pop(call.id, None)
                self._gone.add(call.id)
                self.forget(call)
                self._world.nodes[chosen].receive(call, to)
        end.fire()

    def receive(self, call: Call, key: Key) -> None:
        """Go on with a call that another node has given to this one."""
        if self.host.state != "ended" and self.key == key:
            self.host.start(self._bring_back([call], key))
