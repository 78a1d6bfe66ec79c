"""The states of an alert. Pure. When one opens and closes, `switchboard/health/alert_life_cycle.py` decides."""

from __future__ import annotations

from typing import Final


OPEN, SEEN, CLOSED = "open", "seen", "closed"
STATES: Final = (OPEN, SEEN, CLOSED)


def state_of(seen_at: float | None, closed_at: float | None) -> str:
    """Return the state of an alert that was seen and closed at these times; None: it was not."""
    if closed_at is not None:
        return CLOSED
    return OPEN if seen_at is None else SEEN
