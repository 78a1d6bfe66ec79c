"""The writer of a socket: in order, within bounds and in time, and never a reason for anybody else to wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callflow.media.socket_writer import SocketWriter


class Socket:
    """`gate` set: it reads. `error`: what the next write raises."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.began: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.moved = asyncio.Event()

    async def send(self, text: str) -> None:
        self.began.append(text)
        self.moved.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(text)
        self.moved.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.moved.clear()
            await self.moved.wait()


def run(
    work: Callable[[Socket, SocketWriter, list[str], asyncio.Task[None]], Awaitable[None]], **settings: Any
) -> None:
    """`work` with a socket, its writer, the complaints, and the task that writes."""

    async def inner() -> None:
        socket, stuck = Socket(), list[str]()
        writer = SocketWriter(socket.send, stuck.append, **{"seconds": 5.0, **settings})
        writing = asyncio.create_task(writer.run())
        try:
            async with asyncio.timeout(5):
                await work(socket, writer, stuck, writing)
        finally:
            writing.cancel()
            await asyncio.wait([writing])

    asyncio.run(inner())


def test_everything_arrives_in_order() -> None:
    async def work(socket: Socket, writer: SocketWriter, stuck: list[str], writing: asyncio.Task[None]) -> None:
        numbers = [str(number) for number in range(100)]
        for number in numbers[:50]:
            writer.put(number)
        await socket.until(lambda: len(socket.sent) == 50)
        for number in numbers[50:]:
            writer.put(number)
            await asyncio.sleep(0)
        await socket.until(lambda: len(socket.sent) == 100)
        assert socket.sent == numbers
        assert stuck == []

    run(work)


async def test_what_is_put_before_the_writer_runs_is_written_first() -> None:
    socket = Socket()
    writer = SocketWriter(socket.send, lambda reason: None, seconds=5)
    writer.put("a")
    writer.put("b")
    writing = asyncio.create_task(writer.run())
    writer.put("c")
    async with asyncio.timeout(5):
        await socket.until(lambda: len(socket.sent) == 3)
    writing.cancel()
    await asyncio.wait([writing])
    assert socket.sent == ["a", "b", "c"]


def test_what_waits_is_weighed() -> None:
    async def work(socket: Socket, writer: SocketWriter, stuck: list[str], writing: asyncio.Task[None]) -> None:
        socket.gate.clear()
        for number in range(4):
            writer.put(str(number), 10)
        assert writer.waiting == 40
        await socket.until(lambda: socket.began)
        assert writer.waiting == 30, "what is being written waits no longer"
        socket.gate.set()
        await socket.until(lambda: len(socket.sent) == 4)
        assert writer.waiting == 0

    run(work)


@pytest.mark.parametrize(
    ("settings", "weight"), [({"limit": 100}, 10), ({"messages": 10}, 0)], ids=["by weight", "by number"]
)
def test_a_queue_that_overflows_is_told_once_and_then_thrown_away(settings: dict[str, int], weight: int) -> None:
    async def work(socket: Socket, writer: SocketWriter, stuck: list[str], writing: asyncio.Task[None]) -> None:
        socket.gate.clear()
        writer.put("in flight", weight)
        await socket.until(lambda: socket.began)
        for number in range(10):
            writer.put(str(number), weight)
        assert stuck == [], "the bound itself is allowed"
        for number in range(10):
            writer.put(str(number), weight)
        assert stuck == ["the peer does not read"]
        assert writer.waiting == 0
        socket.gate.set()
        await writing
        assert socket.sent == ["in flight"], "after an overflow, nothing that was queued is written any more"
        assert len(stuck) == 1

    run(work, **settings)


def test_an_overflow_while_the_writer_idles() -> None:
    async def work(socket: Socket, writer: SocketWriter, stuck: list[str], writing: asyncio.Task[None]) -> None:
        writer.put("first", 1)
        await socket.until(lambda: socket.sent)
        writer.put("small", 1)  # this wakes the writer, and before it runs
        writer.put("huge", 1000)  # there is nothing left to write
        assert len(stuck) == 1
        await writing
        assert socket.sent == ["first"]

    run(work, limit=100)


def test_a_write_that_does_not_end_is_told() -> None:
    async def work(socket: Socket, writer: SocketWriter, stuck: list[str], writing: asyncio.Task[None]) -> None:
        socket.gate.clear()
        began = time.monotonic()
        writer.put("never read")
        writer.put("never begun")
        await writing
        assert 0.05 <= time.monotonic() - began < 1
        assert len(stuck) == 1
        assert "0.05 s" in stuck[0]
        writer.put("too late")
        assert socket.began == ["never read"]

    run(work, seconds=0.05)


@pytest.mark.e2e
async def test_many_writes_may_take_longer_together() -> None:
    """The deadline is for one write: a slow peer that does read is no broken one."""
    stuck: list[str] = []
    sent: list[str] = []

    finished = asyncio.Event()

    async def slow(text: str) -> None:
        await asyncio.sleep(0.03)
        sent.append(text)
        if len(sent) == 15:
            finished.set()

    writer = SocketWriter(slow, stuck.append, seconds=0.2)
    for number in range(15):
        writer.put(str(number))
    writing = asyncio.create_task(writer.run())
    finishing = asyncio.create_task(finished.wait())
    await asyncio.wait([writing, finishing], return_when=asyncio.FIRST_COMPLETED)
    for task in (writing, finishing):
        task.cancel()
    await asyncio.wait([writing, finishing])
    assert stuck == []
    assert len(sent) == 15


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), BrokenPipeError("pipe"), OSError(5, "io")])
def test_a_socket_that_breaks_is_told(error: Exception) -> None:
    async def work(socket: Socket, writer: SocketWriter, stuck: list[str], writing: asyncio.Task[None]) -> None:
        socket.error = error
        writer.put("a")
        writer.put("b")
        await writing
        assert len(stuck) == 1
        assert "broke" in stuck[0]
        assert socket.began == ["a"]
        writer.put("c")
        assert writer.waiting == 0
        assert len(stuck) == 1

    run(work)


def test_cancelling_tells_nothing() -> None:
    async def work(socket: Socket, writer: SocketWriter, stuck: list[str], writing: asyncio.Task[None]) -> None:
        socket.gate.clear()
        writer.put("a")
        await socket.until(lambda: socket.began)
        writing.cancel()
        await asyncio.wait([writing])
        assert writing.cancelled()
        assert stuck == []

    run(work)


async def test_no_timer_outlives_the_writer() -> None:
    socket = Socket()
    before = len(asyncio.all_tasks())
    writer = SocketWriter(socket.send, lambda reason: None, seconds=0.01)
    writing = asyncio.create_task(writer.run())
    writer.put("a")
    await socket.until(lambda: socket.sent)
    writing.cancel()
    await asyncio.wait([writing])
    assert len(asyncio.all_tasks()) == before
    assert not writer._timers.is_running("look")
