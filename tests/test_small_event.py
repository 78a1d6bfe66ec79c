"""The event of which each call has several does what `asyncio.Event` does, and takes a tenth of it."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from callflow.timers import SmallEvent


async def _begun(*tasks: asyncio.Task[None]) -> None:
    """Wait until all of these wait."""
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_all_who_wait_go_on_once_it_is_set_and_nobody_waits_then() -> None:
    event = SmallEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await _begun(*waiting)
    event.set()
    await asyncio.gather(*waiting)
    assert event.is_set()
    await event.wait()


async def test_whoever_waits_goes_on_even_if_it_is_cleared_at_once() -> None:
    event = SmallEvent()
    waiting = asyncio.create_task(event.wait())
    await _begun(waiting)
    event.set()
    event.clear()
    await waiting
    later = asyncio.create_task(event.wait())
    await _begun(later)
    event.set()
    await later


async def test_one_who_gives_up_takes_nobody_along() -> None:
    event = SmallEvent()
    gives_up, waits = asyncio.create_task(event.wait()), asyncio.create_task(event.wait())
    await _begun(gives_up, waits)
    gives_up.cancel()
    event.set()
    await waits
    with pytest.raises(asyncio.CancelledError):
        await gives_up


def test_it_takes_little_memory() -> None:
    number = 100
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [SmallEvent(is_set=True) for _ in range(number)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(kept) < 200
