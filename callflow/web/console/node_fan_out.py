"""Asks the other nodes of a cluster the same that an operator has asked this one, for what only all of them know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from quart import Response, after_this_request, request
from werkzeug.wrappers.response import Response as PlainResponse

from callflow.cluster.forwarding import CONSOLE, Answer, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.web.public.request import target_of


log = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(log)

_AnyResponse = Response | PlainResponse

_SECONDS: Final = 1.0
_MISSING: Final = '299 callflow "Without what these nodes have, which do not answer: {}."'


class Answers(dict[str, Answer]):
    """The answers of other nodes, by their names."""

    missing: Sequence[str] = ()
    """The living nodes that have not answered."""


class NodeFanOut:
    """The other nodes, for routes of the operators' app."""

    def __init__(self, cluster: Membership, forwarding: Forwarding) -> None:
        self._cluster, self._forwarding = cluster, forwarding

    @property
    def me(self) -> str:
        """The name of this node."""
        return self._cluster.me

    @property
    def is_asked_by_node(self) -> bool:
        """Whether the present request is one of another node, which puts the answers of all together."""
        return bool(request.scope.get(FORWARDED))

    async def answers(self, accept: str = "") -> Answers:
        """Send the present request to all other nodes, and return their answers. Those that do not answer within a
        second are named in the answer to the request, in the header `Warning`. Empty for a request that another node
        has sent. `accept`: the form that is wanted."""
        found = Answers()
        if self.is_asked_by_node:
            return found
        headers = [(name, value) for name, value in request.headers if not (accept and name.lower() == "accept")]
        if accept:
            headers.append(("Accept", accept))
        # The answer to HEAD has no body, and this node needs it to say how long its own would be.
        method = "GET" if request.method == "HEAD" else request.method

        async def one(peer: Peer) -> Answer | None:
            try:
                return await self._forwarding.send(
                    peer, CONSOLE, method, target_of(request.scope), headers, seconds=_SECONDS
                )
            except PeerAway as error:
                _warnings.say(peer.name, "the data of all nodes is shown without that of one node: %s", error)
                return None

        peers = self._cluster.living()
        for peer, answer in zip(peers, await asyncio.gather(*(one(peer) for peer in peers)), strict=True):
            if answer is not None and answer.status == 200:
                found[peer.name] = answer
        if missing := sorted(peer.name for peer in peers if peer.name not in found):
            found.missing = missing

            @after_this_request
            def said(response: _AnyResponse) -> _AnyResponse:
                response.headers["Warning"] = _MISSING.format(", ".join(missing))
                return response

        return found
