"""A call that is to be moved to a node which takes no calls any more."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from callflow.app import Application
from callflow.call.call import Call
from callflow.cluster import node_store
from tests.e2e.product import run, until
from tests.e2e.several_nodes import cluster, member


pytestmark = pytest.mark.one_node("it has nodes of its own")


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
        await goes_on(before)
        assert (await here.owner(name), moving.moved) == ("w1", 0)

        before = board.live(name)
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


def test_a_call_that_nobody_takes_goes_on_where_it_was() -> None:
    """Its claim was a living node's that served nobody, until that one ended."""
    run(_moves())
