"""Viewers of a call outlive the server: killed and started again, they get the rest of the story, each entry once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tests.e2e.product import until
from tests.e2e.test_survival import office
from tests.e2e.viewer import Viewer, watching
from tests.ports import free_port


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


async def test_a_viewer_who_comes_back_after_a_restart_has_the_whole_story_once() -> None:
    console = free_port()
    async with office(CONSOLE_PORT=console) as one, contextlib.AsyncExitStack() as viewers:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 1500, "the middle of the sentence")
        (call,) = [row["call_id"] for row in one.rows("SELECT call_id FROM conversations")]
        path = f"/api/live/{call}/events"
        before = await viewers.enter_async_context(watching(console, path))
        await before.until("entry", kind="agent_speaks")
        await before.until("entry", kind="heard")
        await one.stop()
        await until(lambda: before.lost or before.is_over, "the viewer to notice")
        seen = len(before.ids)
        await one.start()
        await until(lambda: one.rows("SELECT 1"), "the database")
        after = await _back(viewers, console, f"{path}?after={before.ids[-1]}")
        wall = await viewers.enter_async_context(watching(console, "/api/live"))
        await caller.hears_again(one.listening_at)
        await until(lambda: any(row["state"] == "streaming" for row in _rows(wall)), "the call on the wall")
        assert {row["id"] for row in _rows(wall)} == {call}
        answered = [row["answered"] - row["began"] for row in _rows(wall) if row["answered"] is not None]
        assert max(answered) < 5, "the answer was before the restart"
        await after.until("entry", kind="call_recovered")
        await caller.call.hang_up()
        over = await after.until("over")
        assert over["result"] == "success"
        whole = await viewers.enter_async_context(watching(console, path))
        await whole.until("over")
        assert not set(before.ids) & set(after.ids), "told twice"
        assert before.ids[:seen] + after.ids == sorted(before.ids + after.ids)
        assert set(after.ids) == {each for each in whole.ids if int(each) > int(before.ids[-1])}, "something is missing"
        assert set(whole.ids) <= {*before.ids, *after.ids}


def _rows(wall: Viewer) -> list[dict[str, Any]]:
    return [*wall.of("call"), *(row for snapshot in wall.of("snapshot") for row in snapshot["calls"])]


async def _back(viewers: contextlib.AsyncExitStack, console: int, path: str) -> Viewer:
    """As a browser does: again and again until there is somebody."""
    async with asyncio.timeout(15):
        while True:
            viewer = await viewers.enter_async_context(watching(console, path))
            if viewer.status == 200:
                return viewer
            await asyncio.sleep(0.1)
