"""The lag of the event loop is what a blocked loop makes it, and nothing is measured when it is closed."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import os
import random
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from callflow.contracts.loop_work import is_own_work
from callflow.switchboard.health import findings
from callflow.switchboard.lag_admission import LagAdmission
from callflow.telemetry import loop_lag
from callflow.telemetry.loop_lag import EVERY_SECONDS, LoopLag, RunDelay


@pytest.mark.e2e
async def test_a_blocked_loop_is_seen() -> None:
    seen = asyncio.Event()
    lag = LoopLag(lambda *_: seen.set())
    lag.start()
    time.sleep(EVERY_SECONDS + 0.2)  # noqa: ASYNC251 - this is the fault to be seen
    async with asyncio.timeout(10):
        await seen.wait()
    lag.close()
    assert lag.seconds.count == 1
    assert lag.seconds.sum > 0.19


class Thread:
    """The thread of a loop, in simulated time: timers, work of its own, and what holds it up."""

    def __init__(self) -> None:
        self.now, self.used = 0.0, 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any, **_: Any) -> Any:
        self.at(self.now + seconds, lambda: callback(*args))
        return SimpleNamespace(cancel=lambda: None)

    def at(self, when: float, callback: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, callback))

    def takes(self, seconds: float, *, own: bool) -> None:
        self.now += seconds
        self.used += seconds * own

    def run(self, until: float) -> None:
        while self._timers[0][0] < until:
            when, _, callback = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            callback()


def held_up(
    monkeypatch: pytest.MonkeyPatch, load: float, late: float, begins: float, *, own: bool
) -> tuple[float, bool]:
    """How late one timer of many was, in ms, and whether by the loop's own work, as it is told.

    `load`: the part of its time that the thread works, in pieces as 25 calls make them, each frame after the other.
    `begins`: how long before that timer was due it begins to be held up; it lasts until `late` seconds after it.
    """
    thread, samples = Thread(), list[tuple[float, float, float]]()
    monkeypatch.setattr(loop_lag, "perf_counter", lambda: thread.now)
    monkeypatch.setattr(loop_lag, "thread_time", lambda: thread.used)
    monkeypatch.setattr(loop_lag, "RunDelay", lambda: SimpleNamespace(seconds=lambda: 0.0, close=lambda: None))
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: thread)
    frames = random.Random(7)

    def frame() -> None:
        thread.takes(load * 0.0008, own=True)

    for number in range(2500):
        thread.at(number * 0.0008 + frames.uniform(0, 0.0004), frame)
    lag = LoopLag(lambda *sample: samples.append(sample))
    lag.start()
    thread.run(until=1.005)
    thread.at(lag._due - begins, lambda: thread.takes(lag._due + late - thread.now, own=own))
    before = len(samples)
    thread.run(until=1.6)
    lag.close()
    seconds, used, _ = samples[before]
    return seconds * 1000, is_own_work(seconds, used)


@pytest.mark.parametrize("begins", [0.001, 0.015, 0.05, 0.095])
@pytest.mark.parametrize("late", [0.005, 0.02, 0.04, 0.3])
@pytest.mark.parametrize("load", [0.0, 0.2, 0.4, 0.6, 0.8])
def test_what_a_loop_did_before_its_timer_was_due_is_not_taken_for_what_made_it_late(
    monkeypatch: pytest.MonkeyPatch, load: float, late: float, begins: float
) -> None:
    for own in (False, True):
        ms, told = held_up(monkeypatch, load, late, begins, own=own)
        assert ms >= late * 1000 - 0.1
        assert told is own


@pytest.mark.parametrize("load", [1.0, 1.5])
def test_a_loop_that_has_too_much_to_do_is_late_by_its_own_work(monkeypatch: pytest.MonkeyPatch, load: float) -> None:
    assert held_up(monkeypatch, load, 0.02, 0.01, own=True)[1]


@pytest.mark.parametrize("delayed", [0.0, 0.4], ids=["by the host", "by a limit"])
def test_what_callers_hear_is_told_also_where_the_loop_has_not_done_it(
    monkeypatch: pytest.MonkeyPatch, delayed: float
) -> None:
    """Health said 0.0 ms while every frame was 0.4 s late: what is no work of the loop closes no door to new calls."""
    thread, samples = Thread(), list[tuple[float, float, float]]()
    waited = [0.0]
    monkeypatch.setattr(loop_lag, "perf_counter", lambda: thread.now)
    monkeypatch.setattr(loop_lag, "thread_time", lambda: thread.used)
    monkeypatch.setattr(loop_lag, "RunDelay", lambda: SimpleNamespace(seconds=lambda: waited[0], close=lambda: None))
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: thread)
    lag, load = LoopLag(lambda *sample: samples.append(sample)), LagAdmission(15, 10)
    lag.start()
    for _ in range(50):
        thread.run(until=lag._due - 0.01)
        thread.now = lag._due + 0.4  # it got no processor
        waited[0] += delayed
        thread.run(until=thread.now)
    for sample in samples:
        load.sample(*sample)
    lag.close()
    assert 390 < lag.felt_ms < 510
    assert (load.p99_ms, load.is_overloaded) == (0.0, False)
    told = findings.of_loop(load.p99_ms, is_overloaded=load.is_overloaded, felt_ms=lag.felt_ms)
    assert (told.state, "late" in told.what) == ("wrong", True)


@pytest.mark.e2e
async def test_it_goes_on_until_it_is_closed() -> None:
    times: list[float] = []
    lag = LoopLag(lambda *_: times.append(0.0))
    lag.start()
    async with asyncio.timeout(10):
        while len(times) < 3:  # noqa: ASYNC110 - it is the timer that is waited for
            await asyncio.sleep(0.01)
    lag.close()
    lag.close()
    assert not lag._timers.is_running("sample")
    assert lag.seconds.count == len(times)


def test_waiting_for_the_processor_is_told_apart_from_work() -> None:
    delay = RunDelay()
    if delay._file < 0:
        pytest.skip("this kernel does not tell how long a thread waited for a processor")
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})  # this thread, and those it starts
    over = threading.Event()

    def other() -> None:
        while not over.is_set():
            hashlib.pbkdf2_hmac("sha256", b"", b"", 20_000)  # without the interpreter's lock

    thread = threading.Thread(target=other)
    thread.start()
    try:
        before, began, worked = delay.seconds(), time.perf_counter(), time.thread_time()
        while time.thread_time() < worked + 0.1:
            hashlib.pbkdf2_hmac("sha256", b"", b"", 20_000)
        waited, passed = delay.seconds() - before, time.perf_counter() - began
        assert waited > 0.03
        assert waited + 0.1 == pytest.approx(passed, rel=0.3)
    finally:
        over.set()
        thread.join()
        os.sched_setaffinity(0, mine)
        delay.close()
    assert delay.seconds() == 0
