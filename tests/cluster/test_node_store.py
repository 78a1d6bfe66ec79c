"""Nodes and claims in a real database: epochs, leases, fences, and which node gets the calls of another one."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import Connection, delete, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callflow.cluster import node_store
from callflow.cluster.nodes import LEASE_SECONDS, Node
from callflow.contracts.errors import Overloaded
from callflow.contracts.event import PART_OF
from callflow.history.journal_writer import DurableJournal
from callflow.history.node_tables import claims, nodes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended
from tests.cluster.stage import CALL, OTHER, began, staged
from tests.in_loop import in_loop


@in_loop
async def test_survivors_share_the_calls_of_a_dead_node_and_nobody_gets_one_twice(database_url: str) -> None:
    async with staged(database_url) as stage:
        journal, dead = await stage.node("dead")
        calls = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(37)]
        for call in calls:
            journal.note(began(call))
        await journal.flushed()
        survivors = [await stage.node("a"), await stage.node("b")]
        assert dead.key is not None
        victim = Node(name="dead", epoch=dead.key[1])
        await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False))
        taken: list[list[str]] = [[], []]

        async def take(index: int) -> None:
            key = survivors[index][1].key
            assert key is not None
            while found := await stage.run(lambda connection: node_store.take_orphans(connection, key, 2)):
                taken[index] += found
                await asyncio.sleep(0)

        await asyncio.gather(take(0), take(1))
        assert sorted(taken[0] + taken[1]) == calls
        assert min(map(len, taken)) >= 1  # how many each takes, `allotment` decides


@in_loop
async def test_the_two_sides_of_a_call_go_to_the_same_survivor(database_url: str) -> None:
    """Each took whichever side was in its share, and what one knew of the conversation, the other decided by."""
    async with staged(database_url) as stage:
        journal, dead = await stage.node("dead")
        wholes = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(8)]
        sides = {f"{99 - number:08d}-1111-4111-8111-111111111111": whole for number, whole in enumerate(wholes)}
        lone = "88888888-1111-4111-8111-111111111111"  # the other side of a call that is over
        for call in wholes:
            journal.note(began(call))
        for call, whole in [*sides.items(), (lone, OTHER)]:
            about = Began(carrier="openai", direction="inbound", session=f"{PART_OF}{whole}")
            journal.note(JournalEntry.of(about, call=call, at=1.0))
        await journal.flushed()
        survivors = [await stage.node("a"), await stage.node("b")]
        assert dead.key is not None
        victim = Node(name="dead", epoch=dead.key[1])
        await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False))

        async def take(index: int) -> int:
            key = survivors[index][1].key
            assert key is not None
            found = await stage.run(lambda connection: node_store.take_orphans(connection, key, 2, 1))
            assert len(found) <= 2, "one, and its other side"
            return len(found)

        async def take_all(index: int) -> None:
            while await take(index):
                pass

        await asyncio.gather(take(0), take(1))  # whatever comes then, both have some
        await asyncio.gather(take_all(0), take_all(1))
        owners = {call: await stage.owner(call) for call in [*wholes, *sides, lone]}
        assert [call for call, (_, lives) in owners.items() if not lives] == []
        assert [side for side, whole in sides.items() if owners[side] != owners[whole]] == []
        assert len({owners[whole] for whole in wholes}) == 2, "both have taken some"


@in_loop
async def test_a_node_with_a_lease_is_only_fenced_by_evidence(database_url: str) -> None:
    async with staged(database_url) as stage:
        _, claims = await stage.node("a")
        assert claims.key is not None
        node = Node(name="a", epoch=claims.key[1], lease_until=1.0)
        assert await stage.run(lambda connection: node_store.fence(connection, [node], expired=True)) == []
        await stage.run(lambda connection: connection.execute(update(nodes).values(lease_until=1.0)))
        assert await stage.run(lambda connection: node_store.fence(connection, [node], expired=True)) == [node]
        assert not await stage.run(lambda connection: node_store.renew(connection, node))


@in_loop
async def test_a_node_that_is_dead_for_a_day_is_forgotten_when_its_calls_are_taken(database_url: str) -> None:
    async with staged(database_url) as stage:
        (journal, _), _, (_, leader) = [await stage.node(name) for name in ("old", "older", "a")]
        journal.note(began())
        await journal.flushed()
        dead = update(nodes).where(nodes.c.name != "a").values(state="dead", lease_until=1.0)
        await stage.run(lambda connection: connection.execute(dead))

        async def left() -> list[str]:
            def look(connection: Connection) -> list[str]:
                node_store.forget(connection, node_store.view(connection).forgettable())
                return sorted(node.name for node in node_store.view(connection).nodes)

            return await stage.run(look)

        assert await left() == ["a", "old"], "its call is nobody's yet"
        key = leader.key
        assert key is not None
        await stage.run(lambda connection: node_store.take_orphans(connection, key, 1))
        assert await left() == ["a"]
        everyone = update(nodes).values(state="dead", lease_until=1.0)
        await stage.run(lambda connection: connection.execute(everyone))
        assert await left() == ["a"], "whose epoch nobody else may get"


@in_loop
async def test_a_process_that_begins_again_has_lost_its_calls(database_url: str) -> None:
    async with staged(database_url) as stage:
        journal, _ = await stage.node("a")
        journal.note(began())
        await journal.flushed()
        _, again = await stage.node("a")
        assert await stage.owner() == ("a", False)
        key = again.key
        assert key is not None
        assert await stage.run(lambda connection: node_store.take_orphans(connection, key, 1)) == [CALL]
        assert await stage.owner() == ("a", True)


@in_loop
async def test_a_node_without_the_keys_of_a_carrier_takes_none_of_its_calls(database_url: str) -> None:
    """It took them over, could not serve them, and closed them as interrupted."""
    async with staged(database_url) as stage:
        journal, _ = await stage.node("dead")
        for call, carrier in ((CALL, "telnyx"), (OTHER, "phone")):
            journal.note(JournalEntry.of(Began(carrier=carrier, direction="inbound"), call=call, at=1.0))
        await journal.flushed()
        await stage.node("a")
        victim = Node(name="dead", epoch=stage.keys["dead"][1])
        await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False))

        async def taken(*of: str) -> list[str]:
            return await stage.run(partial(node_store.take_orphans, key=stage.keys["a"], survivors=1, of=of))

        for _ in ("a node's", "those of a process that served alone"):
            assert await stage.run(node_store.orphans) == {"": 1, "telnyx": 1}
            assert await taken("twilio") == [OTHER], "the page's telephone is no carrier's"
            assert await stage.run(node_store.orphans) == {"telnyx": 1}
            assert await taken("twilio", "telnyx") == [CALL]
            assert await stage.run(node_store.orphans) == {}
            await stage.run(lambda connection: connection.execute(delete(claims)))
            assert await stage.run(node_store.disown_unclaimed) == 2


@in_loop
async def test_calls_of_a_process_that_served_alone_become_nobodys_once(database_url: str) -> None:
    async with staged(database_url) as stage:
        alone = DurableJournal()
        alone.open(stage.database)
        alone.note(began())
        alone.note(began(OTHER))
        alone.note(JournalEntry.of(Ended(cause="caller_hung_up"), call=OTHER, at=3.0))
        await alone.flushed()
        await stage.node("a")
        assert await stage.run(node_store.disown_unclaimed) == 1
        assert await stage.run(node_store.disown_unclaimed) == 0
        name, lives = await stage.owner()
        assert name, "whoever asks would take it for a call that nobody has, and begin it again"
        assert not lives
        await alone.close()


@in_loop
async def test_a_claim_is_handed_only_to_a_node_that_takes_calls_and_only_once(database_url: str) -> None:
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        keys = [each.key for each in (claims, (await stage.node("b"))[1], (await stage.node("c"))[1])]
        a, b, c = [key for key in keys if key is not None]
        journal.note(began())
        await journal.flushed()

        async def hands(of: tuple[str, int], to: tuple[str, int]) -> bool:
            return await stage.run(lambda connection: node_store.hand_over(connection, CALL, of, to, ["up"]))

        assert await stage.run(lambda connection: node_store.set_state(connection, "b", "draining"))
        for gone in (b, ("c", c[1] + 1), ("d", 1)):
            with pytest.raises(Overloaded):
                await hands(a, gone)
        assert await stage.owner() == ("a", True)
        assert (await hands(a, c), await hands(a, c), await stage.owner()) == (True, False, ("c", True))
        await stage.run(lambda connection: node_store.disown(connection, [CALL], c))
        assert await stage.owner() == ("c", False)
        assert await stage.run(lambda connection: node_store.take_orphans(connection, a, 1)) == [CALL]
        victim = Node(name="b", epoch=b[1])
        assert await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False)) == [victim]
        await stage.run(lambda connection: node_store.join(connection, Node(name="b", epoch=b[1], capacity=5)))
        view = await stage.run(node_store.view)
        assert {node.name: node.state for node in view.nodes} == {"a": "up", "b": "draining", "c": "up"}
        await stage.run(lambda connection: node_store.join(connection, Node(name="b", epoch=0, capacity=5)))
        view = await stage.run(node_store.view)
        assert {node.state for node in view.nodes} == {"up"}, "a process that begins has no order yet"


@in_loop
async def test_a_claim_is_not_handed_to_a_node_that_is_declared_dead_in_that_moment(database_url: str) -> None:
    """Who took the calls of the dead node over had looked for them already."""
    async with staged(database_url) as stage:
        if stage.database.server is None:
            pytest.skip("a file lets one writer in at a time")
        journal, claims = await stage.node("a")
        a, b = claims.key, (await stage.node("b"))[1].key
        assert a is not None
        assert b is not None
        journal.note(began())
        await journal.flushed()

        async def fence(server: AsyncEngine) -> AsyncConnection:
            open_one = await server.connect()
            await open_one.run_sync(node_store.fence, [Node(name="b", epoch=b[1])], expired=False)
            return open_one

        fencing = await stage.database.on_server(fence)

        async def commit(_: AsyncEngine) -> None:
            await fencing.commit()
            await fencing.close()

        handing = asyncio.create_task(
            stage.run(lambda connection: node_store.hand_over(connection, CALL, a, b, ["up"]))
        )
        await asyncio.wait([handing], timeout=0.3)
        await stage.database.on_server(commit)
        with pytest.raises(Overloaded):
            await asyncio.wait_for(handing, 3)
        assert await stage.owner() == ("a", True)


@in_loop
async def test_a_node_that_was_to_drain_still_drains_after_it_was_declared_dead_and_a_new_process_does_not(
    database_url: str,
) -> None:
    async with staged(database_url) as stage:
        await stage.node("a")
        await stage.node("b")
        assert await stage.run(lambda connection: node_store.set_state(connection, "a", "draining"))
        (a, b) = (await stage.run(node_store.view)).nodes
        assert await stage.run(lambda connection: node_store.fence(connection, [a, b, a], expired=False)) == [a, b]
        assert not await stage.run(lambda connection: node_store.set_state(connection, "a", "up")), "it is dead"
        assert not await stage.run(lambda connection: node_store.renew(connection, a))
        again = [
            await stage.run(lambda connection, of=of: node_store.join(connection, of))  # type: ignore[misc]
            for of in (Node(name="a", epoch=a.epoch, capacity=4), Node(name="b", epoch=b.epoch))
        ]
        assert min(again) > max(a.epoch, b.epoch), "no epoch is given twice"
        (a, b) = (await stage.run(node_store.view)).nodes
        assert (a.state, a.capacity, b.state) == ("draining", 4, "up")
        await stage.run(lambda connection: node_store.join(connection, Node(name="a", epoch=0)))
        assert (await stage.run(node_store.view)).nodes[0].state == "up"


@in_loop
async def test_a_renewal_tells_how_a_node_is_and_leaves_its_order_alone(database_url: str) -> None:
    async with staged(database_url) as stage:
        await stage.node("a")
        await stage.run(lambda connection: node_store.set_state(connection, "a", "draining"))
        before = (await stage.run(node_store.view)).nodes[0]
        told = Node(name="a", epoch=before.epoch, calls=3, capacity=9, lag_ms=1.5, state="up")
        assert await stage.run(lambda connection: node_store.renew(connection, told))
        view = await stage.run(node_store.view)
        after = view.nodes[0]
        assert (after.calls, after.capacity, after.lag_ms, after.state) == (3, 9, 1.5, "draining")
        assert before.lease_until <= after.lease_until
        assert view.now < after.lease_until <= view.now + LEASE_SECONDS
        former = Node(name="a", epoch=before.epoch - 1)
        assert not await stage.run(lambda connection: node_store.renew(connection, former)), "another process's lease"


@in_loop
async def test_claims_are_given_up_by_their_node_alone(database_url: str) -> None:
    async with staged(database_url) as stage:
        await stage.node("a")
        await stage.node("b")
        a, b = stage.keys["a"], stage.keys["b"]
        former = ("a", a[1] - 1)
        run = stage.run
        assert await run(lambda connection: node_store.claim(connection, [CALL], a)) == {CALL: a}
        assert await run(lambda connection: node_store.claim(connection, [CALL, OTHER], b)) == {CALL: a, OTHER: b}
        for key in (b, former):
            await run(lambda connection, key=key: node_store.release(connection, [CALL], key))  # type: ignore[misc]
            await run(lambda connection, key=key: node_store.disown(connection, [CALL], key))  # type: ignore[misc]
        assert await stage.owner() == ("a", True)
        assert await run(lambda connection: node_store.claimed_by(connection, a)) == [CALL]
        assert await run(lambda connection: node_store.claimed_by(connection, former)) == []
        assert await run(lambda connection: node_store.claimed(connection, [CALL, OTHER, "none"])) == {CALL, OTHER}
        assert await run(node_store.orphans) == {}
        await run(lambda connection: node_store.disown(connection, [CALL], a))
        assert (await stage.owner(), await run(node_store.orphans)) == (("a", False), {"": 1})
        await run(lambda connection: node_store.leave(connection, Node(name="b", epoch=b[1])))
        assert (await stage.owner(OTHER), await run(node_store.orphans)) == (("b", False), {"": 2})
        assert await stage.owner("none") == ("", False)
        assert await run(lambda connection: node_store.take_orphans(connection, b, 1)) == [], "the dead take nothing"
        taken: list[str] = []
        while found := await run(lambda connection: node_store.take_orphans(connection, a, 1)):
            taken += found
        assert sorted(taken) == sorted([CALL, OTHER])
