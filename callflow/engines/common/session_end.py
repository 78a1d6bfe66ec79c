"""Decides when a session is announced as expiring. Pure."""

from __future__ import annotations


def announcing(session_seconds: float, rotation_seconds: float, promised: float | None) -> tuple[float, float]:
    """Return how long to wait before a session that has just begun is announced as expiring, and how long it lasts from
    then on, in seconds.

    It is announced `rotation_seconds` before its end, which is our own limit or the server's, if that is sooner.
    `promised`: after how many seconds the server ends the session; None: it has not said so. A promise that leaves not
    even time for the change is none: one of the clocks is wrong, and sessions would be replaced all the time.
    """
    left = session_seconds + rotation_seconds
    if promised is not None and promised > rotation_seconds:
        left = min(left, promised)
    wait = min(session_seconds, left - rotation_seconds)
    return wait, left - wait
