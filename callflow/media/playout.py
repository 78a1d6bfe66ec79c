"""What the caller has heard: the one place that knows.

The engine generates speech several times faster than it can be played, and the carrier plays what it was sent at 8,000
bytes a second, out of our sight. This class keeps the audio until it is due, hands it out in whole 20 ms frames so that
the carrier never holds more than `lead_ms` of it, and keeps a ledger from which it can say at any instant how much of
which item was heard. It is fed with bytes, marks and time (seconds, any monotonic clock) and performs nothing.

Two clocks tell the position. The **send clock** assumes that the carrier plays what it has without a pause, from the
moment the first byte leaves us: the way there delays the audio and a later `clear` alike, so it says what will have
been heard when a `clear` sent *now* arrives. **Marks** come back when the audio before them has been played; they bound
the position from below, and when they come later than the quickest of them did, the carrier has fallen behind by that
much. Marks that a `clear` returns prove nothing and are not known any more; nor does one prove anything that comes back
before its audio can have been played.

µ-law, 8 bytes a millisecond. Positions count bytes since the last interruption, padding included.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from callflow.contracts.media import Cut, Heard, Key
from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES, ULAW_SILENCE


_BYTES_PER_SECOND: Final = BYTES_PER_MS * 1000
_EARLY: Final = 0.1
"""Seconds that a mark may be ahead of the audio: carriers return it when they hand the audio on."""
_REMEMBERED: Final = 256
"""How many interrupted responses and items are remembered, so that their late audio can be told from new audio."""


class Send(NamedTuple):
    """Audio for the carrier: µ-law, a multiple of 20 ms."""

    audio: bytes


class Mark(NamedTuple):
    name: str


@dataclass(slots=True)
class _Entry:
    """One stretch of speech in the ledger."""

    key: Key
    response: str
    before: int = 0
    """Bytes of the same stretch that were said earlier, before something else was put in between."""
    received: int = 0
    """Bytes that came from the engine."""
    sent: int = 0
    """Bytes of those that went to the carrier, without padding."""
    start: int = -1
    """Position of its first byte; -1 while nothing of it was sent."""
    finished: bool = False
    """The engine has said that nothing follows."""
    broken_off: bool = False
    """Something else came before the engine had said that; more of it may come."""
    marked: bool = False
    """A mark has followed its beginning."""
    pending: deque[bytes] = field(default_factory=deque)
    waiting: int = 0
    """Bytes in `pending`."""

    @property
    def end(self) -> int:
        return self.start + self.sent


class Playout:
    """The ledger and the pacer of one media stream."""

    def __init__(self, *, lead_ms: int, mark_every_ms: int) -> None:
        self.lead_ms = lead_ms
        self._lead = max(lead_ms * BYTES_PER_MS, FRAME_BYTES)
        self._mark_every = mark_every_ms * BYTES_PER_MS // FRAME_BYTES * FRAME_BYTES or FRAME_BYTES
        self._batch = min(self._lead // 4, self._mark_every) // FRAME_BYTES * FRAME_BYTES or FRAME_BYTES
        """How much room must be free before a full carrier gets more: fewer, larger frames in a burst."""
        self._entries: deque[_Entry] = deque()
        self._marks: deque[tuple[str, int, float]] = deque()  # name, position, when its audio should have been played
        self._sent = 0
        self._marked = 0
        self._acked = 0
        self._until = 0.0  # when all that was sent has been played, by the send clock
        self._firsts: dict[str, tuple[Key, int]] = {}
        self._delays: deque[float] = deque(maxlen=64)
        self._lag = 0.0
        self._sequence = 0
        self._broken_off: dict[Key, int] = {}
        """How much of the last stretch that broke off has been heard."""
        self._discarded_responses: dict[str, None] = {}
        self._discarded_items: dict[str, None] = {}
        self.sending = Key("")
        """What the last audio for the carrier was of."""
        self.generation = 0
        """How many times the carrier was told to throw away what it held."""
        self.late_bytes = 0
        """Bytes of interrupted responses that came after the interruption, and were dropped."""
        self.stale_marks = 0
        self.early_marks = 0
        """Marks that came back before their audio can have been played."""

    # What comes from the engine

    def add(self, key: Key, response: str, audio: bytes) -> bool:
        """Queue audio of one stretch of speech. False: it belongs to something that was interrupted, and is dropped."""
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
                entry.finished = False  # in any other place it would hold up what follows
        return True

    def finish(self, key: Key) -> list[Heard]:
        """Nothing follows in this stretch of speech: its last frame may be padded. Returns what was heard already."""
        entry = self._find(key)
        if entry is not None:
            entry.finished = True
        return self._settle()

    def finish_response(self, response: str) -> list[Heard]:
        """The engine has ended this response, in whatever way."""
        for entry in self._entries:
            if entry.response == response:
                entry.finished = True
        return self._settle()

    def break_off(self) -> list[Heard]:
        """Nothing follows in any stretch, because whoever said them is gone: those that break off by it."""
        broken = [entry for entry in self._entries if not entry.finished]
        for entry in broken:
            entry.finished = True
        return [Heard(entry.key, (entry.before + entry.received) // BYTES_PER_MS) for entry in broken]

    # What goes to the carrier

    def due(self, now: float) -> Iterator[Send | Mark]:
        """What the carrier may have now, in order: audio, and marks at least every `mark_every_ms` and at each end."""
        room = self._lead - self._held(now)
        ready = self._ready()
        if ready and ready > room and room < self._batch:
            return
        for entry in list(self._entries):
            while room >= FRAME_BYTES and (frame := self._cut_frame(entry, min(room, self._until_mark()))):
                room -= len(frame)
                self._note_sent(len(frame), now)
                self.sending = entry.key
                yield Send(frame)
                ended = entry.finished and not entry.pending
                if ended or self._sent - self._marked >= self._mark_every:
                    mark = self._new_mark(entry.key)
                    if not entry.marked:
                        entry.marked = True
                        self._firsts[mark.name] = (entry.key, self._sent - entry.start)
                    yield mark
            if entry.waiting >= FRAME_BYTES:
                return
            if entry.finished and not entry.pending and entry.start >= 0 and self._marked < entry.end:
                yield self._new_mark(entry.key)
            if not entry.finished:
                break  # what follows waits until this stretch has ended: nothing is mixed
        if self._sent > self._marked and self._until <= now and self._entries:
            yield self._new_mark(self._entries[-1].key)  # the engine pauses: learn how far the caller is

    def wake_at(self, now: float) -> float | None:
        """When `due` will have more without new audio; None if only the engine or a mark can change that."""
        ready = self._ready()
        if ready:
            held = self._held(now)
            want = min(ready, self._batch)
            return now + max(0.0, held + want - self._lead) / _BYTES_PER_SECOND
        if self._sent > self._marked:
            return max(now, self._until)
        return None

    # What comes back from the carrier

    def mark(self, name: str, now: float) -> list[Heard]:
        """A mark came back: everything before it has been played. Returns the stretches that are now heard in full."""
        if not any(mark[0] == name for mark in self._marks):
            self.stale_marks += 1
            return []
        while self._marks:
            passed, position, due = self._marks.popleft()
            early = now < due - _EARLY
            if not early:
                self._acked = max(self._acked, position)
            if passed == name:
                if early:
                    self.early_marks += 1
                    self._marked = self._acked  # so another one follows the audio
                else:
                    self._delays.append(now - due)
                    self._lag = max(0.0, now - due - max(0.0, min(self._delays)))
                break
        return self._settle()

    def began(self, name: str) -> tuple[Key, float] | None:
        """Of a stretch's first mark: which stretch, and how many seconds of it were heard when that mark comes back.

        To be asked before `mark`, once.
        """
        first = self._firsts.pop(name, None)
        return None if first is None else (first[0], first[1] / _BYTES_PER_SECOND)

    # What the caller has heard

    def position(self, now: float) -> int:
        """Bytes heard since the last interruption, as it will be when a `clear` sent now reaches the carrier."""
        left = max(0.0, self._until + self._lag - now)
        played = self._sent - int(left * _BYTES_PER_SECOND)
        return max(self._acked, min(self._sent, played))

    def is_unplayed(self, now: float) -> bool:
        """Is there anything, here, at the carrier or still to come of what was begun, that the caller has not heard?"""
        begun = any(entry.pending or (entry.received and not entry.finished) for entry in self._entries)
        return begun or self.position(now) < self._sent

    def ends_at(self, now: float) -> float:
        """When all that was sent so far will have been heard; not after `now` if it has been."""
        return self._until + self._lag if self.position(now) < self._sent else min(self._until, now)

    def heard_ms(self, key: Key, now: float) -> int:
        entry = self._find(key)
        return 0 if entry is None else self._heard(entry, self.position(now)) // BYTES_PER_MS

    def hearing(self, now: float) -> Cut | None:
        """How far the caller is in the stretch that is being played, and how much of it there is so far; None: none."""
        position = self.position(now)
        for entry in self._entries:
            if entry.start < 0:
                return None
            if not self._is_through(entry, position):
                heard = entry.before + min(self._heard(entry, position), entry.received)
                return Cut(entry.key, heard // BYTES_PER_MS, (entry.before + entry.received) // BYTES_PER_MS)
        return None

    def holds(self, key: Key) -> bool:
        """Whether this stretch stands in the ledger: once all of it was heard, or it was cut, it does not."""
        return self._find(key) is not None

    def held_ms(self, now: float) -> float:
        """What the carrier holds, unplayed."""
        return self._held(now) / BYTES_PER_MS

    @property
    def waiting_ms(self) -> float:
        """What waits here for room at the carrier."""
        return sum(entry.waiting for entry in self._entries) / BYTES_PER_MS

    def interrupt(self, now: float) -> list[Cut]:
        """The carrier throws away what it holds, and so do we: what was cut, in order, and where.

        A stretch that was heard in full is not cut. Whatever still comes for a cut stretch is dropped by `add`.
        """
        position = self.position(now)
        cuts: list[Cut] = []
        for entry in self._entries:
            if self._is_through(entry, position):
                continue
            if entry.received and not any(cut.key == entry.key for cut in cuts):
                heard = entry.before + min(self._heard(entry, position), entry.received)
                received = entry.before + entry.received
                cuts.append(Cut(entry.key, heard // BYTES_PER_MS, received // BYTES_PER_MS))
            if not entry.finished:  # of a finished one nothing comes any more, unless it is said anew
                _remember(self._discarded_responses, entry.response)
                _remember(self._discarded_items, entry.key.item)
        self._forget()
        return cuts

    def is_discarded(self, key: Key) -> bool:
        """Whether it was cut, so that what still comes for it is dropped."""
        return key.item in self._discarded_items

    def discard_item(self, key: Key) -> None:
        """Drop whatever still comes for a stretch that began in an interrupted response after the interruption."""
        _remember(self._discarded_items, key.item)

    def discard_response(self, response: str) -> None:
        """Drop whatever still comes for a response of which nothing has come yet."""
        _remember(self._discarded_responses, response)

    # Inside

    def _settle(self) -> list[Heard]:
        """Take what is proved to have been heard in full off the ledger."""
        heard = []
        while self._entries and self._is_through(self._entries[0], self._acked):
            entry = self._entries.popleft()
            if entry.broken_off:
                self._broken_off = {entry.key: entry.before + entry.received}
            heard.append(Heard(entry.key, (entry.before + entry.received) // BYTES_PER_MS))
        return heard

    def _forget(self) -> None:
        self._entries.clear()
        self._marks.clear()
        self._firsts.clear()
        self._broken_off.clear()
        self._sent = self._marked = self._acked = 0
        self._until = self._lag = 0.0
        self.generation += 1

    def _find(self, key: Key) -> _Entry | None:
        for entry in reversed(self._entries):
            if entry.key == key:
                return entry
        return None

    def _is_overtaken(self, entry: _Entry) -> bool:
        """Something that came after it has gone out already."""
        return entry is not self._entries[-1] and any(
            other.start > entry.start >= 0 for other in self._entries if other is not entry
        )

    def _open(self, key: Key, response: str) -> _Entry:
        """A new stretch of speech ends the one before it, whether the engine has said so or not."""
        if self._entries and not self._entries[-1].finished:
            self._entries[-1].finished = self._entries[-1].broken_off = True
        entry = _Entry(key, response)
        self._entries.append(entry)
        return entry

    def _ready(self) -> int:
        """Bytes that could be sent now if there were room: whole frames, and padded ends."""
        ready = 0
        for entry in self._entries:
            if not entry.finished:
                return ready + entry.waiting // FRAME_BYTES * FRAME_BYTES  # what follows waits
            ready += entry.waiting
        return ready

    def _cut_frame(self, entry: _Entry, most: int) -> bytes:
        """Up to `most` bytes off the front of an entry, in whole frames; a finished entry's last one is padded."""
        most -= most % FRAME_BYTES
        pieces: list[bytes] = []
        size = 0
        while entry.pending and size < most:
            piece = entry.pending.popleft()
            if size + len(piece) > most:
                entry.pending.appendleft(piece[most - size :])
                piece = piece[: most - size]
            pieces.append(piece)
            size += len(piece)
        audio = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        odd = size % FRAME_BYTES
        if odd and not (entry.finished and not entry.pending):
            entry.pending.appendleft(audio[size - odd :])
            audio, size, odd = audio[: size - odd], size - odd, 0
        if not size:
            return b""
        entry.waiting -= size
        if entry.start < 0:
            entry.start = self._sent
        entry.sent += size
        return audio + bytes([ULAW_SILENCE]) * (FRAME_BYTES - odd) if odd else audio

    def _until_mark(self) -> int:
        """Bytes that may still be sent before the next mark; at least one frame."""
        return max(self._mark_every - (self._sent - self._marked), FRAME_BYTES)

    def _note_sent(self, size: int, now: float) -> None:
        self._sent += size
        if now > self._until:  # we paused, and a carrier that had fallen behind has caught up by as much
            self._lag = max(0.0, self._lag - (now - self._until))
            self._until = now
        self._until += size / _BYTES_PER_SECOND

    def _new_mark(self, key: Key) -> Mark:
        self._sequence += 1
        self._marked = self._sent
        name = f"{key.item}:{key.content}:{self._sequence}"
        self._marks.append((name, self._sent, self._until))
        return Mark(name)

    def _held(self, now: float) -> int:
        return self._sent - self.position(now)

    @staticmethod
    def _heard(entry: _Entry, position: int) -> int:
        return 0 if entry.start < 0 else max(0, min(entry.sent, position - entry.start))

    @staticmethod
    def _is_through(entry: _Entry, position: int) -> bool:
        """Complete, sent in full, and heard in full."""
        return entry.finished and not entry.pending and (entry.start < 0 or position >= entry.end)


def _remember(names: dict[str, None], name: str) -> None:
    if not name:  # an engine that does not say which response its audio belongs to
        return
    names.pop(name, None)
    names[name] = None
    if len(names) > _REMEMBERED:
        del names[next(iter(names))]
