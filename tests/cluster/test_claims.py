"""Claims, fences and orphans in a real database, as nodes see them that write at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callflow.cluster import node_store
from callflow.cluster.claims import Claims
from callflow.cluster.nodes import Node
from callflow.contracts.errors import CallElsewhere, JournalError
from callflow.history import database
from callflow.history.journal_writer import DurableJournal
from callflow.history.store import Store
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended, Fact, HandedOver
from tests.cluster.stage import CALL, OTHER, Stage, began, staged, step
from tests.e2e.product import until
from tests.in_loop import in_loop


_Found = TypeVar("_Found")


@in_loop
async def test_of_two_nodes_with_the_same_call_one_loses(database_url: str) -> None:
    async with staged(database_url) as stage:
        (first, _), (second, _) = await stage.node("a"), await stage.node("b")
        told: list[str] = []
        second.on_elsewhere = told.append
        first.note(began())
        await first.append(step())
        second.note(began())
        with pytest.raises(CallElsewhere):
            await second.append(step())
        assert await stage.owner() == ("a", True)
        assert told == [CALL]


@in_loop
async def test_a_number_is_not_dialled_again_by_a_node_that_stood_still_meanwhile(database_url: str) -> None:
    """Two nodes got the same request; the call of the other one is over, so that nobody has it."""
    began = JournalEntry.of(Began(carrier="telnyx", direction="outbound", order="what was asked"), call=CALL, at=1.0)
    async with staged(database_url) as stage:
        (first, _), (second, _) = await stage.node("a"), await stage.node("b")
        first.note(began)
        await first.append(step())
        first.note(JournalEntry.of(Ended(cause="busy"), call=CALL, at=3.0))
        await first.flushed()
        told: list[str] = []
        second.on_elsewhere = told.append
        second.note(began)
        with pytest.raises(CallElsewhere):
            await second.append(step())
        assert (await stage.owner(), told) == (("", False), [CALL])
        assert len(await Store(stage.database).journal(CALL)) == 3


@in_loop
async def test_a_dialled_call_whose_first_commit_was_not_answered_is_its_own(database_url: str) -> None:
    began = JournalEntry.of(Began(carrier="telnyx", direction="outbound", order="what was asked"), call=CALL, at=1.0)
    async with staged(database_url) as stage:
        journal, _ = await stage.node("a")
        write = stage.database.write

        async def without_answer(work: Callable[[Connection], Any]) -> Any:
            await write(work)
            stage.database.write = write  # type: ignore[method-assign]
            raise OSError("the link is cut")

        stage.database.write = without_answer  # type: ignore[method-assign]
        told: list[str] = []
        journal.on_elsewhere = told.append
        journal.note(began)
        await asyncio.wait_for(journal.flushed(), 5)
        assert journal.counts["failures"] == 1
        assert (await stage.owner(), told) == (("a", True), [])


async def cut_off(stage: Stage, journal: DurableJournal, claims: Claims, *, committed: bool) -> None:
    """Node a is cut off in its first transaction about a call, declared dead, and joins anew."""
    write, database = stage.database.write, stage.database

    async def without_answer(work: Callable[[Connection], Any]) -> Any:
        def cut(connection: Connection) -> None:
            work(connection)
            if not committed:
                raise OSError("the link is cut")

        await write(cut)
        raise OSError("the link is cut")

    database.write = without_answer  # type: ignore[method-assign]
    journal.note(began())
    await until(lambda: journal.trouble, "the trouble")
    journal.note(step())
    assert claims.key is not None
    dead = Node(name=claims.key[0], epoch=claims.key[1])
    await write(lambda connection: node_store.fence(connection, [dead], expired=False))
    claims.drop_all()
    if committed:
        taken = await write(lambda connection: node_store.take_orphans(connection, stage.keys["b"], 1))
        assert taken == [CALL]
    database.write = write  # type: ignore[method-assign]
    await until(lambda: journal.counts["failures"] >= 2, "a try as the node that is dead")
    epoch = await stage.run(lambda connection: node_store.join(connection, Node(name="a", epoch=0)))
    claims.key = ("a", epoch)
    await asyncio.wait_for(journal.flushed(), 5)


@in_loop
async def test_a_call_that_was_let_go_and_never_came_to_the_database_is_found_by_its_node_again(
    database_url: str,
) -> None:
    """Nobody else knows of it: its caller would wait for ever."""
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        await stage.node("b")
        await cut_off(stage, journal, claims, committed=False)
        assert await stage.owner() == ("a", True)
        assert await Store(stage.database).journal(CALL) != []
        assert (claims.has(CALL), claims.has_let_go(CALL)) == (False, False), "the next look takes it, as a given one"


@in_loop
async def test_a_call_that_was_let_go_and_did_come_to_the_database_is_anothers(database_url: str) -> None:
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        await stage.node("b")
        await cut_off(stage, journal, claims, committed=True)
        assert await stage.owner() == ("b", True)
        assert (claims.has(CALL), claims.has_let_go(CALL)) == (False, True)


@in_loop
async def test_the_end_of_a_call_gives_it_up(database_url: str) -> None:
    async with staged(database_url) as stage:
        journal, _ = await stage.node("a")
        journal.note(began())
        await journal.append(step())
        journal.note(JournalEntry.of(Ended(cause="caller_hung_up"), call=CALL, at=3.0))
        await journal.flushed()
        assert await stage.owner() == ("", False)


@in_loop
async def test_a_node_that_was_declared_dead_writes_nothing_more_about_its_calls(database_url: str) -> None:
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        journal.note(began())
        await journal.append(step())
        assert claims.key is not None
        victim = Node(name="a", epoch=claims.key[1])
        assert await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False)) == [victim]
        with pytest.raises(CallElsewhere):
            await journal.append(step())
        journal.note(JournalEntry("3" * 36, 0, 1.0, {"event": "call_hangup"}))  # of no call of its own: it is kept
        await journal.flushed()
        assert journal.counts["written"] == 3


@in_loop
async def test_a_node_that_stands_still_within_a_transaction_holds_the_others_up_for_a_moment_only(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They declare it dead in the transaction that renews their own leases."""
    monkeypatch.setattr(database, "_STILL_SECONDS", 0.3)
    async with staged(database_url) as stage:
        if stage.database.server is None:
            pytest.skip("a process that holds a file is ended: see tests/cli/test_frozen_workers.py")
        _, claims = await stage.node("a")
        key = claims.key
        assert key is not None

        def stands_still(connection: Connection) -> None:
            node_store.begin(connection)
            assert node_store.is_alive(connection, key)

        async def stand_still(server: AsyncEngine) -> AsyncConnection:
            still = await server.connect()
            await still.run_sync(stands_still)
            return still

        still = await stage.database.on_server(stand_still)
        victim = Node(name="a", epoch=key[1])
        async with asyncio.timeout(3):
            assert await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False)) == [victim]

        async def end(_: AsyncEngine) -> None:
            await still.invalidate()
            await still.close()

        await stage.database.on_server(end)


@in_loop
async def test_entries_of_a_call_stay_in_order_wherever_it_goes_and_whatever_the_clocks_say(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node whose ids were pushed ahead, by a call from a machine with a fast clock, writes its own calls with ids
    ahead of their times. Who took one of these over wrote what followed in front of it, and the next one read it so."""
    clock = [1_790_000_000.0]
    monkeypatch.setattr("callflow.history.journal_writer.time.time_ns", lambda: int(clock[0] * 1e9))

    def entry(call: str, number: int) -> JournalEntry:
        return JournalEntry(call, number, clock[0], {"event": "call_initiated"}, "ringing", "ringing", True)

    async with staged(database_url) as stage:
        store = Store(stage.database)
        (fast, _), (first, _), (second, claims) = [await stage.node(name) for name in ("c", "a", "b")]

        async def goes_to(journal: DurableJournal, call: str) -> None:
            journal.seed_read(await store.keyed_journal(call))

        clock[0] += 20
        fast.note(began(OTHER))
        await fast.append(entry(OTHER, 1))
        clock[0] -= 20
        await goes_to(first, OTHER)
        first.note(began())
        await first.append(entry(CALL, 1))
        await goes_to(second, CALL)
        claims.hold([CALL], claims.key or ("", 0))
        clock[0] += 1
        await second.append(entry(CALL, 2))
        written = await store.keyed_journal(CALL)
        assert [each.step for _, each in written] == [0, 1, 2]
        assert written[-1][0] % 1000 == claims.lane
        assert written[-1][0] // 1000 - written[-2][0] // 1000 == 1, "right behind"


@in_loop
async def test_entries_of_two_nodes_at_the_same_moment_are_all_written(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry whose id another node has used would be left out of the history."""
    monkeypatch.setattr("callflow.history.journal_writer.time.time_ns", lambda: 1_790_000_000_000_000_000)
    async with staged(database_url) as stage:
        journals = [(await stage.node(name))[0] for name in ("a", "b")]
        for journal, call in zip(journals, (CALL, OTHER), strict=True):
            journal.note(began(call))
            journal.note(step(call))
            await journal.flushed()
        assert [(journal.counts["written"], journal.counts["unwritable"]) for journal in journals] == [(2, 0), (2, 0)]


@in_loop
async def test_what_a_node_was_just_taking_over_when_it_joined_anew_is_not_its_own(database_url: str) -> None:
    """The claim has the node's former key, under which others take the call over."""
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        former = claims.key
        assert former is not None
        await stage.run(lambda connection: node_store.claim(connection, [CALL], former) and None)
        claims.hold([CALL], former)
        assert claims.has(CALL)
        claims.key = ("a", await stage.run(lambda connection: node_store.join(connection, Node(name="a", epoch=0))))
        assert not claims.has(CALL)
        with pytest.raises(CallElsewhere):
            await journal.append(step())


@in_loop
async def test_a_call_that_was_never_written_waits_until_its_node_has_joined_anew(database_url: str) -> None:
    """Nobody else knows of it, so it is not taken from the node that was declared dead."""
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        assert claims.key is not None
        victim, told = Node(name="a", epoch=claims.key[1]), list[str]()
        journal.on_elsewhere = told.append
        await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False))
        journal.note(began())
        with pytest.raises(JournalError):
            await journal.append(step())
        assert claims.is_fresh(CALL)
        claims.key = ("a", await stage.run(lambda connection: node_store.join(connection, Node(name="a", epoch=0))))
        await journal.flushed()
        assert await stage.owner() == ("a", True)
        assert told == []


@pytest.mark.e2e
@in_loop
async def test_a_call_whose_first_commit_was_not_answered_may_be_another_nodes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for one that nobody else could know of, while another node went on with it: both commanded it."""
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        write, committed = stage.database.write, asyncio.Event()

        async def without_link(work: Callable[[Connection], _Found]) -> _Found:
            raise OSError("no route")

        async def without_answer(work: Callable[[Connection], _Found]) -> _Found:
            await write(work)
            committed.set()
            raise OSError("the link is cut")

        journal.note(began())
        monkeypatch.setattr(stage.database, "write", without_link)
        with pytest.raises(JournalError):
            await journal.append(step())
        assert claims.is_fresh(CALL)
        monkeypatch.setattr(stage.database, "write", without_answer)
        await committed.wait()  # the claims know of it before it is there
        assert not claims.is_fresh(CALL)
        monkeypatch.setattr(stage.database, "write", without_link)
        assert claims.has(CALL)
        assert await stage.database.read(lambda connection: node_store.owner(connection, CALL)) == ("a", True)

        journal.note(began(OTHER))
        claims.drop_all()
        assert (claims.has_let_go(CALL), claims.is_fresh(OTHER), claims.has(OTHER)) == (True, True, True)
        monkeypatch.setattr(stage.database, "write", write)
        await journal.flushed()
        assert (claims.has(CALL), claims.has(OTHER)) == (False, True)


@pytest.mark.e2e
@in_loop
async def test_a_commit_that_was_not_answered_is_found_when_the_database_is_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        write = stage.database.write

        async def without_answer(work: Callable[[Connection], _Found]) -> _Found:
            await write(work)
            raise OSError("the link is cut")

        monkeypatch.setattr(stage.database, "write", without_answer)
        journal.note(began())
        await until(lambda: journal.trouble, "the trouble")
        monkeypatch.setattr(stage.database, "write", write)
        await journal.flushed()
        assert (claims.has(CALL), claims.is_fresh(CALL)) == (True, False)
        journal.note(JournalEntry.of(Ended(cause="caller_hung_up"), call=CALL, at=3.0))
        await journal.flushed()
        assert (claims.has(CALL), await stage.owner()) == (False, ("", False))


def last(call: str = CALL) -> JournalEntry:
    return JournalEntry.of(HandedOver(quiet=True), call=call, at=3.0)


async def entries(stage: Stage, call: str = CALL) -> list[str]:
    return [entry.name for entry in await Store(stage.database).journal(call)]


@in_loop
async def test_the_last_entry_and_the_claim_change_hands_together_or_not_at_all(database_url: str) -> None:
    """The entry came first: when the claim did not follow, a call that lived here was over for its own journal."""
    async with staged(database_url) as stage:
        (journal, claims), (other, others) = await stage.node("a"), await stage.node("b")
        told: list[str] = []
        journal.on_entry = lambda entry: told.append(entry.name)
        assert others.key is not None
        journal.note(began())
        assert await stage.run(lambda connection: node_store.set_state(connection, "b", "draining"))
        assert not await asyncio.wait_for(journal.hand_over(last(), others.key).given, 5)
        assert (await stage.owner(), claims.has(CALL), claims.is_going(CALL)) == (("a", True), True, False)
        assert (await entries(stage), told) == (["began"], ["began"]), "with what was queued before it"
        await journal.append(step())
        assert await stage.run(lambda connection: node_store.set_state(connection, "b", "up"))
        assert not await asyncio.wait_for(journal.hand_over(last(), others.key, lambda: False).given, 5)
        assert await stage.owner() == ("a", True), "its moment has passed before the transaction began"
        giving = journal.hand_over(last(), others.key)
        journal.note(JournalEntry.of(Fact(text="said meanwhile"), call=CALL, at=3.0))
        assert await asyncio.wait_for(giving.given, 5)
        assert (await stage.owner(), claims.has(CALL), claims.has_let_go(CALL)) == (("b", True), False, True)
        journal.note(JournalEntry.of(Fact(text="said last"), call=CALL, at=3.0))
        await journal.flushed()
        claims.noted(CALL)
        assert claims.is_going(CALL), "nobody has told the other one yet"
        claims.confirm_taken(CALL)
        journal.note(JournalEntry.of(Fact(text="too late"), call=CALL, at=3.0))
        await journal.flushed()
        assert await entries(stage) == ["began", "call_initiated", "handed_over", "told", "told"]
        assert told.count("handed_over") == 1
        assert not await asyncio.wait_for(journal.hand_over(last(), others.key).given, 5), "it is given once"
        others.hold([CALL], others.key)
        await other.append(step())


@pytest.mark.e2e
@in_loop
async def test_a_hand_over_whose_commit_was_not_answered_is_found_or_never_comes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(database_url) as stage:
        (journal, claims), (_, others) = await stage.node("a"), await stage.node("b")
        write, to = stage.database.write, others.key
        assert to is not None
        let_go: list[str] = []

        def on_elsewhere(call: str) -> None:
            let_go.append(call)
            claims.drop([call])

        journal.on_elsewhere = on_elsewhere

        async def without_link(work: Callable[[Connection], _Found]) -> _Found:
            raise OSError("no route")

        async def without_answer(work: Callable[[Connection], _Found]) -> _Found:
            await write(work)
            raise OSError("the link is cut")

        for call in (CALL, OTHER):
            journal.note(began(call))
        await journal.flushed()
        monkeypatch.setattr(stage.database, "write", without_link)
        never = journal.hand_over(last(), to)
        await until(lambda: journal.trouble, "the trouble")
        assert not never.given.done(), "that is not known yet"
        assert not await journal.hand_over(last(OTHER), to).given, "while that lasts, nothing is given"
        monkeypatch.setattr(stage.database, "write", write)
        assert not await asyncio.wait_for(never.given, 5), "what did not come through in time is not tried again"
        await journal.flushed()
        assert (await entries(stage), await stage.owner(), claims.has(CALL)) == (["began"], ("a", True), True)

        monkeypatch.setattr(stage.database, "write", without_answer)
        lost, found = journal.hand_over(last(OTHER), to), journal.hand_over(last(), to)
        lost.given.cancel()
        await until(lambda: journal.trouble, "the trouble")
        monkeypatch.setattr(stage.database, "write", write)
        assert await asyncio.wait_for(found.given, 5)
        assert (await stage.owner(), claims.has(CALL), claims.has(OTHER)) == (("b", True), False, False)
        assert let_go == [OTHER], "of the other call somebody waits to hear"
        assert (claims.is_going(CALL), claims.is_going(OTHER)) == (True, False), "nobody tells the other node of it"


@in_loop
async def test_the_last_notes_of_a_call_that_was_given_are_not_written_by_a_node_that_is_dead(
    database_url: str,
) -> None:
    async with staged(database_url) as stage:
        (journal, claims), (_, others) = await stage.node("a"), await stage.node("b")
        assert claims.key is not None
        assert others.key is not None
        journal.note(began())
        assert await asyncio.wait_for(journal.hand_over(last(), others.key).given, 5)
        victim = Node(name="a", epoch=claims.key[1])
        await stage.run(lambda connection: node_store.fence(connection, [victim], expired=False))
        journal.note(JournalEntry.of(Fact(text="said last"), call=CALL, at=3.0))
        await journal.flushed()
        assert await entries(stage) == ["began", "handed_over"]


class DroppedAsRead(dict[str, Any]):
    """What a node has claimed; the loop drops the call while the thread of the journal looks at it."""

    def __init__(self, claims: Claims) -> None:
        super().__init__(claims._held)
        self.claims = claims

    def keys(self) -> Any:
        found = set(super().keys())
        self.claims.drop([CALL])
        return found


@in_loop
async def test_a_call_that_is_dropped_while_its_entries_are_being_written_is_no_fault(database_url: str) -> None:
    async with staged(database_url) as stage:
        journal, claims = await stage.node("a")
        journal.note(began())
        await journal.flushed()
        claims._held = DroppedAsRead(claims)
        assert await stage.run(lambda connection: claims.admit(connection, [step(), step(OTHER)])) == {CALL}
