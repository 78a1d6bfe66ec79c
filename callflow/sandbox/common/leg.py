"""One call at an emulated carrier: the part that tests and demos use in the same way for every carrier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from callflow.sandbox.common.exchange import Exchange
from callflow.sandbox.common.media_socket import MediaSocket
from callflow.sandbox.common.phone import Phone


StreamT = TypeVar("StreamT", bound=MediaSocket)
FaultsT = TypeVar("FaultsT")


class LegState(Protocol):
    """The part of a leg that something which plays on it (speech, documents) uses."""

    phone: Phone

    @property
    def state(self) -> str: ...

    def note(self, what: str) -> None: ...


class Leg(Generic[StreamT, FaultsT]):
    """A call leg: its telephone, its media streams, its history. Times are `time.monotonic()` seconds.

    Args:
        exchange: what all calls share.
        phone: the human's telephone; None: a new one.
        faults: of this call only; None: those of the exchange.
    """

    def __init__(self, exchange: Exchange[Any, FaultsT], phone: Phone | None, faults: FaultsT | None) -> None:
        self.phone = phone or Phone()
        self.streams: list[StreamT] = []
        """Every media stream that was asked for, in order."""
        self.history: list[tuple[float, str]] = []
        """What happened, and when."""
        self.ended_by: str | None = None
        """"caller", "callee", "product" or "carrier"."""
        self.started_at = monotonic()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.next_tick = 0.0
        self._chores: list[asyncio.Task[Any]] = []
        self._picked_up = asyncio.Event()
        self._faults = faults
        self._shared = exchange
        self.phone.connect(self.started_at)

    @property
    def faults(self) -> FaultsT:
        """The call's own faults, or those of the exchange if it has none."""
        return self._faults if self._faults is not None else self._shared.faults

    @faults.setter
    def faults(self, faults: FaultsT | None) -> None:
        self._faults = faults

    @property
    def stream(self) -> StreamT | None:
        """The stream that is open or being opened."""
        return next((stream for stream in reversed(self.streams) if not stream.ended), None)

    def story(self) -> str:
        """Describe what happened so far, for error messages."""
        return ", ".join(f"{at - self.started_at:.2f} s {what}" for at, what in self.history)

    def note(self, what: str) -> None:
        """Add a line to the history and wake up those who wait for a change."""
        self.history.append((monotonic(), what))
        self._shared.changed()

    def pick_up(self) -> None:
        """Let the person at a dialled phone take the call now, however long it would ring."""
        self._picked_up.set()

    async def rings(self, seconds: float) -> bool:
        """Wait while the dialled phone rings. Returns whether it was picked up before."""
        try:
            async with asyncio.timeout(seconds):
                await self._picked_up.wait()
        except TimeoutError:
            return False
        return True

    def chore(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Do something beside that ends with the leg."""
        self._chores.append(self._shared.tasks.spawn(work, name))

    def _drop_chores(self) -> None:
        for task in self._chores:
            if task is not asyncio.current_task():
                task.cancel()
        self._chores.clear()

    async def wait_answered(self, timeout: float = 10.0) -> None:
        """Wait at most `timeout` seconds for the answer. Raises TimeoutError, also when the call ends before."""
        await self._wait("answered", lambda: self.answered_at is not None, timeout)

    async def wait_streaming(self, timeout: float = 10.0) -> StreamT:
        """Wait until a stream has sent its `start`, and return it. Raises TimeoutError, also when the call ends."""
        await self._wait("streaming", lambda: any(stream.started for stream in self.streams), timeout)
        return next(stream for stream in reversed(self.streams) if stream.started)

    async def wait_ended(self, timeout: float | None = 10.0) -> None:
        """Wait at most `timeout` seconds (None: for ever) for the end of the call. Raises TimeoutError."""
        await self._wait("ended", lambda: self.ended_at is not None, timeout)

    async def _wait(self, what: str, condition: Callable[[], object], timeout: float | None) -> None:
        await self._shared.changed.until(
            lambda: condition() or self.ended_at is not None,
            timeout,
            lambda: f"the call is not {what}; {self.story()}",
        )
        if not condition():
            raise TimeoutError(f"the call ended instead of being {what}: {self.story()}")
