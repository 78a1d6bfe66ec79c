"""What things take, in seconds: as `scripts/bench cluster` has measured them, or assumed where that is said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Processor time of the database, of a node, and waiting."""

    cores: int = 4
    """Of the database's machine."""
    beat: float = 0.0007
    """Renewing a lease, and reading 50 nodes."""
    journal: float = 0.00035
    """A transaction of the journal, whatever is in it."""
    entry: float = 0.000055
    """An entry in it."""
    claim: float = 0.0005
    """A call that begins in it, and ends later."""
    take: float = 0.0005
    """Taking a share of a dead node's calls."""
    take_of_each: float = 0.00016
    read_journal: float = 0.00055
    """Reading a call's journal of 200 entries."""
    flush: float = 0.001
    """Assumed: until a commit is on the disk; takes no processor."""
    commit: float = 0.0016
    """Processor time of a node for a transaction of its journal."""
    webhook: float = 0.0015
    """A node looks at a webhook."""
    restore: float = 0.0063
    """A node makes a call of the 200 entries of its journal: 3.6 ms for the rows, 2.7 ms for the call."""
    set_up: float = 0.025
    """A node opens the sockets of a call."""
    audio: float = 0.0034
    """Share of a node's processor that a live call takes."""
    carrier: float = 0.15
    """Assumed: a carrier's answer to a question or a command."""
    stream: float = 0.35
    """Assumed: from the command to the carrier to its media socket."""
