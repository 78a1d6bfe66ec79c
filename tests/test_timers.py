"""Named timers: each fires once, a second one replaces the first, and closing stops all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from unittest import mock

import pytest

from callflow.timers import Timer, Timers


class Loop:
    """An event loop whose time is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pending: list[tuple[float, mock.Mock, Callable[..., object], tuple[Any, ...]]] = []

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any, **_: Any) -> mock.Mock:
        handle = mock.Mock(spec_set=["cancel"])
        handle.cancel.side_effect = lambda: self.pending.remove(entry)
        entry: tuple[float, mock.Mock, Callable[..., object], tuple[Any, ...]]
        entry = (self.now + seconds, handle, callback, args)
        self.pending.append(entry)
        return handle

    def run(self, seconds: float) -> None:
        self.now += seconds
        while due := [entry for entry in self.pending if entry[0] <= self.now]:
            self.pending.remove(due[0])
            due[0][2](*due[0][3])


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def timers(loop: Loop) -> Timers:
    return Timers(cast(asyncio.AbstractEventLoop, loop))


def test_a_timer_calls_once_with_its_arguments_and_is_over_then(loop: Loop, timers: Timers) -> None:
    called: list[tuple[str, int]] = []
    timers.start("a", 2.0, lambda text, number: called.append((text, number)), "x", 1)
    loop.run(1.9)
    assert not called
    assert timers.is_running("a")
    loop.run(0.1)
    assert called == [("x", 1)]
    assert not timers.is_running("a")
    loop.run(10.0)
    assert called == [("x", 1)]


def test_a_second_timer_of_a_name_replaces_the_first_one_and_no_other(loop: Loop, timers: Timers) -> None:
    called: list[str] = []
    timers.start("a", 1.0, called.append, "first")
    timers.start("b", 1.0, called.append, "other")
    timers.start("a", 3.0, called.append, "second")
    loop.run(2.0)
    assert called == ["other"]
    loop.run(1.0)
    assert called == ["other", "second"]


def test_stop_says_whether_one_of_them_was_running(loop: Loop, timers: Timers) -> None:
    called: list[str] = []
    for name in "abc":
        timers.start(name, 1.0, called.append, name)
    assert timers.stop("a", "not there")
    assert not timers.stop("a")
    assert not timers.stop()
    assert timers.stop("not there", "b")
    assert not timers.is_running("b")
    loop.run(1.0)
    assert called == ["c"]
    assert not timers.stop("c")


def test_a_callback_starts_its_own_timer_again(loop: Loop, timers: Timers) -> None:
    seen: list[bool] = []

    def again() -> None:
        seen.append(timers.is_running("a"))
        timers.start("a", 1.0, again)

    timers.start("a", 1.0, again)
    for _ in range(3):
        loop.run(1.0)
    assert seen == [False] * 3
    assert timers.is_running("a")


def test_a_timer_whose_callback_fails_is_over_all_the_same(loop: Loop, timers: Timers) -> None:
    timers.start("a", 1.0, mock.Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        loop.run(1.0)
    assert not timers.is_running("a")


def test_after_closing_nothing_runs_and_nothing_is_started(loop: Loop, timers: Timers) -> None:
    called: list[str] = []
    timers.start("a", 1.0, called.append, "a")
    timers.start("b", 1.0, called.append, "b")
    timers.close()
    timers.start("c", 0.0, called.append, "c")
    loop.run(1.0)
    timers.close()
    assert not called
    assert not any(timers.is_running(name) for name in "abc")
    assert not loop.pending


async def test_without_a_loop_the_running_one_keeps_the_time() -> None:
    timers = Timers()  # made outside of any loop
    fired = asyncio.Event()
    timers.start("a", 0.0, fired.set)
    await asyncio.wait_for(fired.wait(), 5)


async def test_one_timer_fires_once_at_the_time_that_was_set_last() -> None:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    over = asyncio.Event()
    timer = Timer(loop)
    timer.start(0.0, lambda: fired.append("replaced"))

    def this() -> None:
        fired.append("this")
        over.set()

    timer.start(0.001, this)
    assert timer.is_running
    async with asyncio.timeout(5):
        await over.wait()
    assert fired == ["this"]
    timer.start(0.0, lambda: fired.append("stopped"))
    timer.stop()
    timer.stop()
    over.clear()
    loop.call_later(0.001, over.set)  # later than the one that was stopped
    async with asyncio.timeout(5):
        await over.wait()
    assert fired == ["this"]


async def test_one_timer_may_be_started_from_its_callback() -> None:
    timer = Timer(asyncio.get_running_loop())
    over = asyncio.Event()

    def again() -> None:
        assert not timer.is_running
        timer.start(0.0, over.set)

    timer.start(0.0, again)
    async with asyncio.timeout(5):
        await over.wait()
