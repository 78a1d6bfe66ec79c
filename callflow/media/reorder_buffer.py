"""Restores the order of numbered frames, within a small window. Pure.

Telnyx does not promise the order of media frames. A frame that is ahead is held until the frames before it have come,
until more than `window` frames are held, or until the owner's timer calls `flush`. Frames that are too
late, and repeats, are dropped.
"""

from __future__ import annotations

from typing import Final


_RESTART: Final = 50
"""After this many late frames in a row (1 s) we assume that the carrier has restarted its numbering."""
_FAR: Final = 50
"""No network delays a frame by more than this many others (1 s). After so late a one, numbering may have restarted."""
_ENOUGH: Final = 3
"""So many of these, one behind another with nothing between, show that it has."""


class ReorderBuffer:
    """The held frames of one stream. `window`: how many frames may be held; 0: pass all on at once."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._next = 0
        self.held: dict[int, str] = {}
        """The held payloads, by number."""
        self._late_in_a_row = 0
        self._last_late = 0
        self._anew: list[str] = []
        """The last late payloads that may be the first ones of another numbering."""
        self.late = 0
        """Frames dropped because they came too late or twice."""
        self.ahead = 0
        """Frames that came ahead of another and had to be held."""

    def push(self, chunk: int, payload: str) -> tuple[str, ...]:
        """Add a frame. Returns the payloads that can be passed on now, in order. `chunk` counts from 1; 0: no
        number."""
        if chunk == self._next and chunk and not self.held:
            self._next = chunk + 1
            self._late_in_a_row = 0
            return (payload,)
        if chunk <= 0 or not self._window:
            return (*self.flush(), payload)
        if self._next == 0:  # the first frame seen says where counting begins
            self._next = 1 if chunk - 1 <= self._window else chunk
        if chunk < self._next or chunk in self.held:
            self.late += 1
            self._late_in_a_row += 1
            if self._is_numbered_anew(chunk, payload):
                self.late -= _ENOUGH
                ready = [*self.flush(), *self._anew]
                self._next, self._late_in_a_row, self._anew = chunk + 1, 0, []
                return tuple(ready)
            if self._late_in_a_row <= _RESTART:
                return ()
            self.held.clear()
            self._next = chunk
        self._late_in_a_row = 0
        self.ahead += chunk > self._next
        self.held[chunk] = payload
        ready = self._run()
        while len(self.held) > self._window:
            self._next = min(self.held)
            ready += self._run()
        return tuple(ready)

    def flush(self) -> tuple[str, ...]:
        """Return all held payloads, in order, without waiting for missing frames."""
        ready = [self.held[chunk] for chunk in sorted(self.held)]
        if self.held:
            self._next = max(self.held) + 1
            self.held.clear()
        return tuple(ready)

    def _is_numbered_anew(self, chunk: int, payload: str) -> bool:
        """Return whether this late frame and those before it, which `_anew` has, begin another numbering."""
        if self._late_in_a_row == 1 or chunk != self._last_late + 1:
            self._anew = []
        self._last_late = chunk
        if self._next - chunk > _FAR:
            self._anew.append(payload)
        return len(self._anew) == _ENOUGH

    def _run(self) -> list[str]:
        ready = []
        while self._next in self.held:
            ready.append(self.held.pop(self._next))
            self._next += 1
        return ready
