"""The routes of what is watched live: which call somebody means, from where on, and who is let in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.web.console.identity import OPERATE, VIEW, Operator
from callflow.web.console.live import routes as module
from callflow.web.console.live.routes import add_live
from callflow.web.console.live.sse import Seats, frame
from tests.web.asgi import Answer
from tests.web.console.bare import bare_app, request


class World:
    """Live calls, a history, and the streams that are asked for."""

    def __init__(self) -> None:
        self.seats = Seats(5)
        self.calls: list[Any] = [SimpleNamespace(id="c", ids=SimpleNamespace(control="v3:c"))]
        self.rows: dict[str, Any] = {
            "old": {"call_id": None, "stream_sid": "MZ1"},
            "past": {"call_id": "p", "stream_sid": "x"},
        }
        self.in_journal = {"j"}
        self.asked: list[Any] = []
        self.has_all = False
        self.is_readable = True
        self.opened = asyncio.Event()
        self.opened.set()
        self.wall = self.stories = self.journal = self.store = self
        self.hour = SimpleNamespace(minutes=lambda now, waits=False: {"now": now, "waits": waits})

    def now(self) -> float:
        return 5.0

    def live(self, name: str) -> Any:
        return next((call for call in self.calls if call.id == name), None)

    def has(self, name: str) -> bool:
        return name in self.in_journal

    async def listed_call(self, name: str) -> Any:
        return self.rows.get(name)

    async def is_told(self, name: str, after: int) -> bool:
        return self.has_all

    def watch(self, *asked: Any, **more: Any) -> AsyncGenerator[bytes, None]:
        self.asked.append((*asked, *more.items()))

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield frame("entry", {"seq": 1, "at": 0.0, "kind": "turn", "note": {"who": "caller", "text": "Hello."}})

        return pieces()


Get = Callable[..., Coroutine[Any, Any, Answer]]


def run(main: Callable[[World, Get], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        world, app = World(), bare_app()
        add_live(app, cast(Any, world), cast(Any, lambda: world), cast(Any, world))

        async def get(path: str, **more: Any) -> Answer:
            return await request(app, "GET", path, **more)

        async with asyncio.timeout(5):
            await main(world, get)

    asyncio.run(begin())


@pytest.mark.parametrize(
    ("name", "found"), [("c", "c"), ("v3:c", "c"), ("j", "j"), ("old", "MZ1"), ("past", "p"), ("x", None), ("C", None)]
)
def test_a_call_is_found_by_any_of_its_ids(name: str, found: str | None) -> None:
    async def main(world: World, get: Get) -> None:
        answer = await get(f"/api/live/{name}/events")
        assert answer.status == (200 if found else 404)
        assert [each[0] for each in world.asked] == ([found] if found else [])
        if not found:
            assert "GET /api/calls lists the newest" in answer.json()["error"]

    run(main)


@pytest.mark.parametrize(
    ("query", "header", "after"),
    [
        ("", "", 0),
        ("?after=7", "", 7),
        ("?after=7", "9", 9),
        ("", "9999999999999999", 9999999999999999),
        ("?after=0", "", 0),
    ],
)
def test_a_browser_that_comes_back_goes_on_where_it_was(query: str, header: str, after: int) -> None:
    async def main(world: World, get: Get) -> None:
        given = {"last_event_id": header} if header else {}
        assert (await get(f"/api/live/c/events{query}", **given)).status == 200
        assert world.asked[0][1] == after

    run(main)


@pytest.mark.parametrize("after", ["-1", "1.5", "x", "1e3", "\u0661", "1" * 17, " 1", "+1"])
def test_a_place_that_is_none_is_refused_before_a_call_is_looked_for(after: str) -> None:
    async def main(world: World, get: Get) -> None:
        if after.isascii():
            assert (await get("/api/live/c/events", last_event_id=after)).status == 400
            assert (await get("/api/live/c/sse", last_event_id=after)).status == 400
        query = after.replace("+", "%2B").replace(" ", "%20")
        assert (await get(f"/api/live/c/events?after={query}")).status == 400
        assert (await get("/api/live/c/events?after=1&after=2")).status == 400
        assert world.asked == []

    run(main)


def test_who_only_views_does_not_see_words_while_they_are_spoken() -> None:
    async def main(world: World, get: Get) -> None:
        await get("/api/live/c/events", by=Operator(role=VIEW))
        await get("/api/live/c/events", by=Operator(role=OPERATE))
        assert [dict(each[2:])["veiled"] for each in world.asked] == [True, False]

    run(main)


def test_the_wall_is_that_of_the_business_of_whoever_asks() -> None:
    async def main(world: World, get: Get) -> None:
        assert (await get("/api/live")).headers["content-type"] == "text/event-stream"
        await get("/api/live", by=Operator("cab", "taxis"))
        assert world.asked == [("",), ("taxis",)]
        assert (await get("/api/live?x=1")).status == 400

    run(main)


def test_who_finds_no_seat_is_told_so_before_anything_is_looked_up() -> None:
    async def main(world: World, get: Get) -> None:
        world.seats = Seats(0)
        for path in ("/api/live", "/api/live/c/events", "/api/live/x/events", "/api/live/c/sse"):
            answer = await get(path)
            assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert world.asked == []

    run(main)


def test_who_has_all_of_a_call_that_is_over_need_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "transcript_lines", lambda stories, name, after: stories.watch(name, after))

    async def main(world: World, get: Get) -> None:
        world.has_all = True
        assert (await get("/api/live/c/sse")).status == 200, "without a place it has nothing yet"
        answer = await get("/api/live/c/sse", last_event_id="5")
        assert (answer.status, answer.body) == (204, b"")

    run(main)


def test_a_history_that_is_still_being_opened_is_waited_for_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World, get: Get) -> None:
        world.opened.clear()
        waiting = asyncio.create_task(get("/api/live/past/events"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        world.opened.set()
        assert (await waiting).status == 200
        monkeypatch.setattr(module, "_OPEN_SECONDS", 0.0)
        world.opened.clear()
        world.is_readable = False
        assert (await get("/api/live/past/events")).status == 503
        assert (await get("/api/live/c/events")).status == 200, "a live call needs no history"

    run(main)


def test_the_last_hour_is_that_of_this_node_where_there_is_no_other() -> None:
    async def main(world: World, get: Get) -> None:
        assert (await get("/api/live/hour")).json() == {"now": 5.0, "waits": False}

    run(main)
