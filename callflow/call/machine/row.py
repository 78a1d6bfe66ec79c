"""One row of a table of transitions."""

from __future__ import annotations

from dataclasses import dataclass

from callflow.call.machine.basics import Action
from callflow.call.machine.guards import Guard


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
        return (self.source,) if isinstance(self.source, str) else self.source
