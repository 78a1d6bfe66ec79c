"""Asks what decides where a webhook goes among the nodes of a cluster (`callflow.cluster.destination`), and sends it
there. A webhook about a call of a dead node waits until that call has been taken over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from quart import Response

from callflow.cluster.destination import AGAIN, MISLED, Here, Known, Missing, Owner, Refused, To, destination
from callflow.cluster.forwarding import PUBLIC, Forwarding
from callflow.cluster.node_paths import FORWARDED, NODE
from callflow.cluster.peers import Peer, Peers
from callflow.contracts.errors import PeerAway
from callflow.contracts.events import CallAnswered, CallHangup, CallInitiated, CallResumed, WebhookEvent
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.request import target_of


log = logging.getLogger(__name__)

_SECONDS: Final = 1.3
"""How much longer than usual the other node may take."""
_FOREIGN_SECONDS: Final = 5.0
"""How long a node may take for a webhook that nobody here can read: it may ask about the caller first."""
_REPEATS_SECONDS: Final = 1.5
"""A webhook that is answered within this time is not sent again before its call is in the history."""
_GONE_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02
_OPENS: Final = (CallInitiated, CallAnswered, CallResumed)
"""Events that open a call where nobody has it."""


class WebhookRouting:
    """The routing of one node."""

    def __init__(self, peers: Peers, forwarding: Forwarding, switchboard: Callable[[], Switchboard]) -> None:
        self._peers, self._forwarding, self._switchboard = peers, forwarding, switchboard

    @property
    def is_alone(self) -> bool:
        """Whether this node knows no other one, as before it has joined."""
        return not self._peers.living()

    async def destination(
        self,
        scope: Any,
        webhook_event: WebhookEvent,
        *,
        let_go: str = "",
        by_name: bool = True,
        may_place: bool = True,
    ) -> Here | To | Refused:
        """Return where a webhook goes: see `callflow.cluster.destination`. Who has its call is asked for once at most.

        `let_go`: the id of its call, which turned out to be another's when it was taken here. `by_name`: it is for the
        living node that its address names; not when that one has said that another one has the call. `may_place`: a
        call that nobody has yet may be given to another node; not again when that one has not answered."""
        calls = self._calls(webhook_event, let_go)
        known = self._known(scope, webhook_event, calls, by_name=by_name, may_place=may_place, let_go=bool(let_go))
        found, owner = destination(known), None
        if found is Missing.OWNER:
            owner = await self._owner(webhook_event, calls)
            found = destination(known, owner)
        if found is Missing.PLACE:
            found = destination(known, owner, self._peers.place(webhook_event.carrier, calls[0]))
        assert not isinstance(found, Missing), "both were asked"
        return found

    def _known(
        self,
        scope: Any,
        webhook_event: WebhookEvent,
        calls: Sequence[str],
        *,
        by_name: bool,
        may_place: bool,
        let_go: bool,
    ) -> Known:
        switchboard, peers, event = self._switchboard(), self._peers, webhook_event.event
        named, claims = scope.get(NODE, ""), peers.claims
        return Known(
            me=peers.me,
            is_live=not let_go and switchboard.has(webhook_event),
            is_ours=self._has(calls[0]),
            has_ended=switchboard.knows(webhook_event.carrier, webhook_event.ids),
            was_let_go=let_go or any(map(claims.has_let_go, calls)),
            is_forwarded=bool(scope.get(FORWARDED)),
            named=named if named == peers.me or (by_name and peers.peer(named) is not None) else "",
            begins=isinstance(event, CallInitiated) and not webhook_event.call,
            opens=isinstance(event, _OPENS) and not webhook_event.call,
            may_place=may_place,
        )

    def _calls(self, webhook_event: WebhookEvent, let_go: str = "") -> list[str]:
        """Return the ids of the calls that decide where a webhook goes: its own, and then that of which the leg that
        rings is the other side, because it is conducted as that one was ordered."""
        own = let_go or webhook_event.call or self._switchboard().name_of(webhook_event)
        return [own, webhook_event.linked_call] if webhook_event.linked_call else [own]

    def _has(self, call: str) -> bool:
        return self._peers.claims.has(call) or self._switchboard().is_live(call)

    async def _owner(self, webhook_event: WebhookEvent, calls: Sequence[str]) -> Owner:
        """Ask the database who has the call of a webhook; and the nodes, where it does not say, or may not know yet."""
        asks = self._switchboard().reply_seconds(webhook_event.event) > _REPEATS_SECONDS
        is_known = True
        for call in calls:
            was_claimed = self._has(call)  # before the question: its end may be written meanwhile
            node = await self._peers.owner(call)
            is_known &= node is not None
            if node is None or (not node and asks):
                node = await self._forwarding.who_has(call)
            if node:
                return Owner(node, call, was_claimed)
        return Owner("" if is_known else None)

    async def tell_others(
        self, scope: Any, webhook_event: WebhookEvent, method: str, body: bytes, owner: str | None
    ) -> None:
        """Send the hang-up of a call that is not in the history to all other nodes: one of them may have it, and ask
        about the caller first. Not that of a leg which was here, or whose address names a node: those come after the
        end of every call. `owner`: who has the call. Never raises."""
        switchboard, peers = self._switchboard(), self._peers
        if owner or not isinstance(webhook_event.event, CallHangup) or scope.get(FORWARDED) or scope.get(NODE):
            return
        if switchboard.knows(webhook_event.carrier, webhook_event.ids):
            return
        await asyncio.gather(*(self.forward(scope, webhook_event, method, body, peer.name) for peer in peers.living()))

    async def is_gone(self, name: str) -> bool:
        """Return whether a node that has not taken a webhook is dead; that is known a moment after it has refused a
        connection. Its calls are being taken over then."""
        for _ in range(int(_GONE_SECONDS / _LOOK_SECONDS)):
            if self._peers.peer(name) is None:
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def wound_up(self, call: str) -> None:
        """Wait a moment until nothing is left here of a call that this node has just let go of."""
        for _ in range(int(_GONE_SECONDS / _LOOK_SECONDS)):
            if not self._switchboard().is_live(call):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def forward_foreign(self, scope: Any, method: str, body: bytes) -> Response | None:
        """Send a request that may be the webhook of a carrier whose keys this node has not to those nodes that have
        more of them, until one takes it, and return its answer. None: none has, or the request came from a node. The
        node that its address names is asked first."""
        if scope.get(FORWARDED):
            return None
        named, found = scope.get(NODE, ""), None
        peers = [peer for peer in self._peers.living() if self._forwarding.keys.has_others(peer.name)]
        for peer in sorted(peers, key=lambda peer: peer.name != named):
            answer = await self._send(peer, scope, method, body, _FOREIGN_SECONDS)
            if answer is not None and answer.status_code not in (404, 405, MISLED):
                return answer
            if answer is None or answer.status_code == MISLED:  # it has the keys
                found = Response("the node that has this call does not answer", AGAIN)
        return found

    async def forward(
        self, scope: Any, webhook_event: WebhookEvent, method: str, body: bytes, to: str
    ) -> Response | None:
        """Send a webhook to another node, and return its answer. None: that node is gone, or does not answer."""
        peer = self._peers.peer(to)
        if peer is None:
            return None
        seconds = self._switchboard().reply_seconds(webhook_event.event) + _SECONDS
        return await self._send(peer, scope, method, body, seconds)

    async def _send(self, peer: Peer, scope: Any, method: str, body: bytes, seconds: float) -> Response | None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            answer = await self._forwarding.send(peer, PUBLIC, method, target_of(scope), headers, body, seconds=seconds)
        except PeerAway as error:
            log.warning("a webhook could not be forwarded: %s", error)
            return None
        response = Response(answer.body, answer.status)
        for name, value in answer.headers:
            response.headers[name] = value
        return response
