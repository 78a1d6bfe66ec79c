"""What keeps a process from writing about calls of another one that shares its history: `cluster/claims.py` is it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from sqlalchemy import Connection

from callflow.journal.journal import JournalEntry


class JournalFence(Protocol):
    """Keeps entries out that are about calls of another process: see `callflow.cluster.claims`."""

    @property
    def lane(self) -> int:
        """The last three digits of the ids of entries: no other process of this history uses them."""

    def begin(self, call: str) -> None:
        """Learn that a call has begun here."""

    def has_let_go(self, call: str) -> bool:
        """Return whether another process has a call that was here."""

    def admit(self, connection: Connection, entries: Sequence[JournalEntry]) -> Collection[str]:
        """Return the calls of which nothing may be written, within the transaction that writes these entries; may run
        on a thread."""

    def committing(self, entries: Sequence[JournalEntry]) -> None:
        """Learn that the transaction of these entries is about to be committed; may run on a thread."""

    def written(self, entries: Sequence[JournalEntry]) -> None:
        """Learn that the transaction of these entries is committed."""

    def hand_over(self, connection: Connection, call: str, to: tuple[str, int]) -> None:
        """Give a call to another process, within the transaction that writes its last entry; may run on a thread.
        Raises Overloaded if that process takes none."""

    def gave(self, call: str) -> None:
        """Learn that such a transaction is committed, and that whoever has waited for it goes on with the hand-over."""
