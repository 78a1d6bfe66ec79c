"""What the other nodes of a cluster tell of their live calls, while somebody watches here: one stream from each, for
the wall, and one for `/logs`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from callflow.cluster.forwarding import CLUSTER, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
_HEAD_SECONDS: Final = 5.0
_MOST_FRAME: Final = 4 << 20
LOST: Final = "lost"
"""The event that stands for the end of a node's stream."""

OnMessage = Callable[[str, str, Any], None]
"""Takes the name of a node, an event of its wall, and the data."""


class OtherNodes:
    """The streams of all other nodes."""

    def __init__(self, cluster: Membership, forwarding: Forwarding, path: str = "/live", *, pause: float = 0.0) -> None:
        """`path`: of the stream, at the other nodes. `pause`: seconds between two pieces of a stream."""
        self._cluster, self._forwarding, self._path, self._pause = cluster, forwarding, path, pause
        self._task: asyncio.Task[None] | None = None
        self.missing: set[str] = set()
        """The living nodes that tell nothing."""

    def beside(self, path: str, *, pause: float) -> OtherNodes:
        """Return what listens to other streams of the same nodes; `pause`: seconds between two pieces of a stream."""
        return OtherNodes(self._cluster, self._forwarding, path, pause=pause)

    def open(self, told: OnMessage) -> None:
        """Begin to listen to the other nodes. `told`: called with each event."""
        self._task = asyncio.create_task(self._run(told), name="other nodes")

    def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.missing.clear()

    async def _run(self, told: OnMessage) -> None:
        streams: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                living = {peer.name: peer for peer in self._cluster.living()}
                self.missing &= living.keys()
                for name in [name for name, task in streams.items() if task.done() or name not in living]:
                    streams.pop(name).cancel()
                for name, peer in living.items():
                    if name not in streams:
                        streams[name] = asyncio.create_task(self._listen(peer, told), name=f"node {name}")
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in streams.values():
                task.cancel()

    async def _listen(self, peer: Peer, told: OnMessage) -> None:
        try:
            async with self._forwarding.stream(peer, CLUSTER, "GET", self._path, seconds=_HEAD_SECONDS) as stream:
                if stream.status != 200:
                    raise PeerAway(f"node {peer.name} does not tell of its calls: status {stream.status}", sent=True)
                self.missing.discard(peer.name)
                waiting = b""
                async for piece in stream.pieces:
                    *frames, waiting = (waiting + piece).split(b"\n\n")
                    if len(waiting) > _MOST_FRAME:
                        raise PeerAway(f"node {peer.name} sends too much at once", sent=True)
                    for each in frames:
                        _read(peer.name, each, told)
                    await asyncio.sleep(self._pause)
        except PeerAway as error:
            log.info("%s", error)
            self.missing.add(peer.name)
        except Exception:
            log.exception("the live calls that node %s sends cannot be read", peer.name)
            self.missing.add(peer.name)
        finally:
            told(peer.name, LOST, None)


def _read(name: str, text: bytes, told: OnMessage) -> None:
    event, data = "", b""
    for line in text.split(b"\n"):
        if line.startswith(b"event: "):
            event = line.removeprefix(b"event: ").decode()
        elif line.startswith(b"data: "):
            data = line.removeprefix(b"data: ")
    if event and data:
        told(name, event, msgspec.json.decode(data))
