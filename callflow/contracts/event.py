"""The base class of all events; `events.py` has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


CALLER = "caller"
"""The leg between the carrier and the person who talks with the agent."""
HUMAN = "human"
"""The leg of the person to whom a call is transferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base class of all events."""

    name: ClassVar[str] = "event"
    leg: str = CALLER
    """The leg that it is about."""

    @property
    def trigger(self) -> str:
        """Its name in the machine's table."""
        return self.name
