"""The lag of the event loop is what a blocked loop makes it, and nothing is measured when it is closed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time

import pytest

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
    assert lag._timer is None
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
