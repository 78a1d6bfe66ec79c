"""The simulated cluster: nobody is lost and nobody is commanded twice, whatever dies; and it does what the SQL does."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from sqlalchemy import create_engine

from callflow.cli.bench.simulation.command import schedule
from callflow.cli.bench.simulation.costs import Costs
from callflow.cli.bench.simulation.database import Rows
from callflow.cli.bench.simulation.kernel import Host, Kernel, Signal, Work
from callflow.cli.bench.simulation.load import Load
from callflow.cli.bench.simulation.world import FAULTS, Fault, Result, World, percentile
from callflow.cluster import node_store
from callflow.cluster.nodes import Node, View, allotment
from callflow.contracts.errors import Overloaded
from callflow.history.node_tables import claims, nodes
from callflow.history.tables import conversations


SMALL = Load(nodes=6, of_machine=2, calls=60, seconds=40.0)


def run(seed: int, faults: list[tuple[float, Fault]], load: Load = SMALL, **chosen: Any) -> Result:
    return World(seed, load, Costs(), **chosen).run(faults)


def gaps(result: Result) -> list[float]:
    return [gap for event in result.events for gap in event.gaps]


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(1, 5))
def test_whatever_happens_once_every_call_goes_on_at_one_node_within_seconds(fault: Fault, seed: int) -> None:
    result = run(seed, [(12.0, fault)])
    assert (result.lost, result.never_written, result.double, result.refused, result.leaders) == (0, 0, 0, 0, 0)
    assert max(gaps(result), default=0.0) < 7.0
    if fault in ("process killed", "machine lost"):
        assert gaps(result), "callers waited"


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(6))
def test_faults_that_follow_each_other_lose_no_call_that_was_written(seed: int) -> None:
    faults = schedule(seed, SMALL.seconds) + schedule(seed + 100, SMALL.seconds, FAULTS[::-1])
    result = run(seed, sorted(faults))
    assert (result.lost, result.double) == (0, 0)


@pytest.mark.exhaustive
def test_the_same_seed_is_the_same_course() -> None:
    first, again = (dataclasses.asdict(run(5, [(12.0, "process killed")])) for _ in range(2))
    assert first == again


@pytest.mark.exhaustive
def test_calls_are_spread_and_no_loop_is_late_where_many_nodes_know_the_same() -> None:
    result = run(3, [], Load(nodes=20, calls=3000, seconds=15.0))
    assert result.most_over_mean < 1.25
    assert result.lag_p99 < 0.2


@pytest.mark.exhaustive
def test_callers_of_a_dead_node_wait_longer_where_the_first_survivor_takes_them_all() -> None:
    def greedy(view: View, me: str, orphans: int) -> int:
        return orphans

    load, faults = Load(nodes=12, calls=1800, seconds=13.0), [(12.0, FAULTS[0])]
    slow, quick = (percentile(gaps(run(1, faults, load, allotment=each)), 0.95) for each in (greedy, allotment))
    assert quick < 2.0 < slow


def test_a_frozen_process_goes_on_with_what_came_meanwhile_and_a_killed_one_does_not() -> None:
    kernel, done = Kernel(), list[str]()

    def work(name: str, until: Signal) -> Work:
        yield 1.0
        found = yield until
        done.append(f"{name} {found} {kernel.now:g}")

    frozen, killed, signal = Host(kernel), Host(kernel), Signal()
    for host, name in ((frozen, "frozen"), (killed, "killed")):
        host.start(work(name, signal))
    kernel.after(0.5, frozen.freeze)
    kernel.after(0.5, killed.end)
    kernel.after(2.0, signal.fire, "value")
    kernel.after(5.0, frozen.thaw)
    kernel.run(10.0)
    assert done == ["frozen value 5"]


@pytest.mark.parametrize("seed", range(2))
def test_its_database_does_what_the_statements_do(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice, rows, now = random.Random(seed), Rows(), [1000.0]
    monkeypatch.setattr(node_store, "clock", lambda connection: now[0])
    monkeypatch.setattr(node_store, "begin", lambda connection: None)
    with create_engine("sqlite://").connect() as connection:
        for table in (nodes, claims, conversations):
            table.create(connection)
        keys: dict[str, tuple[str, int]] = {}
        for _ in range(150):
            now[0] += dice.uniform(0.0, 1.5)
            name, calls = dice.choice("abc"), dice.sample(range(12), 3)
            node = Node(name=name, epoch=keys.get(name, ("", 0))[1], calls=dice.randrange(9))
            words = [str(100 + call) for call in calls]
            match dice.randrange(8):
                case 0 | 1:
                    keys[name] = (name, rows.join(node, now[0]))
                    assert node_store.join(connection, node) == keys[name][1]
                case 2:
                    assert rows.renew(node, now[0]) == node_store.renew(connection, node)
                case 3:
                    late = dice.random() < 0.5
                    fenced = rows.fence([node], now[0], expired=late)
                    assert fenced == node_store.fence(connection, [node], expired=late)
                case 4 if name in keys and rows.lives(keys[name]):
                    found = node_store.claim(connection, words, keys[name])
                    assert found == {str(100 + call): key for call, key in rows.claim(calls, keys[name]).items()}
                case 5 if name in keys:
                    rows.release(calls, keys[name])
                    node_store.release(connection, words, keys[name])
                case 6 if name in keys and (to := keys.get(dice.choice("abc"))):
                    for call, word in zip(calls, words, strict=True):
                        if rows.lives(to):
                            rows.hand_over([call], keys[name], to)
                            node_store.hand_over(connection, word, keys[name], to, ("up", "draining"))
                        else:
                            with pytest.raises(Overloaded):
                                node_store.hand_over(connection, word, keys[name], to, ("up", "draining"))
                case 7 if name in keys:
                    locked = rows.lock_orphans(keys[name], 2, 100)
                    rows.unlock(locked)
                    taken = [str(100 + call) for call in rows.take(locked, keys[name])]
                    assert taken == node_store.take_orphans(connection, keys[name], 2)
                case _:
                    assert len(rows.orphans()) == sum(node_store.orphans(connection).values())
            held = {row.call: (row.node, row.epoch) for row in connection.execute(claims.select())}
            assert {str(100 + call): key for call, key in rows.claims.items()} == held
