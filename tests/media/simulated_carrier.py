"""A carrier, a link and an engine in simulated time, around the real playout: what was believed, and what was true.

No clock, socket or task: a heap of events. The carrier plays 8 bytes a millisecond, behind a link that delays both
ways. It can wait for some audio before it begins to play (`prebuffer_ms`), or pause after each second of audio
(`pause_ms`): it falls behind, and stays behind until it runs empty. Every third mark can be late on the network
although the audio is on time (`jitter_ms`). Both carriers return a mark when the audio before it has been played, at
once if nothing is queued, and all at once after a `clear`.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from callflow.contracts.media import SpeechSegmentId
from callflow.media.playout import Playout, Send


_BYTES_PER_SECOND = 8000
_STEP = 0.005
"""The longest step of the simulation, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How the link, the carrier, the engine and our own process behave. Lengths are in ms."""

    link_ms: float = 0.0
    speed: float = 1.3
    """Seconds of speech that the engine generates in a second."""
    delta_ms: tuple[int, ...] = (100,)
    """How long the pieces of speech are; the last length repeats. A piece is sent when it is complete, so that growing
    pieces leave gaps."""
    jitter_ms: float = 0.0
    """Every third mark is late by up to this."""
    ordered: bool = True
    """A late mark delays those behind it, as on TCP; False: they overtake it."""
    spike_ms: float = 0.0
    """About once in two seconds, everything from the carrier is held up by up to this, and comes together."""
    both_ways: bool = False
    """What we send is held up as well: the link stands still."""
    answers_pings: bool = False
    """It answers at once, in order with the marks."""
    pause_ms: float = 0.0
    """The carrier pauses for this long after each second of audio."""
    prebuffer_ms: float = 0.0
    stall_ms: float = 0.0
    """Our process does not run for this long, about once a second."""
    late_done_ms: float = 0.0
    """How long after the last audio the engine says that it was the last."""


class Carrier:
    """Plays what arrives, at 8,000 bytes a second."""

    def __init__(self, condition: Condition) -> None:
        self._prebuffer = condition.prebuffer_ms / 1000
        self._pause = condition.pause_ms / 1000
        self._queue: deque[float | str] = deque()
        self.played = 0.0
        """Bytes since the last `clear`."""
        self._queued = 0.0
        self._until_pause = float(_BYTES_PER_SECOND)
        self._paused_until = self._at = 0.0
        """Until when it has played."""
        self._starts_at: float | None = None
        """When it begins to play; None: it plays, or there is nothing to play."""
        self._runs = False

    def arrive(self, what: float | str) -> None:
        """Queue audio (bytes) or a mark (its name)."""
        self._queue.append(what)
        if isinstance(what, str):
            return
        self._queued += what
        if not self._runs and self._starts_at is None:
            self._starts_at = self._at + self._prebuffer
        if not self._runs and self._queued >= self._prebuffer * _BYTES_PER_SECOND:
            self._starts_at = self._at

    def clear(self) -> list[str]:
        """Discard the audio. Returns the marks."""
        names = [each for each in self._queue if isinstance(each, str)]
        self._queue.clear()
        self._queued = self.played = 0.0
        self._runs, self._starts_at = False, None
        return names

    def advance(self, until: float) -> Iterator[tuple[str, float]]:
        """Play until then. Yields the marks that were passed, and when."""
        at = self._at
        while at < until or (self._queue and isinstance(self._queue[0], str)):
            if self._queue and isinstance(self._queue[0], str):
                yield str(self._queue.popleft()), at
                continue
            if not self._queue:
                self._runs = False
                break
            if not self._runs:
                if self._starts_at is not None and self._starts_at > at:
                    at = min(until, self._starts_at)
                    continue
                self._runs, self._starts_at = True, None
            if self._until_pause <= 0.0:
                self._until_pause = float(_BYTES_PER_SECOND)
                self._paused_until = at + self._pause
            if self._paused_until > at:
                at = min(until, self._paused_until)
                continue
            first = float(self._queue.popleft())
            taken = min(first, self._until_pause, (until - at) * _BYTES_PER_SECOND)
            at += taken / _BYTES_PER_SECOND
            self.played += taken
            self._queued -= taken
            self._until_pause -= taken
            if first - taken > 1e-6:
                self._queue.appendleft(first - taken)
            if until - at < 1e-9:
                at = until
        self._at = until


@dataclass
class Outcome:
    """What the interruptions of one run came to."""

    errors: list[float] = field(default_factory=list)
    """How far each truncation was from the truth, in ms."""
    signed: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    marks: int = 0
    pings: int = 0
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """Return the error that `share` (0 to 1) of the interruptions stay below, in ms."""
        ordered = sorted(self.errors)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Simulation:
    """One call that is interrupted again and again."""

    def __init__(self, condition: Condition, seed: int, *, lead_ms: int = 400, mark_every_ms: int = 200) -> None:
        self.condition, self.dice = condition, random.Random(seed)
        self.playout = Playout(lead_ms=lead_ms, mark_every_ms=mark_every_ms)
        self.carrier = Carrier(condition)
        self.now = self.dice.uniform(1.0, 1000.0)
        self.outcome = Outcome()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._link = condition.link_ms / 1000
        self._marks = itertools.count(1)
        self._back_at = 0.0
        self._wake = 0.0
        self._stalled_until = self._stall = 0.0
        self._next_stall = self.now + 1.0
        self._is_pinged = False
        """The last ping has no answer yet."""
        self._spike = (0.0, 0.0)
        """From when until when the link from the carrier holds everything up."""

        if mark := self.playout.open(self.now):
            self.outcome.marks += 1
            self.at(self._there(), partial(self.carrier.arrive, mark))

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let this happen at that time."""
        heapq.heappush(self._events, (when, next(self._order), what))

    def ours(self, what: Callable[[], None]) -> None:
        """Let our process do this now, or when it runs again."""
        if self.now < self._stalled_until:
            self.at(self._stalled_until, lambda: self.ours(what))
        else:
            what()

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.now < until:
            next_event = self._events[0][0] if self._events else until
            self.now = max(self.now, min(self.now + _STEP, next_event, max(self._wake, self.now + 0.001)))
            for name, at in self.carrier.advance(self.now):
                self._return(name, at, late=True)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            if self.condition.stall_ms and self.now >= self._next_stall:
                self._stall = self.dice.uniform(0.3, 1.0) * self.condition.stall_ms / 1000
                self._stalled_until = self.now + self._stall
                self._next_stall = self._stalled_until + self.dice.uniform(0.5, 1.5)
                self.at(self._stalled_until, self._woken)
            if self.now >= self._wake and self.now >= self._stalled_until:
                self.pump()

    def _woken(self) -> None:
        self.playout.stalled(self._stall, self.now)

    def pump(self) -> None:
        """Send what is due, as the relay does."""
        for out in self.playout.due(self.now):
            if isinstance(out, Send):
                size = len(out.audio)
                self.at(self._there(), partial(self.carrier.arrive, size))
            else:
                self.outcome.marks += 1
                self.at(self._there(), partial(self.carrier.arrive, out.name))
        if self.condition.answers_pings and not self._is_pinged and self.playout.wants_ping(self.now):
            self._is_pinged = True
            self.playout.pinged(self.now)
            self.outcome.pings += 1
            self.at(self._there(), self._answer)
        wake = self.playout.wake_at(self.now)
        self._wake = float("inf") if wake is None else max(wake, self.now + 0.001)

    def _return(self, name: str, at: float, *, late: bool) -> None:
        when = self._arrival(at)
        if late and self.condition.jitter_ms and next(self._marks) % 3 == 0:
            when += self.dice.uniform(0.0, self.condition.jitter_ms) / 1000
        if self.condition.ordered:
            when = self._back_at = max(when, self._back_at)
        self.at(when, lambda: self.ours(lambda: self._marked(name)))

    def _there(self) -> float:
        """Return when the carrier has what is sent now."""
        return self._arrival(self.now) if self.condition.both_ways else self.now + self._link

    def _arrival(self, at: float) -> float:
        """Return when it is here if the carrier sends it then."""
        if not self.condition.spike_ms:
            return at + self._link
        while self._spike[1] < at:
            begin = self._spike[1] + self.dice.uniform(1.0, 3.0)
            if not self._spike[1]:
                begin = at + self.dice.uniform(0.0, 2.0)
            self._spike = (begin, begin + self.dice.uniform(0.0, self.condition.spike_ms) / 1000)
        begin, end = self._spike
        return (end if begin <= at else at) + self._link

    def _answer(self) -> None:
        """Answer a ping, at once."""
        when = self._arrival(self.now)
        if self.condition.ordered:
            when = self._back_at = max(when, self._back_at)
        self.at(when, lambda: self.ours(self._ponged))

    def _ponged(self) -> None:
        self._is_pinged = False
        self.playout.ponged(self.now)

    def _marked(self, name: str) -> None:
        self.playout.mark(name, self.now)
        self.pump()

    def speak(self, number: int, seconds: float) -> SpeechSegmentId:
        """Let the engine generate an item of that length from now on."""
        key = SpeechSegmentId(f"item{number}")
        size = int(seconds * _BYTES_PER_SECOND)
        when, start = self.now, 0
        for delta_ms in itertools.chain(self.condition.delta_ms, itertools.repeat(self.condition.delta_ms[-1])):
            if start >= size:
                break
            audio = b"\x00" * min(delta_ms * 8, size - start)
            start += len(audio)
            when += len(audio) / _BYTES_PER_SECOND / self.condition.speed

            def add(audio: bytes = audio) -> None:
                self.playout.add(key, f"response{number}", audio)
                self.pump()

            self.at(when, partial(self.ours, add))

        def done() -> None:
            self.playout.finish(key)
            self.pump()

        when += self.condition.late_done_ms / 1000
        self.at(when, lambda: self.ours(done))
        return key

    def interrupt(self, seconds: float) -> None:
        """Interrupt now, and measure."""
        position = self.playout.position(self.now)
        sent = self.playout._clock.sent

        def arrived() -> None:
            error = (position - min(self.carrier.played, sent)) / 8
            self.outcome.errors.append(abs(error))
            self.outcome.signed.append(error)
            self.outcome.moments.append(seconds)
            for name in self.carrier.clear():
                self._return(name, self.now, late=False)

        self.playout.interrupt(self.now)
        if self.playout.probe:
            self.outcome.marks += 1
            self.at(self._there(), partial(self.carrier.arrive, self.playout.probe))
        self.pump()
        self.at(self._there(), arrived)

    def call(self, interruptions: int) -> Outcome:
        """Answer and be interrupted that many times."""
        began = self.now
        for number in range(interruptions):
            seconds = self.dice.uniform(0.5, 8.0)
            self.speak(number, seconds)
            self.run(self.now + self.dice.uniform(0.1, seconds + 0.2))
            while self.now < self._stalled_until:
                self.run(self.now + 0.001)
            if self.dice.random() < 0.85:
                self.interrupt(seconds)
                self.run(self.now + self.dice.uniform(0.7, 2.0))
            else:  # heard to its end; the next answer comes soon or late behind it
                self.run(self.now + seconds + self.dice.uniform(0.0, 3.0))
        self.outcome.seconds = self.now - began
        return self.outcome


def simulate(condition: Condition, *, interruptions: int, seed: int = 1) -> Outcome:
    """Make calls of twelve answers until so many of them were interrupted."""
    total = Outcome()
    while len(total.errors) < interruptions:
        one = Simulation(condition, seed).call(12)
        seed += 1
        total.errors += one.errors
        total.signed += one.signed
        total.moments += one.moments
        total.marks += one.marks
        total.pings += one.pings
        total.seconds += one.seconds
    return total
