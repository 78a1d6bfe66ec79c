"""Computes what the caller has heard, and paces the audio to the carrier. No other class does either.

The engine generates speech several times faster than it can be played, and the carrier plays 8,000 bytes a second. The
playout queues audio, sends it in whole 20 ms frames so that the carrier never holds more than `lead_ms`, and keeps a
ledger of how much of each stretch of speech was sent, and so heard. `playback_clock.py` computes how far the carrier
has played.

Pure: bytes, marks and the time (seconds of any monotonic clock) are arguments, and there is no I/O. Audio is µ-law, 8
bytes a millisecond. Positions count bytes since the last interruption, padding included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from callflow.contracts.media import Cut, Heard, SpeechSegmentId
from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES
from callflow.media.ledger_entry import LedgerEntry
from callflow.media.playback_clock import PlaybackClock


_BYTES_PER_SECOND: Final = BYTES_PER_MS * 1000
MARK_SECONDS: Final = 1.0
"""How late the last mark may be before the audio counts as played without a mark."""
_CLOSE_MARKS: Final = 2 * FRAME_BYTES
"""Bytes between two marks while the carrier falls behind again and again."""
_PAUSE_SECONDS: Final = 0.01
"""How long the engine sends nothing, after all audio has been played, before a mark tells so. One that speaks as fast
as we play is late by a moment again and again, and would cost a mark for each frame."""
_OPENING: Final = "opening"
_REMEMBERED: Final = 256
"""How many interrupted responses and items are remembered, to recognise their late audio."""


class Send(NamedTuple):
    """Audio for the carrier: µ-law, a multiple of 20 ms."""

    audio: bytes


class Mark(NamedTuple):
    """A mark for the carrier; the carrier returns its name after playing all audio before it."""

    name: str


class Playout:
    """The ledger and the pacer of one call's audio to the caller."""

    def __init__(self, *, lead_ms: int, mark_every_ms: int) -> None:
        """`lead_ms`: how much unplayed audio the carrier may hold. `mark_every_ms`: send a mark at least this often."""
        self.lead_ms = lead_ms
        self._lead = max(lead_ms * BYTES_PER_MS, FRAME_BYTES)
        self._mark_every = mark_every_ms * BYTES_PER_MS // FRAME_BYTES * FRAME_BYTES or FRAME_BYTES
        self._interval = self._mark_every
        """Bytes between two marks; fewer if the carrier falls behind."""
        self._batch = min(self._lead // 4, self._mark_every) // FRAME_BYTES * FRAME_BYTES or FRAME_BYTES
        """Bytes that must become free at a full carrier before more is sent, so that it gets fewer and larger
        frames."""
        self._entries: list[LedgerEntry] = []
        self._clock = PlaybackClock()
        self._firsts: dict[str, tuple[SpeechSegmentId, int]] = {}
        """The first mark of each stretch, by name: the stretch, and its bytes before the mark."""
        self._sequence = 0
        self._broken_off: dict[SpeechSegmentId, int] = {}
        """Bytes heard of the last stretch that was heard and broken off."""
        self._discarded_responses: dict[str, None] = {}
        self._discarded_items: dict[str, None] = {}
        self.sending = SpeechSegmentId("")
        """The stretch of the last sent audio."""
        self.lag_ms = 0
        """How far the carrier was believed to be behind at the last interruption, in ms."""
        self.probe = ""
        """The mark that goes before the `clear` of the last interruption; "": none does."""
        self.late_bytes = 0
        """Bytes of interrupted responses that came after the interruption; they were dropped."""

    # From the engine

    def add(self, key: SpeechSegmentId, response: str, audio: bytes) -> bool:
        """Queue µ-law audio of one stretch of speech. Returns False if the audio is dropped, because its response or
        item was interrupted."""
        if response in self._discarded_responses or key.item in self._discarded_items:
            self.late_bytes += len(audio)
            return False
        entry = self._entries[-1] if self._entries else None
        if entry is None or entry.key != key:
            entry = self._find(key)
            if entry is None or self._is_overtaken(entry):
                before = self._broken_off.pop(key, 0) if entry is None else entry.before + entry.received
                entry = self._open(key, response)
                entry.before = before
        if audio:
            entry.received += len(audio)
            entry.waiting += len(audio)
            entry.pending.append(audio)
            if entry is self._entries[-1]:
                entry.finished = False  # only for the last entry: another would block the entries behind it
        return True

    def passes(self, key: SpeechSegmentId, response: str, audio: bytes, now: float) -> float | None:
        """Take more audio of the only stretch, if the carrier is to get exactly this audio now, and no mark with it: as
        nearly always from a server that speaks no faster than we play. Returns `wake_at`; None: nothing has changed,
        and `add` and `due` do it."""
        entries, size = self._entries, len(audio)
        if len(entries) != 1 or size % FRAME_BYTES or not size:
            return None
        entry = entries[0]
        if (
            entry.pending
            or entry.finished
            or entry.start < 0
            or entry.key != key
            or response in self._discarded_responses
            or key.item in self._discarded_items
        ):
            return None
        ends = self._clock.send_without_mark(size, now, lead=self._lead, interval=self._interval)
        if ends is None:
            return None
        entry.received += size
        entry.sent += size
        return ends + _PAUSE_SECONDS

    def finish(self, key: SpeechSegmentId) -> list[Heard]:
        """Note that this stretch is complete, so its last frame may be padded. Returns the stretches now known to be
        heard in full."""
        entry = self._find(key)
        if entry is not None:
            entry.finished = True
        return self._settle()

    def finish_response(self, response: str) -> list[Heard]:
        """Note that the engine has ended this response, completed or not. Returns as `finish` does."""
        for entry in self._entries:
            if entry.response == response:
                entry.finished = True
        return self._settle()

    def break_off(self) -> list[Heard]:
        """Note that the engine's session is gone, so no more audio comes. Returns the incomplete stretches, each with
        its received ms of audio."""
        broken = [entry for entry in self._entries if not entry.finished]
        for entry in broken:
            entry.finished = True
        return [Heard(entry.key, (entry.before + entry.received) // BYTES_PER_MS) for entry in broken]

    # To the carrier

    def due(self, now: float) -> Iterator[Send | Mark]:
        """Yield the audio and marks to send now, in order; marks come at least every `mark_every_ms` and at each
        end."""
        clock = self._clock
        room = self._lead - clock.held(now)
        ready = self._ready()
        if ready and ready > room and room < self._batch:
            return
        for entry in list(self._entries):
            while (
                room >= FRAME_BYTES
                and entry.pending
                and (frame := entry.cut(clock.sent, min(room, self._until_mark())))
            ):
                room -= len(frame)
                clock.send(len(frame), now)
                self.sending = entry.key
                yield Send(frame)
                ended = entry.finished and not entry.pending
                if ended or clock.sent - clock.marked >= self._interval:
                    yield self._new_mark(entry, now)
            if entry.waiting >= FRAME_BYTES:
                return
            ended = entry.finished and not entry.pending and entry.start >= 0
            if ended and clock.marked < entry.end and not clock.is_early:
                yield self._new_mark(entry, now)
            if not entry.finished:
                break  # stretches are never mixed: the next waits until this has ended
        if clock.sent > clock.marked and clock.runs_until + _PAUSE_SECONDS <= now and self._entries:
            yield self._new_mark(self._entries[-1], now)  # the engine pauses: this mark shows how far the caller is

    def wake_at(self, now: float) -> float | None:
        """Return when `due` will yield more without new audio; None: only new audio or a mark can change that."""
        ready = self._ready()
        if ready:
            held = self._clock.held(now)
            want = min(ready, self._batch)
            return now + max(0.0, held + want - self._lead) / _BYTES_PER_SECOND
        if self._clock.sent > self._clock.marked:
            return max(now, self._clock.runs_until + _PAUSE_SECONDS)
        return None

    def open(self, now: float) -> str:
        """Return the mark to send as the stream starts, before any audio: it shows how long the network takes; "":
        none."""
        return _OPENING if self._clock.open(_OPENING, now) else ""

    # Marks back from the carrier

    def mark(self, name: str, now: float) -> list[Heard]:
        """Note that a mark came back: all audio before it was played. Returns the stretches now known to be heard in
        full."""
        if not self._clock.mark_returned(name, now):
            return []
        self._interval = min(self._mark_every, _CLOSE_MARKS) if self._clock.lag.wants_marks else self._mark_every
        return self._settle()

    def wants_ping(self, now: float) -> bool:
        """Return whether a ping is to be sent now, beside a mark: call `pinged` if the carrier answers pings."""
        return self._clock.wants_ping(now)

    def pinged(self, now: float) -> None:
        """Note that a ping was sent to the carrier."""
        self._clock.lag.pings.sent(now)

    def ponged(self, now: float) -> None:
        """Note that the carrier has answered it."""
        self._clock.lag.pings.answered(now)

    def began(self, name: str) -> tuple[SpeechSegmentId, float] | None:
        """Return, for the first mark of a stretch, the stretch and the seconds of its audio before the mark; None for
        other marks. Call this once for each returned mark, before `mark`."""
        first = self._firsts.pop(name, None)
        return None if first is None else (first[0], first[1] / _BYTES_PER_SECOND)

    # What the caller has heard

    def position(self, now: float) -> int:
        """Return how many bytes since the last interruption will have been heard when a `clear` sent now arrives."""
        return self._clock.position(now)

    def is_unplayed(self, now: float) -> bool:
        """Return whether there is speech that the caller has not heard: queued here, held by the carrier, or not yet
        received of a stretch that has begun."""
        begun = any(entry.pending or (entry.received and not entry.finished) for entry in self._entries)
        return begun or self._clock.held(now) > 0

    def awaits_marks(self, now: float) -> bool:
        """Return whether speech was played by the clock alone: the carrier has not shown it yet, and still may."""
        return bool(self._entries) and now < self._clock.ends_at(now) + MARK_SECONDS

    def ends_at(self, now: float) -> float:
        """Return when all sent audio will have been heard; at most `now` if it has been heard already."""
        return self._clock.ends_at(now)

    def heard_ms(self, key: SpeechSegmentId, now: float) -> int:
        """Return how many ms of this stretch were heard; 0 if the stretch is not in the ledger."""
        entry = self._find(key)
        return 0 if entry is None else self._heard(entry, self.position(now)) // BYTES_PER_MS

    def hearing(self, now: float) -> Cut | None:
        """Return how much of the stretch being played was heard, and how much was received; None: no stretch is being
        played."""
        position = self.position(now)
        for entry in self._entries:
            if entry.start < 0:
                return None
            if not self._is_through(entry, position):
                heard = entry.before + min(self._heard(entry, position), entry.received)
                return Cut(entry.key, heard // BYTES_PER_MS, (entry.before + entry.received) // BYTES_PER_MS)
        return None

    def holds(self, key: SpeechSegmentId) -> bool:
        """Return whether this stretch is in the ledger. A stretch leaves the ledger when it was heard in full, or
        cut."""
        return self._find(key) is not None

    @property
    def waiting_ms(self) -> float:
        """Ms of audio queued here until the carrier has room."""
        return sum(entry.waiting for entry in self._entries) / BYTES_PER_MS

    def interrupt(self, now: float) -> list[Cut]:
        """Discard all audio that was not heard. A `clear` must be sent to the carrier at the same time, behind `probe`.

        Returns the cut stretches in order, each with its heard ms. A stretch heard in full is not cut. `add` drops
        later audio of a cut stretch.
        """
        position = self.position(now)
        self.lag_ms = round(self._clock.lag.seconds(now) * 1000)
        cuts: list[Cut] = []
        for entry in self._entries:
            if self._is_through(entry, position):
                continue
            if entry.received and not any(cut.key == entry.key for cut in cuts):
                heard = entry.before + min(self._heard(entry, position), entry.received)
                received = entry.before + entry.received
                cuts.append(Cut(entry.key, heard // BYTES_PER_MS, received // BYTES_PER_MS))
            if not entry.finished:  # a finished stretch may be said again, under the same id
                _remember(self._discarded_responses, entry.response)
                _remember(self._discarded_items, entry.key.item)
        self.probe = self._new_probe(now)
        self._forget(now)
        return cuts

    def is_discarded(self, key: SpeechSegmentId) -> bool:
        """Return whether later audio of this stretch is dropped, because the stretch was cut."""
        return key.item in self._discarded_items

    def discard_item(self, key: SpeechSegmentId) -> None:
        """Drop later audio of a stretch that began after its response was interrupted."""
        _remember(self._discarded_items, key.item)

    def discard_response(self, response: str) -> None:
        """Drop all later audio of a response."""
        _remember(self._discarded_responses, response)

    def stalled(self, seconds: float, now: float) -> None:
        """Note that our own process did not run for so many seconds until now, so that marks are read late."""
        self._clock.lag.stalled(seconds, now)

    @property
    def network_ms(self) -> int | None:
        """The delay of the network, there and back, in ms; None: no mark has come back yet."""
        return None if (seconds := self._clock.lag.network) is None else round(seconds * 1000)

    @property
    def ping_ms(self) -> int | None:
        """The usual time from a ping to its pong, in ms; None: too few were sent or answered."""
        return None if (seconds := self._clock.lag.pings.usual) is None else round(seconds * 1000)

    @property
    def most_lag_ms(self) -> int:
        """The largest lag of the carrier that marks have shown so far, in ms."""
        return round(self._clock.lag.most * 1000)

    @property
    def stale_marks(self) -> int:
        """Returned marks that were not awaited, such as marks returned by a `clear`."""
        return self._clock.stale_marks

    @property
    def early_marks(self) -> int:
        """Marks that came back too early for their audio."""
        return self._clock.early_marks

    # Inside

    def _settle(self) -> list[Heard]:
        """Remove the stretches that marks prove to be heard in full, and return them."""
        heard = []
        while self._entries and self._is_through(self._entries[0], self._clock.confirmed):
            entry = self._entries.pop(0)
            if entry.broken_off:
                self._broken_off = {entry.key: entry.before + entry.received}
            heard.append(Heard(entry.key, (entry.before + entry.received) // BYTES_PER_MS))
        return heard

    def _forget(self, now: float) -> None:
        self._entries.clear()
        self._firsts.clear()
        self._broken_off.clear()
        self._clock.reset(now)

    def _find(self, key: SpeechSegmentId) -> LedgerEntry | None:
        for entry in reversed(self._entries):
            if entry.key == key:
                return entry
        return None

    def _is_overtaken(self, entry: LedgerEntry) -> bool:
        """Return whether audio of a later entry was sent already."""
        return entry is not self._entries[-1] and any(
            other.start > entry.start >= 0 for other in self._entries if other is not entry
        )

    def _open(self, key: SpeechSegmentId, response: str) -> LedgerEntry:
        """Add an entry. This ends the previous entry, even if the engine has not finished it."""
        if self._entries and not self._entries[-1].finished:
            self._entries[-1].finished = self._entries[-1].broken_off = True
        entry = LedgerEntry(key, response)
        self._entries.append(entry)
        return entry

    def _ready(self) -> int:
        """Return the bytes that could be sent now if the carrier had room: whole frames and padded ends."""
        ready = 0
        for entry in self._entries:
            if not entry.finished:
                return ready + entry.waiting // FRAME_BYTES * FRAME_BYTES  # later entries wait for this one
            ready += entry.waiting
        return ready

    def _until_mark(self) -> int:
        """Return the bytes that may be sent before the next mark; at least one frame."""
        return max(self._interval - (self._clock.sent - self._clock.marked), FRAME_BYTES)

    def _new_mark(self, entry: LedgerEntry, now: float) -> Mark:
        self._sequence += 1
        name = f"{entry.key.item}:{entry.key.content}:{self._sequence}"
        self._clock.send_mark(name, now)
        if not entry.marked and entry.start >= 0:
            entry.marked = True
            self._firsts[name] = (entry.key, self._clock.sent - entry.start)
        return Mark(name)

    def _new_probe(self, now: float) -> str:
        if not self._clock.wants_probe(now):
            return ""
        self._sequence += 1
        name = f"probe:{self._sequence}"
        self._clock.send_mark(name, now)
        return name

    @staticmethod
    def _heard(entry: LedgerEntry, position: int) -> int:
        return 0 if entry.start < 0 else max(0, min(entry.sent, position - entry.start))

    @staticmethod
    def _is_through(entry: LedgerEntry, position: int) -> bool:
        """Return whether an entry is complete, sent in full and heard in full."""
        return entry.finished and not entry.pending and (entry.start < 0 or position >= entry.end)


def _remember(names: dict[str, None], name: str) -> None:
    """Put `name` last; beyond 256 names the oldest is forgotten."""
    if not name:  # the engine does not say which response its audio belongs to
        return
    names.pop(name, None)
    names[name] = None
    if len(names) > _REMEMBERED:
        del names[next(iter(names))]
