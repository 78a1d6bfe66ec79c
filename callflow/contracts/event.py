"""What every event of a call has: its leg, and its name in the machine's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from msgspec import Struct


CALLER = "caller"
"""The leg between the carrier and the person who talks with the agent."""
HUMAN = "human"
"""The leg of the person to whom a call is transferred."""
FORMER = "former"
"""The leg of a person to whom an earlier transfer led: what is told of it decides nothing any more."""


@dataclass(frozen=True, slots=True)
class LegIds:
    """A carrier's ids of one leg. A webhook may lack some of them, so each of them finds the call."""

    control: str = ""
    """The id that commands are addressed to (Telnyx `call_control_id`). It is never parsed."""
    leg: str = ""
    session: str = ""
    """Groups the legs of one conversation (Telnyx `call_session_id`); see `PART_OF`."""
    number: str = ""
    """The id of the number that was dialled (Twilio `PN…`)."""

    def known(self) -> tuple[str, ...]:
        """Return the ids that belong to this leg alone."""
        return tuple(name for name in (self.leg, self.control) if name)


PART_OF: Final = "call:"
"""Stands before the id of a call of ours in the `session` of its other leg, which came to us as a call of its own."""


LED: Final = "leg:"
"""Stands before carrier and id of a leg that was led to us by SIP, in the `session` of the call that arrived with it:
what that leg costs, that call costs."""


def part_of(ids: LegIds) -> str:
    """Return the id of our call whose other leg this is; "": of none."""
    return ids.session.removeprefix(PART_OF) if ids.session.startswith(PART_OF) else ""


class Event(Struct, frozen=True, kw_only=True):
    """The base class of all events."""

    name: ClassVar[str] = "event"
    leg: str = CALLER
    """The leg that it is about."""

    @property
    def trigger(self) -> str:
        """Its name in the machine's table."""
        return self.name
