"""Judges how far the carrier is behind the send clock, by how late its marks come back. Pure; all times in seconds.

A mark is late because the carrier has fallen behind, or because the network delayed that mark alone. One mark does not
tell which:

- A carrier that has fallen behind stays behind until it runs empty, so all later marks are late by as much.
- A delay of the network is over with the next mark.

Within a stretch, which lasts from one moment when the carrier is empty to the next, the carrier is therefore behind by
no more than the least late of the last marks. How much a single late mark counts beyond that depends on what became of
the late marks before it. A mark that is overdue counts as one that is late by as much as it is overdue by now; as long
as the carrier is not known to fall behind, that mark may be lost, and the one behind it is waited for.

If three marks are overdue of a carrier that has returned one, none of them is lost: the carrier, or the link to it,
stands still. What it held may have been played meanwhile, so the second of them counts. After some seconds it is taken
to return no marks any more, until three have come again.

The usual delay of a mark is the network's, there and back. If the marks that a `clear` returns come back faster than
any mark of played audio did, the carrier waits for some audio before it begins to play. One that goes out as the stream
starts, with nothing to play, comes back as fast: so this is known before anybody can interrupt. Until one has come back
so, a `clear` for which none would goes out with a mark right before it (`PlaybackClock.wants_probe`).

Where the carrier answers pings, they tell the network's part: see `ping_evidence.py`. It is subtracted, or a stall of
our own process, whichever is longer. Pings are sent at the first marks, which show the usual round trip, and again once
a mark was late.

A carrier that pauses again and again gets marks at short distances, but no mark tells of a pause that began within the
last round trip. So some of its usual pause is believed in advance, the more the longer the last pause is ago, but less
than half of it: whether the carrier pauses or not, the error stays small.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from callflow.media.ping_evidence import PingEvidence


_UNKNOWN: Final = float("inf")
_STRETCHES: Final = 6
"""How many stretches are searched for the quickest mark."""
_ROUND_TRIPS: Final = 8
"""How many marks that came back at once are searched for the quickest."""
_MARKS: Final = 3
"""How many of the last marks are judged together."""
_ENOUGH_MARKS: Final = 3
"""How many marks must have come before their usual delay is compared with that of a `clear`."""
_NOTICEABLE: Final = 0.03
"""How much later than expected a mark must be to count as late."""
_NEGLIGIBLE: Final = 0.002
"""A mark that is late by less than this is on time."""
_MOST_OVERDUE: Final = 0.5
"""A mark that is overdue for longer is probably lost, and counts no further."""
_MOST_STALLED: Final = 3.0
"""All marks that are awaited are not lost: the carrier, or the link to it, stands still. It is believed to for so long,
and then to return no marks any more."""
_KEPT: Final = 0.9
"""How much of their weight the earlier late marks keep at each new one."""
_BESIDE: Final = 0.05
"""How long before the audio before a mark has been played its ping is sent; the pong then comes before the mark, or is
held up with it."""
_AFTER_STALL: Final = 0.02
"""What is read within this time after a stall of our process may have come during the stall."""
_IN_ADVANCE: Final = 0.45
"""The most of a usual pause that is believed before a mark shows it."""
_CLOSE_SECONDS: Final = 0.04
"""The distance between two marks while many are wanted."""
_MOST_GROWTH: Final = 0.5
"""The most that a carrier is believed to fall behind, in seconds a second."""


class _Suspect(NamedTuple):
    """A late mark, until the next marks show what made it late."""

    before: float
    """The lag that was believed before it."""
    late: float
    """How late it and the marks since were, at least."""
    marks: int


class CarrierLag:
    """How far the carrier is behind the send clock, and how long the network takes."""

    __slots__ = (
        "_delays", "_expected", "_expected_second", "_expected_third", "_fallen", "_falls", "_fell_at", "_growth",
        "_has_been_late", "_idle", "_marks", "_minima", "_network_spikes", "_prebuffer", "_returning", "_round_trips",
        "_stall", "_suspect", "_trust", "_usual_delay", "_usual_fall", "behind", "is_unsteady", "most", "pings",
    )  # fmt: skip

    def __init__(self) -> None:
        self.most = 0.0
        """The largest lag that marks have shown so far."""
        self.is_unsteady = False
        """Whether the carrier falls behind again and again."""
        self.pings = PingEvidence()
        self._has_been_late = False
        """A mark was late once, so the reason of the next ones matters."""
        self._marks = 0
        """Marks judged so far."""
        self._returning = _ENOUGH_MARKS - 1
        """How many came since the carrier seemed to return none. At first, one shows that it returns them."""
        self._usual_delay = _UNKNOWN
        """How much later than the send clock the quickest mark came back."""
        self._minima = [_UNKNOWN]
        """The quickest mark of each of the last stretches, the present one last."""
        self._round_trips: list[float] = []
        """How soon the marks came back that waited for no audio."""
        self._delays: list[float] = []
        """How much later than the send clock the last marks of this stretch came back, newest first."""
        self._expected = self._expected_second = self._expected_third = _UNKNOWN
        """When the next mark, and the two behind it, come if the carrier is not behind at all."""
        self._prebuffer = 0.0
        """How long the carrier waits before it begins to play."""
        self.behind = 0.0
        """How far the carrier has fallen behind since it began to play, by the marks."""
        self._suspect: _Suspect | None = None
        self._trust = 0.5
        """How likely it is that a late mark shows a carrier that has fallen behind, from 0 to 1."""
        self._falls = self._network_spikes = 0.0
        """What the late marks so far turned out to be; older ones have less weight."""
        self._usual_fall = 0.0
        """By how much the carrier falls behind at a time."""
        self._fallen = 0.0
        """By how much the carrier has fallen behind in all."""
        self._growth = 0.0
        """By how much it falls behind in a second of playing."""
        self._fell_at = 0.0
        """When it last fell behind, in seconds of playing."""
        self._idle = 0.0
        """How long there was nothing to play, so that `now - _idle` is the time of playing."""
        self._stall = (0.0, 0.0)
        """The last stall of our process: its length, and when it ended."""

    def seconds(self, now: float) -> float:
        """Return how far the carrier is believed to be behind when a `clear` sent now arrives."""
        behind = self.behind
        pause = now - (self._expected if self._trust > 0.5 else self._expected_second) - behind
        if pause <= 0.0 and not self.is_unsteady:
            return self._prebuffer + behind
        if pause > 0.0:
            pause -= self._held_up(now)  # the mark may have come meanwhile
        if pause <= 0.0:
            return self._prebuffer + behind + (self._in_advance(now) if self.is_unsteady else 0.0)
        by_one = self._by_one_mark(pause, behind)
        if not 0.0 < now - self._expected_third - behind <= _MOST_STALLED or self._returning < _ENOUGH_MARKS:
            return by_one
        stalled = now - self._expected_second - self._held_up(now)  # it may have played what it held before
        return max(by_one, self._prebuffer + stalled)

    def _by_one_mark(self, pause: float, behind: float) -> float:
        """Return the same if a single mark is overdue by `pause`."""
        pause = min(pause, max(0.0, _MOST_OVERDUE - behind))
        if self.is_unsteady:  # it has paused, and goes on pausing while this news and a `clear` are under way
            return self._prebuffer + behind + min(pause + self._usual_delay, max(pause, self._usual_fall))
        return self._prebuffer + self._judge([self._usual_delay + behind + pause, *self._delays])

    @property
    def network(self) -> float | None:
        """The delay of the network, there and back; None: not known yet."""
        quickest = min([self._usual_delay, *self._round_trips])
        return None if quickest == _UNKNOWN else max(0.0, quickest)

    @property
    def wants_round_trip(self) -> bool:
        """Whether no mark has come back at once yet: a carrier that waits before it plays is not found out."""
        return not self._round_trips

    @property
    def wants_marks(self) -> bool:
        """Whether marks at short distances are needed to follow the carrier."""
        return self.is_unsteady or (self._suspect is not None and self._trust >= 0.5)

    def wants_ping(self, now: float) -> bool:
        """Return whether a ping is to be sent now, beside the next mark."""
        expected = self._expected if self._usual_delay < _UNKNOWN else now
        if now < expected - self._usual_delay - _BESIDE:
            return False
        return (self._has_been_late or self.pings.is_learning) and self.pings.wants_another(now)

    # What happens

    def await_marks(self, due: float, second: float, third: float) -> None:
        """Note which three marks are the next: when their audio has been played by the send clock, plus the gaps in the
        audio since; infinite: none is awaited."""
        usual = self._usual_delay
        if usual == _UNKNOWN:
            self._expected = self._expected_second = self._expected_third = _UNKNOWN
        else:
            self._expected, self._expected_second, self._expected_third = due + usual, second + usual, third + usual

    def mark(self, delay: float, gaps: float, now: float) -> None:
        """Judge a mark that came back `delay` after the end of its audio by the send clock. `gaps`: the gaps in the
        audio since; the carrier has caught up by their length."""
        delay = self._without(self._held_up(now), delay - gaps)
        self._marks += 1
        self._returning += 1
        if delay + gaps < self._minima[-1]:
            self._minima[-1] = delay + gaps
            self._usual_delay = min(self._minima)
        if self._marks <= _ENOUGH_MARKS or delay <= self._usual_delay:
            self._find_prebuffer()
        late = delay - self._usual_delay
        if self._suspect is not None or late > self.behind + _NOTICEABLE:
            self._learn(max(0.0, late), now - self._idle)
        self._delays.insert(0, delay)
        del self._delays[_MARKS:]
        self.behind = self._judge(self._delays)
        if self._prebuffer + self.behind > self.most:
            self.most = self._prebuffer + self.behind

    def overtaken(self, delay: float, gaps: float) -> None:
        """Note that a later mark came before this one: so the network delays this one, or the carrier dropped it."""
        if delay - gaps - self._usual_delay > self.behind + _NOTICEABLE:
            self._count(network_spikes=1.0)

    def gap(self, seconds: float, now: float) -> None:
        """Note a gap in the audio until now: the carrier catches up by its length, or runs empty."""
        self._give_up(now)
        self._idle += seconds
        self._expected += seconds
        self._expected_second += seconds
        self._expected_third += seconds
        if seconds >= self.behind:
            self._ran_empty()
        else:
            self._delays = [delay - seconds for delay in self._delays]
            if self._suspect is not None:  # an engine that is slow to speak leaves a gap before each piece
                before, late, marks = self._suspect
                self._suspect = _Suspect(max(0.0, before - seconds), max(0.0, late - seconds), marks)
            self.behind = self._judge(self._delays)

    def cleared(self, now: float) -> None:
        """Note that a `clear` is sent now: the carrier discards its audio."""
        self._give_up(now)
        self._ran_empty()
        self._expected = self._expected_second = self._expected_third = _UNKNOWN

    def returned_at_once(self, round_trip: float, now: float) -> None:
        """Note how soon a mark came back that waited for no audio: of a `clear`, or with nothing to play."""
        self._round_trips.append(max(0.0, self._without(self._stalled(now), round_trip)))
        del self._round_trips[:-_ROUND_TRIPS]
        self._find_prebuffer()

    def stalled(self, seconds: float, now: float) -> None:
        """Note that our process did not run for so long until now, so that marks are read late."""
        self._stall = (seconds, now)

    # Inside

    def _give_up(self, now: float) -> None:
        """Expect no marks any more of a carrier that has returned none for long."""
        if now - self._expected_third - self.behind > _MOST_STALLED:
            self._returning = 0

    def _ran_empty(self) -> None:
        self._delays = []
        self.behind = 0.0
        self._suspect = None
        if self._minima[-1] < _UNKNOWN:
            self._minima.append(_UNKNOWN)
            del self._minima[:-_STRETCHES]
            self._usual_delay = min(self._minima)

    def _find_prebuffer(self) -> None:
        if self._round_trips and self._marks >= _ENOUGH_MARKS:
            self._prebuffer = max(0.0, self._usual_delay - min(self._round_trips))

    def _stalled(self, now: float) -> float:
        """Return how long our process stood still until a moment ago."""
        seconds, ended = self._stall
        return seconds if now - ended <= _AFTER_STALL else 0.0

    def _held_up(self, now: float) -> float:
        """Return for how long our process, or the network, has held up what is read now. Not the sum: a stall of ours
        holds up pongs, too."""
        network = self.pings.held_up(now) if self._usual_delay < _UNKNOWN else 0.0
        return max(self._stalled(now), network)

    def _without(self, held_up: float, delay: float) -> float:
        """Subtract what held up a mark, but no more than what makes the delay unusual."""
        if not held_up:
            return delay
        usual = (self._usual_delay if self._usual_delay < _UNKNOWN else 0.0) + self.behind
        return max(delay - held_up, min(delay, usual))

    def _in_advance(self, now: float) -> float:
        """Return what the carrier has probably fallen behind since the last mark that showed it."""
        played = max(now - self._idle - self._fell_at, 0.0)  # after a pause it may have fallen behind just now
        unseen = self._usual_delay + _CLOSE_SECONDS
        return min(self._growth * (played + self._usual_delay), _IN_ADVANCE * self._usual_fall, unseen / 2)

    def _learn(self, late: float, played: float) -> None:
        """Learn from this mark what made the one before it late, and suspect this one if it is late itself. `played`:
        the time of playing."""
        suspect = self._suspect
        if suspect is not None:
            least = min(suspect.late, late)
            if late <= (suspect.before + suspect.late) / 2:
                self._suspect = None
                self._count(network_spikes=1.0)
            elif suspect.marks + 1 >= _MARKS:
                self._suspect = None
                self._fell(least - suspect.before, played)
            else:
                self._suspect = suspect._replace(late=least, marks=suspect.marks + 1)
                return
        if late > self.behind + _NOTICEABLE:
            self._has_been_late = True
            self._suspect = _Suspect(self.behind, late, 1)
            self._fell_at = played

    def _fell(self, seconds: float, played: float) -> None:
        """Count that the carrier has fallen behind by so much."""
        self._usual_fall += (seconds - self._usual_fall) * (0.3 if self._usual_fall else 1.0)
        self._fallen += seconds
        self._growth = min(_MOST_GROWTH, self._fallen / max(1.0, played))
        self._count(falls=1.0)

    def _count(self, *, falls: float = 0.0, network_spikes: float = 0.0) -> None:
        self._falls = self._falls * _KEPT + falls
        self._network_spikes = self._network_spikes * _KEPT + network_spikes
        self._trust = (self._falls + 0.25) / (self._falls + self._network_spikes + 0.5)
        self.is_unsteady = self._falls > 0.5 and self._trust > 0.6

    def _judge(self, delays: list[float]) -> float:
        """Return how far the carrier has fallen behind by these marks, newest first: the least late of three, and part
        of what the newer marks are later than that."""
        usual = self._usual_delay
        if not delays or delays[0] - usual < _NEGLIGIBLE:
            return 0.0
        least = delays[0] - usual
        behind = 0.0
        doubt = 1.0 - self._trust
        for number in range(1, _MARKS):
            # Fewer marks than three: the carrier was empty before, and not behind.
            next_least = min(least, max(0.0, delays[number] - usual)) if number < len(delays) else 0.0
            behind += (1.0 - doubt) * (least - next_least)
            least = next_least
            doubt /= 3.0
        return behind + least
