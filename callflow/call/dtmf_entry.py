"""What the caller types: keys become an entry, which is told when its last key says so or after a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callflow.call.dtmf import KeyBuffer, Source


class DtmfCollector:
    def __init__(self, *, end: str, pause_seconds: float, entered: Callable[[str], None]) -> None:
        self._keypad = KeyBuffer(end=end)
        self._pause, self._entered = pause_seconds, entered
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def press(self, digit: str, source: Source) -> bool:
        """False: it is no key, or the one that the other side has told already."""
        if not self._keypad.press(digit, source, self._loop.time()):
            return False
        self.close()
        pause = 0.0 if self._keypad.is_complete else self._pause
        self._timer = self._loop.call_later(pause, self._complete)
        return True

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _complete(self) -> None:
        self._timer = None
        digits = self._keypad.take()
        if digits:
            self._entered(digits)
