"""Generates the silence that a muted leg does not send.

Carriers usually send a frame every 20 ms for the whole call. Some legs (muted, or with discontinuous transmission) send
no frames while the caller is silent. The engine detects the end of an utterance by the silence behind it, so it would
never notice the end. While the caller counts as speaking and no frames come, this module generates silence.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Final, Protocol

from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES, ULAW_SILENCE
from callflow.timers import Timers


_UNTIL_MISSED: Final = 0.6
"""Seconds without a frame: longer than networks delay frames."""
_LOOK_SECONDS: Final = 0.2
_MOST_SECONDS: Final = 10.0
"""The most seconds generated in one gap: an engine that has not noticed the end by then never will."""


class Append(Protocol):
    """Takes audio as a frame of the caller's: base64 of µ-law, and the same audio decoded."""

    def __call__(self, payload: str, audio: bytes, *, made_up: bool) -> object: ...


class SilenceFiller:
    """Generates silence for one call."""

    def __init__(self, is_speaking: Callable[[], object], append: Append) -> None:
        self._is_speaking, self._append = is_speaking, append
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(self._loop)
        self._last = self._loop.time()
        self._made_up = 0.0
        self.is_watching = False
        """Missing frames are checked for, so `frame` must be called."""
        self.seconds = 0.0
        """Seconds of silence generated in the whole call."""

    def frame(self) -> None:
        """Note that a frame of the caller has come."""
        self._last = self._loop.time()
        self._made_up = 0.0

    def watch(self) -> None:
        """Start checking for missing frames, because the caller has begun to speak."""
        if not self.is_watching:
            self.is_watching = True
            self.frame()
        self._timers.start("look", _LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Stop checking."""
        self.is_watching = False
        self._timers.stop("look")

    def _look(self) -> None:
        if not self._is_speaking():
            self.is_watching = False
            return
        now = self._loop.time()
        missed = now - self._last
        if missed >= (_LOOK_SECONDS if self._made_up else _UNTIL_MISSED) and self._made_up < _MOST_SECONDS:
            self._last = now
            self._made_up += missed
            self.seconds += missed
            frames = round(missed * 1000 * BYTES_PER_MS / FRAME_BYTES)
            silence = bytes([ULAW_SILENCE]) * (frames * FRAME_BYTES)
            self._append(base64.b64encode(silence).decode("ascii"), silence, made_up=True)
        self.watch()
