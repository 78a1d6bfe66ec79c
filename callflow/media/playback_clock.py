"""Computes how far the carrier has played the audio sent to it. Pure: times are arguments, in seconds, monotonic.

The carrier plays 8,000 bytes of µ-law a second, but does not report its position. Two clocks determine the position:

- The **send clock** assumes that the carrier plays without a pause from the moment when the first byte is sent. The
  network delays the audio and a later `clear` alike, so this clock tells what will have been heard when a `clear` that
  is sent *now* arrives.
- **Marks** come back when the audio before them has been played. They bound the position from below, and how late they
  come, relative to the send clock, shows how far the carrier has fallen behind: `carrier_lag.py` judges that.

A `clear` makes the carrier return all marks at once. These marks prove nothing, so `reset` forgets them; a mark that
comes back too early for its audio proves nothing either. `Playout.interrupt` (`playout.py`) turns the position into
`Cut.heard_ms`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from callflow.media.carrier_lag import CarrierLag
from callflow.media.g711 import BYTES_PER_MS


_BYTES_PER_SECOND: Final = BYTES_PER_MS * 1000
_EARLY_SECONDS: Final = 0.1
"""How early a mark may come back: carriers return it when they pass the audio on, not when it is heard."""
_TIMELY_SECONDS: Final = 0.02
"""A mark that is sent later than this after the end of its audio comes back at once: it does not show when the audio
was played."""
_CLEARED_SECONDS: Final = 0.05
"""A mark whose audio has at least this much left to play when a `clear` is sent can only come back for the `clear`."""


class _Mark(NamedTuple):
    """A mark that has not come back yet."""

    name: str
    position: int
    """In bytes."""
    due: float
    """When the audio before it has been played, by the send clock."""
    gaps: float
    """The gaps in the audio before it, in seconds."""
    is_evidence: bool
    """Whether its lateness shows anything."""
    sent_at: float


_NEVER: Final = float("inf")
_NO_MARK: Final = ("", 0.0)


class PlaybackClock:
    """The position of the carrier's playback, in bytes of µ-law since the last `reset`."""

    __slots__ = (
        "_cleared", "_ends", "_gaps", "_marks", "_opening", "confirmed", "early_marks", "is_early", "lag", "marked",
        "sent", "stale_marks",
    )  # fmt: skip

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
        self.is_early = False
        """The last returned mark was too early: the next one shows nothing either before `runs_until`."""
        self.lag = CarrierLag()
        """How far the carrier is behind the send clock."""
        self._marks: list[_Mark] = []
        """Marks not returned yet."""
        self._ends = 0.0
        """When all sent audio has been played, by the send clock."""
        self._gaps = 0.0
        """The gaps in all audio so far, in seconds."""
        self._cleared: tuple[str, float] = _NO_MARK
        """A mark that can only come back for the last `clear`, and when that was sent."""
        self._opening: tuple[str, float] = _NO_MARK
        """The mark that was sent with nothing to play, and when."""

    def send(self, size: int, now: float) -> None:
        """Count `size` bytes of audio that are sent now."""
        self.sent += size
        if now > self._ends:  # the carrier has run empty, or caught up by the length of the gap
            self._gaps += now - self._ends
            self.lag.gap(now - self._ends, now)
            self._ends = now
        self._ends += size / _BYTES_PER_SECOND

    def send_without_mark(self, size: int, now: float, *, lead: int, interval: int) -> float | None:
        """Count `size` bytes that are sent now, if the carrier then holds no more than `lead`, and fewer than
        `interval` bytes have no mark behind them. Returns when all will have been played, by the send clock; None:
        nothing was counted. Does what `held` and `send` do, in one step."""
        ends, sent = self._ends, self.sent
        left = ends - now + self.lag.seconds(now)
        held = min(int(left * _BYTES_PER_SECOND), sent - self.confirmed) if left > 0.0 else 0
        if held + size > lead or sent + size - self.marked >= interval:
            return None
        if now > ends:
            self.send(size, now)
        else:
            self.sent = sent + size
            self._ends = ends + size / _BYTES_PER_SECOND
        return self._ends

    def send_mark(self, name: str, now: float) -> None:
        """Note that a mark is sent now, behind all audio so far. Names must not repeat."""
        self.marked = self.sent
        is_evidence = now <= self._ends + _TIMELY_SECONDS
        self._marks.append(_Mark(name, self.sent, max(self._ends, now), self._gaps, is_evidence, now))
        if len(self._marks) <= 3:
            self._await_marks()

    def mark_returned(self, name: str, now: float) -> bool:
        """Note that a mark came back: all audio before it was played. Returns False if the mark was not awaited, or had
        no audio before it."""
        if name == self._opening[0]:
            self.lag.returned_at_once(now - self._opening[1], now)
            self._opening = _NO_MARK
            return False
        marks = self._marks
        for mark in marks:
            if mark.name == name:
                break
        else:
            self.stale_marks += 1
            if name == self._cleared[0]:
                self.lag.returned_at_once(now - self._cleared[1], now)
                self._cleared = _NO_MARK
            return False
        while marks:  # the marks before it count too: a carrier may drop some, and the network may delay some
            mark = marks.pop(0)
            early = now < mark.due - _EARLY_SECONDS
            if not early and mark.position > self.confirmed:
                self.confirmed = mark.position
            if mark.name == name:
                self.is_early = early
                if early:
                    self.early_marks += 1
                    self.marked = self.confirmed  # the caller sees unmarked audio, and will send another mark
                elif mark.is_evidence:
                    self.lag.mark(now - mark.due, self._gaps - mark.gaps, now)
                break
            if mark.is_evidence:
                self.lag.overtaken(now - mark.due, self._gaps - mark.gaps)
        self._await_marks()
        return True

    def wants_ping(self, now: float) -> bool:
        """Return whether a ping is to be sent now: a mark is expected soon, or overdue, and its reason matters."""
        return bool(self._marks) and self._marks[0].is_evidence and self.lag.wants_ping(now)

    def position(self, now: float) -> int:
        """Return how many bytes will have been heard when a `clear` sent now reaches the carrier."""
        return self.sent - self.held(now)

    def held(self, now: float) -> int:
        """Return how many bytes the carrier holds and has not played."""
        left = self._ends - now + self.lag.seconds(now)
        if left <= 0.0:
            return 0
        return min(int(left * _BYTES_PER_SECOND), self.sent - self.confirmed)

    def ends_at(self, now: float) -> float:
        """Return when all sent audio will have been heard; at most `now` if it has been heard already."""
        ends = self._ends + self.lag.seconds(now)
        is_heard = self.confirmed >= self.sent or (ends - now) * _BYTES_PER_SECOND < 1.0
        return min(self._ends, now) if is_heard else ends

    @property
    def runs_until(self) -> float:
        """When all sent audio has been played by the send clock alone, regardless of marks."""
        return self._ends

    def open(self, name: str, now: float) -> bool:
        """Note that a mark is sent now with nothing to play, so that it comes back at once. Returns False if it would
        not, or would tell nothing new: it is not to be sent then."""
        if self.sent or not self.lag.wants_round_trip:
            return False
        self._opening = (name, now)
        return True

    def wants_probe(self, now: float) -> bool:
        """Return whether a mark is to be sent right before a `clear` that is sent now: it shows how long the network
        takes, of which nothing that comes back tells."""
        return self.sent > 0 and self.lag.wants_round_trip and not self._returns_for_clear(now)

    def _returns_for_clear(self, now: float) -> bool:
        """Return whether the last mark comes back for a `clear` that is sent now, or no earlier than that would. One
        that is sent beside it does, whatever the carrier has played."""
        last = self._marks[-1] if self._marks else None
        return last is not None and (last.sent_at >= now or last.due - now > _CLEARED_SECONDS)

    def reset(self, now: float) -> None:
        """Restart at 0, because a `clear` is sent now and the carrier discards its audio. What is known of the network
        and of the carrier's habits is kept."""
        self._cleared = _NO_MARK
        if self._returns_for_clear(now):
            self._cleared = (self._marks[-1].name, now)
        self._marks.clear()
        self.sent = self.marked = self.confirmed = 0
        self.is_early = False
        self._ends, self._gaps = now, 0.0
        self.lag.cleared(now)

    def _await_marks(self) -> None:
        marks = self._marks
        if not marks or not marks[0].is_evidence:  # such a mark is the last one for a while
            self.lag.await_marks(_NEVER, _NEVER, _NEVER)
            return
        due = [mark.due + self._gaps - mark.gaps for mark in marks[:3]]
        self.lag.await_marks(*due, *[_NEVER] * (3 - len(due)))
