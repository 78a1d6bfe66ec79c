"""Limits the calls of one caller, at once and within an hour. Pure: time is an argument.

A caller is a telephone number in its international form (see `callflow.config.phone_numbers`). Calls from withheld
numbers are not counted, because they come from many people. The limit for all callers together, the number of calls at
once, is in `admission.py`.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Final

from cachetools import FIFOCache


HOUR: Final = 3600.0
_MOST_CALLERS: Final = 10_000
"""The most callers whose calls of the last hour are remembered; beyond it the caller with the oldest last call is
forgotten."""
_MOST_ELSEWHERE: Final = 1000
_URI: Final = re.compile(r"sips?:([^@;?>]*)(?:@([^;?>]*))?", re.IGNORECASE)
_NO_HOST: Final = ".invalid"
"""The end of the host name in the SIP address of an anonymous caller (RFC 3323)."""
_SPELLED: Final = frozenset({"266696687", "7378742833", "2562533", "8656696", "86282452253", "7748283", "464"})
"""ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE, PRIVATE, as they are spelled on a keypad, and one more that a
carrier sends in place of a number."""
_WORDS: Final = frozenset({
    "anonymous", "anonym", "unknown", "restricted", "private", "unavailable", "withheld", "blocked", "hidden",
    "undisclosed", "unidentified", "notavailable", "nonumber", "nocallerid", "outofarea", "none", "null", "na", "nil",
    "undefined",
})  # fmt: skip
_AROUND: Final = re.compile("callers?|number|name|call|id|user|party")
"""Words that may accompany one of `_WORDS`: "Private Number", "caller-id blocked"."""


def caller_of(number: str) -> str:
    """Return the key under which a caller is counted; "": the number is withheld. `number`: in international form, or
    as the carrier sent it if it is no telephone number."""
    text = number.strip()
    digits = re.sub("[^0-9]", "", text)
    uri = _URI.search(text)
    user, host = (uri[1], (uri[2] or "").lower()) if uri else (text, "")
    if host.partition(":")[0].endswith(_NO_HOST) or _is_withheld(user):
        return ""
    if uri is None and (digits in _SPELLED or digits.removeprefix("1") in _SPELLED):
        return ""
    return f"{user}@{host}".casefold() if uri else text.casefold()


def _is_withheld(user: str) -> bool:
    letters = re.sub(r"[\W_]", "", user.casefold())
    if letters.isdigit():
        return not letters.strip("0") or letters in _SPELLED
    return not letters or letters in _WORDS or _AROUND.sub("", letters) in _WORDS


class CallerLimits:
    """Counts the calls of each caller, and refuses a new call beyond the limits. Times are seconds, of any steady
    clock."""

    def __init__(self, at_once: int = 0, per_hour: int = 0, *, most: int = _MOST_CALLERS) -> None:
        """`at_once`, `per_hour`: calls of one caller; 0: no limit. `most`: the most callers remembered."""
        self._at_once, self._per_hour, self._most = at_once, per_hour, most
        self._live: dict[str, str] = {}
        """The caller of each counted live call."""
        self._count: dict[str, int] = {}
        self._lately: OrderedDict[str, deque[float]] = OrderedDict()
        """Times of each caller's last accepted calls, oldest first; the callers in the order of their last calls."""
        self._everywhere: FIFOCache[str, tuple[frozenset[str], int]] = FIFOCache(_MOST_ELSEWHERE)
        """What all nodes together had of a caller whose next call is decided about now: see `learn`."""

    @property
    def are_set(self) -> bool:
        """Whether there is a limit."""
        return bool(self._at_once or self._per_hour)

    def learn(self, number: str, live: Collection[str], within_an_hour: int) -> None:
        """Learn which live calls a caller has at all nodes of a cluster, and how many were accepted within an hour, for
        the decision about the caller's next call."""
        self._everywhere[caller_of(number)] = frozenset(live), within_an_hour

    def take(self, call: str, number: str, now: float) -> tuple[str, str]:
        """Count a new call, unless it exceeds a limit. Returns ("", "") if the call is counted, now or before; else the
        reason of the refusal, and a sentence that explains it. `now`: seconds of a monotonic clock."""
        caller = caller_of(number)
        if not caller or call in self._live:
            return "", ""
        self._forget(now)
        live, lately = self._count.get(caller, 0), self._within_an_hour(caller, now)
        elsewhere, hour = self._everywhere.pop(caller, (frozenset(), 0))
        live, lately = live + len((elsewhere - {call}) - self._live.keys()), max(lately, hour)
        if self._at_once and live >= self._at_once:
            return "caller_busy", f"this caller has {_calls(live)} already"
        if self._per_hour and lately >= self._per_hour:
            return "caller_limit", f"this caller has had {_calls(lately)} within an hour already"
        self._enter(call, caller, now)
        return "", ""

    def taken(self, call: str, number: str, at: float, now: float) -> None:
        """Count a call that another process accepted at the time `at`."""
        caller = caller_of(number)
        if caller and call not in self._live:
            self._forget(now)
            self._enter(call, caller, min(at, now))

    def over(self, call: str) -> None:
        """Stop counting the call as live."""
        caller = self._live.pop(call, "")
        if caller:
            self._count[caller] -= 1
            if not self._count[caller]:
                del self._count[caller]

    def _enter(self, call: str, caller: str, at: float) -> None:
        self._live[call] = caller
        self._count[caller] = self._count.get(caller, 0) + 1
        if not self._per_hour:
            return
        times = self._lately.setdefault(caller, deque(maxlen=self._per_hour))
        times.append(at)
        if len(times) > 1 and times[-2] > at:
            self._lately[caller] = times = deque(sorted(times), maxlen=self._per_hour)
        self._lately.move_to_end(caller)
        while len(self._lately) > self._most:
            self._lately.popitem(last=False)

    def _within_an_hour(self, caller: str, now: float) -> int:
        times = self._lately.get(caller, deque())
        while times and times[0] <= now - HOUR:
            times.popleft()
        return len(times)

    def _forget(self, now: float) -> None:
        """Forget the callers whose last call began more than an hour ago."""
        while self._lately:
            caller, times = next(iter(self._lately.items()))
            if times and times[-1] > now - HOUR:
                break
            del self._lately[caller]


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
