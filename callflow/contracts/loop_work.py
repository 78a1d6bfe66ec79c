"""Tells whether the event loop was late by its own work, or because something else held it up. Pure."""

from __future__ import annotations


def is_own_work(lag: float, used: float) -> bool:
    """Return whether the loop was late by its own work, and not because something else, such as a thread that kept the
    interpreter, held it up. `lag`: how late a timer was; `used`: how much of that the loop was at work; in seconds."""
    return used >= lag / 2
