"""What a caller over SIP hears of the model: the server plays its speech itself, and tells of it.

Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/output_audio_buffer
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from callflow.media.g711 import BYTES_PER_MS
from callflow.sandbox.common.phone import Phone


@dataclass(slots=True)
class _Track:
    """The audio of one response."""

    response: str
    starts: float
    ends: float
    items: dict[str, float] = field(default_factory=dict)
    """Ms of audio of each message."""
    is_done: bool = False
    """No more audio comes."""
    is_started: bool = False


class OutputBuffer:
    """Plays on a telephone. `emit`: sends a server event."""

    def __init__(self, phone: Phone, emit: Callable[..., None], truncated: Callable[[str, int], None]) -> None:
        """`truncated`: called with a message that was cut off, and how many ms of it were heard."""
        self._phone, self._emit, self._truncated = phone, emit, truncated
        self._loop = asyncio.get_running_loop()
        self._tracks: list[_Track] = []
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def is_playing(self) -> bool:
        """Whether the caller hears something, or will."""
        return any(track.ends > monotonic() for track in self._tracks)

    def play(self, response: str, item: str, ulaw: bytes) -> None:
        """Queue audio of a message."""
        now = monotonic()
        ends = max([now, *(track.ends for track in self._tracks)])
        track = next((one for one in self._tracks if one.response == response), None)
        if track is None:
            track = _Track(response, ends, ends)
            self._tracks.append(track)
            self._later(ends - now, lambda: self._start(track))
        ms = len(ulaw) / BYTES_PER_MS
        track.items[item] = track.items.get(item, 0.0) + ms
        track.ends = ends + ms / 1000
        self._phone.line("media").play(ulaw, now)

    def done(self, response: str) -> None:
        """Note that all audio of a response has come."""
        track = next((one for one in self._tracks if one.response == response), None)
        if track is not None:
            track.is_done = True
            self._later(track.ends - monotonic(), lambda: self._stop(track))

    def clear(self) -> None:
        """Drop what was not played, and say how far each message was heard."""
        now = monotonic()
        cut = [track for track in self._tracks if track.ends > now or not track.is_done]
        self._tracks = []
        self._phone.line("media").clear(now)
        for track in cut:
            if not track.is_started:
                continue
            self._emit("output_audio_buffer.cleared", response_id=track.response)
            heard = max(now - track.starts, 0.0) * 1000
            for item, ms in track.items.items():
                if heard < ms:
                    self._truncated(item, round(max(heard, 0.0)))
                heard -= ms

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers:
            timer.cancel()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(max(seconds, 0.0), what))

    def _start(self, track: _Track) -> None:
        if track in self._tracks:
            track.is_started = True
            self._emit("output_audio_buffer.started", response_id=track.response)

    def _stop(self, track: _Track) -> None:
        if track in self._tracks:
            self._tracks.remove(track)
            self._emit("output_audio_buffer.stopped", response_id=track.response)
