"""What the simulated cluster has to do: how many calls there are, and what is known of each.

Times are seconds of virtual time, from the beginning of the simulation on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the cluster has to do. `steps` and `notes`: of one call in a second, as counted in a conversation."""

    nodes: int = 50
    of_machine: int = 4
    """Nodes on one machine."""
    calls: int = 10_000
    """At the same time, on average."""
    seconds: float = 300.0
    talk: float = 180.0
    """Length of a call in seconds, on average."""
    capacity: int = 300
    """Calls of a node at most."""
    steps: float = 0.06
    notes: float = 2.1
    twice: float = 0.01
    """Share of the first webhooks that reach two nodes at the same moment."""


@dataclass(slots=True, eq=False)
class Call:
    """A caller on the line."""

    id: int
    ends_at: float
    is_over: bool = False
    silent_since: float | None = None
    """Since when nobody serves it; None: somebody does."""
    voice: str = ""
    """The node whose stream the caller hears; "": none."""
    has_begun: bool = False
    is_written: bool = False
    """The database knows of it."""
    unwritten: int = 0
    """Steps that were taken and are not in the journal yet."""


@dataclass(slots=True, eq=False)
class Step:
    """A step of a call, which waits for the journal."""

    call: Call
    kind: Literal["began", "step", "ended"]
    at: float
    key: tuple[str, int]
    """Of the node that takes it."""
    has_gone_on: bool = False
    """Without the journal."""
