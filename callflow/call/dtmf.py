"""The keys of the caller's telephone (DTMF): each counted once, and gathered into entries.

A carrier reports a key up to twice, as a frame of the media stream and as a webhook, in any order. The first report of
a key counts; a report of the same key by the other source within ten seconds is the same press. A webhook that comes
again is known by its id, also in the process that goes on with the call.

`KeyBuffer` is pure: time is an argument. `DtmfCollector` adds the timer that ends an entry after a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Literal

from msgspec.structs import replace

from callflow.contracts.events import CALLER, DTMF_KEYS, CarrierNotice, Dtmf, Event
from callflow.contracts.rate_limit import RateLimit
from callflow.timers import Timers


log = logging.getLogger(__name__)

MASK: Final = "•"
"""The journal's substitute for a digit that must not be written down: lost for a process that restores the call."""
_SAME_SECONDS: Final = 10.0
_MOST: Final = 64
_ENTRY: Final = "entry"
_LOOK_SECONDS: Final = 0.02
"""Interval of the looks whether all keys of a complete entry are written down. They wait while a call is moved."""

Source = Literal["stream", ""]
"""The source of a key: a frame of the media stream, or ("") a webhook."""


def as_source(told: str) -> Source:
    """Return the source of a key as an event tells it."""
    return "stream" if told == "stream" else ""


def key_rate_limit() -> RateLimit:
    """Make the limit for reported keys.

    A telephone sends at most one key every 80 ms (ITU-T Q.24). Each key is reported twice, and carriers deliver many
    reports late and together.
    """
    return RateLimit(per_second=30.0, at_once=60)


class KeyBuffer:
    """The keys of the entry that is being typed, without the second report of each."""

    def __init__(self, *, end: str = "#") -> None:
        """`end`: the key that completes an entry; "": no key does."""
        self._end = end
        self._digits = ""
        self._reported: dict[Source, list[tuple[str, float]]] = {"stream": [], "": []}
        self._deliveries: dict[str, None] = {}

    def press(self, digit: str, source: Source, now: float, delivery: str = "") -> bool:
        """Add a reported key. `now`: seconds of any clock. `delivery`: see `Dtmf`. Returns False if `digit` is no
        telephone key, or if the press is known: the other source has reported it, or this delivery came before."""
        digit = digit.upper()
        if digit not in DTMF_KEYS or not self.is_new(delivery) or self.repeat(digit, source, now):
            return False
        self.count(digit, source, now)
        return True

    def is_new(self, delivery: str) -> bool:
        """Note a webhook that tells of a key. Returns False if it has come before, in this process or an earlier one.
        "": what has no id is new."""
        if delivery in self._deliveries:
            return False
        if delivery:
            self._deliveries[delivery] = None
            if len(self._deliveries) > _MOST:
                del self._deliveries[next(iter(self._deliveries))]
        return True

    def repeat(self, digit: str, source: Source, now: float) -> bool:
        """Return whether the other source has reported this press already. A report answers for one press only."""
        other = self._reported["" if source == "stream" else "stream"]
        while other and now - other[0][1] > _SAME_SECONDS:
            other.pop(0)
        same = next((told for told in other if told[0] == digit), None)
        same = same or next((told for told in other if MASK in (digit, told[0])), None)
        if same is None:
            return False
        other.remove(same)
        if same[0] == MASK and self._digits.count(MASK) == 1:  # of several nobody knows which this is
            self._digits = self._digits.replace(MASK, digit)
        return True

    def count(self, digit: str, source: Source, now: float) -> None:
        """Add a press. `MASK`: one of a process of before, of which the journal does not say which key it was."""
        self._reported[source].append((digit, now))
        if len(self._reported[source]) > _MOST:
            self._reported[source].pop(0)
        if len(self._digits) < _MOST:
            self._digits += digit

    def restore(self, before: KeyBuffer, later: float) -> None:
        """Continue the entry of a process of before. `later`: what this clock is ahead of that one, in seconds."""
        self._digits, self._deliveries = before._digits, dict(before._deliveries)
        self._reported = {
            source: [(digit, at + later) for digit, at in told] for source, told in before._reported.items()
        }

    @property
    def is_begun(self) -> bool:
        """Whether an entry is being typed."""
        return bool(self._digits)

    @property
    def is_complete(self) -> bool:
        """Whether the last key was the end key."""
        return bool(self._end) and self._digits.endswith(self._end)

    def take(self) -> str:
        """Return the entry without its end key, and begin the next entry."""
        digits, self._digits = self._digits, ""
        return digits.removesuffix(self._end) if self._end and digits != self._end else digits


class DtmfCollector:
    """Collects the keys of one caller into entries. An entry ends with its end key, or after a pause."""

    def __init__(
        self,
        call: str,
        *,
        end: str,
        pause_seconds: float,
        sensitive: bool,
        entered: Callable[[str], None],
        pressed: Callable[[], None],
        dropped: Callable[[], None],
        waits: Callable[[], bool] = lambda: False,
    ) -> None:
        """`sensitive`: digits must not be written down. `entered`: receives each entry. `pressed`: called for each key.
        `dropped`: called for each key that came faster than a person can type. `waits`: returns whether a key is still
        to be written down: the entry that it belongs to must not come before it, or the next process would read it as
        the beginning of another one."""
        self._call, self._sensitive = call, sensitive
        self._entered, self._pressed, self._dropped = entered, pressed, dropped
        self._pause_seconds, self._waits = pause_seconds, waits
        self._keys = KeyBuffer(end=end)
        self._rate = key_rate_limit()
        self._has_dropped = False
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(self._loop)

    def receive(self, event: Dtmf, *, over: bool = False) -> Event | None:
        """Process a reported key, and return the event for the journal; None: the key was dropped.

        `over`: the call has ended. The digit is masked, because the entry it belongs to is unknown. A key of another
        leg than the caller's is of no entry: it counts once, and passes as it is.
        """
        if event.leg != CALLER:
            return event if self._keys.is_new(event.delivery) else _told_already(event, event.digit)
        if not self._rate.take(self._loop.time()):
            self._dropped()
            if not self._has_dropped:
                self._has_dropped = True
                log.warning(
                    "call %s: keys come faster than anybody can type: some are dropped, and counted", self._call
                )
            return None
        digit = MASK if over or self._sensitive else event.digit
        if not self._keys.press(event.digit, as_source(event.source), self._loop.time(), event.delivery):
            return _told_already(event, digit)
        if not over:
            self._pressed()
            self._timers.start(_ENTRY, 0.0 if self._keys.is_complete else self._pause_seconds, self._complete)
        return replace(event, digit=digit)

    @property
    def is_typing(self) -> bool:
        """Whether an entry has begun and may go on."""
        return self._timers.is_running(_ENTRY)

    def restore(self, before: KeyBuffer, later: float) -> None:
        """Continue with the keys of a process of before. `later`: in seconds, see `KeyBuffer.restore`. Their entry ends
        only after `recovered`."""
        self._keys.restore(before, later)

    def recovered(self) -> None:
        """Let the entry that was being typed in the process of before end, after a pause of the usual length."""
        if self._keys.is_begun:
            self._timers.start(_ENTRY, self._pause_seconds, self._complete)

    def close(self) -> None:
        """Stop the timer for good. Further keys are counted, but complete no entry."""
        self._timers.close()

    def _complete(self) -> None:
        if self._waits():
            self._timers.start(_ENTRY, _LOOK_SECONDS, self._complete)
            return
        digits = self._keys.take()
        if digits:
            self._entered(digits)


def _told_already(event: Dtmf, digit: str) -> CarrierNotice:
    kind = "a key that was told already"
    return CarrierNotice(leg=event.leg, kind=kind, digit=digit[:1], source=event.source, delivery=event.delivery)
