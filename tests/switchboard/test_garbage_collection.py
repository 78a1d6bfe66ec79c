"""When everything is collected: at the start, when nobody is on the line, and after very many calls in any case."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from callflow.switchboard import garbage_collection
from callflow.switchboard.garbage_collection import GarbageCollection


class Call:
    """What a call leaves: parts that know each other."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The generations that were collected; and the collector of the tests as it was."""
    monkeypatch.setattr(garbage_collection, "_QUIET_SECONDS", 0.0)
    seen: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            seen.append(about["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.freeze()


def left() -> weakref.ref[Call]:
    """Garbage that has grown old, as that of a call has."""
    call = Call()
    gc.collect(1)
    return weakref.ref(call)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_everything_is_collected_when_the_last_call_has_gone_and_not_before() -> None:
    live = 100
    these = GarbageCollection(lambda: live)
    before = gc.get_threshold()
    these.begin()
    try:
        assert gc.get_threshold()[2] > 100_000, "no full collection comes by itself"
        old = left()
        for _ in range(90):
            live -= 1
            these.call_gone()
            await turns()
        assert old() is not None, "while many are live"
        live = 0
        these.call_gone()
        await turns()
        assert old() is None
    finally:
        these.end()
    assert gc.get_threshold() == before


async def test_a_caller_who_rings_in_that_moment_is_not_kept_waiting() -> None:
    live = 0
    these = GarbageCollection(lambda: live)
    these.begin()
    try:
        old = left()
        these.call_gone()
        live = 1
        await turns()
        assert old() is not None
        live = 0
        these.call_gone()
        await turns()
        assert old() is None
    finally:
        these.end()


async def test_on_a_line_that_is_never_quiet_it_is_put_off_the_longer_the_more_are_live(
    collections: list[int],
) -> None:
    live = 0
    these = GarbageCollection(lambda: live, gone_for_each_live=2)
    these.begin()
    try:
        for others, gone in ((3, 6), (5, 10)):
            live = others
            collections.clear()
            for _ in range(gone - 1):
                these.call_gone()
                await turns()
            assert 2 not in collections
            these.call_gone()
            await turns()
            assert collections.count(2) == 1
    finally:
        these.end()


async def test_before_the_start_and_after_the_end_nothing_is_collected(collections: list[int]) -> None:
    these = GarbageCollection(lambda: 0)
    these.call_gone()
    these.begin()
    these.call_gone()
    these.end()
    collections.clear()
    these.call_gone()
    await turns()
    assert 2 not in collections
