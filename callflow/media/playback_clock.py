"""Computes how far the carrier has played the audio sent to it. Pure: times are arguments, in seconds, monotonic.

The carrier plays 8,000 bytes of µ-law a second, but does not report its position. Two clocks determine the position:

- The **send clock** assumes that the carrier plays without a pause from the moment when the first byte is sent. The
  network delays the audio and a later `clear` alike, so this clock tells what will have been heard when a `clear` that
  is sent *now* arrives.
- **Marks** come back when the audio before them has been played. They bound the position from below. A mark that comes
  later, relative to its audio, than the quickest mark did shows that the carrier has fallen behind by the difference.

A `clear` makes the carrier return all marks at once. These marks prove nothing, so `reset` forgets them; a mark that
comes back too early for its audio proves nothing either. `Playout.interrupt` (`playout.py`) turns the position into
`Cut.heard_ms`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from callflow.media.g711 import BYTES_PER_MS


_BYTES_PER_SECOND: Final = BYTES_PER_MS * 1000
_EARLY_SECONDS: Final = 0.1
"""How early a mark may come back: carriers return it when they pass the audio on, not when it is heard."""
_DELAYS: Final = 64
"""How many of the last marks are searched for the quickest."""


class PlaybackClock:
    """The position of the carrier's playback, in bytes of µ-law since the last `reset`."""

    __slots__ = ("_delays", "_ends", "_lag", "_marks", "confirmed", "early_marks", "marked", "sent", "stale_marks")

    def __init__(self) -> None:
        self.sent = 0
        """Bytes that were sent, padding included."""
        self.marked = 0
        """The position of the last mark that was sent, in bytes."""
        self.confirmed = 0
        """Bytes that the marks prove to have been played."""
        self.stale_marks = 0
        """Returned marks that were not awaited: returned by a `clear`, or never sent."""
        self.early_marks = 0
        """Marks that came back too early for their audio."""
        self._marks: deque[tuple[str, int, float]] = deque()
        """Marks not returned yet: name, position in bytes, and the end of the audio before the mark by the send
        clock."""
        self._ends = 0.0
        """When all sent audio has been played, by the send clock."""
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        """How much later than the send clock the last marks came back, in seconds."""
        self._lag = 0.0
        """How far the carrier is behind the send clock, in seconds."""

    def send(self, size: int, now: float) -> None:
        """Count `size` bytes of audio that are sent now."""
        self.sent += size
        if now > self._ends:  # the carrier has run empty, and caught up by the length of the gap
            self._lag = max(0.0, self._lag - (now - self._ends))
            self._ends = now
        self._ends += size / _BYTES_PER_SECOND

    def send_mark(self, name: str) -> None:
        """Note that a mark is sent now, behind all audio so far. Names must not repeat."""
        self.marked = self.sent
        self._marks.append((name, self.sent, self._ends))

    def mark_returned(self, name: str, now: float) -> bool:
        """Note that a mark came back: all audio before it was played. Returns False if the mark was not awaited."""
        marks = self._marks
        for mark in marks:
            if mark[0] == name:
                break
        else:
            self.stale_marks += 1
            return False
        while marks:  # the marks before it count too: a carrier may drop some
            passed, position, due = marks.popleft()
            early = now < due - _EARLY_SECONDS
            if not early and position > self.confirmed:
                self.confirmed = position
            if passed == name:
                if early:
                    self.early_marks += 1
                    self.marked = self.confirmed  # the caller sees unmarked audio, and sends another mark behind it
                else:
                    self._delays.append(now - due)
                    self._lag = max(0.0, now - due - max(0.0, min(self._delays)))
                break
        return True

    def position(self, now: float) -> int:
        """Return how many bytes will have been heard when a `clear` sent now reaches the carrier."""
        left = self._ends + self._lag - now
        played = self.sent - int(left * _BYTES_PER_SECOND) if left > 0.0 else self.sent
        return max(self.confirmed, played)

    def held(self, now: float) -> int:
        """Return how many bytes the carrier holds and has not played."""
        return self.sent - self.position(now)

    def ends_at(self, now: float) -> float:
        """Return when all sent audio will have been heard; at most `now` if it has been heard already."""
        return self._ends + self._lag if self.position(now) < self.sent else min(self._ends, now)

    @property
    def runs_until(self) -> float:
        """When all sent audio has been played by the send clock alone, regardless of marks."""
        return self._ends

    def reset(self) -> None:
        """Restart at 0, because the carrier discards its audio. The delays of earlier marks are kept."""
        self._marks.clear()
        self.sent = self.marked = self.confirmed = 0
        self._ends = self._lag = 0.0
