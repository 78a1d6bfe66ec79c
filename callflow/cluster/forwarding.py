"""Requests from this node to others: a webhook or an operator's request for the node whose call it is about, and what
nodes tell each other.

Each is signed, sent once, and has a deadline. A refused connection is evidence that the other process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect, unix_connect

from callflow.cluster import signing
from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.nodes import is_cut_off, machine_of
from callflow.cluster.peers import Peer, Peers
from callflow.config.validators import is_loopback
from callflow.contracts.errors import PeerAway
from callflow.contracts.media import HandoverInput
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.timers import Timers


log = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(log, logging.ERROR)

PUBLIC: Final = "public"
CONSOLE: Final = "console"
CLUSTER: Final = "cluster"
"""The apps of a node: where a request to its cluster listener goes; also the first part of the path."""
FROM: Final = "x-callflow-from"
"""The name of the node that a request comes from."""
KEYS: Final = "x-callflow-keys"
"""Beside what a caller said during a handover: the keys that they pressed meanwhile."""
_UNIX: Final = "unix:"
_CONNECT_SECONDS: Final = 0.5
_TELL_SECONDS: Final = 1.0
_OTHER_SECRET: Final = (
    "NODE %s REFUSES WHAT THIS NODE SIGNS: CLUSTER_SECRET must be the same on all machines, and their clocks agree"
)
_NO_ADDRESS: Final = (
    "NODE %s IS ON ANOTHER MACHINE, AND ITS ADDRESS LEADS NOWHERE FROM HERE: set CLUSTER_HOST, CLUSTER_PORT and"
    " CLUSTER_SECRET there; if it is not to serve together with this one, give it a database of its own"
)
_REFUSES: Final = "it refuses what this node signs; CLUSTER_SECRET must be the same, and clocks agree"
OTHER_CARRIERS: Final = (
    "NODE %s HAS NOT THE SAME KEYS OF CARRIERS (%s): only nodes that have them take those calls. Give all the same"
)
_LOOK_SECONDS: Final = 0.25
"""How often is looked whether a node lives that has not ended its answer."""
_OF_TCP: Final = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
_KEPT_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _OF_TCP.items() if hasattr(socket, name)),
)
"""Options of connections to other machines: one that a network has cut ends within 20 s, also while its node lives."""
_HANDOVER_INPUT_SECONDS: Final = 0.5
"""A caller waits."""
_HOP: Final = frozenset({
    "connection", "content-length", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "transfer-encoding", "upgrade", signing.HEADER, FROM,
})  # fmt: skip
"""Headers that belong to one connection, or that only a node may set."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other node answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """What the other node answers, as it comes."""

    status: int
    headers: list[tuple[str, str]]
    pieces: AsyncIterator[bytes]
    length: str = ""
    """How many bytes come, as the other node says; "": it does not."""


class Forwarding:
    """Sends requests to other nodes, over connections that stay open."""

    def __init__(
        self, me: str, secret: bytes, peers: Peers, carriers: Collection[str] = (), *, address: str = ""
    ) -> None:
        """`carriers`: the names of those that this node has the keys of. `address`: of this node's own listener."""
        self._me, self._secret, self._peers, self.keys = me, secret, peers, CarrierKeys(carriers)
        self._is_local = _is_local(address)
        self.apart: dict[str, str] = {}
        """Why this node and another one do not understand each other, by the name of that one."""
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._is_closed = False

    async def send(
        self,
        peer: Peer,
        app: str,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        seconds: float,
    ) -> Answer:
        """Send one request, and return the answer. `target`: path and query, as they came in. Raises PeerAway."""
        async with self.stream(peer, app, method, target, headers, body, seconds=seconds) as answer:
            try:
                async with asyncio.timeout(seconds):
                    whole = b"".join([piece async for piece in answer.pieces])
            except TimeoutError:
                raise PeerAway(f"node {peer.name} does not end its answer", sent=True) from None
            return Answer(answer.status, answer.headers, whole)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        peer: Peer,
        app: str,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        seconds: float,
    ) -> AsyncIterator[Stream]:
        """Send one request, and let the answer be read piece by piece. `seconds`: until the answer begins. Raises
        PeerAway, also while it is read."""
        if self._is_closed:
            raise PeerAway("this node is ending", sent=False)
        if not self._leads_there(peer):
            _warnings.say(f"address {peer.name}", _NO_ADDRESS, peer.name)
            self.apart[peer.name] = "its address leads nowhere from here; it needs CLUSTER_HOST and CLUSTER_PORT"
            raise PeerAway(f"node {peer.name} has no address for other machines", sent=False)
        client, base = self._client(peer)
        whole = f"/{app}{target}"
        # As they came, byte for byte: the library itself takes nothing but ASCII.
        sent = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in self._signed(method, whole, headers, body)]
        request = client.build_request(method, base + whole, headers=sent, content=body)
        async with self.while_living(peer):
            try:
                async with asyncio.timeout(seconds):
                    answer = await client.send(request, stream=True)
            except httpx.ConnectError as error:
                # Nobody listens there: the process is gone. A host that cannot be reached may be alive.
                if refused := _is_refused(error):
                    self._peers.suspect(peer.name)
                raise PeerAway(f"node {peer.name} does not take connections", sent=False, refused=refused) from None
            except (httpx.HTTPError, TimeoutError) as error:
                raise PeerAway(f"node {peer.name} does not answer: {type(error).__name__}", sent=True) from None
            if signing.REFUSED in answer.headers:  # no app has seen it: it is this node's, whatever it is
                await answer.aclose()
                _warnings.say(peer.name, _OTHER_SECRET, peer.name)
                self.apart[peer.name] = _REFUSES
                raise PeerAway(f"node {peer.name} refuses what this node signs", sent=False)
            self.apart.pop(peer.name, None)
            raw = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw]
            told = [(name, value) for name, value in raw if name.lower() not in _HOP]
            try:
                yield Stream(answer.status_code, told, answer.aiter_raw(), answer.headers.get("content-length", ""))
            except httpx.HTTPError as error:
                raise PeerAway(f"node {peer.name} broke off: {type(error).__name__}", sent=True) from None
            finally:
                await answer.aclose()

    @contextlib.asynccontextmanager
    async def while_living(self, peer: Peer) -> AsyncIterator[None]:
        """Break off what is done here as soon as a node is known to be dead. A process that was stopped, or a machine
        without power, closes no connection: who reads from it would wait for ever. Raises PeerAway."""
        scope, timers = asyncio.timeout(None), Timers()

        def look() -> None:
            if self._peers.peer(peer.name) is None:
                scope.reschedule(0)  # long ago
            else:
                timers.start("look", _LOOK_SECONDS, look)

        timers.start("look", _LOOK_SECONDS, look)
        try:
            async with scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise PeerAway(f"node {peer.name} has died", sent=True) from None
        finally:
            timers.close()

    def _signed(
        self, method: str, whole: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> list[tuple[str, str]]:
        kept = [(name, value) for name, value in headers if name.lower() not in _HOP]
        signature = signing.sign(self._secret, time.time(), method, whole, body)
        return [*kept, (signing.HEADER, signature), (FROM, self._me)]

    async def connect(
        self, peer: Peer, app: str, target: str, headers: Sequence[tuple[str, str]], subprotocols: Sequence[str]
    ) -> ClientConnection:
        """Open a WebSocket at another node. Raises OSError, TimeoutError, and what `websockets` raises."""
        if not self._leads_there(peer):
            raise ConnectionError(f"node {peer.name} has no address for other machines")
        whole = f"/{app}{target}"
        # Origin and the handshake's own headers are made anew by the library.
        kept = [(name, value) for name, value in headers if not name.lower().startswith("sec-websocket-")]
        host = next((value for name, value in headers if name.lower() == "host"), "node")
        sent = [(name, value) for name, value in self._signed("GET", whole, kept, b"") if name.lower() != "host"]
        options: dict[str, Any] = {
            "additional_headers": sent, "subprotocols": list(subprotocols) or None, "compression": None,
            "open_timeout": _CONNECT_SECONDS * 4, "proxy": None, "user_agent_header": None, "max_size": None,
        }  # fmt: skip
        if peer.address.startswith(_UNIX):
            return await unix_connect(peer.address.removeprefix(_UNIX), f"ws://{host}{whole}", **options)
        parts = urlsplit(peer.address)
        return await connect(f"ws://{host}{whole}", host=parts.hostname, port=parts.port, **options)

    async def ask(self, peer: Peer, method: str, path: str, told: Mapping[str, Any] | None = None) -> Any:
        """Say something to a node's own app, and return what its answer holds. Raises PeerAway."""
        body = msgspec.json.encode(told) if told is not None else b""
        answer = await self.send(peer, CLUSTER, method, path, body=body, seconds=_TELL_SECONDS)
        if answer.status != 200:
            raise PeerAway(f"node {peer.name} answered {answer.status}", sent=True)
        try:
            return msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise PeerAway(f"node {peer.name} answered something else than JSON", sent=True) from None

    async def tell_given(self, peer: Peer, calls: Sequence[str]) -> Collection[str] | None:
        """Tell a node that it has been given calls. Returns those that it has, and it takes no others; None: that is
        not known."""
        try:
            answer = await self.ask(peer, "POST", "/calls", {"calls": list(calls)})
            return [str(call) for call in answer["taken"]]
        except PeerAway as error:
            log.warning("%s", error)
        except (KeyError, TypeError):
            log.warning("node %s does not say which calls it has taken", peer.name)
        return None

    async def handover_input(self, node: str, call: str) -> HandoverInput:
        """Ask a node for what the caller of a call said last that it has given to this one. It then ends its stream.
        Never raises."""
        peer = self._peers.peer(node)
        if peer is None:
            return HandoverInput()
        target = f"/calls/{call}/last-words"  # the name that nodes of the version before know
        try:
            answer = await self.send(peer, CLUSTER, "POST", target, seconds=_HANDOVER_INPUT_SECONDS)
        except PeerAway as error:
            log.warning("call %s: what the caller said last is not known: %s", call, error)
            return HandoverInput()
        keys = next((value for name, value in answer.headers if name.lower() == KEYS), "")
        return HandoverInput(answer.body, keys) if answer.status == 200 else HandoverInput()

    async def announce(self) -> None:
        """Tell all other nodes that this one has joined, and wait until they know it. Never raises."""

        async def one(peer: Peer) -> None:
            with contextlib.suppress(PeerAway):  # it learns of this node at its next renewal
                self.met(peer.name, await self.ask(peer, "POST", "/nodes", {"carriers": self.keys.mine}))

        await asyncio.gather(*(one(peer) for peer in self._peers.living()))

    def met(self, node: str, told: object) -> dict[str, Any]:
        """Compare the carriers that another node has told with those of this one, say so if they differ, and return
        what this one tells. A node of before tells none."""
        theirs = told.get("carriers") if isinstance(told, Mapping) else None
        if isinstance(theirs, list) and (differ := self.keys.told(node, map(str, theirs))):
            _warnings.say(f"carriers {node}", OTHER_CARRIERS, node, ", ".join(sorted(differ)))
        return {"carriers": self.keys.mine}

    async def tell_deleted(self, files: Sequence[str], calls: Sequence[str]) -> None:
        """Tell all other nodes that these recordings and these calls are deleted, so that those who have something of
        them delete it. Never raises."""

        async def one(peer: Peer) -> None:
            try:
                await self.ask(peer, "POST", "/recordings/delete", {"files": list(files), "calls": list(calls)})
            except PeerAway as error:
                if files:
                    log.error("RECORDINGS OF DELETED CALLS MAY STILL LIE AT NODE %s (%s): %s", peer.name, error, files)
                if calls:
                    log.warning("node %s may keep entries of deleted calls in its side file: %s", peer.name, calls)

        await asyncio.gather(*(one(peer) for peer in self._peers.living()))

    async def who_has(self, call: str) -> str:
        """Return the name of the other node that has a live call, as far as they answer; "": none of them says so.
        Those are asked, too, of which the database says nothing."""

        async def one(peer: Peer) -> str:
            try:
                return peer.name if (await self.ask(peer, "GET", f"/calls/{call}"))["live"] else ""
            except (PeerAway, KeyError, TypeError):
                return ""

        others = [*self._peers.living(), *self._peers.beside()]
        asked = [asyncio.create_task(one(peer), name="who has a call") for peer in others]
        try:
            for answer in asyncio.as_completed(asked):
                if name := await answer:
                    return name
            return ""
        finally:
            for each in asked:
                each.cancel()

    async def others_take_over(self) -> bool:
        """Return whether other nodes take over what has lost its lease: see `nodes.is_cut_off`."""

        async def one(peer: Peer) -> bool | None:
            try:
                return bool((await self.ask(peer, "GET", "/state"))["database"])
            except PeerAway as error:
                return False if error.refused else None
            except (KeyError, TypeError):
                return False

        peers = [peer for peer in self._peers.living() if self._leads_there(peer)]
        answers = await asyncio.gather(*(one(peer) for peer in peers))
        return is_cut_off(self._peers.me, {peer.name: answer for peer, answer in zip(peers, answers, strict=True)})

    def _leads_there(self, peer: Peer) -> bool:
        """Return whether a node's address leads to it from here. A socket's path, or an address such as 127.0.0.1, that
        a node of another machine gives, means something else on this one: whoever refuses there is no evidence."""
        if machine_of(peer.name) == machine_of(self._me):
            return True
        return not peer.address.startswith(_UNIX) and (self._is_local or not _is_local(peer.address))

    def _client(self, peer: Peer) -> tuple[httpx.AsyncClient, str]:
        client = self._clients.get(peer.address)
        is_unix = peer.address.startswith(_UNIX)
        if client is None:
            # Nothing is encrypted here, and reading what TLS trusts takes 15 ms, in which this node hears no call.
            transport = httpx.AsyncHTTPTransport(
                uds=peer.address.removeprefix(_UNIX) if is_unix else None, trust_env=False, verify=False,
                socket_options=() if is_unix else _KEPT_ALIVE,
            )  # fmt: skip
            timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
            client = self._clients[peer.address] = httpx.AsyncClient(transport=transport, timeout=timeout)
        return client, "http://node" if is_unix else peer.address

    async def close(self) -> None:
        """Close all connections; there are no new ones."""
        self._is_closed = True
        for client in self._clients.values():
            await client.aclose()


def _is_local(address: str) -> bool:
    """Return whether other machines cannot use an address, "" and that of a Unix socket among them."""
    return not address.startswith("http") or is_loopback(urlsplit(address).hostname or "")


def _is_refused(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (ConnectionRefusedError, FileNotFoundError)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
