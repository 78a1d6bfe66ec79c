"""One row of a table of transitions, and the groups of states that rows are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from callflow.call.machine.action_parts import Action
from callflow.call.machine.guards import Guard
from callflow.call.machine.model import ANSWERED, BRIDGED, RECOVERING, RINGING, STREAMING, TRANSFERRING


@dataclass(frozen=True, slots=True)
class Row:
    """On `trigger`, in any of `source`, if all of `when` hold and none of `unless`: go to `dest`, do `then`.

    `dest` None: stay. Of the rows that fit, the first one is taken.
    """

    trigger: str
    source: str | tuple[str, ...]
    dest: str | None
    then: tuple[Action, ...] = ()
    when: tuple[Guard, ...] = ()
    unless: tuple[Guard, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The states in which the row holds."""
        return (self.source,) if isinstance(self.source, str) else self.source


TALKING: Final = (RINGING, ANSWERED, STREAMING, RECOVERING)
"""The agent has the call."""
LIVE: Final = (*TALKING, TRANSFERRING, BRIDGED)
AFTER_ANSWER: Final = (ANSWERED, STREAMING, RECOVERING)
FLOWING: Final = (STREAMING, RECOVERING)
