"""Requests in `/logs` for a call that another node has: they are asked there, with the same words, by the same
operator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from websockets.exceptions import WebSocketException

from callflow.cluster.forwarding import CONSOLE, Forwarding
from callflow.cluster.membership import Membership
from callflow.contracts.errors import PeerAway
from callflow.contracts.printable import to_json


_SECONDS: Final = 5.0


class OtherLogs:
    """The sockets `/logs` of the other nodes."""

    def __init__(self, cluster: Membership, forwarding: Forwarding) -> None:
        self._cluster, self._forwarding = cluster, forwarding

    async def ask(
        self, node: str, call: str, request: Mapping[str, Any], headers: Sequence[tuple[str, str]]
    ) -> dict[str, Any]:
        """Send a request about a call of that node, and return the answer. `headers`: of the operator's own socket;
        that node checks them. Raises PeerAway."""
        peer = self._cluster.peer(node)
        if peer is None:
            raise PeerAway(f"node {node} is gone", sent=False)
        asked = {name: value for name, value in request.items() if name != "streamSid"} | {"callId": call}
        try:
            async with asyncio.timeout(_SECONDS):
                other = await self._forwarding.connect(peer, CONSOLE, "/logs", headers, [])
                async with other:
                    await other.send(to_json(asked).decode())
                    async for message in other:
                        if (answer := _answer(message)) is not None:
                            return answer
        except (WebSocketException, OSError, TimeoutError) as error:
            raise PeerAway(f"node {node} does not answer: {type(error).__name__}", sent=True) from None
        raise PeerAway(f"node {node} gave no answer", sent=True)


def _answer(message: str | bytes) -> dict[str, Any] | None:
    """Return a message if it is an answer; None: it tells what happens in a call, or cannot be read."""
    try:
        told = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(told, dict):
        return None
    is_answer = told.get("type") == "request.taken" or (told.get("type") == "error" and "callId" not in told)
    return told if is_answer else None
