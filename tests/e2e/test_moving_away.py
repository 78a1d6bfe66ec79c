"""A call that is to be moved to a node which takes no calls any more."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from callflow.agent.prompts import Prompt, prompt
from callflow.app import Application
from callflow.call.call import Call
from callflow.cluster import node_store
from callflow.journal.notes import CallerSpeaks
from callflow.switchboard import moving as module
from callflow.switchboard.switchboard import Switchboard
from tests.e2e.cluster_proof.counting import Arrivals, Voice
from tests.e2e.product import run, until
from tests.e2e.several_nodes import cluster, member
from tests.e2e.test_workers import eventually


CARRIERS = ("telnyx", "twilio")
pytestmark = pytest.mark.one_node("it has nodes of its own")


async def has_moved(call: Call, here: Switchboard, there: Switchboard) -> None:
    """Wait until the caller is heard there, and the call is no more here."""

    def is_heard() -> bool:
        now = there.live(call.id)
        return now is not None and now.relay.is_flowing

    await until(is_heard, "the call to go on", 5)
    await until(lambda: not here.calls, "the end of it here", 5)


async def _told(node: Application, state: str) -> None:
    """Tell the second node in the database, so that the first one does not know yet."""

    def work(connection: Connection) -> bool:
        return node_store.set_state(connection, "w2", state)

    assert await node.history.database.write(work)


async def _moves() -> None:
    async with cluster() as the:
        await the.begin_two()
        one, two = the.nodes
        call, _ = await the.answered()
        board, here, moving = one.switchboard, member(one), one.moving
        assert moving is not None
        name = board.calls[0].id

        async def goes_on(before: Call | None, node: Application = one) -> None:
            def is_heard() -> bool:
                now = node.switchboard.live(name)
                return now is not None and now is not before and now.relay.is_flowing

            await until(is_heard, "the call to go on", 5)

        here.is_leaving = True
        before = board.live(name)
        assert before is not None
        await before.hand_over()
        await one.recovery.keep(name)  # while it is still being left
        assert board.live(name) not in (None, before)
        await goes_on(before)

        before, seen = board.live(name), here.view
        await _told(two, "draining")
        here.view = seen  # as between two beats
        await moving.move_all(0.0)
        assert board.live(name) is before, "the database has not agreed"
        assert before is not None
        assert before.relay.is_flowing
        assert (await here.owner(name), moving.moved) == ("w1", 0)

        await _told(two, "up")
        await here.look_again()
        member(two).takes_given = False  # it has let go of its last calls, and the database does not say so
        await moving.move_all(0.0)
        await goes_on(before)
        assert (await here.owner(name), moving.moved) == ("w1", 0)

        member(two).takes_given = True
        await moving.move_all(0.0)
        await goes_on(None, two)
        assert (await here.owner(name), moving.moved) == ("w2", 1)
        await call.phone.hears(0.1, timeout=10)
        await the.hang_up()
        assert await the.on_record() == 1


@pytest.mark.carrier("telnyx")
def test_a_call_that_nobody_takes_goes_on_where_it_was(carrier: str) -> None:
    """Its claim was a living node's that served nobody, until that one ended."""
    run(_moves())


async def _comes_back() -> None:
    async with cluster() as the:
        await the.begin()
        (one,) = the.nodes
        await the.answered()
        board, claims, journal = one.switchboard, member(one).claims, one.history.journal
        (call,) = board.calls
        key = claims.key
        assert key is not None

        async def is_anothers() -> bool:
            """As the journal asks, with a note of the call."""
            entry = call.entry(CallerSpeaks())
            return call.id in await one.history.database.write(lambda each: claims.admit(each, [entry]))

        claims.drop([call.id])
        assert await is_anothers()
        claims.hold([call.id], key)  # nobody took it, which the journal could not know when it asked
        journal.on_elsewhere(call.id)
        assert (claims.has(call.id), call.is_handed_over) == (True, False)

        claims.drop([call.id])
        assert await is_anothers()
        journal.on_elsewhere(call.id)
        assert (claims.has(call.id), call.is_handed_over) == (False, True)


@pytest.mark.carrier("telnyx")
def test_a_call_that_came_back_while_its_last_note_was_refused_is_not_let_go_of_again(carrier: str) -> None:
    """Nobody served it then until the next look for such calls, five seconds later."""
    run(_comes_back())


async def _moves_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GIVEN_SECONDS", 5.0)
    async with cluster() as the:
        await the.begin_two()
        one, two = the.nodes
        call, _ = await the.answered()
        board, here, moving = one.switchboard, member(one), one.moving
        assert moving is not None
        (left,) = board.calls
        begins, may = threading.Event(), threading.Event()
        hand_over = here.claims.hand_over

        def slow(connection: Connection, name: str, to: tuple[str, int]) -> None:
            begins.set()
            may.wait(5)
            hand_over(connection, name, to)

        here.is_leaving, here.claims.hand_over = True, slow
        moving_all = asyncio.create_task(moving.move_all(0.0))
        await until(begins.is_set, "the transaction", 5)
        assert (left.is_handed_over, left.relay.is_flowing) == (False, True), "the caller is heard meanwhile"
        pressing = asyncio.create_task(call.press("7"))
        await asyncio.wait([pressing], timeout=0.1)
        may.set()
        await asyncio.wait_for(moving_all, 10)
        await asyncio.wait_for(pressing, 10)
        await has_moved(left, board, two.switchboard)
        assert await here.owner(left.id) == "w2"
        await the.hang_up()
        assert await the.on_record() == 1
        written = await two.history.store.journal(left.id)
        assert {entry.event["digit"] for entry in written if entry.name == "dtmf"} == {"7"}
        names = [entry.name for entry in written]
        assert (names.count("began"), names.count("handed_over"), names.count("ended")) == (1, 1, 1)
        steps = [entry.step for entry in written if entry.is_step and entry.before != "hangup"]
        assert len(steps) == len(set(steps)), "one call took them"


def test_a_caller_is_heard_until_the_database_agrees_and_what_they_do_meanwhile_is_known(
    carrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call was left first: a key was lost, and a caller whose carrier asked what to do met a second call."""
    run(_moves_slowly(monkeypatch))


async def _moves_while_the_caller_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster() as the:
        await the.begin_two()
        one, two = the.nodes
        voice = Voice(1)
        call = await the.carrier.ring(phone=voice.phone)
        await call.phone.hears(1.4, timeout=15)
        board, here, moving = one.switchboard, member(one), one.moving
        assert moving is not None
        (left,) = board.calls
        await until(lambda: left.is_quiet, "the agent to have ended", 5)
        reads, may = asyncio.Event(), asyncio.Event()
        keyed_journal = two.history.store.keyed_journal

        async def slow(name: str) -> Any:
            reads.set()
            await may.wait()
            return await keyed_journal(name)

        monkeypatch.setattr(two.history.store, "keyed_journal", slow)
        here.is_leaving = True
        moving_all = asyncio.create_task(moving.move_all(0.0))
        await asyncio.wait_for(reads.wait(), 5)
        assert left.is_handed_over
        voice.say(300)
        await until(lambda: not voice.is_speaking, "all to be said", 5)
        await call.press("7")
        await asyncio.sleep(0.1)  # on the stream it arrives without an answer
        assert left.relay.is_flowing, "the caller is heard until the other node asks"
        may.set()
        await asyncio.wait_for(moving_all, 10)
        await has_moved(left, board, two.switchboard)
        newest = SimpleNamespace(sessions=the.realtime.sessions[-1:])
        assert len(the.realtime.sessions) == 2
        said = sorted(voice.speech)
        came: list[int] = []

        async def have_come() -> bool:
            came[:] = [
                which for which in (await Arrivals(cast(Any, newest)).read()).get(1, []) if which in voice.speech
            ]
            return len(came) >= len(said)

        await eventually(have_come, "the words at the model of the other node", 5)
        assert came == said, "each of them once, in order"
        asked = [
            str(each.event) for each in the.realtime.sessions[-1].received if each.event["type"] == "response.create"
        ]
        assert not any(prompt(Prompt.RESUME) in each for each in asked), "the caller was heard, and was asked again"

        async def is_typed() -> bool:
            written = await two.history.store.journal(left.id)
            return [entry.event["digits"] for entry in written if entry.name == "digits"] == ["7"]

        await eventually(is_typed, "the key at the other node, once", 8)
        await the.hang_up()
        assert await the.on_record() == 1
        names = [entry.name for entry in await two.history.store.journal(left.id)]
        assert (names.count("began"), names.count("handed_over"), names.count("ended")) == (1, 1, 1)
        assert names.count("dtmf") == 1


def test_what_a_caller_says_while_the_other_node_reads_comes_to_its_model(
    carrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream was ended first: whoever spoke before the other node had its own was not heard. A key that Twilio
    told on that stream came to nobody, and a caller who had begun to speak was asked to say it again."""
    run(_moves_while_the_caller_speaks(monkeypatch))
