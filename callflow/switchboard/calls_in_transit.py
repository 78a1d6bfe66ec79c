"""Calls that are on their way between this node and another: whoever asks about one waits until it has arrived."""

from __future__ import annotations

import asyncio
from typing import Final

from callflow.cluster.membership import Membership
from callflow.switchboard.switchboard import Switchboard


_LOOK_SECONDS: Final = 0.01
_NOT_ASKED: Final = "?"
"""In place of a node's name: the database was not asked."""


class CallsInTransit:
    """The calls that this node takes over or gives away at the moment."""

    def __init__(self, membership: Membership, switchboard: Switchboard) -> None:
        self._membership, self._switchboard = membership, switchboard

    async def settled(self, call: str, seconds: float, *, asks: bool = True) -> bool:
        """Wait until a call goes on here, or this node has nothing to do with it. Returns False if that is not so
        within `seconds`. `asks`: the call may have been given to this node, which does not know yet; then the database
        says so. Never raises."""
        try:
            await self._settle(call, seconds, asks=asks)
        except TimeoutError:
            return False
        return True

    async def owner(self, call: str, seconds: float) -> str | None:
        """Wait as `settled`, and return the node that has the call then; "": nobody; None: that is not known. The
        database is asked once at most. Raises TimeoutError if it has not arrived within `seconds`."""
        asked = await self._settle(call, seconds, asks=True)
        live = self._switchboard.live(call)
        if live is not None and not live.is_handed_over:
            return self._membership.me
        return await self._membership.owner(call) if asked in (_NOT_ASKED, self._membership.me) else asked

    async def _settle(self, call: str, seconds: float, *, asks: bool) -> str | None:
        """Wait as `settled`. Returns what the database said of the owner. Raises TimeoutError."""
        loop, claims = asyncio.get_running_loop(), self._membership.claims
        until = loop.time() + seconds
        owner: str | None = _NOT_ASKED
        if asks and not (self._is_under_way(call) or claims.has(call) or self._switchboard.is_live(call)):
            owner = await self._membership.owner(call)
        comes = asks and owner == self._membership.me
        while self._is_under_way(call) or (comes and not self._switchboard.is_live(call)):
            if loop.time() > until:
                raise TimeoutError
            await asyncio.sleep(_LOOK_SECONDS)
        return owner

    def _is_under_way(self, call: str) -> bool:
        """Whether it is being given away, or taken over."""
        claims, live = self._membership.claims, self._switchboard.live(call)
        if live is not None and not live.is_handed_over:
            return live.mailbox.is_held
        return claims.is_going(call) or claims.is_coming(call)
