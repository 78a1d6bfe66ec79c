"""Decides what a load balancer is told: whether new calls are to be sent here."""

from __future__ import annotations

from typing import Final, Protocol


RETRY_AFTER: Final = {"starting": 1, "draining": 30, "database": 5, "full": 5}
"""Seconds after which asking again makes sense, by the word that says why no new calls are to be sent here."""


class Board(Protocol):
    """What is asked of the switchboard."""

    @property
    def is_accepting(self) -> bool:
        """Whether new calls are taken."""

    def dial_refusal(self, config: None) -> str:
        """Return why no call would begin now, as a clause; "": it would."""


def unready(board: Board, lacks: str) -> str:
    """Return why no new calls are to be sent here, as a word of `RETRY_AFTER`; "": they are welcome.

    `lacks`: see `Recovery.lacks`. A call that comes in without a database is taken all the same, but another server
    that has one is to be preferred.
    """
    if not board.is_accepting:
        return "draining"
    return lacks or ("full" if board.dial_refusal(None) else "")
