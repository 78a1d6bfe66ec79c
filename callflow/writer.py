"""The one writer of a socket: a bounded queue, and a deadline on every write.

A peer that stops reading must end its own call and nothing else, so nobody but the writer ever waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable


class Writer:
    """`put` never waits; `run` sends in order until it is cancelled.

    `weight` is whatever the owner wants to bound (bytes of audio, say); `limit` bounds the weight that waits, and
    `messages` the number of messages. A peer that makes either bound overflow, or one write last longer than `seconds`,
    is reported once to `stuck`, and what is put from then on is thrown away.
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
        self._broken = False
        self.waiting = 0
        """Weight in the queue."""

    def put(self, text: str, weight: int = 0) -> None:
        if self._broken:
            return
        self._queue.append((text, weight))
        self.waiting += weight
        if self.waiting > self._limit or len(self._queue) > self._messages:
            self._break("the peer does not read")
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        queue, send = self._queue, self._send
        try:
            while not self._broken:
                if not queue:
                    self._wake = loop.create_future()
                    await self._wake
                async with asyncio.timeout(self._seconds):
                    for _ in range(len(queue)):
                        text, weight = queue.popleft()
                        self.waiting -= weight
                        await send(text)
        except TimeoutError:
            self._break(f"one write took longer than {self._seconds:g} s")
        except (OSError, ConnectionError) as error:
            self._break(f"the socket broke: {error}")

    def _break(self, reason: str) -> None:
        if not self._broken:
            self._broken = True
            self._queue.clear()
            self.waiting = 0
            self._stuck(reason)
