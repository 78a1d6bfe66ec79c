"""What the answer of a receiver means for an event. Pure."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


_MOST_WAIT: Final = 3600.0
_TRIED_AGAIN: Final = frozenset({401, 403, 404, 408, 409, 425, 429})
"""Refusals that may be about the receiver, which is being set up, deployed or busy. Any other 4xx is about the event:
it would be the same tomorrow, and the events behind it would wait for nothing."""


class Answer(NamedTuple):
    """`again`: it may be taken later; `refused`: it never will. `wait`: seconds that the receiver asks for."""

    verdict: Literal["delivered", "again", "refused"]
    error: str = ""
    wait: float = 0.0


def judged(status: int, retry_after: str = "") -> Answer:
    """Return what an answer means. `retry_after`: the header of that name; only a number of seconds is heeded."""
    if 200 <= status < 300:
        return Answer("delivered")
    if 300 <= status < 400:
        return Answer(
            "again", f"HTTP {status}: a redirect, which is not followed; EVENTS_URL must be the final address"
        )
    if status == 410:
        return Answer("refused", "HTTP 410: the receiver wants no more events; take EVENTS_URL out, or change it")
    if 400 <= status < 500 and status not in _TRIED_AGAIN:
        return Answer("refused", f"HTTP {status}")
    wait = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else 0.0
    return Answer("again", f"HTTP {status}", min(wait, _MOST_WAIT))
