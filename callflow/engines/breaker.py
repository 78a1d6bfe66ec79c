"""How often to connect to a vendor that refuses: one call (`Pace`), and all calls of one account (`Breaker`). Pure.

Time in seconds, and jitter between 0 and 1, are arguments; the sockets and clocks are in `common/account.py`.

A call connects at once, and then after pauses of up to three seconds, so that a vendor that recovers while a caller
waits is soon noticed. The attempts of all sessions of a call count together: a call whose sessions break one after the
other connects no more often than another.

A refusal of one call often means that the vendor refuses all calls of the account. Repeated refusals open the account's
breaker: then no call connects, and a periodic probe finds out whether the vendor has recovered.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from callflow.contracts.errors import RefusalCounts as Counts


MOST_WAIT: Final = 60.0
"""The longest `Retry-After` that is respected, in seconds: a header of one day must not stop all calls for a day."""


# What an answer means


def refusal_counts(status: int, code: str = "", param: str = "") -> Counts:
    """Return what an HTTP answer to a handshake says about the account: see `RefusalCounts`.

    `code` and `param`: of the error in its body.
    """
    if status == 401 or (status == 403 and "model" not in f"{code} {param}" and not param.startswith("session")):
        return "at once"
    return "one" if is_temporary(status) else ""


def is_temporary(status: int) -> bool:
    """Return whether the same request may succeed in a moment."""
    return status in (408, 429) or status >= 500


def retry_after(after: Sequence[str], now: float, *, milliseconds: Sequence[str] = (), date: str = "") -> float:
    """Return the wait in seconds that an HTTP answer asks for; 0: none.

    `after`: its `Retry-After` headers, in any form (RFC 9110, 10.2.3); `milliseconds`: its `retry-after-ms` headers;
    `date`: its `Date` header. A point in time in `Retry-After` is compared with `date`, or without one with `now` (Unix
    time).
    """
    found = [float(text) / 1000 for text in map(str.strip, milliseconds) if _NUMBER.fullmatch(text)]
    for text in map(str.strip, after):
        if _NUMBER.fullmatch(text):
            found.append(float(text))
        elif (then := unix(text)) is not None:
            since = unix(date)
            found.append(then - (now if since is None else since))
    return min(max(found, default=0.0), MOST_WAIT) if found and max(found) > 0 else 0.0


_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MOST_DATE: Final = 40


def unix(text: str) -> float | None:
    """Return a point in time of an HTTP header as Unix time; None: it is none."""
    try:
        found = parsedate_to_datetime(text[:_MOST_DATE])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


# One call


class Pace:
    """Decides when one call may connect, over all its sessions."""

    MOST: Final = 5
    """The most attempts without success within `WITHIN`."""
    MOST_OPENED: Final = 10
    """The most successful attempts within `WITHIN`."""
    WITHIN: Final = 15.5
    """Length of the window in seconds: 15 s at the vendor, and 0.5 s because attempts reach the vendor with different
    delays."""
    PAUSES: Sequence[float] = (0.5, 2.4, 2.9, 2.9)
    """Seconds after the first refusal, the second, …: five attempts in ten seconds (three in the four seconds that a
    call waits by default), and never three seconds without an attempt."""
    HANDSHAKE_SECONDS: Final = 2.9
    """Seconds for one handshake. Then a second attempt starts beside the first: a server that hangs and recovers may
    have lost the first."""
    _JITTER: Final = 0.15
    """The largest share by which jitter shortens a pause. Jitter never lengthens a pause: see `PAUSES`."""
    _JITTER_SECONDS: Final = 0.3
    """The most seconds that jitter adds to a wait requested by the vendor. Many calls get the same request; jitter
    never shortens the wait."""

    def __init__(self) -> None:
        self._begun: list[float] = []
        self._opened: list[float] = []
        """When each successful attempt began."""
        self._refusals = 0
        self._next = 0.0
        self._refused_at = 0.0
        self.users = 0
        """Sessions that are connecting now."""

    def may_begin_at(self, now: float, closed_at: float) -> float:
        """Return when the next attempt may begin.

        `closed_at`: when the breaker last closed. Pauses from before that time no longer count; `MOST` and
        `MOST_OPENED` do.
        """
        due = now if closed_at > self._refused_at else max(now, self._next)
        if len(self._begun) == self.MOST:
            due = max(due, self._begun[0] + self.WITHIN)
        if len(self._opened) == self.MOST_OPENED:
            due = max(due, self._opened[0] + self.WITHIN)
        return due

    def began(self, now: float) -> None:
        """Record that an attempt begins."""
        self._begun.append(now)
        del self._begun[: -self.MOST]
        self._refused_at = now
        self._next = now + self.HANDSHAKE_SECONDS

    def refused(self, now: float, wait: float, jitter: float) -> None:
        """Record a refusal. `wait`: the seconds requested by the vendor; our own pause applies if it is longer."""
        pause = self.PAUSES[min(self._refusals, len(self.PAUSES) - 1)] * (1 - self._JITTER * jitter)
        self._refusals += 1
        self._refused_at = now
        self._next = now + max(pause, wait + self._JITTER_SECONDS * jitter if wait else 0.0)

    def hangs(self, now: float) -> None:
        """Record that an attempt has no answer after `HANDSHAKE_SECONDS`. The next one may begin at once."""
        self._refusals += 1
        self._next = min(self._next, now)

    def opened(self) -> None:
        """Record a success: the attempt counts towards `MOST_OPENED` instead of `MOST`."""
        self._refusals, self._next = 0, 0.0
        if self._begun:
            self._opened.append(self._begun.pop())
            del self._opened[: -self.MOST_OPENED]

    def is_outdated(self, now: float) -> bool:
        """Return whether this pace can be replaced by a new one: no session is connecting, and no attempt counts any
        more."""
        last = max(*self._begun, *self._opened, float("-inf"), float("-inf"))
        return not self.users and now - last >= self.WITHIN


# All calls


class Breaker:
    """Decides whether the calls of one account may connect.

    closed -> open -> probing -> closed, or open again. Failures count while the breaker is closed; a success closes the
    breaker.
    """

    FAILURES: Final = 5
    """This many failures in a row, over all calls, open the breaker. They must come from at least two calls: a single
    call may fail for its own reason, such as the limit of its model."""
    WITHIN: Final = 10.0
    """The seconds within which these failures must fall."""
    PROBES: Final = (1.0, 2.0, 2.5, 2.5, 2.5, 2.5, 5.0, 10.0, 20.0, 30.0)
    """Seconds between the beginnings of two probes. The first are under 3 s, because callers may still be waiting."""
    _JITTER: Final = 0.2
    _MOST_AT_ONCE: Final = 12
    """The most handshakes at the same time as long as the last handshake failed or none has ended."""

    def __init__(self) -> None:
        self.state: Literal["closed", "open", "probing"] = "closed"
        self.why = ""
        """The last failure, in a few words, while the breaker is open or probing."""
        self.opened_at = 0.0
        self.closed_at = float("-inf")
        self.probe_at = 0.0
        """When the next probe is due, while the breaker is open."""
        self._failures: deque[tuple[float, str]] = deque(maxlen=self.FAILURES)
        self._probes = 0
        self._probe_began = 0.0
        self._is_trusted = False
        """The last attempt was successful."""

    @property
    def is_open(self) -> bool:
        """Return whether calls may not connect, also while a probe is under way."""
        return self.state != "closed"

    @property
    def probe_seconds(self) -> float:
        """Return how many seconds a probe may take. Later probes may take longer: a slow vendor is better than none."""
        return min(max(self._delay(0.0), 2.5), 10.0)

    def has_room(self, under_way: int) -> bool:
        """Return whether one more handshake may begin. `under_way`: the handshakes without an answer.

        Without this limit, calls that arrive together would all connect before the first refusal.
        """
        return not self.is_open and (self._is_trusted or under_way < self._MOST_AT_ONCE)

    def failed(self, now: float, call: str, kind: Counts, why: str, wait: float = 0.0, jitter: float = 0.0) -> bool:
        """Record that a call was refused or got no answer. Returns whether this opens the breaker.

        `kind`: what the refusal says about the account; `why`: for operators; `wait`: seconds requested by the vendor.
        """
        if not kind:
            return False
        self._is_trusted = False
        if self.is_open:  # the attempt began before the breaker opened; the latest requested wait holds
            self.probe_at = max(self.probe_at, now + wait) if wait else self.probe_at
            return False
        self._failures.append((now, call))
        in_a_row = len(self._failures) == self.FAILURES and now - self._failures[0][0] <= self.WITHIN
        in_a_row = in_a_row and len({call for _, call in self._failures}) > 1
        if kind != "at once" and not in_a_row:
            return False
        self.state, self.why, self.opened_at, self._probes = "open", why, now, 0
        self.probe_at = now + max(self._delay(jitter), wait)
        return True

    def succeeded(self, now: float) -> bool:
        """Record that a call was connected. Returns whether this closes the breaker."""
        self._is_trusted = True
        return self._close(now)

    def probe_began(self, now: float) -> None:
        """Record that a probe begins."""
        self.state, self._probe_began = "probing", now
        self._probes += 1

    def probe_ended(self, now: float, kind: Counts, why: str = "", wait: float = 0.0, jitter: float = 0.0) -> bool:
        """Record that a probe has ended. Returns whether this closes the breaker.

        `kind` "": it was successful, or the refusal is about one model or one session, so the vendor is back. Calls
        then connect a few at a time until one is successful.
        """
        if not self.is_open:  # a call was connected meanwhile
            return False
        if not kind:
            return self._close(now)
        self.state, self.why = "open", why
        self.probe_at = max(self.probe_at, self._probe_began + self._delay(jitter), now + wait, now)
        return False

    def _close(self, now: float) -> bool:
        self._failures.clear()
        if not self.is_open:
            return False
        self.state, self.why, self.closed_at = "closed", "", now
        return True

    def _delay(self, jitter: float) -> float:
        return self.PROBES[min(self._probes, len(self.PROBES) - 1)] * (1 - self._JITTER * jitter)


def error_of(body: Any) -> tuple[str, str]:
    """Return code and parameter of the error in the parsed body of an HTTP answer; "" for what it lacks."""
    error = body.get("error") if isinstance(body, dict) else None
    fields = error if isinstance(error, dict) else {}
    code, param = fields.get("code"), fields.get("param")
    return (code if isinstance(code, str) else "", param if isinstance(param, str) else "")
