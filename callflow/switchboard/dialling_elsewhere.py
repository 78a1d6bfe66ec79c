"""Spreads the calls that are dialled over the nodes of a cluster: whoever is asked to dial, or works on a campaign, has
the node make the call that has the most room.

Only requests with a key are led on when it is not known what became of them: the id of a call follows from its key, and
the database lets one node have it.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import asdict, replace
from typing import Any, Final

import msgspec

from callflow.cluster.forwarding import CLUSTER, Forwarding
from callflow.cluster.membership import Membership
from callflow.contracts.errors import CarrierError, DialRefused, PeerAway
from callflow.switchboard.dialer import Dialer, Dialled, DialRequest


log = logging.getLogger(__name__)

PATH: Final = "/dial"
_SECONDS: Final = 20.0
"""The other node waits 12 s for its carrier."""
_NO_ROOM: Final = (429, 503)
"""That node has no room at the moment, or has dialled enough in this minute."""


class DiallingElsewhere:
    """Both sides of it."""

    def __init__(self, dialer: Dialer, cluster: Membership, forwarding: Forwarding) -> None:
        self._dialer, self._cluster, self._forwarding = dialer, cluster, forwarding
        dialer.elsewhere = self.dial

    async def dial(self, request: DialRequest) -> Dialled | None:
        """Have another node make the call, if that has more room. Returns None if it is to be made here. Raises as
        `Dialer.dial`."""
        peer = self._cluster.peer(self._cluster.place(request.carrier))
        if peer is None:
            return None
        if not request.key:  # so that it may be made here if the other node does not answer
            request = replace(request, key=str(uuid.uuid4()))
        wanted = msgspec.json.encode({name: value for name, value in asdict(request).items() if name not in _SECRET})
        try:
            answer = await self._forwarding.send(peer, CLUSTER, "POST", PATH, body=wanted, seconds=_SECONDS)
            told = msgspec.json.decode(answer.body, type=_Told)
        except (PeerAway, msgspec.DecodeError) as error:
            log.warning("a call is dialled at this node after all: %s", error)
            return await self._dialer.dial_here(request)
        if told.refused is not None:
            status, reasons, wait = told.refused
            if status in _NO_ROOM:
                return await self._dialer.dial_here(request)
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
