"""Joins the caller's frames into fewer messages to the engine. Off by default.

A carrier sends frames of 20 ms, and by default each frame is passed on at once. `batch_ms`: audio is sent in pieces of
this length; a shorter rest waits at most 100 ms. `warm_up_ms`: the first audio of a call is held until this much has
come. No byte is lost or changed, and the order stays.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from callflow.media.g711 import BYTES_PER_MS
from callflow.timers import Timers


_RESIDUE_SECONDS: Final = 0.1


class FrameBatcher:
    """The joined frames of one call. `append` receives base64 of µ-law, and the same audio decoded."""

    def __init__(self, *, batch_ms: int, warm_up_ms: int, append: Callable[[str, bytes], None]) -> None:
        self._append = append
        self._join = batch_ms * BYTES_PER_MS
        self._wanted = max(self._join, warm_up_ms * BYTES_PER_MS)
        self._wait_seconds = warm_up_ms / 1000 + _RESIDUE_SECONDS
        self._audio = bytearray()
        self._timers = Timers()

    def add(self, audio: bytes) -> None:
        """Add a frame of µ-law, and send all collected audio if it is long enough."""
        self._audio += audio
        if len(self._audio) >= self._wanted:
            self.flush()
        elif not self._timers.is_running("flush"):
            self._timers.start("flush", self._wait_seconds, self.flush)

    def flush(self) -> None:
        """Send all collected audio."""
        self._timers.stop("flush")
        if self._audio:
            audio = bytes(self._audio)
            self._audio.clear()
            self._wanted, self._wait_seconds = self._join, _RESIDUE_SECONDS
            self._append(base64.b64encode(audio).decode("ascii"), audio)
