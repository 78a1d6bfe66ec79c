"""What happens, told to whoever watches: nobody ever waits for a watcher."""

from __future__ import annotations

import asyncio
import time

import pytest

from callflow.journal.live_feed import LiveEvent, LiveFeed, Watcher


def test_every_watcher_hears_everything_in_order() -> None:
    async def inner() -> list[list[LiveEvent]]:
        live = LiveFeed()
        with live.watch() as first, live.watch() as second:
            for number in range(5):
                live.publish(float(number), "call", "step", number=number)
            first.close()
            second.close()
            return [[news async for news in watcher] for watcher in (first, second)]

    for heard in asyncio.run(inner()):
        assert heard == [LiveEvent(float(number), "call", "step", {"number": number}) for number in range(5)]


async def test_a_watcher_that_waits_is_woken() -> None:
    async def inner() -> None:
        live = LiveFeed()
        heard: list[str] = []
        arrived = asyncio.Event()

        async def watch(watcher: Watcher) -> None:
            async for news in watcher:
                heard.append(news.kind)
                arrived.set()

        with live.watch() as watcher:
            watching = asyncio.create_task(watch(watcher))
            for kind in ("one", "two"):
                await asyncio.sleep(0)  # the watcher has heard everything, and waits
                live.publish(0.0, "call", kind)
                await arrived.wait()
                arrived.clear()
        await watching
        assert heard == ["one", "two"]

    async with asyncio.timeout(5):
        await inner()


async def test_a_slow_watcher_loses_the_oldest_and_can_see_how_many() -> None:
    live = LiveFeed()
    with live.watch(bound=10) as slow, live.watch(bound=1000) as quick:
        began = time.perf_counter()
        for number in range(500):
            live.publish(0.0, "call", str(number))
        assert time.perf_counter() - began < 1, "telling must never wait"
        slow.close()
        quick.close()
        assert [news.kind async for news in slow] == [str(number) for number in range(490, 500)]
        assert slow.missed == 490
        assert len([news async for news in quick]) == 500
        assert quick.missed == 0


async def test_who_has_left_hears_nothing() -> None:
    live = LiveFeed()
    with live.watch() as watcher:
        live.publish(0.0, "call", "before")
    live.publish(0.0, "call", "after")
    assert [news.kind async for news in watcher] == ["before"]


def test_a_watcher_that_fails_leaves_too() -> None:
    live = LiveFeed()
    with pytest.raises(ZeroDivisionError), live.watch():
        raise ZeroDivisionError
    assert live._watchers == []


def test_telling_nobody_is_fine() -> None:
    LiveFeed().publish(0.0, "call", "step", anything=object())
