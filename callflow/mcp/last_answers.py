"""Lets a client whose input has ended have its answers: a script sends its requests, and closes its end.

The server of the package `mcp` drops what it is working on when its input ends.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage


_ANSWER_SECONDS: Final = 10.0
"""How long the last answers may take once the input has ended."""
_PARSE_ERROR: Final = types.ErrorData(code=-32700, message="this line is no JSON-RPC message")


class _Stream:
    """One side of the connection; what is not said here is the inner stream's."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._inner.__aexit__(*error)


class Outgoing(_Stream):
    """What goes to the client."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.awaited: set[Any] = set()
        """Ids of requests without an answer."""
        self.none_awaited = asyncio.Event()
        self.none_awaited.set()

    async def send(self, item: SessionMessage) -> None:
        """Send one message."""
        await self._inner.send(item)
        if isinstance(item.message, types.JSONRPCResponse | types.JSONRPCError):
            self.awaited.discard(item.message.id)
            if not self.awaited:
                self.none_awaited.set()


class Incoming(_Stream):
    """What comes from the client; it ends when everything has its answer."""

    def __init__(self, inner: Any, outgoing: Outgoing) -> None:
        super().__init__(inner)
        self._outgoing = outgoing

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> SessionMessage:
        """Return the next message. Raises EndOfStream."""
        while True:
            try:
                item = await self._inner.receive()
            except anyio.EndOfStream:
                with anyio.move_on_after(_ANSWER_SECONDS):
                    await self._outgoing.none_awaited.wait()
                raise
            if isinstance(item, Exception):
                refused = types.JSONRPCError(jsonrpc="2.0", id=None, error=_PARSE_ERROR)
                await self._outgoing.send(SessionMessage(refused))
                continue
            if isinstance(item.message, types.JSONRPCRequest):
                self._outgoing.awaited.add(item.message.id)
                self._outgoing.none_awaited.clear()
            return item  # type: ignore[no-any-return]
