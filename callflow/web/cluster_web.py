"""What a node of a cluster has beside its two listeners: the third one, the requests to other nodes, and the routing of
webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from quart import Quart

from callflow.cluster.forwarding import CONSOLE, PUBLIC, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import NodeConfig
from callflow.cluster.socket_passing import TAKE_LISTENERS, SocketPassing
from callflow.contracts.media import HandoverInput
from callflow.history.history import History
from callflow.switchboard.dialer import Dialer
from callflow.switchboard.dialling_elsewhere import DiallingElsewhere
from callflow.switchboard.switchboard import Switchboard
from callflow.web.cluster_listener import bind, create_cluster_app
from callflow.web.console.live.other_nodes import OtherNodes
from callflow.web.console.live.service import LiveService
from callflow.web.listener import Listener
from callflow.web.public.routing import WebhookRouting


_MEET_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.01


class ClusterWeb:
    """Of one node. Made when a loop runs."""

    def __init__(
        self,
        config: NodeConfig,
        membership: Membership,
        history: History,
        switchboard: Callable[[], Switchboard],
        carriers: Collection[str] = (),
    ) -> None:
        """`carriers`: the names of those that this node has the keys of."""
        self._config, self._membership, self._history = config, membership, history
        self._switchboard = switchboard
        self.forwarding = Forwarding(config.name, config.secret, membership, carriers, address=config.address)
        membership.keys = self.forwarding.keys
        membership.tell = self.forwarding.tell_given
        membership.handover_input = self.forwarding.handover_input
        membership.announce = self.forwarding.announce
        membership.others_take_over = self.forwarding.others_take_over
        history.on_deleted = self.forwarding.tell_deleted
        self.routing = WebhookRouting(membership, self.forwarding, switchboard)
        self.others = OtherNodes(membership, self.forwarding)
        self._listener: Listener | None = None
        self.sockets = SocketPassing(config.folder, config.name)
        """Connections from and to the other workers of this machine."""

    def passing(self, connection: socket.socket, name: str) -> bool:
        """Hand a connection that came in at the public listener to the worker that it names. Returns False if it stays
        here."""
        # One that has just joined is not known yet; one that was stopped would take it and do nothing.
        is_dead = any(node.name == name and node.state == "dead" for node in self._membership.view.nodes)
        return name != self._config.name and not is_dead and self.sockets.pass_on(PUBLIC, connection, name)

    def give_listeners(self, listeners: Sequence[socket.socket], leave: Callable[[], None]) -> None:
        """Give the listening sockets to whoever asks for them on this machine, and then `leave`."""

        def give(asked: socket.socket) -> None:
            with asked, contextlib.suppress(OSError):
                socket.send_fds(asked, [b"listeners"], [each.fileno() for each in listeners])
                leave()

        self.sockets.serve(TAKE_LISTENERS, give)

    async def open(
        self,
        public: Quart,
        console: Quart | None,
        adopt: Callable[[socket.socket], None],
        take_given: Callable[[Sequence[str], str], Awaitable[Sequence[str] | None]],
        live: LiveService,
        dialer: Dialer,
    ) -> None:
        """Listen to the other nodes. `adopt`: serves a connection that another worker has accepted at the public
        listener. `take_given`: takes calls that one of them has given to this node. `live`: what is watched
        live. `dialer`: makes calls from here, whose load the nodes share. Raises OSError."""
        self.sockets.serve(PUBLIC, adopt)
        self.sockets.open()
        apps = {PUBLIC: public.asgi_app} | ({CONSOLE: console.asgi_app} if console is not None else {})
        dialling = DiallingElsewhere(dialer, self._membership, self.forwarding)
        app = create_cluster_app(
            self._membership, self._config.secret, apps, take_given, live, self._history, dialling.take,
            lambda call: self._switchboard().is_live(call), self._handover_input, met=self.forwarding.met,
        )  # fmt: skip
        self._listener = Listener(bind(self._config.address), app, media_ping_seconds=0)
        await self._listener.open()

    async def meet(self) -> None:
        """Wait until this node knows those that began at the same time, two seconds at most: else the first one that is
        ready would take all calls that come in before it knows of another."""
        member, beside = self._membership, set(self._config.beside)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MEET_SECONDS):
                while not beside <= {node.name for node in member.view.alive()}:  # noqa: ASYNC110 - its events are others'
                    await asyncio.sleep(_LOOK_SECONDS)

    async def _handover_input(self, call: str) -> HandoverInput:
        live = self._switchboard().live(call)
        kept = live.handover_input if live is not None else None
        return await kept.take() if kept is not None else HandoverInput()

    async def close(self) -> None:
        """Stop listening, and close all connections to other nodes. Never raises."""
        self.sockets.close()
        if self._listener is not None:
            await self._listener.close()
        await self.forwarding.close()
