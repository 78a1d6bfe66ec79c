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

    async def settled(self, call: str, seconds: float, *, asks: bool = True) -> bool:
        """Wait until a call goes on here, or this node has nothing to do with it. Returns False if that is not so
        within `seconds`. `asks`: the call may have been given to this node, which does not know yet; then the database
        says so. Never raises."""
        loop, claims = asyncio.get_running_loop(), self._membership.claims
        until = loop.time() + seconds
        asks = asks and not (self._is_under_way(call) or claims.has(call) or self._switchboard.is_live(call))
        comes = asks and await self._membership.owner(call) == self._membership.me
        while self._is_under_way(call) or (comes and not self._switchboard.is_live(call)):
            if loop.time() > until:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    def _is_under_way(self, call: str) -> bool:
        """Whether it is being given away, or taken over."""
        claims, live = self._membership.claims, self._switchboard.live(call)
        if live is not None and not live.is_handed_over:
            return live.mailbox.is_held
        return claims.is_going(call) or claims.is_coming(call)
