"""Leads operators' requests about one live call to the node of the cluster that has it, those for a recording to the
node where it lies, and those to the doctor to the node that leads: there is one run at a time, whoever is asked.

It stands behind the check of access, so whoever gets here may ask; the other node checks again. A request about a call
that is being moved waits until it has arrived, and a call is not moved while a request is served that may change it. A
request is led on once at most. Streams and WebSockets are passed through piece by piece, without a queue: a slow viewer
slows the other side down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from callflow.cluster.forwarding import CONSOLE, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.nodes import leader
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.history.history import History
from callflow.switchboard.calls_in_transit import CallsInTransit
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.listen import MOVED
from callflow.web.console.recordings_elsewhere import RecordingsElsewhere
from callflow.web.public.request import target_of
from callflow.web.responses import error_body


log = logging.getLogger(__name__)

_OF_A_CALL: Final = re.compile(r"/api/(?:calls|live)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/|$)")
_BY_ANY_ID: Final = re.compile(r"/api/live/([^/]+)/(?:events|sse)")
_DOCTOR: Final = "/api/doctor"
_HEAD_SECONDS: Final = 10.0
"""How long the other node may take to begin its answer."""
_MOVED_SECONDS: Final = 2.0
"""How long a request waits for a call that is being moved."""
_MOST_REASON: Final = 120
_AWAY: Final = "The node that has this does not answer. Try again in a moment."


class OwnerForwarder:
    """ASGI middleware of the operators' app."""

    def __init__(
        self,
        inner: Any,
        cluster: Membership,
        forwarding: Forwarding,
        switchboard: Any,
        history: History | None = None,
    ) -> None:
        """`switchboard`: returns the one of this node. `history`: knows the recordings and the carriers' ids of calls;
        None: nothing of that is looked for."""
        self._inner, self._cluster, self._forwarding = inner, cluster, forwarding
        self._switchboard, self._history = switchboard, history
        self._recordings = RecordingsElsewhere(history, cluster, forwarding) if history is not None else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request or one WebSocket."""
        try:
            peer = await self._elsewhere(scope) if scope["type"] in ("http", "websocket") else None
        except PeerAway as error:
            await _not_now(scope, receive, send, f"{str(error).capitalize()}. Try again in a moment.")
            return
        if peer is None:
            with self._kept_here(scope):
                await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            await self._lead_request(peer, scope, receive, send)
        else:
            await self._lead_socket(peer, scope, receive, send)

    async def _elsewhere(self, scope: Any) -> Peer | None:
        """Return the node that a request is for; None: this one. Raises PeerAway."""
        is_led = bool(scope.get(FORWARDED))
        if self._recordings is not None and not is_led:
            try:
                holder = await self._recordings.find(scope)
            except (SQLAlchemyError, OSError):
                holder = ""  # the route says what is wrong
            if holder:
                return self._cluster.peer(holder)
        if scope["path"] == _DOCTOR and not is_led:
            return self._cluster.peer(leader(self._cluster.view))
        found = _OF_A_CALL.match(scope["path"])
        call = found[1] if found is not None else "" if is_led else await self._named(scope["path"])
        if not call:
            return None
        switchboard: Switchboard = self._switchboard()
        try:
            owner = await CallsInTransit(self._cluster, switchboard).owner(call, _MOVED_SECONDS)
        except TimeoutError:
            raise PeerAway("this call is being moved to another node", sent=False) from None
        if owner == self._cluster.me:
            return None
        if is_led:
            if owner:
                raise PeerAway("this call has just been moved to another node", sent=False)
            return None
        if owner is None or (owner == "" and found is not None and await self._is_unwritten(call)):
            owner = await self._forwarding.who_has(call)
        return self._cluster.peer(owner) if owner else None

    def _kept_here(self, scope: Any) -> contextlib.AbstractContextManager[None]:
        """Keep a live call here while a request is served that may change it: what it asks for would be lost on the
        way to another node."""
        changes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD")
        found = _OF_A_CALL.match(scope["path"]) if changes else None
        live = self._switchboard().live(found[1]) if found is not None else None
        return contextlib.nullcontext() if live is None else live.mailbox.serving()

    async def _is_unwritten(self, call: str) -> bool:
        """Whether nothing of a call is in the history: before it is, its node may ask somebody about the caller."""
        if self._history is None or not self._history.is_readable:
            return False
        try:
            return await self._history.store.conversation(call, hidden=True) is None
        except (SQLAlchemyError, OSError):
            return False

    async def _named(self, path: str) -> str:
        """Return our id of the call that a path of the live streams names by another; "": none does."""
        found = _BY_ANY_ID.fullmatch(path)
        if found is None or self._history is None or not self._history.is_readable:
            return ""
        try:
            row = await self._history.store.listed_call(found[1])
        except (SQLAlchemyError, OSError):
            return ""
        return str(row["call_id"] or "") if row is not None and row["ended_at"] is None else ""

    async def _lead_request(self, peer: Peer, scope: Any, receive: Any, send: Any) -> None:
        pieces = list[bytes]()
        while True:
            message = await receive()
            pieces.append(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        body, began = b"".join(pieces), False
        try:
            async with self._forwarding.stream(
                peer, CONSOLE, scope["method"], target_of(scope), _headers(scope), body, seconds=_HEAD_SECONDS
            ) as answer:
                headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
                if answer.length:
                    headers.append((b"content-length", answer.length.encode("latin-1")))
                await send({"type": "http.response.start", "status": answer.status, "headers": headers})
                began = True
                gone = asyncio.ensure_future(_until_gone(receive))
                try:
                    async for piece in answer.pieces:
                        if gone.done():
                            return
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                finally:
                    gone.cancel()
        except PeerAway as error:
            log.warning("an operator's request could not be forwarded: %s", error)
            if not began:
                await _refuse(send, _AWAY)
            if not began or answer.length:
                return  # whoever reads sees that some of it is missing
        await send({"type": "http.response.body", "body": b""})

    async def _lead_socket(self, peer: Peer, scope: Any, receive: Any, send: Any) -> None:
        await receive()  # websocket.connect
        try:
            other = await self._forwarding.connect(
                peer, CONSOLE, target_of(scope), _headers(scope), scope.get("subprotocols") or []
            )
        except (PeerAway, InvalidStatus, WebSocketException, OSError, TimeoutError) as error:
            log.warning("an operator's WebSocket could not be forwarded: %s", type(error).__name__)
            if isinstance(error, InvalidStatus):
                await send({"type": "websocket.close", "code": 1011})  # refused there, and so here
            else:
                await _try_again(send, _AWAY)
            return
        await send({"type": "websocket.accept", "subprotocol": other.subprotocol})
        inwards = asyncio.ensure_future(_pass_in(receive, other))
        try:
            async with self._forwarding.while_living(peer):
                async for piece in other:
                    told = {"bytes": piece} if isinstance(piece, bytes) else {"text": piece}
                    await send({"type": "websocket.send", **told})
        except ConnectionClosed:
            pass
        except PeerAway:
            other.transport.abort()  # it would be waited for, and answers nothing
            await send({"type": "websocket.close", "code": MOVED, "reason": _AWAY[:_MOST_REASON]})
            return
        finally:
            inwards.cancel()
            await asyncio.gather(inwards, return_exceptions=True)
            await other.close()
        if not inwards.cancelled() and inwards.exception() is None:
            return  # the operator has gone; if it failed, the other side had closed when something was passed to it
        code = other.close_code or 1000
        await send({"type": "websocket.close", "code": code if code not in (1005, 1006) else 1011})


def _headers(scope: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pass_in(receive: Any, other: Any) -> None:
    """Pass what the operator sends to the other node, until the operator has gone."""
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            await other.close()
            return
        piece = message.get("bytes")
        await other.send(piece if piece is not None else message.get("text", ""))


async def _not_now(scope: Any, receive: Any, send: Any, sentence: str) -> None:
    if scope["type"] == "http":
        await _refuse(send, sentence)
        return
    await receive()  # websocket.connect
    await _try_again(send, sentence)


async def _try_again(send: Any, sentence: str) -> None:
    """Tell who has opened a socket to come again. One that was not accepted would be refused with 403."""
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": MOVED, "reason": sentence[:_MOST_REASON]})


async def _refuse(send: Any, sentence: str) -> None:
    body = error_body(sentence)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 503, "headers": [*headers, (b"retry-after", b"1")]})
    await send({"type": "http.response.body", "body": body})
