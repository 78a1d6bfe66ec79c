"""The ways to end all calls: politely, at once, or by leaving them to the next process. Each is bounded in time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.call import Call
from callflow.contracts.events import Event, GoodbyeRequested, HangupRequested
from callflow.switchboard import drain
from callflow.switchboard.admission import Admission
from callflow.switchboard.caller_limits import CallerLimits
from callflow.switchboard.drain import Drain
from callflow.switchboard.lag_admission import LagAdmission


class FakeCall:
    """Ends at what it is told to end at."""

    def __init__(self, scene: Scene, name: str, *, ends_at: type[Event] | None = HangupRequested) -> None:
        self.scene, self.name, self.ends_at = scene, name, ends_at
        self.posted: list[Event] = []
        self.config = SimpleNamespace(deadline_seconds={"farewell": 0.05})
        self.is_quiet = True
        self.handed_over = self.gave_up = False
        self.words = asyncio.Event()
        self.agent = SimpleNamespace(wind_up=SimpleNamespace(give_up=self.give_up))
        scene.calls[name] = cast(Call, self)

    def post(self, event: Event) -> None:
        self.posted.append(event)
        if self.ends_at is not None and isinstance(event, self.ends_at):
            self.end()

    def end(self) -> None:
        self.scene.calls.pop(self.name, None)
        self.scene.drain.call_ended()

    async def hand_over(self) -> None:
        self.handed_over = True
        self.end()

    def give_up(self) -> None:
        self.gave_up = True
        self.words.set()

    async def write_down(self) -> None:
        await self.words.wait()


class Scene:
    def __init__(self, *, most_unwritten: int = 2) -> None:
        self.calls: dict[str, Call] = {}
        self.admission = Admission(10, CallerLimits(), LagAdmission(0, 0), Counter())
        self.drain = Drain(self.calls, self.admission, most_unwritten=most_unwritten)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_RELEASE_SECONDS": 0.05, "_LEFTOVER_SECONDS": 0.05, "_LOOK_SECONDS": 0.005}.items():
        monkeypatch.setattr(drain, name, seconds)


def play(main: Callable[[Scene], Coroutine[Any, Any, None]], **settings: int) -> None:
    async def begin() -> None:
        await main(Scene(**settings))

    asyncio.run(begin())


def kinds(call: FakeCall) -> list[type[Event]]:
    return [type(event) for event in call.posted]


def test_a_drain_waits_for_calls_to_end_and_then_lets_them_say_goodbye() -> None:
    async def main(the: Scene) -> None:
        by_itself, polite, stubborn = (
            FakeCall(the, "a"),
            FakeCall(the, "b", ends_at=GoodbyeRequested),
            FakeCall(the, "c"),
        )
        asyncio.get_running_loop().call_later(0.01, by_itself.end)
        await the.drain.drain(0.03)
        assert not the.admission.is_open
        assert kinds(by_itself) == []
        assert kinds(polite) == [GoodbyeRequested]
        assert kinds(stubborn) == [GoodbyeRequested, HangupRequested]
        assert polite.posted == [GoodbyeRequested(reason="shutdown", by="drain")]

    play(main)


def test_a_call_whose_profile_has_a_long_farewell_is_not_cut_off_in_it() -> None:
    async def main(the: Scene) -> None:
        FakeCall(the, "a", ends_at=None)
        long = FakeCall(the, "b", ends_at=None)
        long.config.deadline_seconds["farewell"] = 60.0
        draining = asyncio.ensure_future(the.drain.drain(0.0))
        await asyncio.sleep(0.2)  # longer than the other's farewell and release
        assert kinds(long) == [GoodbyeRequested]
        assert not draining.done()
        for name in list(the.calls):
            cast(FakeCall, the.calls[name]).end()
        await draining

    play(main)


def test_a_drain_of_nothing_takes_no_time_and_one_of_calls_that_never_end_is_bounded() -> None:
    async def main(the: Scene) -> None:
        began = monotonic()
        await the.drain.drain(60)
        FakeCall(the, "a", ends_at=None)
        await the.drain.drain(0.02)
        assert monotonic() - began < 3

    play(main)


def test_stopping_waits_a_moment_for_hang_ups_and_cancels_what_hangs() -> None:
    async def main(the: Scene) -> None:
        done: list[str] = []

        async def hang_up(seconds: float) -> None:
            await asyncio.sleep(seconds)
            done.append("reached the carrier")

        the.drain.run_after_call(hang_up(0.02))
        the.drain.run_after_call(hang_up(60))
        the.drain.start(hang_up(60), "call")
        await the.drain.stop()
        assert done == ["reached the carrier"]
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    play(main)


def test_a_hand_over_waits_for_a_quiet_moment_and_lets_go_of_all_at_once() -> None:
    async def main(the: Scene) -> None:
        calls = [FakeCall(the, name) for name in "abc"]
        calls[0].is_quiet = False
        handing = asyncio.create_task(the.drain.hand_over(60))
        await asyncio.sleep(0.03)
        assert (the.drain.is_handing_over, the.admission.is_open) == (False, True), "who calls now is answered"
        assert not any(call.handed_over for call in calls)
        calls[0].is_quiet = True
        await asyncio.wait_for(handing, 5)
        assert (the.drain.is_handing_over, the.admission.is_open) == (True, False)
        assert all(call.handed_over and not call.posted for call in calls)

    play(main)


def test_where_no_moment_is_quiet_the_hand_over_comes_all_the_same() -> None:
    async def main(the: Scene) -> None:
        calls = [FakeCall(the, name) for name in "abc"]
        for call in calls:
            call.is_quiet = False
        began = monotonic()
        await the.drain.hand_over(0.1)
        assert 0.09 < monotonic() - began < 3
        assert all(call.handed_over for call in calls)

    play(main)


def test_last_words_are_waited_for_by_so_many_calls_and_not_when_all_must_go() -> None:
    async def main(the: Scene) -> None:
        calls = [FakeCall(the, name) for name in "abc"]
        tasks = [asyncio.create_task(the.drain.write_down(cast(Call, call))) for call in calls]
        await asyncio.sleep(0.01)
        assert [call.gave_up for call in calls] == [False, False, True]
        assert the.drain.unwritten == 2
        calls[0].words.set()
        await tasks[0]
        assert the.drain.unwritten == 1
        the.calls.clear()
        await the.drain.hand_over(1)
        await asyncio.gather(*tasks)
        assert (calls[1].gave_up, the.drain.unwritten) == (True, 0)

    play(main)


async def test_the_task_of_a_call_holds_nothing_of_the_request_that_began_it() -> None:
    """A request with its headers and body would stay for as long as its call: 10 kB."""

    class Request: ...

    present: ContextVar[Request] = ContextVar("present")
    requests = [Request()]
    gone = weakref.ref(requests[0])
    one = Drain({}, cast(Admission, None), most_unwritten=1)

    def begin() -> None:
        present.set(requests.pop())
        one.start(asyncio.sleep(3600), "call")

    copy_context().run(begin)
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None
    for task in one._tasks:
        task.cancel()
