"""The silence that a muted leg does not send.

Carriers usually send a frame each 20 ms for the whole call. Some legs (muted, or with discontinuous transmission) send
none while the caller says nothing: then the engine, which tells the end of an utterance by the silence behind it, never
hears that end. While the caller is taken to be speaking and nothing comes, the silence is made up here.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Final

from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES, ULAW_SILENCE
from callflow.timers import Timers


_UNTIL_MISSED: Final = 0.6
"""Seconds without a frame: longer than a network holds frames up."""
_LOOK_SECONDS: Final = 0.2
_MOST_SECONDS: Final = 10.0
"""Seconds made up in one gap at most: an engine that has not noticed the end by then will not notice it at all."""


class SilenceFiller:
    """Makes up silence for one call. `append` is given base64 of µ-law, and the same decoded, like a caller's frame."""

    def __init__(self, is_speaking: Callable[[], bool], append: Callable[[str, bytes], None]) -> None:
        self._is_speaking, self._append = is_speaking, append
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(self._loop)
        self._last = self._loop.time()
        self._made_up = 0.0
        self.seconds = 0.0
        """Seconds of silence made up in the whole call."""

    def frame(self) -> None:
        """Note that a frame of the caller's has come."""
        self._last = self._loop.time()
        self._made_up = 0.0

    def watch(self) -> None:
        """Begin to look for missing frames, because the caller has begun to speak."""
        self._timers.start("look", _LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Stop looking."""
        self._timers.stop("look")

    def _look(self) -> None:
        if not self._is_speaking():
            return
        now = self._loop.time()
        missed = now - self._last
        if missed >= (_LOOK_SECONDS if self._made_up else _UNTIL_MISSED) and self._made_up < _MOST_SECONDS:
            self._last = now
            self._made_up += missed
            self.seconds += missed
            frames = round(missed * 1000 * BYTES_PER_MS / FRAME_BYTES)
            silence = bytes([ULAW_SILENCE]) * (frames * FRAME_BYTES)
            self._append(base64.b64encode(silence).decode("ascii"), silence)
        self.watch()
