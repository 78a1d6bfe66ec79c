"""One row of the playout's ledger: a stretch of speech, what of it waits, and how much of it was sent. Pure.

Audio is µ-law, 8 bytes a millisecond; positions count bytes, as in `playout.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from callflow.contracts.media import SpeechSegmentId
from callflow.media.g711 import FRAME_BYTES, ULAW_SILENCE


@dataclass(slots=True)
class LedgerEntry:
    """One stretch of speech in the ledger: a content part of an item of the engine."""

    key: SpeechSegmentId
    response: str
    before: int = 0
    """Bytes of the same stretch in an earlier entry, if another stretch was played in between."""
    received: int = 0
    """Bytes that came from the engine."""
    sent: int = 0
    """Bytes of these that were sent to the carrier, without padding."""
    start: int = -1
    """Position of the first byte; -1 until one was sent."""
    finished: bool = False
    """No more audio is expected."""
    broken_off: bool = False
    """Another stretch began before the engine had finished this stretch, so more audio may come."""
    marked: bool = False
    """A mark was sent behind the first frames of the stretch."""
    pending: list[bytes] = field(default_factory=list)
    """Audio not sent yet."""
    waiting: int = 0
    """Bytes in `pending`."""

    @property
    def end(self) -> int:
        """Position behind the last sent byte."""
        return self.start + self.sent

    def cut(self, position: int, most: int) -> bytes:
        """Remove up to `most` bytes that wait, in whole frames, and count them as sent at `position`. The last frame of
        a finished stretch is padded. May return b"": less than a frame waits."""
        pending = self.pending
        if len(pending) == 1 and len(pending[0]) <= most and len(pending[0]) % FRAME_BYTES == 0:
            return self._sent(position, pending.pop(0))
        most -= most % FRAME_BYTES
        pieces: list[bytes] = []
        size = 0
        while pending and size < most:
            piece = pending.pop(0)
            if size + len(piece) > most:
                pending.insert(0, piece[most - size :])
                piece = piece[: most - size]
            pieces.append(piece)
            size += len(piece)
        audio = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        odd = size % FRAME_BYTES
        if odd and not (self.finished and not pending):
            pending.insert(0, audio[size - odd :])
            audio, size, odd = audio[: size - odd], size - odd, 0
        if not size:
            return b""
        self._sent(position, audio)
        return audio + bytes([ULAW_SILENCE]) * (FRAME_BYTES - odd) if odd else audio

    def _sent(self, position: int, audio: bytes) -> bytes:
        self.waiting -= len(audio)
        if self.start < 0:
            self.start = position
        self.sent += len(audio)
        return audio
