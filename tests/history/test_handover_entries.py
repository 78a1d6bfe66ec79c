"""Calls that are given to other processes: each entry is written with its claim, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from sqlalchemy import Connection

from callflow.contracts.errors import Overloaded
from callflow.history.handover_entries import HandoverEntries, HandoverEntry
from callflow.history.journal_fence import JournalFence
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Ended


class Claims:
    """Gives claims away; process `full` takes none."""

    def __init__(self) -> None:
        self.given: list[tuple[str, tuple[str, int]]] = []

    def hand_over(self, connection: Connection, call: str, to: tuple[str, int]) -> None:
        if to[0] == "full":
            raise Overloaded("it takes none")
        self.given.append((call, to))


def entry(call: str) -> JournalEntry:
    return JournalEntry.of(Ended(), call=call, at=1.0)


def run(main: Callable[[HandoverEntries], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main(HandoverEntries()))


def one(call: str = "c", to: str = "w2") -> HandoverEntry:
    return HandoverEntry(entry(call), (to, 3), asyncio.get_running_loop().create_future())


def refused(them: HandoverEntries, claims: Claims | None, *keys: int) -> set[int]:
    wanted = [(key, entry("any")) for key in keys]
    return set(them.refused(cast(Connection, None), wanted, cast(JournalFence, claims) if claims is not None else None))


def test_a_claim_is_given_with_the_entry_of_its_own_call_and_with_no_other() -> None:
    async def main(them: HandoverEntries) -> None:
        claims = Claims()
        them.add(7, one("c"))
        them.add(8, one("d"))
        assert refused(them, claims, 5, 7) == set()
        assert claims.given == [("c", ("w2", 3))]

    run(main)


def test_what_the_other_process_does_not_take_is_not_written_and_the_rest_is() -> None:
    async def main(them: HandoverEntries) -> None:
        claims = Claims()
        them.add(7, one("c", "full"))
        them.add(8, one("d"))
        assert refused(them, claims, 7, 8, 9) == {7}
        assert claims.given == [("d", ("w2", 3))]
        assert refused(them, None, 7, 8, 9) == {7, 8}, "without other processes nobody takes a call"

    run(main)


def test_a_hand_over_that_is_withdrawn_is_not_begun() -> None:
    async def main(them: HandoverEntries) -> None:
        first, second = one("c"), one("d")
        them.add(7, first)
        them.add(8, second)
        first.withdraw()
        assert [them.may_be_written(key) for key in (6, 7, 8)] == [True, False, True]
        them.withdraw_all()
        assert not them.may_be_written(8)
        assert not first.given.done(), "what was begun may still come through"

    run(main)


def test_how_it_ended_is_said_once() -> None:
    async def main(them: HandoverEntries) -> None:
        hand_over = one()
        them.add(7, hand_over)
        assert them.settle(7, given=True) is hand_over
        assert them.settle(7, given=False) is None
        assert await hand_over.given is True
        gone = one("d")
        gone.given.cancel()
        them.add(8, gone)
        assert them.settle(8, given=True) is gone, "nobody waits for it any more"
        assert them.may_be_written(8)

    run(main)
