"""How often to connect to a vendor that refuses: one call (`Pace`), and all calls of one account (`Breaker`). Pure.

Time in seconds, and jitter between 0 and 1, are arguments; the sockets and clocks are in `openai_realtime/account.py`.

A call connects at once, and then after pauses of up to three seconds, so that a vendor that recovers while a caller
waits is soon noticed. The attempts of all sessions of a call count together: a call whose sessions break one after the
other connects no more often than another.

What refuses one call of an account often refuses all of them. Repeated refusals open the account's breaker: then no
call connects, and one probe now and then finds out whether the vendor has recovered.
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
"""Seconds of a `Retry-After` that are respected at most: one of a day must not close the line for a day."""


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
    """Return the seconds that an answer asks us to wait; 0: it does not say.

    `after`: its `Retry-After` headers, in any form (RFC 9110, 10.2.3); `milliseconds`: its `retry-after-ms` headers;
    `date`: its `Date` header, by whose clock a time is meant; without it, by ours (`now`, Unix time).
    """
    found = [float(text) / 1000 for text in map(str.strip, milliseconds) if _NUMBER.fullmatch(text)]
    for text in map(str.strip, after):
        if _NUMBER.fullmatch(text):
            found.append(float(text))
        elif (then := _unix(text)) is not None:
            since = _unix(date)
            found.append(then - (now if since is None else since))
    return min(max(found, default=0.0), MOST_WAIT) if found and max(found) > 0 else 0.0


_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MOST_DATE: Final = 40


def _unix(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text[:_MOST_DATE])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


# One call


class Pace:
    """When one call may connect, over all its sessions."""

    MOST: Final = 5
    """Attempts without success within `WITHIN`."""
    MOST_OPENED: Final = 10
    """Successful attempts within `WITHIN`."""
    WITHIN: Final = 15.5
    """Seconds: fifteen by the vendor's clock, which one attempt may reach later than another."""
    PAUSES: Sequence[float] = (0.5, 2.4, 2.9, 2.9)
    """Seconds after the first refusal, the second, …: five attempts in ten seconds (three in the four seconds that a
    call waits by default), and never three seconds without an attempt."""
    PATIENCE: Final = 2.9
    """Seconds for one handshake. Then another is tried beside it: a server that hangs and recovers may have lost the
    first one."""
    _JITTER: Final = 0.15
    """The largest part by which a pause is shortened. It is never made longer: see `PAUSES`."""
    _JITTER_SECONDS: Final = 0.3
    """Seconds added at most to a wait that the vendor asked for: many calls get the same, and it is never shortened."""

    def __init__(self) -> None:
        self._begun: deque[float] = deque(maxlen=self.MOST)
        self._opened: deque[float] = deque(maxlen=self.MOST_OPENED)
        """When each successful attempt began."""
        self._refusals = 0
        self._next = 0.0
        self._refused_at = 0.0
        self.users = 0
        """Sessions that are connecting now."""

    def may_begin_at(self, now: float, closed_at: float) -> float:
        """Return when the next attempt may begin.

        `closed_at`: when the breaker last closed. Pauses from before that do not count any more; the limits do.
        """
        due = now if closed_at > self._refused_at else max(now, self._next)
        if len(self._begun) == self.MOST:
            due = max(due, self._begun[0] + self.WITHIN)
        if len(self._opened) == self.MOST_OPENED:
            due = max(due, self._opened[0] + self.WITHIN)
        return due

    def began(self, now: float) -> None:
        """An attempt begins."""
        self._begun.append(now)
        self._refused_at = now
        self._next = now + self.PATIENCE

    def refused(self, now: float, wait: float, jitter: float) -> None:
        """An attempt was refused. `wait`: the seconds that the vendor asked for, which go before our own pauses."""
        pause = self.PAUSES[min(self._refusals, len(self.PAUSES) - 1)] * (1 - self._JITTER * jitter)
        self._refusals += 1
        self._refused_at = now
        self._next = now + max(pause, wait + self._JITTER_SECONDS * jitter if wait else 0.0)

    def hangs(self, now: float) -> None:
        """An attempt has no answer after `PATIENCE`, which takes the place of a pause."""
        self._refusals += 1
        self._next = min(self._next, now)

    def opened(self) -> None:
        """An attempt was successful: it counts towards `MOST_OPENED` instead of `MOST`."""
        self._refusals, self._next = 0, 0.0
        if self._begun:
            self._opened.append(self._begun.pop())

    def is_outdated(self, now: float) -> bool:
        """Return whether a new pace would say the same."""
        last = max(*self._begun, *self._opened, float("-inf"), float("-inf"))
        return not self.users and now - last >= self.WITHIN


# All calls


class Breaker:
    """Whether the calls of one account may connect.

    closed -> open -> probing -> closed, or open again. Failures count while it is closed; a success closes it.
    """

    FAILURES: Final = 5
    """Failures in a row, of all calls, with no success among them, that open it. They must be of two calls at least: a
    single call may fail for a reason of its own, such as its model's limit."""
    WITHIN: Final = 10.0
    """Seconds within which these failures come."""
    PROBES: Final = (1.0, 2.0, 2.5, 2.5, 2.5, 2.5, 5.0, 10.0, 20.0, 30.0)
    """Seconds from the beginning of one probe to the next. While a caller may still wait they are less than three."""
    _JITTER: Final = 0.2
    _MOST_AT_ONCE: Final = 12
    """Handshakes at the same time while the last one has failed, or none has ended."""

    def __init__(self) -> None:
        self.state: Literal["closed", "open", "probing"] = "closed"
        self.why = ""
        """The last failure, in a few words, while it is not closed."""
        self.opened_at = 0.0
        self.closed_at = float("-inf")
        self.probe_at = 0.0
        """When the next probe is due, while it is open."""
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
    def probe_patience(self) -> float:
        """Return how many seconds a probe may take. Later ones may take longer: a slow vendor is better than none."""
        return min(max(self._delay(0.0), 2.5), 10.0)

    def has_room(self, under_way: int) -> bool:
        """Return whether one more handshake may begin beside those that are under way.

        Otherwise all calls that arrive together would have connected before the first one is refused.
        """
        return not self.is_open and (self._is_trusted or under_way < self._MOST_AT_ONCE)

    def failed(self, now: float, call: str, kind: Counts, why: str, wait: float = 0.0, jitter: float = 0.0) -> bool:
        """A call was refused, or got no answer. Returns whether that opens the breaker.

        `kind`: what the refusal says about the account; `why`: for operators; `wait`: as the vendor asked, in seconds.
        """
        if not kind:
            return False
        self._is_trusted = False
        if self.is_open:  # begun before it opened; the latest wait holds
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
        """A call was connected. Returns whether that closes the breaker."""
        self._is_trusted = True
        return self._close(now)

    def probe_began(self, now: float) -> None:
        """A probe begins."""
        self.state, self._probe_began = "probing", now
        self._probes += 1

    def probe_ended(self, now: float, kind: Counts, why: str = "", wait: float = 0.0, jitter: float = 0.0) -> bool:
        """A probe has ended. Returns whether that closes the breaker.

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
