"""Finds the node of a cluster that has a recording of ours.

A recording lies with the node that made it, unless all nodes have the same folder, or until it is in the store that all
read. A call that was taken over has parts at several.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, quote

from callflow.cluster.forwarding import Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.nodes import out_of_reach
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway, StoreAway
from callflow.history import recording_rows
from callflow.history.history import History
from callflow.web.console.call_recording import file_of


_OF_A_CALL: Final = re.compile(r"/api/calls/([^/]+)/recording(?:/peaks)?")
_BY_NAME: Final = re.compile(r"/api/recordings/([^/]+)/audio")
_PART: Final = re.compile(r"[1-9][0-9]{0,8}")


class RecordingsElsewhere:
    """Asks the other nodes for recordings that are not here."""

    def __init__(self, history: History, cluster: Membership, forwarding: Forwarding) -> None:
        self._history, self._cluster, self._forwarding = history, cluster, forwarding

    async def find(self, scope: Any) -> str:
        """Return the name of the node that has the recording a request is for; "": it is for none, or no node has it.
        Raises PeerAway if a node that may have it does not answer, and what the driver raises."""
        wanted = _wanted(scope)
        if wanted is None or not self._history.is_readable:
            return ""
        named = await file_of(self._history, *wanted)
        if named is None:
            return ""
        name = named[1]
        try:
            if await self._history.sounds.find(name) is not None:
                return self._cluster.me
        except StoreAway:  # it may lie still where it was made
            pass
        return await self._holder(self._cluster.living(), name)

    async def _holder(self, peers: Sequence[Peer], name: str) -> str:
        async def one(peer: Peer) -> tuple[str, bool | None]:
            try:
                asked = await self._forwarding.ask(peer, "GET", f"/recordings/{quote(name, safe='')}")
                return peer.name, bool(asked["here"])
            except (PeerAway, KeyError, TypeError):
                return peer.name, None

        asking, away = [asyncio.create_task(one(peer), name="who has a recording") for peer in peers], []
        try:
            for answer in asyncio.as_completed(asking):
                node, is_there = await answer
                if is_there:
                    return node  # however long others take
                if is_there is None:
                    away.append(node)
        finally:
            for each in asking:
                each.cancel()
        away += out_of_reach(self._cluster.view)  # a machine that is started again has its files still
        if away:
            raise PeerAway(f"node {away[0]}, which may have this recording, does not answer", sent=True)
        return ""


def _wanted(scope: Any) -> tuple[str, int] | None:
    """Return the call and the part of it that a request is for; None: it is for no recording of ours."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    if (found := _BY_NAME.fullmatch(scope["path"])) is not None:
        return recording_rows.own_part(found[1])
    if (found := _OF_A_CALL.fullmatch(scope["path"])) is None:
        return None
    part = parse_qs(scope["query_string"].decode("latin-1")).get("part", ["1"])[0]
    return (found[1], int(part)) if _PART.fullmatch(part) else None
