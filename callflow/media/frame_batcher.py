"""Frames of the caller's joined into fewer messages to the engine, for those who want that; off by default.

A carrier sends 20 ms at a time, and each frame goes on at once. `join_ms` sends so much together; what is left over
waits no longer than 100 ms. `warm_up_ms` keeps back the beginning of a call until so much of it is there, so that an
engine that dislikes a hesitant start gets a firm one. No byte is lost or changed, and the order stays.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from callflow.media.g711 import BYTES_PER_MS
from callflow.timers import Timers


_RESIDUE_SECONDS: Final = 0.1


class FrameBatcher:
    """`append` takes base64 of µ-law."""

    def __init__(self, *, join_ms: int, warm_up_ms: int, append: Callable[[str], None]) -> None:
        self._append = append
        self._join = join_ms * BYTES_PER_MS
        self._wanted = max(self._join, warm_up_ms * BYTES_PER_MS)
        self._patience = warm_up_ms / 1000 + _RESIDUE_SECONDS
        self._audio = bytearray()
        self._timers = Timers()

    def add(self, audio: bytes) -> None:
        self._audio += audio
        if len(self._audio) >= self._wanted:
            self.flush()
        elif not self._timers.is_running("flush"):
            self._timers.start("flush", self._patience, self.flush)

    def flush(self) -> None:
        """What has been collected goes on now."""
        self._timers.stop("flush")
        if self._audio:
            joined = base64.b64encode(self._audio).decode("ascii")
            self._audio.clear()
            self._wanted, self._patience = self._join, _RESIDUE_SECONDS
            self._append(joined)
