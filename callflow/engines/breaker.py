"""How often a vendor is asked that refuses: by one call, and by all the calls of one account. Nothing but rules here.

Time, and jitter between 0 and 1, come as arguments; the sockets and clocks are in `callflow.engines.openai_realtime.account`.

A call asks at once, and then after pauses of up to three seconds (`Pace`): an engine that recovers while a caller waits
is asked again soon. All that a call's sessions ask counts together, so that a call whose sessions break one after the
other asks no more often than another.

An account refuses all its calls alike. What says so again and again opens its `Breaker`: then no call asks any more,
and one connection now and then finds out whether the vendor is back.
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
"""Seconds of a `Retry-After` that are believed; whoever asks for a day would shut the line for a day."""


# What the vendor says


def counts(status: int, code: str = "", param: str = "") -> Counts:
    """What an HTTP answer to a handshake says about the account; `code` and `param`: of the error in its body."""
    if status == 401 or (status == 403 and "model" not in f"{code} {param}" and not param.startswith("session")):
        return "at once"
    return "one" if may_pass(status) else ""


def may_pass(status: int) -> bool:
    """The same question may be answered otherwise in a moment."""
    return status in (408, 429) or status >= 500


def asked_to_wait(after: Sequence[str], now: float, *, milliseconds: Sequence[str] = (), date: str = "") -> float:
    """The seconds that `Retry-After` asks for, in any of its forms, or `retry-after-ms`; 0: it does not say.

    `date`: the answer's own; by its clock the time is meant, and by ours (`now`, Unix time) if it has none.
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
    """When one call may ask: over all its sessions."""

    MOST: Final = 5
    MOST_HAD: Final = 10
    WITHIN: Final = 15.5
    """Fifteen seconds as the vendor counts, whom one question may reach later than another."""
    PAUSES: Sequence[float] = (0.5, 2.4, 2.9, 2.9)
    """After the first refusal, the second, …: five attempts within ten seconds, for who waits as long (three within the
    four that a call waits by default), and no gap of three seconds among them."""
    PATIENCE: Final = 2.9
    """For one handshake. After that another is tried beside it: an engine that hangs and recovers does not always
    remember what it was asked before."""
    _JITTER: Final = 0.15
    """So much of a pause is left away at most. It is never longer: see PAUSES."""
    _JITTER_SECONDS: Final = 0.3
    """What is added at most to a wait that was asked for: it is the same for many, and never cut short."""

    def __init__(self) -> None:
        self._begun: deque[float] = deque(maxlen=self.MOST)
        self._had: deque[float] = deque(maxlen=self.MOST_HAD)
        """When those began that were let in."""
        self._refusals = 0
        self._next = 0.0
        self._refused_at = 0.0
        self.users = 0
        """How many sessions ask by it now."""

    def may_begin_at(self, now: float, closed_at: float) -> float:
        """When the next attempt is due. `closed_at`: when the breaker last closed; what was asked of us before that,
        and our own pauses, are settled by it. How often a call asks is not."""
        due = now if closed_at > self._refused_at else max(now, self._next)
        if len(self._begun) == self.MOST:
            due = max(due, self._begun[0] + self.WITHIN)
        if len(self._had) == self.MOST_HAD:
            due = max(due, self._had[0] + self.WITHIN)
        return due

    def began(self, now: float) -> None:
        self._begun.append(now)
        self._refused_at = now
        self._next = now + self.PATIENCE

    def refused(self, now: float, wait: float, jitter: float) -> None:
        """The vendor's word goes before our wish to ask again within three seconds: `wait` is kept whatever it is."""
        pause = self.PAUSES[min(self._refusals, len(self.PAUSES) - 1)] * (1 - self._JITTER * jitter)
        self._refusals += 1
        self._refused_at = now
        self._next = now + max(pause, wait + self._JITTER_SECONDS * jitter if wait else 0.0)

    def hangs(self, now: float) -> None:
        """There is no answer yet; the pause has been."""
        self._refusals += 1
        self._next = min(self._next, now)

    def opened(self) -> None:
        """It was let in. Sessions that are had do not use up the attempts, as long as they are not many."""
        self._refusals, self._next = 0, 0.0
        if self._begun:
            self._had.append(self._begun.pop())

    def is_forgotten(self, now: float) -> bool:
        """It says no more than a new one."""
        last = max(*self._begun, *self._had, float("-inf"), float("-inf"))
        return not self.users and now - last >= self.WITHIN


# All calls


class Breaker:
    """Whether the calls of one account may ask at all.

    closed -> open -> probing -> closed, or open again. Failures count while it is closed, and a success closes it.
    """

    FAILURES: Final = 5
    """In a row, over all calls, with no success among them. One call alone asks no more often than that anyway, and
    what it meets may be its own (its model's limit): another has to have met it too."""
    WITHIN: Final = 10.0
    PROBES: Final = (1.0, 2.0, 2.5, 2.5, 2.5, 2.5, 5.0, 10.0, 20.0, 30.0)
    """Seconds from one probe's beginning to the next. As long as a caller may still wait they are less than three."""
    _JITTER: Final = 0.2
    _MOST_AT_ONCE: Final = 12
    """Handshakes under way to a vendor of whom nobody knows whether it takes any."""

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
        """The last call that asked was let in."""

    @property
    def is_open(self) -> bool:
        return self.state != "closed"

    @property
    def probe_patience(self) -> float:
        """How long a probe may take. Later ones may take longer: an engine that is slow is better than none."""
        return min(max(self._delay(0.0), 2.5), 10.0)

    def has_room(self, under_way: int) -> bool:
        """Whether one more call may ask beside those whose question is `under_way`.

        Else those who come at the same moment would all have asked before the first is refused."""
        return not self.is_open and (self._is_trusted or under_way < self._MOST_AT_ONCE)

    def failed(self, now: float, call: str, kind: Counts, why: str, wait: float = 0.0, jitter: float = 0.0) -> bool:
        """A call was refused, or got no answer. True: that has opened it."""
        if not kind:
            return False
        self._is_trusted = False
        if self.is_open:  # it was asked before that; its later word holds
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
        """A call was let in. True: that has closed it."""
        self._is_trusted = True
        return self._close(now)

    def probe_began(self, now: float) -> None:
        self.state, self._probe_began = "probing", now
        self._probes += 1

    def probe_ended(self, now: float, kind: Counts, why: str = "", wait: float = 0.0, jitter: float = 0.0) -> bool:
        """True: that has closed it. So does an answer that is about one model or one session: the vendor answers.

        What is closed by a probe lets calls in a few at a time, until one is let in."""
        if not self.is_open:  # a call was let in meanwhile
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
    """Code and parameter of the error that a parsed body tells; "" for what it does not."""
    error = body.get("error") if isinstance(body, dict) else None
    told = error if isinstance(error, dict) else {}
    code, param = told.get("code"), told.get("param")
    return (code if isinstance(code, str) else "", param if isinstance(param, str) else "")
