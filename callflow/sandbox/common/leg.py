"""One call at an emulated carrier, as far as a test or a demo asks it the same whichever the carrier is."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from callflow.sandbox.common.media_socket import MediaSocket
from callflow.sandbox.common.pacer import Signal
from callflow.sandbox.common.phone import Phone


Stream = TypeVar("Stream", bound=MediaSocket)
Misbehaviour = TypeVar("Misbehaviour")


class Exchange(Protocol):
    changed: Signal
    faults: Any


class Leg(Generic[Stream, Misbehaviour]):
    def __init__(self, exchange: Exchange, phone: Phone | None, faults: Misbehaviour | None) -> None:
        self.phone = phone or Phone()
        self.streams: list[Stream] = []
        self.history: list[tuple[float, str]] = []
        """What happened, at what monotonic time."""
        self.ended_by: str | None = None
        """"caller", "callee", "product" or "carrier"."""
        self.started_at = monotonic()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.next_tick = 0.0
        self._faults = faults
        self._commons = exchange
        self.phone.connect(self.started_at)

    @property
    def faults(self) -> Misbehaviour:
        """The call's own faults, else those of the emulator."""
        shared: Misbehaviour = self._commons.faults
        return self._faults if self._faults is not None else shared

    @faults.setter
    def faults(self, faults: Misbehaviour | None) -> None:
        self._faults = faults

    @property
    def stream(self) -> Stream | None:
        """The stream that is up or coming up."""
        return next((stream for stream in reversed(self.streams) if not stream.ended), None)

    def story(self) -> str:
        """What happened so far, for error messages."""
        return ", ".join(f"{at - self.started_at:.2f} s {what}" for at, what in self.history)

    def note(self, what: str) -> None:
        self.history.append((monotonic(), what))
        self._commons.changed()

    async def wait_answered(self, timeout: float = 10.0) -> None:
        await self._wait("answered", lambda: self.answered_at is not None, timeout)

    async def wait_streaming(self, timeout: float = 10.0) -> Stream:
        """Waits until a stream has sent its `start`."""
        await self._wait("streaming", lambda: any(stream.started for stream in self.streams), timeout)
        return next(stream for stream in reversed(self.streams) if stream.started)

    async def wait_ended(self, timeout: float = 10.0) -> None:
        await self._wait("ended", lambda: self.ended_at is not None, timeout)

    async def _wait(self, what: str, condition: Callable[[], object], timeout: float) -> None:
        await self._commons.changed.until(
            lambda: condition() or self.ended_at is not None,
            timeout,
            lambda: f"the call is not {what}; {self.story()}",
        )
        if not condition():
            raise TimeoutError(f"the call ended instead of being {what}: {self.story()}")
