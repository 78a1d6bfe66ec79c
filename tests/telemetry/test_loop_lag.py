"""The lag of the event loop is what a blocked loop makes it, and nothing is measured when it is closed."""

from __future__ import annotations

import asyncio
import time

from callflow.telemetry.loop_lag import EVERY_SECONDS, LoopLag


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
