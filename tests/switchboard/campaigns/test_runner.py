"""The runner of campaigns at one node, over a real history: what it does when it begins, and begins once more."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from callflow.history.campaign_store import LOADING, RUNNING
from callflow.history.database import url_of
from callflow.history.dial_keys import call_of, key_of
from callflow.history.history import History
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.switchboard.campaigns.plan import Plan
from callflow.switchboard.campaigns.runner import CampaignRunner
from callflow.switchboard.dialer import Dialled, DialRequest
from tests.call.offline import until
from tests.in_loop import in_loop
from tests.switchboard.test_switchboard import Stage, stage


ASKED = {
    "plan": Plan(begins=0, ends=24 * 60, weekdays=tuple(range(7)), per_second=50).told(),
    "call": {"from": "+15550100002", "carrier": "fake", "profile": "", "session": {}, "record": None, "by": "operator"},
}


class House:
    def __init__(self, history: History, board: Stage) -> None:
        self.history, self.store, self.board = history, history.campaigns, board
        self.dialled: list[str] = []
        self.runner = CampaignRunner(history, board.board, self._dial, most_calls=10)
        self._running: asyncio.Task[None] | None = None

    async def _dial(self, request: DialRequest) -> Dialled:
        self.dialled.append(request.key)
        return Dialled(call_of(request.key), "fake", "", "dialling", is_new=True)

    async def campaign(self, name: str, state: str = RUNNING) -> None:
        """One of a single row."""
        entry = {
            "id": name, "name": "", "asked": json.dumps(ASKED), "digest": "", "created_by": "operator", "business": "",
            "start_at": 0.0,
        }  # fmt: skip
        row = {
            "row": 1, "line": 2, "number": "+15550100003", "zones": "UTC", "variables": "{}", "state": "waiting",
            "tries": 0, "next_at": 1.0, "changed_at": 1.0, "outcome": "", "reason": "",
        }  # fmt: skip
        await self.store.add(entry, [row])
        if state != LOADING:
            await self.store.set_state(name, state, of=[LOADING])
        self.runner.wake()

    def begin(self) -> None:
        self._running = asyncio.create_task(self.runner.run())

    async def end(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None

    async def row(self, name: str) -> tuple[str, int]:
        """The state of its row, and how many calls are over."""
        (row,) = await self.store.rows(name, limit=1)
        return row["state"], row["tries"]

    async def write(self, call: str, *written: Any) -> None:
        for note in written:
            self.history.journal.note(JournalEntry.of(note, call=call, at=self.history.now()))
        await self.history.journal.flushed()


@contextlib.asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    history = History(url_of("", str(folder)), recordings=folder / "recordings", retention_days=0, country="US")
    await history.open()
    async with stage() as board:
        the = House(history, board)
        try:
            yield the
        finally:
            await the.end()
            await history.journal.close()
            await history.close()


@in_loop
async def test_a_node_that_leads_again_does_not_settle_the_calls_of_whoever_led_meanwhile(tmp_path: Path) -> None:
    """The call of its own time was over, and that was noted on the row's next call, which then was dialled twice."""
    async with house(tmp_path) as the:
        first, second = (call_of(key_of("c1", 1, tries)) for tries in (0, 1))
        await the.campaign("c1")
        the.begin()
        await until(lambda: the.dialled == [key_of("c1", 1, 0)])
        await the.end()
        # Another node leads: the call ends, and the row is called again.
        began = notes.Began(carrier="fake", direction="outbound")
        await the.write(first, began, notes.Ended(cause="busy"))
        (row,) = await the.store.dialling()
        now = the.history.now()
        await the.store.settle(row, now, "busy", now, ok=False)
        assert await the.store.take("c1", now, ["UTC"], 1)
        await the.write(second, began)
        await the.campaign("c2")
        the.begin()
        await until(lambda: key_of("c2", 1, 0) in the.dialled)
        assert await the.row("c1") == ("dialling", 1)
        assert the.dialled == [key_of("c1", 1, 0), key_of("c2", 1, 0)]
