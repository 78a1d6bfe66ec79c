"""What happens in live calls is asked about one after another for each call, and the newest counts."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.control import AT_START, Controlled, ControlQuestion
from callflow.journal.live_feed import LiveFeed
from callflow.journal.notes import Began
from callflow.switchboard.control import follow
from callflow.switchboard.control.ask import ControlAsker
from callflow.switchboard.control.follow import ControlFollower


ANSWERED = Controlled(outcome="answered")


class World:
    """Live calls, and an endpoint that answers when it is told to."""

    def __init__(self) -> None:
        self.at_start, self.during = True, frozenset({"turn", "call_answered"})
        self.feed = LiveFeed()
        self.live_calls = {"c", "d"}
        self.asked: list[ControlQuestion] = []
        self.given: list[tuple[str, str]] = []
        self.answers: dict[str, asyncio.Future[Controlled | None]] = {}
        self.is_closed = False

    async def ask(self, question: ControlQuestion) -> Controlled | None:
        self.asked.append(question)
        self.answers[question.call] = asyncio.get_running_loop().create_future()
        return await self.answers[question.call]

    async def close(self) -> None:
        self.is_closed = True

    def live(self, call: str) -> Any:
        if call not in self.live_calls:
            return None
        step_in = SimpleNamespace(controlled=lambda about, found: self.given.append((call, about)))
        return SimpleNamespace(
            carrier=SimpleNamespace(name="telnyx"), from_number="+1", to_number="+2", direction="outbound",
            requests=SimpleNamespace(step_in=step_in),
        )  # fmt: skip

    async def happens(self, call: str, kind: str = "turn", **data: Any) -> None:
        self.feed.publish(1.0, call, kind, **data)
        await self.settle()

    async def answer(self, call: str, found: Controlled | Exception | None = ANSWERED) -> None:
        if isinstance(found, Exception):
            self.answers[call].set_exception(found)
        else:
            self.answers[call].set_result(found)
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @property
    def texts(self) -> list[Any]:
        return [(each.call, each.more.get("text")) for each in self.asked]


def run(main: Callable[[World], Coroutine[Any, Any, None]], *, asks: bool = True) -> World:
    async def begin() -> World:
        world = World()
        asker = cast(ControlAsker, world) if asks else None
        follower = ControlFollower(asker, world.feed, cast(Any, lambda: world))
        await world.settle()
        try:
            await main(world)
        finally:
            await follower.close()
        assert world.is_closed is asks
        return world

    return asyncio.run(begin())


def test_a_question_names_the_call_and_its_answer_reaches_it() -> None:
    async def main(world: World) -> None:
        await world.happens("c", text="Hello.")
        (asked,) = world.asked
        assert (asked.event, asked.call, asked.carrier, asked.direction) == ("turn", "c", "telnyx", "outbound")
        assert dict(asked.more) == {"text": "Hello."}
        assert world.given == []
        await world.answer("c")
        assert world.given == [("c", "turn")]

    run(main)


def test_of_what_happens_meanwhile_the_newest_is_asked_about_next() -> None:
    async def main(world: World) -> None:
        for text in ("one", "two", "three"):
            await world.happens("c", text=text)
        await world.happens("d", text="other")
        assert world.texts == [("c", "one"), ("d", "other")], "calls do not wait for each other"
        await world.answer("c")
        assert world.texts == [("c", "one"), ("d", "other"), ("c", "three")]
        await world.answer("c")
        assert len(world.asked) == 3

    run(main)


def test_only_what_the_setting_names_is_asked_about() -> None:
    async def main(world: World) -> None:
        await world.happens("c", "usage", model="m")
        await world.happens("c", "step", event={"event": "call_hangup"})
        await world.happens("c", "step", event={})
        await world.happens("c", Began.kind, direction="inbound")
        assert world.asked == [], "a call that comes in asks by itself"
        await world.happens("c", "step", event={"event": "call_answered", "x": 1})
        await world.happens("d", Began.kind, direction="outbound")
        assert [(each.event, dict(each.more)) for each in world.asked] == [
            ("call_answered", {"event": "call_answered", "x": 1}), (AT_START, {}),
        ]  # fmt: skip

    run(main)


def test_a_call_that_is_over_is_neither_asked_about_nor_changed() -> None:
    async def main(world: World) -> None:
        await world.happens("gone")
        assert world.asked == []
        await world.happens("c")
        failed: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, told: failed.append(told))
        world.live_calls.clear()
        await world.answer("c")
        gc.collect()
        assert (world.given, failed) == ([], [])

    run(main)


@pytest.mark.parametrize("found", [None, ZeroDivisionError()])
def test_an_answer_that_says_nothing_or_fails_stops_no_other_question(found: Any) -> None:
    async def main(world: World) -> None:
        await world.happens("c", text="one")
        await world.happens("c", text="two")
        await world.answer("c", found)
        assert world.texts == [("c", "one"), ("c", "two")]
        assert world.given == []
        await world.answer("c")
        assert world.given == [("c", "turn")]

    run(main)


def test_only_so_many_are_asked_at_once_and_the_others_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_MOST_AT_ONCE", 1)

    async def main(world: World) -> None:
        await world.happens("c")
        await world.happens("d")
        assert [each.call for each in world.asked] == ["c"]
        await world.answer("c")
        assert [each.call for each in world.asked] == ["c", "d"]

    run(main)


def test_when_it_is_closed_nothing_is_asked_any_more() -> None:
    async def main(world: World) -> None:
        await world.happens("c", text="one")
        await world.happens("c", text="two")

    assert run(main).texts == [("c", "one")]


def test_without_anybody_to_ask_nothing_is_watched() -> None:
    async def main(world: World) -> None:
        assert world.feed._watchers == []
        await world.happens("c")
        assert world.asked == []

    run(main, asks=False)
