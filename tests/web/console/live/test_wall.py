"""The wall: what its viewers are told when, who sees whose calls, and what happens while nobody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, cast

import pytest

from callflow.switchboard.lag_admission import LagAdmission
from callflow.telemetry.last_hour import LastHour
from callflow.web.console.live import other_calls
from callflow.web.console.live import wall as module
from callflow.web.console.live.log_feed import events_in
from callflow.web.console.live.other_nodes import LOST, OtherNodes
from callflow.web.console.live.wall import Wall
from tests.web.console.live.test_rows import call as made


AT = 1_700_000_000.0


def call(name: str, business: str = "") -> Any:
    one = made(id=name, config__business=business)
    one.answered_before = AT
    one.relay.taps = set()
    return one


def their_row(name: str, business: str = "") -> dict[str, Any]:
    return {"id": name, "business": business}


class World:
    """A switchboard, its figures, and another node."""

    def __init__(self, *, others: bool = False) -> None:
        self.calls: list[Any] = []
        self.load = LagAdmission(15, 10)
        self.hour = LastHour()
        self.told: Callable[[str, str, Any], None] | None = None
        self.fails = 0
        self.wall = Wall(
            cast(Any, self._board), self.hour, costs=lambda: lambda _call: (None, None), today=lambda: 7,
            now=lambda: AT, others=cast(OtherNodes, self) if others else None,
        )  # fmt: skip

    def _board(self) -> World:
        if self.fails:
            self.fails -= 1
            raise ZeroDivisionError
        return self

    missing: frozenset[str] = frozenset({"z", "y"})

    def open(self, told: Callable[[str, str, Any], None]) -> None:
        self.told = told

    def close(self) -> None:
        self.told = None

    def says(self, event: str, data: Any = None, node: str = "b") -> None:
        assert self.told is not None
        self.told(node, event, data)


Stream = AsyncGenerator[bytes, None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK", 0.0), ("ROW", 0.0), ("COUNTER", 1e9), ("RESULT", 0.0)):
        monkeypatch.setattr(module, f"_{name}_SECONDS", value)


def run(main: Callable[[World], Coroutine[Any, Any, None]], *, others: bool = False) -> None:
    async def begin() -> None:
        async with asyncio.timeout(5):
            await main(World(others=others))

    asyncio.run(begin())


async def until(stream: Stream, event: str) -> Any:
    """The data of the next event of this name."""
    while True:
        for name, data in events_in(await anext(stream)):
            if name == event:
                return data


async def first(world: World, business: str = "") -> tuple[Stream, list[str], Any]:
    """A new viewer: its stream, the calls of its snapshot, and the counters."""
    stream = world.wall.watch(business)
    ((name, data),) = events_in(await anext(stream))
    assert name == "snapshot"
    return stream, sorted(each["id"] for each in data["calls"]), data["counters"]


def test_while_nobody_watches_no_call_is_looked_at_and_none_is_tapped() -> None:
    async def main(world: World) -> None:
        world.calls.append(call("c"))
        one, there, _ = await first(world)
        two, _, _ = await first(world, "taxis")
        assert there == ["c"]
        assert len(world.calls[0].relay.taps) == 1
        await one.aclose()
        assert len(world.calls[0].relay.taps) == 1, "somebody else watches"
        await two.aclose()
        assert world.calls[0].relay.taps == set()
        looks = world.wall.looks
        await asyncio.sleep(0)
        assert world.wall.looks == looks
        again, there, _ = await first(world)
        assert there == ["c"]
        await again.aclose()

    run(main)


def test_a_call_is_told_when_it_comes_when_its_row_changes_and_when_it_is_gone() -> None:
    async def main(world: World) -> None:
        stream, there, counters = await first(world)
        assert (there, counters["live"], counters["today"]) == ([], 0, 7)
        world.calls.append(call("c"))
        assert (await until(stream, "call"))["state"] == "streaming"
        world.calls[0].model.state = "transferring"
        assert (await until(stream, "call"))["state"] == "transferring"
        gone = world.calls.pop()
        world.hour.ended(AT, "c", "success")
        assert await until(stream, "gone") == {"id": "c", "result": "success"}
        assert gone.relay.taps == set()
        await stream.aclose()

    run(main)


def test_a_call_whose_result_does_not_come_goes_without_one() -> None:
    async def main(world: World) -> None:
        world.calls.append(call("c"))
        stream, _, _ = await first(world)
        world.calls.clear()
        assert await until(stream, "gone") == {"id": "c", "result": ""}
        await stream.aclose()

    run(main)


def test_who_is_bound_to_a_business_sees_its_calls_and_nothing_of_others_in_the_counters() -> None:
    async def main(world: World) -> None:
        world.calls += [call("ours", "taxis"), call("theirs", "bakery"), call("nobodys")]
        world.hour.ended(AT, "x", "success")
        own, there, counters = await first(world, "taxis")
        everything, all_there, whole = await first(world)
        assert (there, all_there) == (["ours"], ["nobodys", "ours", "theirs"])
        assert (counters["live"], counters["today"], counters["ended"]) == (1, None, {})
        assert (whole["live"], whole["ended"]) == (3, {"success": 1})
        world.calls.append(call("new theirs", "bakery"))
        assert (await until(everything, "call"))["id"] == "new theirs"
        world.calls.append(call("new ours", "taxis"))
        assert (await until(own, "call"))["id"] == "new ours", "and the one before was not told"
        await own.aclose()
        await everything.aclose()

    run(main)


def test_a_viewer_who_is_far_behind_gets_a_snapshot_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_FRAMES", 3)

    async def main(world: World) -> None:
        slow, _, _ = await first(world)
        quick, _, _ = await first(world)
        for number in range(10):
            world.calls.append(call(f"c{number}"))
            assert (await until(quick, "call"))["id"] == f"c{number}"
        ((name, data),) = events_in(await anext(slow))
        assert (name, len(data["calls"])) == ("snapshot", 10)
        await slow.aclose()
        await quick.aclose()

    run(main)


def test_a_look_that_fails_is_told_in_the_log_and_the_next_one_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        world.calls.append(call("c"))
        world.fails = 1
        stream = world.wall.watch("")
        ((name, data),) = events_in(await anext(stream))
        assert (name, data["calls"]) == ("snapshot", [])
        assert (await until(stream, "call"))["id"] == "c"
        await stream.aclose()

    run(main)
    assert [each.getMessage() for each in caplog.records] == ["the live calls cannot be shown for a moment"]


def test_when_the_server_stops_all_streams_end() -> None:
    async def main(world: World) -> None:
        stream, _, _ = await first(world)
        waiting = asyncio.create_task(until(stream, "call"))
        await asyncio.sleep(0)
        world.wall.close()
        with pytest.raises(StopAsyncIteration):
            await anext(world.wall.watch(""))
        with pytest.raises((StopAsyncIteration, RuntimeError)):
            await waiting

    run(main)


# Other nodes


def test_calls_of_other_nodes_are_shown_once_and_counted() -> None:
    async def main(world: World) -> None:
        world.calls.append(call("c"))
        stream, _, _ = await first(world)
        world.says(
            "snapshot", {"calls": [their_row("x", "taxis"), their_row("c")], "counters": {"ended": {"caller": 2}}}
        )
        assert (await until(stream, "call"))["id"] == "x", "and not c, which this node has by now"
        other, there, _ = await first(world)
        assert there == ["c", "x"]
        own, there, counters = await first(world, "taxis")
        assert (there, counters["live"]) == (["x"], 1)
        world.hour.ended(AT, "y", "caller")
        assert world.wall._counters("")["ended"] == {"caller": 3}
        assert world.wall._counters("")["live"] == 2, "c counts once"
        world.says("levels", {"x": [0.5, 0.0], "c": [0.1, 0.1]})
        assert await until(own, "levels") == {"x": [0.5, 0.0]}
        world.says("gone", {"id": "x", "result": "caller"})
        assert await until(stream, "gone") == {"id": "x", "result": "caller"}
        for each in (stream, other, own):
            await each.aclose()
        assert world.told is None, "nobody watches, so nobody listens to them"

    run(main, others=True)


def test_the_counters_have_the_calls_of_another_node_as_soon_as_they_are_known() -> None:
    async def main(world: World) -> None:
        stream, _, counters = await first(world)
        assert counters["live"] == 0, "nothing is known of the other node yet"
        world.says("snapshot", {"calls": [their_row("x")], "counters": {"ended": {}}})
        assert (await until(stream, "counters"))["live"] == 1
        await stream.aclose()

    run(main, others=True)


def test_a_call_that_goes_to_another_node_stays_on_the_wall() -> None:
    async def main(world: World) -> None:
        world.calls.append(call("c"))
        stream, _, _ = await first(world)
        world.says("call", their_row("c"))
        world.calls.clear()
        looks = world.wall.looks
        while world.wall.looks < looks + 3:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0)
        world.says("call", their_row("d"))
        seen: list[Any] = []
        while ("call", "d") not in seen:
            seen += [(name, data.get("id")) for name, data in events_in(await anext(stream))]
        _, there, _ = await first(world)
        assert there == ["c", "d"]
        assert ("gone", "c") not in seen
        world.says("gone", {"id": "c", "result": ""}, node="a third one")
        _, there, _ = await first(world)
        assert there == ["c", "d"], "its former owner cannot end it"
        await stream.aclose()

    run(main, others=True)


def test_a_node_that_is_lost_loses_its_rows_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callflow.web.console.live.other_calls._GRACE_SECONDS", 0.0)

    async def main(world: World) -> None:
        stream, _, _ = await first(world)
        world.says("call", their_row("x"))
        world.says(LOST)
        assert await until(stream, "gone") == {"id": "x", "result": ""}
        await stream.aclose()

    run(main, others=True)


def test_a_snapshot_has_all_that_another_node_has_and_what_cannot_be_told_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that ended while its node was not heard stayed on the wall for ever."""
    monkeypatch.setattr(other_calls, "_GRACE_SECONDS", 0.0)

    async def main(world: World) -> None:
        stream, _, counters = await first(world)
        assert counters["missing"] == ["y", "z"]
        world.says("snapshot", {"calls": [their_row("a"), their_row("b")], "counters": {"ended": {}}})
        world.says("snapshot", {"calls": [their_row("b")], "counters": {"ended": {}}})
        assert (await until(stream, "gone"))["id"] == "a"
        assert world.wall._counters("")["live"] == 1
        await stream.aclose()

    run(main, others=True)
