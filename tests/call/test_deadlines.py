"""The deadlines of a call: how long each waits, alone, for a part of another process's time, and shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest import mock

from callflow.call.deadlines import Deadlines
from callflow.contracts.events import DeadlinePassed, Event


class Clock:
    """A loop's, whose time is passed by hand."""

    def __init__(self) -> None:
        self.now = 50.0
        self.timers: list[mock.Mock] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, then: Callable[..., None], *arguments: Any, **_: Any) -> mock.Mock:
        timer = mock.Mock(at=self.now + seconds, then=then, arguments=arguments, over=False)
        timer.cancel.side_effect = lambda: setattr(timer, "over", True)
        self.timers.append(timer)
        return timer

    def run(self, seconds: float) -> None:
        self.now += seconds
        for timer in self.timers:
            if not timer.over and timer.at <= self.now:
                timer.over = True
                timer.then(*timer.arguments)


def made() -> tuple[Clock, Deadlines, list[Event]]:
    clock, passed = Clock(), list[Event]()
    with mock.patch.object(asyncio, "get_running_loop", return_value=clock):
        return clock, Deadlines(passed.append), passed


def test_a_deadline_passes_once_unless_it_is_disarmed_and_anew_when_it_is_armed_again() -> None:
    clock, deadlines, passed = made()
    deadlines.arm("ring", 10.0)
    deadlines.arm("engine", 10.0)
    clock.run(9.0)
    deadlines.arm("ring", 10.0)
    deadlines.disarm("engine")
    clock.run(9.9)
    assert passed == []
    clock.run(0.1)
    clock.run(100)
    assert passed == [DeadlinePassed(deadline="ring")]
    deadlines.arm("ring", 10.0)
    deadlines.close()
    clock.run(100)
    assert len(passed) == 1


def test_what_passed_in_another_process_counts_once() -> None:
    clock, deadlines, passed = made()
    deadlines.restore({"hold": 7.0, "warning": 70.0})
    deadlines.arm("warning", 10.0)
    clock.run(0.0)
    assert passed == [DeadlinePassed(deadline="warning")], "it was over already"
    for seconds in (3.0, 10.0):
        passed.clear()
        deadlines.arm("hold", 10.0)
        clock.run(seconds - 0.1)
        assert passed == []
        clock.run(0.1)
        assert passed == [DeadlinePassed(deadline="hold")]


def test_the_time_limit_of_a_call_goes_on_after_it_was_stopped() -> None:
    """A caller who comes back from a person, again and again, has no second time limit."""
    clock, deadlines, passed = made()
    deadlines.restore({"warning": 2.0})
    for _ in range(3):
        deadlines.arm("warning", 10.0)
        clock.run(2.0)
        deadlines.disarm("warning")
        clock.run(100.0)
    deadlines.arm("warning", 10.0)
    clock.run(1.0)
    deadlines.arm("warning", 10.0)  # as by a process that takes the call over
    clock.run(0.9)
    assert passed == []
    clock.run(0.1)
    assert passed == [DeadlinePassed(deadline="warning")]
    deadlines.arm("call", 5.0)
    clock.run(3.0)
    deadlines.disarm("call")
    passed.clear()
    deadlines.arm("warning", 10.0)
    clock.run(0.0)
    assert passed == [DeadlinePassed(deadline="warning")]
    assert deadlines.has_begun("call"), "the caller was warned already"
    deadlines.arm("call", 5.0)
    clock.run(2.0)
    assert passed[1:] == [DeadlinePassed(deadline="call")]


def left(clock: Clock, deadlines: Deadlines) -> float:
    deadlines.arm("engine", 10.0, shared=True)
    return float(clock.timers[-1].at - clock.now)


def test_a_shared_time_is_used_up_by_all_who_share_it() -> None:
    clock, deadlines, _ = made()
    assert left(clock, deadlines) == 10.0
    clock.run(4.0)
    assert left(clock, deadlines) == 6.0
    clock.run(3.5)
    assert left(clock, deadlines) == 2.5
    clock.run(0.1)
    assert left(clock, deadlines) == 0.0, "too little to begin anything"


def test_a_shared_time_begins_anew_when_it_is_settled_or_long_past() -> None:
    clock, deadlines, _ = made()
    left(clock, deadlines)
    clock.run(8.0)
    deadlines.settled("engine")
    assert left(clock, deadlines) == 10.0
    clock.run(19.9)
    assert left(clock, deadlines) == 0.0
    clock.run(0.1)
    assert left(clock, deadlines) == 10.0
