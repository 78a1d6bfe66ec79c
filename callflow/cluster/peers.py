"""What the rest of the product may ask of a cluster: who else serves calls, who has a call, who takes a new one.

A node is one serving process. A process that serves alone has no `Peers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node that is alive, as far as is known."""

    name: str
    """`[a-z0-9-]{1,32}`."""
    address: str
    """Where its cluster listener is: `unix:/path`, or `http://host:port`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Who this node is."""

    name: str
    """`[a-z0-9-]{1,32}`."""
    address: str
    """Of its cluster listener: `unix:/path`, or `http://host:port`."""
    folder: Path
    """Which the nodes of this machine share, for their locks."""
    capacity: int
    """Calls at the same time."""
    secret: bytes = field(repr=False)
    """With which nodes sign what they say to each other."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """The names of the nodes that begin on this machine at the same time, each with its address; "": not known."""


class OwnClaims(Protocol):
    """Which calls this node has, as far as it knows: see `callflow.cluster.claims`."""

    def has(self, call: str) -> bool: ...

    def has_let_go(self, call: str) -> bool:
        """Return whether this node had a call, lately, which another one was given or has taken over."""


class Peers(Protocol):
    """The nodes that share one history."""

    me: str
    """The name of this node."""

    @property
    def claims(self) -> OwnClaims:
        """Those of this node."""

    def peer(self, name: str) -> Peer | None:
        """Return a living node, also one of those `beside`; None: it is this one, or it is dead or unknown."""

    def living(self) -> Sequence[Peer]:
        """Return all living nodes but this one."""

    def beside(self) -> Sequence[Peer]:
        """Return the living nodes that began together with this one, and of which the database says nothing yet: they
        may have calls, and no lease."""

    def place(self, carrier: str = "", call: str = "") -> str:
        """Return the name of the node that takes a new call of a carrier: the one with the most room of those that have
        its keys, maybe this one. `carrier`: "": any. `call`: its id, by which it counts once however often it is asked
        for; "": it has none yet."""

    async def owner(self, call: str) -> str | None:
        """Return the name of the living node that has a call, maybe this one; "": nobody has it; None: it is not known.

        Waits while a call of a dead node is being taken over, within a bound. Never raises.
        """

    def suspect(self, name: str) -> None:
        """Learn that a node refuses connections: its process is gone."""
