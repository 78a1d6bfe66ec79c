"""Decides what a load balancer is told: whether new calls are to be sent here."""

from __future__ import annotations

from typing import Final, Protocol


RETRY_AFTER: Final = {"starting": 1, "draining": 30, "database": 5, "full": 5}
"""Seconds after which asking again makes sense, by the word that says why no new calls are to be sent here."""


class SwitchboardCapacity(Protocol):
    """What is asked of the switchboard."""

    @property
    def is_accepting(self) -> bool:
        """Whether new calls are taken."""

    def dial_refusal(self, config: None) -> str:
        """Return why no call would begin now, as a clause; "": it would."""


class NodeState(Protocol):
    """What is asked of the history and of the cluster."""

    def lacks(self) -> str:
        """Return why new calls are better sent elsewhere: see `Recovery.lacks`."""

    def has_room_beside(self) -> bool:
        """Return whether another worker of this machine takes new calls."""


def unready(switchboard: SwitchboardCapacity, node: NodeState) -> str:
    """Return why no new calls are to be sent here, as a word of `RETRY_AFTER`; "": they are welcome.

    A call that comes in without a database is taken all the same, but another server that has one is to be preferred.
    Workers of one machine answer for each other: any of them may get the question, and passes new calls on.
    """
    word = "" if switchboard.is_accepting else "draining"
    word = word or node.lacks() or ("full" if switchboard.dial_refusal(None) else "")
    return "" if word in ("draining", "full") and node.has_room_beside() else word
