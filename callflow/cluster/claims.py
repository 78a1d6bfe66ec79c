"""Which calls this node has, and the fence of its journal: nothing is written of a call that another node has.

A call is claimed in the transaction of its first entry, and given up in that of its last one. Each transaction first
looks whether this node was declared dead meanwhile, because then its calls are another's: nothing more is written about
them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Final

from cachetools import FIFOCache
from sqlalchemy import Connection

from callflow.cluster import node_store
from callflow.cluster.nodes import LANES, lost
from callflow.contracts.errors import JournalError, Overloaded
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended


_ENDED: Final = Ended.kind
_MOST_GONE: Final = 10_000


class Claims:
    """The claims of one node, as the writer of its journal asks for them; `admit` may run on a thread."""

    def __init__(self) -> None:
        self.key: tuple[str, int] | None = None
        """Name and epoch of this node; None: it has not joined yet, and nothing is claimed."""
        self._held: dict[str, tuple[str, int] | None] = {}
        """Claimed calls, each with the key under which it was: after this node has joined anew, it has them no more."""
        self._admitted_as: tuple[str, int] | None = None
        """The key of the last transaction of the journal."""
        self._fresh: set[str] = set()
        """Calls that began here, and whose first entry is not written yet, as far as is known."""
        self._sent: dict[str, tuple[str, int] | None] = {}
        """Those of them whose first commit was begun, each with the key of its claim: until its end is known, others
        may have read it."""
        self._doubtful: set[str] = set()
        """Those of them that this node has let go of since. If that commit did not come through, nobody has them."""
        self._found: set[str] = set()
        """Those of them that are claimed by the last transaction of the journal."""
        self._coming: set[str] = set()
        """Calls that were taken over, and are not read from their journals yet."""
        self._came: set[str] = set()
        """Those that came since the last transaction of the journal began: it may not have known."""
        self._gone: FIFOCache[str, None] = FIFOCache(_MOST_GONE)
        """Calls that this node has let go of: what is still noted about them here is not written."""
        self._closing: set[str] = set()
        """Those of them that were given a moment ago: their last notes are written, before the other node is told."""
        self._going: set[str] = set()
        """Calls that were given to nodes which have not been told yet."""

    @property
    def lane(self) -> int:
        """The last three digits of the ids of this node's entries: see `node_store.join`."""
        return (self.key[1] if self.key is not None else os.getpid()) % LANES

    def begin(self, call: str) -> None:
        """Learn that a call has begun here."""
        self._fresh.add(call)
        self._sent.pop(call, None)
        self._gone.pop(call, None)

    def hold(self, calls: Collection[str], key: tuple[str, int]) -> None:
        """Learn of calls that were taken over: they were claimed for this node, under this key, elsewhere."""
        self._held.update(dict.fromkeys(calls, key))
        self._coming.update(calls)
        for call in calls:
            self._gone.pop(call, None)
        self._came.update(calls)  # last: see `admit`

    def has(self, call: str) -> bool:
        """Return whether this node has a call, as far as it knows."""
        return call in self._fresh or (call in self._held and self._held[call] == self.key)

    def has_let_go(self, call: str) -> bool:
        """Return whether this node had a call, lately, and another one has it now."""
        return call in self._gone

    def has_come_back(self, call: str) -> bool:
        """Return whether a call that the last transaction of the journal found to be another node's was given to this
        one meanwhile, as when the other did not take it."""
        return call in self._came

    def is_coming(self, call: str) -> bool:
        """Return whether this node is taking a call over at this moment: the claim is here, and the call not yet."""
        return call in self._coming

    def comes_back(self, call: str) -> None:
        """Keep a call that was to be given away: it goes on here after all."""
        self._coming.add(call)

    def arrived(self, call: str) -> None:
        """Note that a call which was taken over goes on here, or turned out to be over."""
        self._coming.discard(call)

    def is_fresh(self, call: str) -> bool:
        """Return whether a call began here and cannot be in the database yet: no other node knows of it."""
        return call in self._fresh and call not in self._sent

    def hand_over(self, connection: Connection, call: str, to: tuple[str, int]) -> None:
        """Give a call to another node, within the transaction that writes its last entry, after `admit`. Raises
        Overloaded if that node takes no calls, or this one does not have the call."""
        key = self._admitted_as
        if key is None or not node_store.hand_over(connection, call, key, to, ("up",)):
            raise Overloaded("this node does not have the call")

    def gave(self, call: str) -> None:
        """Note that the transaction of `hand_over` is committed. What follows of the call, until `confirm_taken`, are
        its last notes."""
        self.drop([call])
        self._closing.add(call)
        self._going.add(call)

    def noted(self, call: str) -> None:
        """Note that nothing more of a call that was given is to be written here."""
        self._closing.discard(call)

    def confirm_taken(self, call: str) -> None:
        """Note that the other node goes on with a call that was given, or will find it."""
        self._closing.discard(call)
        self._going.discard(call)

    def is_going(self, call: str) -> bool:
        """Return whether a call was given to a node that has not been told yet."""
        return call in self._going

    def drop(self, calls: Collection[str]) -> None:
        """Let go of these calls: other nodes have them now."""
        for call in calls:
            self._gone[call] = None  # first: see `admit`
            self._held.pop(call, None)
            self._fresh.discard(call)
            self._sent.pop(call, None)
            self._coming.discard(call)
            self._closing.discard(call)
            self._doubtful.discard(call)

    def drop_all(self) -> None:
        """Let go of all calls that this node has claimed, or may have, also those that it is just taking over: other
        nodes have them now."""
        doubtful = set(self._sent)
        self.drop([*self._held, *doubtful])
        self._doubtful |= doubtful

    def admit(self, connection: Connection, entries: Sequence[JournalEntry]) -> set[str]:
        """Claim the calls that are new, within the transaction that writes these entries.

        Returns the calls of which nothing may be written, because another node has them. Raises JournalError, so that
        it is tried again, if calls are new and this node is no member of the cluster yet, or again.

        A call that is dialled, and of which the journal has something, is another's, too, although nobody has it any
        more: that node got the same request, and has made the call, while this one stood still.

        One that was let go before it was known whether it is in the database, and is not, is claimed, too: this node
        finds it at its next look, as one that it was given, and goes on with it.
        """
        key, self._found, self._came = self.key, set(), set()
        calls = {entry.call for entry in entries}
        held, fresh, doubtful = calls & self._held.keys(), calls & self._fresh, calls & self._doubtful
        former = {call for call in held if self._held.get(call, key) != key}
        closing = calls & self._closing
        # last: the loop may have dropped a call since the first line
        gone = former | (calls & self._gone.keys()) - closing - doubtful
        held = held - gone | closing
        if not (held or fresh or doubtful):
            return gone
        if key is None:
            raise JournalError("this node has not joined the cluster yet")
        node_store.begin(connection)
        if not node_store.is_alive(connection, key):
            if fresh or doubtful:
                raise JournalError("this node was declared dead, and has to join the cluster anew")
            return gone | held
        self._admitted_as = key
        known = node_store.on_record(connection, doubtful) if doubtful else set()
        gone, fresh = gone | known, fresh | doubtful - known
        gone |= lost(fresh, node_store.claim(connection, sorted(fresh), key), key) if fresh else set()
        if dialled := {entry.call for entry in entries if _is_dialled(entry)} & fresh - gone:
            made = node_store.on_record(connection, dialled)
            node_store.release(connection, made, key)
            gone |= made
        self._found = doubtful - gone
        ended = {entry.call for entry in entries if entry.name == _ENDED} - gone
        if ended:
            node_store.release(connection, ended, key)
        return gone

    def committing(self, entries: Sequence[JournalEntry]) -> None:
        """Note that the transaction of these entries is complete: whether its commit comes through is only known when
        this node is told so."""
        key = self._admitted_as
        self._sent.update({entry.call: key for entry in entries if entry.call in self._fresh})

    def written(self, entries: Sequence[JournalEntry]) -> None:
        """Note that the transaction of these entries is committed."""
        for entry in entries:
            if entry.call in self._found:
                self._doubtful.discard(entry.call)
                self._gone.pop(entry.call, None)
            if entry.call in self._fresh:
                self._fresh.discard(entry.call)
                self._held[entry.call] = self._sent.pop(entry.call, self._admitted_as)
            if entry.name == _ENDED:
                self._held.pop(entry.call, None)


def _is_dialled(entry: JournalEntry) -> bool:
    """Whether this is the beginning of a call that was asked for."""
    return entry.name == Began.kind and bool(entry.event.get("order"))
