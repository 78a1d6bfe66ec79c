"""The runner of campaigns at one node, over a real history: what it does when it begins, and begins once more."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callflow.cluster.nodes import View
from callflow.history.campaign_store import LOADING, RUNNING, CampaignStore
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.history.idempotency_keys import call_of, key_of
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.switchboard.campaigns import runner as module
from callflow.switchboard.campaigns.runner import CampaignRunner
from callflow.switchboard.campaigns.schedule import Schedule
from callflow.switchboard.dialer import Dialled, DialRequest
from tests.call.offline import until
from tests.in_loop import in_loop
from tests.switchboard.test_switchboard import Stage, stage


ASKED = {
    "plan": Schedule(begins=0, ends=24 * 60, weekdays=tuple(range(7)), per_second=50).to_json(),
    "call": {"from": "+15550100002", "carrier": "fake", "profile": "", "session": {}, "record": None, "by": "operator"},
}


def row_of(campaign: str, number: int) -> dict[str, Any]:
    return {
        "campaign": campaign, "row": number, "line": number + 1, "number": "+15550100003", "zones": "UTC",
        "variables": "{}", "state": "waiting", "tries": 0, "next_at": 1.0, "changed_at": 1.0, "outcome": "",
        "reason": "",
    }  # fmt: skip


class World:
    """A process, alone or (`is_node`) one of several nodes, which lets the campaigns of all be dialled."""

    def __init__(self, history: History, board: Stage, *, is_node: bool) -> None:
        self.history, self.store, self.board = history, history.campaigns, board
        self.dialled: list[str] = []
        cluster: Any = SimpleNamespace(claimed=self._claimed, view=View()) if is_node else None
        self.runner = CampaignRunner(history, board.board, self._dial, cluster, most_calls=10)
        self._running: asyncio.Task[None] | None = None

    async def _claimed(self, calls: Sequence[str]) -> set[str]:
        return set()

    async def _dial(self, request: DialRequest) -> Dialled:
        self.dialled.append(request.key)
        return Dialled(call_of(request.key), "fake", "", "dialling", is_new=True)

    async def campaign(self, name: str, state: str = RUNNING) -> None:
        """One of a single row."""
        entry = {
            "id": name, "name": "", "asked": json.dumps(ASKED), "digest": "", "created_by": "operator", "business": "",
            "start_at": 0.0,
        }  # fmt: skip
        await self.store.add(entry, [row_of(name, 1)])
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
async def world(folder: Path, *, is_node: bool = False, earlier: str = "") -> AsyncIterator[World]:
    """`earlier`: a list that was being written before this process began."""
    history = History(url_of("", str(folder)), recordings=folder / "recordings", retention_days=0, country="US")
    await history.open()
    async with stage() as board:
        if earlier:
            await World(history, board, is_node=is_node).campaign(earlier, LOADING)
        the = World(history, board, is_node=is_node)
        try:
            yield the
        finally:
            await the.end()
            await history.journal.close()
            await history.close()


@in_loop
async def test_a_node_that_leads_again_does_not_settle_the_calls_of_whoever_led_meanwhile(tmp_path: Path) -> None:
    """The call of its own time was over, and that was noted on the row's next call, which then was dialled twice."""
    async with world(tmp_path) as the:
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


@in_loop
async def test_a_process_alone_cancels_what_the_one_before_was_writing_and_nothing_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path, earlier="old") as the:
        await the.campaign("own", LOADING)
        await the.campaign("c1")
        the.begin()
        await until(lambda: the.dialled)
        found = {name: await the.store.find(name) or {} for name in ("old", "own")}
        assert {name: one["state"] for name, one in found.items()} == {"old": "cancelled", "own": "loading"}
        assert (await the.row("old"))[0] == "cancelled"


@in_loop
async def test_a_node_that_begins_to_lead_cancels_no_list_that_another_one_is_still_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every start of leadership cancelled the lists of living nodes."""
    monkeypatch.setattr(module, "_WATCH_SECONDS", 0.0)
    looks, read, done = 0, CampaignStore.loading, asyncio.Event()

    async def loading(store: CampaignStore) -> list[dict[str, Any]]:
        """A look; before each, the node that lives has written one more row."""
        nonlocal looks
        looks += 1
        if looks <= 3 * module._STILL_LOOKS:
            await store._add_rows([row_of("written", looks + 1)], 1.0)
        else:
            done.set()
            await asyncio.Event().wait()  # else the list that nobody writes any more would be next
        asyncio.get_running_loop().call_soon(the.runner.wake)
        return await read(store)

    monkeypatch.setattr(CampaignStore, "loading", loading)
    async with world(tmp_path, is_node=True, earlier="dead") as the:
        await the.campaign("written", LOADING)
        the.begin()
        await done.wait()
        found = {name: await the.store.find(name) or {} for name in ("dead", "written")}
        assert {name: one["state"] for name, one in found.items()} == {"dead": "cancelled", "written": "loading"}
        assert (await the.row("dead"))[0] == "cancelled"
        assert await the.store.set_state("written", RUNNING, of=[LOADING])
