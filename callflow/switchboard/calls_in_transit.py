"""Calls that are on their way between this node and another: whoever asks about one waits until it has arrived."""

from __future__ import annotations

import asyncio
from typing import Final

from callflow.cluster.membership import Membership
from callflow.switchboard.switchboard import Switchboard


_LOOK_SECONDS: Final = 0.01


class CallsInTransit:
    """The calls that this node takes over or gives away at the moment."""

    def __init__(self, membership: Membership, switchboard: Switchboard) -> None:
        self._membership, self._switchboard = membership, switchboard

    async def settled(self, call: str, seconds: float, *, comes: bool = False) -> bool:
        """Wait until a call goes on here, or this node has nothing to do with it. Returns False if that is not so
        within `seconds`. `comes`: it was given to this node, which does not have it yet. Never raises."""
        try:
            await self._settle(call, seconds, comes=comes)
        except TimeoutError:
            return False
        return True

    async def owner(self, call: str, seconds: float) -> str | None:
        """Wait as `settled`, and return the node that has the call then; "": nobody; None: that is not known. The
        database is asked once at most. Raises TimeoutError if it has not arrived within `seconds`."""
        membership, is_asked = self._membership, not self._is_known(call)
        owner = await membership.owner(call) if is_asked else None
        await self._settle(call, seconds, comes=is_asked and owner == membership.me)
        live = self._switchboard.live(call)
        if live is not None and not live.is_handed_over:
            return membership.me
        return owner if is_asked and owner != membership.me else await membership.owner(call)

    def is_under_way(self, call: str, *, comes: bool = False) -> bool:
        """Return whether a call is being given away, or taken over, or `comes` and is not here yet."""
        claims, live = self._membership.claims, self._switchboard.live(call)
        if live is not None and not live.is_handed_over:
            return live.mailbox.is_held
        return claims.is_going(call) or claims.is_coming(call) or (comes and not self._switchboard.is_live(call))

    def _is_known(self, call: str) -> bool:
        """Whether this node knows by itself that it has a call, or is taking or giving it."""
        return self.is_under_way(call) or self._membership.claims.has(call) or self._switchboard.is_live(call)

    async def _settle(self, call: str, seconds: float, *, comes: bool) -> None:
        """Wait as `settled`. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.is_under_way(call, comes=comes):
            if loop.time() > until:
                raise TimeoutError
            await asyncio.sleep(_LOOK_SECONDS)
