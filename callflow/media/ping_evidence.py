"""Judges by WebSocket pings how long the network holds up what comes from the carrier. Pure; all times in seconds.

A mark is late because the carrier has fallen behind, or because the network holds it up. A pong (RFC 6455, section
5.5.3) waits for no audio: if it is late as well, the network is. So a ping is sent shortly before a mark is expected,
and by as much as its pong is later than usual, the mark says nothing about the carrier.

A pong that comes in time proves nothing, because a proxy in front of the carrier may have answered. A peer that answers
no pings gives no evidence, and loses nothing by that: `held_up` is 0.
"""

from __future__ import annotations

from typing import Final


_ENOUGH: Final = 3
"""How many pongs must have come before one can be later than usual."""
_REMEMBERED: Final = 9
"""How many round trips are remembered; their median is the usual one."""
_LOST_SECONDS: Final = 0.5
"""A pong that is later than usual by more than this is not waited for, and is no evidence."""
_TOGETHER: Final = 0.02
"""What is read within this time after a late pong was held up with it."""
_BETWEEN: Final = 0.1
"""The least time between two pings."""
_NEVER: Final = float("-inf")


class PingEvidence:
    """The pings of one media stream beside its marks."""

    __slots__ = ("_answered_at", "_excess", "_is_waiting", "_round_trips", "_sent", "usual")

    def __init__(self) -> None:
        self.usual: float | None = None
        """The usual time from a ping to its pong; None: too few have come."""
        self._round_trips: list[float] = []
        """The last ones, newest first."""
        self._sent = _NEVER
        """When the last ping was sent."""
        self._is_waiting = False
        """The last ping has no pong yet."""
        self._answered_at, self._excess = _NEVER, 0.0
        """When the last pong came, and by how much later than usual."""

    def wants_another(self, now: float) -> bool:
        """Return whether a ping sent now could tell something that the last one does not."""
        return now - self._sent >= (_LOST_SECONDS + (self.usual or 0.0) if self._is_waiting else _BETWEEN)

    @property
    def is_learning(self) -> bool:
        """Whether the usual round trip is not known yet."""
        return self.usual is None

    def sent(self, now: float) -> None:
        """Note that a ping is sent now."""
        self._sent, self._is_waiting = now, True

    def answered(self, now: float) -> None:
        """Note that the pong of the last ping has come. One that nobody waits for counts nothing."""
        if not self._is_waiting:
            return
        self._is_waiting = False
        round_trip = now - self._sent
        self._answered_at, self._excess = now, self._beyond(round_trip)
        self._round_trips.insert(0, round_trip)
        del self._round_trips[_REMEMBERED:]
        if len(self._round_trips) >= _ENOUGH:
            self.usual = sorted(self._round_trips)[len(self._round_trips) // 2]

    def held_up(self, now: float) -> float:
        """Return for how long the network has held up what comes from the carrier now."""
        if self._is_waiting:
            return self._beyond(now - self._sent)
        return self._excess if now - self._answered_at <= _TOGETHER else 0.0

    def _beyond(self, round_trip: float) -> float:
        if self.usual is None:
            return 0.0
        beyond = max(0.0, round_trip - self.usual)
        return beyond if beyond <= _LOST_SECONDS else 0.0
