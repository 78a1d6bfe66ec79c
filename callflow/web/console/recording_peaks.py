"""How loud recordings are over time, for those who draw them. Files are read in other threads; few at a time of those
that have to be looked through whole."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, Final

from callflow.contracts.errors import Overloaded
from callflow.media import waveform_peaks
from callflow.media.waveform_peaks import CHANNELS, PER_SECOND, Peaks


_FEW: Final = 30 * PER_SECOND
"""So many missing peaks are made at once."""
_MOST: Final = 2
"""Recordings that are looked through at the same time."""
_SECONDS: Final = 60.0


class PeakService:
    """Reads peaks; a recording for which several ask is looked through once."""

    def __init__(self) -> None:
        self._at_work: dict[Path, asyncio.Task[Peaks]] = {}

    async def read(self, recording: Path, *, grows: bool) -> Peaks:
        """Return the peaks of a recording. `grows`: see `waveform_peaks.read`. Raises Overloaded, OSError, TimeoutError
        or BrokenRecording."""
        work = self._at_work.get(recording)
        if work is None:
            if await asyncio.to_thread(waveform_peaks.missing, recording) <= _FEW:
                return await asyncio.to_thread(waveform_peaks.read, recording, grows=grows)
            work = self._at_work.get(recording) or self._begin(recording, grows=grows)
        async with asyncio.timeout(_SECONDS):
            return await asyncio.shield(work)

    def _begin(self, recording: Path, *, grows: bool) -> asyncio.Task[Peaks]:
        if len(self._at_work) >= _MOST:
            raise Overloaded("other long recordings are being looked through")
        work = asyncio.create_task(asyncio.to_thread(waveform_peaks.read, recording, grows=grows), name="peaks")
        self._at_work[recording] = work
        work.add_done_callback(lambda _: self._at_work.pop(recording))
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # those who asked may be gone
        return work


def peaks_json(call: str, part: int, found: Peaks, after: int, *, grows: bool) -> dict[str, Any]:
    """Return the answer about a recording. `after`: how many peaks of each channel are left out."""
    return {
        "call": call,
        "part": part,
        "seconds": round(found.seconds, 3),
        "grows": grows,
        "channels": CHANNELS,
        "per_second": PER_SECOND,
        "after": after,
        "peaks": base64.b64encode(found.data[after * CHANNELS :]).decode(),
    }
