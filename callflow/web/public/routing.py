"""Which node of a cluster a webhook is for, and sending it there.

A webhook is forwarded to the node that its address names, without a question to the database. Where that node does not
have the call and another one has, it says so (`MISLED`), and the sender looks up who; nobody passes on what was
forwarded. A webhook about a call of a dead node waits until that call has been taken over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from quart import Response

from callflow.cluster.forwarding import PUBLIC, Forwarding
from callflow.cluster.node_paths import FORWARDED, NODE
from callflow.cluster.peers import Peers
from callflow.contracts import events
from callflow.contracts.errors import PeerAway
from callflow.contracts.events import WebhookEvent
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.request import target_of


log = logging.getLogger(__name__)

MISLED: Final = 421
"""The status with which a node answers another one that a third one has the call of a webhook: HTTP's "misdirected
request". No carrier gets it."""
_SECONDS: Final = 1.3
"""How much longer than usual the other node may take."""
_REPEATS_SECONDS: Final = 1.5
"""A webhook that is answered within this time is not sent again before its call is in the history."""
_GONE_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02
_OPENS: Final = (events.CallInitiated, events.CallAnswered, events.CallResumed)
"""Events that open a call where nobody has it."""


class WebhookRouting:
    """The routing of one node."""

    def __init__(self, peers: Peers, forwarding: Forwarding, switchboard: Callable[[], Switchboard]) -> None:
        self._peers, self._forwarding, self._switchboard = peers, forwarding, switchboard
        self.me = peers.me

    async def elsewhere(
        self, scope: Any, webhook_event: WebhookEvent, *, may_place: bool = True, by_name: bool = True
    ) -> str:
        """Return the name of the node that a webhook is for; "": this one. `may_place`: a call that nobody has yet may
        be given to another node; not again when that one has not answered. `by_name`: it is for the living node that
        its address names; not when that one has said that another one has the call."""
        switchboard, peers = self._switchboard(), self._peers
        if scope.get(FORWARDED) or switchboard.has(webhook_event):
            return ""
        named = scope.get(NODE, "")
        if by_name and named and peers.peer(named) is not None:
            return str(named)
        owner = await self._whose(webhook_event)
        if not owner and may_place and isinstance(webhook_event.event, _OPENS) and not webhook_event.call:
            owner = peers.place()
        return "" if not owner or owner == peers.me else owner

    def _names(self, webhook_event: WebhookEvent) -> list[str]:
        """Return the ids of the calls that decide where a webhook goes: its own, and then that of which the leg that
        rings is the other side, because it is conducted as that one was ordered."""
        own = webhook_event.call or self._switchboard().name_of(webhook_event)
        return [own, webhook_event.linked_call] if webhook_event.linked_call else [own]

    async def _whose(self, webhook_event: WebhookEvent) -> str:
        """Return the name of the node that has the call of a webhook, maybe this one; "": none, as far as is known."""
        asks = self._switchboard().reply_seconds(webhook_event.event) > _REPEATS_SECONDS
        for call in self._names(webhook_event):
            owner = await self._peers.owner(call)
            if owner is None or (not owner and asks):
                owner = await self._forwarding.who_has(call)
            if owner:
                return owner
        return ""

    async def is_misled(self, scope: Any, webhook_event: WebhookEvent) -> bool:
        """Return whether another node has sent a webhook here, and a third one has the call: this one has begun again
        under its name since the address was given out, or has given the call away, maybe just when it was asked for."""
        switchboard, peers = self._switchboard(), self._peers
        if not scope.get(FORWARDED) or switchboard.has(webhook_event):
            return False
        names = self._names(webhook_event)
        is_ours = switchboard.is_live(names[0]) or switchboard.knows(webhook_event.carrier, webhook_event.ids)
        if not any(map(peers.has_let_go, names)) and (is_ours or scope.get(NODE) != peers.me):
            return False  # it was sent here because the database, or this node, has just said so
        return await self._whose(webhook_event) not in ("", peers.me)

    async def is_anothers(self, webhook_event: WebhookEvent) -> bool:
        """Return whether a webhook is about a call that this node has let go of, and that may be another's: that one
        serves the caller, even where this node cannot learn its name."""
        gone = [name for name in self._names(webhook_event) if self._peers.has_let_go(name)]
        if not gone or self._switchboard().has(webhook_event):
            return False
        return await self._peers.owner(gone[0]) not in ("", self._peers.me)

    async def tell_others(self, scope: Any, webhook_event: WebhookEvent, method: str, body: bytes) -> None:
        """Send the hang-up of a call that is not in the history to all other nodes: one of them may have it, and ask
        about the caller first. Not that of a leg which was here, or whose address names a node: those come after the
        end of every call. Never raises."""
        switchboard, peers = self._switchboard(), self._peers
        if not isinstance(webhook_event.event, events.CallHangup) or scope.get(FORWARDED) or scope.get(NODE):
            return
        if switchboard.knows(webhook_event.carrier, webhook_event.ids):
            return
        if await peers.owner(webhook_event.call or switchboard.name_of(webhook_event)):
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

    async def owner(self, call: str) -> str | None:
        """Return the name of the node that has a call which this node has just let go of, maybe this one; "": nobody
        has it, which is so after this node was declared dead for a moment; None: it is not known."""
        for _ in range(int(_GONE_SECONDS / _LOOK_SECONDS)):
            if not self._switchboard().is_live(call):
                break
            await asyncio.sleep(_LOOK_SECONDS)  # it winds up what it has let go of
        return await self._peers.owner(call)

    async def forward(
        self, scope: Any, webhook_event: WebhookEvent, method: str, body: bytes, to: str
    ) -> Response | None:
        """Send a webhook to another node, and return its answer. None: that node is gone, or does not answer."""
        peer = self._peers.peer(to)
        if peer is None:
            return None
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        seconds = self._switchboard().reply_seconds(webhook_event.event) + _SECONDS
        try:
            answer = await self._forwarding.send(peer, PUBLIC, method, target_of(scope), headers, body, seconds=seconds)
        except PeerAway as error:
            log.warning("a webhook could not be forwarded: %s", error)
            return None
        response = Response(answer.body, answer.status)
        for name, value in answer.headers:
            response.headers[name] = value
        return response
