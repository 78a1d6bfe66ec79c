"""Spreads the calls that are dialled over the nodes of a cluster: whoever is asked to dial, or works on a campaign, has
the node make the call that has the most room.

Only requests with a key are led on when it is not known what became of them: the id of a call follows from its key, and
the database lets one node have it.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import asdict, replace
from typing import Any, Final

import msgspec

from callflow.cluster.forwarding import CLUSTER, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import Peer
from callflow.contracts.errors import CarrierError, DialRefused, PeerAway
from callflow.switchboard.dialer import Dialer, Dialled, DialRequest


log = logging.getLogger(__name__)

PATH: Final = "/dial"
_SECONDS: Final = 20.0
"""The other node waits 12 s for its carrier."""
_TOO_MANY: Final = 429
_NO_ROOM: Final = (_TOO_MANY, 503)
"""That node has no room at the moment, or has dialled enough in this minute."""
_REST_SECONDS: Final = 1.0
"""So long a node that had no room is not asked in place of this one."""


class DiallingElsewhere:
    """Both sides of it."""

    def __init__(self, dialer: Dialer, cluster: Membership, forwarding: Forwarding) -> None:
        self._dialer, self._cluster, self._forwarding = dialer, cluster, forwarding
        self._rests: dict[str, float] = {}
        """Until when a node is not asked."""
        dialer.elsewhere = self.dial

    async def dial(self, request: DialRequest) -> Dialled:
        """Make the call at the node that has the most room, or at the next one that may dial in this minute: each has a
        share of DIALS_PER_MINUTE. Raises as `Dialer.dial`."""
        chosen = self._cluster.peer(self._cluster.place(request.carrier))
        # So that one that does not answer may have made it, and another one is asked.
        keyed = request if request.key else replace(request, key=str(uuid.uuid4()))
        if chosen is not None and (made := await self._dial_at(chosen, keyed)) is not None:
            return made
        try:
            return await self._dialer.dial_here(request if chosen is None else keyed)
        except DialRefused as refused:
            if refused.status != _TOO_MANY:
                raise
            now = time.monotonic()
            others = [
                one for one in self._cluster.living()
                if one != chosen and self._rests.get(one.name, now) <= now
                and self._cluster.keys.serves(one.name, request.carrier)
            ]  # fmt: skip
            for peer in others:
                if (made := await self._dial_at(peer, keyed)) is not None:
                    return made
            raise

    async def _dial_at(self, peer: Peer, request: DialRequest) -> Dialled | None:
        """Have that node make the call. Returns None if it has no room, or does not answer. Raises as `dial`."""
        wanted = msgspec.json.encode({name: value for name, value in asdict(request).items() if name not in _SECRET})
        try:
            answer = await self._forwarding.send(peer, CLUSTER, "POST", PATH, body=wanted, seconds=_SECONDS)
            told = msgspec.json.decode(answer.body, type=_Told)
        except (PeerAway, msgspec.DecodeError) as error:
            log.warning("a call is dialled at another node than was meant: %s", error)
            return None
        if told.refused is not None:
            status, reasons, wait = told.refused
            if status in _NO_ROOM:
                self._rests[peer.name] = time.monotonic() + _REST_SECONDS
                return None
            raise DialRefused(status, *reasons, wait=wait)
        if told.failed is not None:
            message, status, code = told.failed
            raise CarrierError(message, status=status, code=code)
        if told.dialled is None:
            raise DialRefused(503, f"Node {peer.name} could not dial: its log says why.", wait=1)
        return told.dialled

    async def take(self, body: bytes) -> tuple[dict[str, Any], int]:
        """Make a call that another node asks for. Returns what it is told, and the HTTP status: `{"dialled": …}`,
        `{"refused": […]}`, `{"failed": […]}`, or 400 with `{"error": …}`."""
        try:
            request = msgspec.json.decode(body, type=DialRequest)
        except msgspec.DecodeError as error:
            return {"error": str(error)}, 400
        try:
            made = await self._dialer.dial_here(request)
        except DialRefused as refused:
            return {"refused": [refused.status, refused.reasons, refused.wait]}, 200
        except CarrierError as error:
            return {"failed": [str(error), error.status, error.code]}, 200
        return {"dialled": asdict(made)}, 200


_SECRET: Final = {"account", "api_key"}


class _Told(msgspec.Struct):
    dialled: Dialled | None = None
    refused: tuple[int, list[str], int] | None = None
    """Status, reasons, seconds to wait."""
    failed: tuple[str, int, str] | None = None
    """The carrier's message, status and code."""
