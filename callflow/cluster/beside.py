"""The nodes that begin on this machine together with this one, as long as the database says nothing of them.

Their main process has named them. That one of them lives, its lock says, which it takes before it asks the database: so
workers that begin while the database is away find each other's calls all the same. From the first renewal of its lease
on, the database says whether it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from callflow.cluster.node_lock import NodeLock
from callflow.cluster.nodes import View
from callflow.cluster.peers import NodeConfig, Peer
from callflow.contracts.errors import Overloaded


class Beside:
    """Those of one node."""

    def __init__(self, config: NodeConfig, lock: NodeLock) -> None:
        self._lock = lock
        self._peers = [Peer(name, at) for name, at in config.beside.items() if at and name != config.name]

    async def appear(self) -> None:
        """Let the others know that this node lives. Never raises."""
        with contextlib.suppress(OSError, Overloaded):  # the thread of the lease tries again, and says so
            await asyncio.to_thread(self._lock.take)

    def vanish(self) -> None:
        """Undo `appear`, where this node has never tried to join."""
        self._lock.release()

    def peer(self, name: str, view: View) -> Peer | None:
        """Return that of the `unseen` ones which has this name; None: there is none."""
        return next((peer for peer in self.unseen(view) if peer.name == name), None)

    def unseen(self, view: View) -> Sequence[Peer]:
        """Return those that live and of which the database says nothing, neither that they live nor that they are
        dead."""
        seen = {node.name for node in view.nodes}
        return [peer for peer in self._peers if peer.name not in seen and not self._lock.is_free(peer.name)]
