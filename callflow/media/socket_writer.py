"""The one writer of a socket: a bounded queue, and a deadline on every write.

A peer that stops reading must end its own call only, so no other task ever waits for the peer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from callflow.timers import Timers


_LOOKS: Final = 4
"""Checks of a write within its deadline; so a write is ended at most a quarter of the deadline late."""


class SocketWriter:
    """The queue of one socket: `put` never waits; `run` sends in order until it is cancelled.

    `weight` is a quantity chosen by the owner (bytes of audio, for example); `limit` bounds the queued weight, and
    `messages` the number of queued messages. If either bound is exceeded, or one write takes longer than `seconds`,
    `stuck` is called once, and later messages are discarded.
    """

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        stuck: Callable[[str], None],
        *,
        seconds: float,
        limit: int = 1 << 20,
        messages: int = 2000,
    ) -> None:
        self._send, self._stuck = send, stuck
        self._seconds, self._limit, self._messages = seconds, limit, messages
        self._queue: deque[tuple[str, int]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._timers = Timers()
        self._broken = False
        self._writing = self._late = False
        self._writes = self._seen = self._same = 0
        self.waiting = 0
        """Total weight in the queue."""

    def put(self, text: str, weight: int = 0) -> None:
        """Queue a message; it is discarded if the socket was reported as stuck."""
        if self._broken:
            return
        self._queue.append((text, weight))
        self.waiting += weight
        if self.waiting > self._limit or len(self._queue) > self._messages:
            self._break("the peer does not read")
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self) -> None:
        """Send queued messages in order, until cancelled or stuck."""
        loop = asyncio.get_running_loop()
        queue, send = self._queue, self._send
        task = asyncio.current_task()
        assert task is not None
        timers = self._timers
        timers.start("look", self._seconds / _LOOKS, self._look, task)
        del task  # a cancelled task holds the traceback, and that this frame: else nothing of it is freed
        try:
            while not self._broken:
                if not queue:
                    self._wake = loop.create_future()
                    await self._wake
                while queue:
                    text, weight = queue.popleft()
                    self.waiting -= weight
                    self._writes += 1
                    self._writing = True
                    await send(text)
                    self._writing = False
        except asyncio.CancelledError:
            if not self._late:
                raise
            self._break(f"one write took longer than {self._seconds:g} s")
        except Exception as error:  # sockets of any kind raise exceptions of their own
            self._break(f"the socket broke: {error!r}")
        finally:
            timers.stop("look")

    def _look(self, writing: asyncio.Task[Any]) -> None:
        """Check whether the same write is still running. A timer for each write would cost too much."""
        if self._writing and self._writes == self._seen:
            self._same += 1
            if self._same >= _LOOKS:
                self._late = True
                writing.cancel()
                return
        else:
            self._same = 0
        self._seen = self._writes
        self._timers.start("look", self._seconds / _LOOKS, self._look, writing)

    def _break(self, reason: str) -> None:
        if not self._broken:
            self._broken = True
            self._queue.clear()
            self.waiting = 0
            self._stuck(reason)
