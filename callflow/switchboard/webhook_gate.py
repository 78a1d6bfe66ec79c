"""Holds webhooks and media sockets back until it is known which call they are about.

Every webhook passes here before `Switchboard.dispatch`. That of a live call of this process passes at once; one of a
call that is not here may be about a call that the previous process had, that another node has just given up, or that
is over. Whose a call is, is not asked for here: see `callflow.cluster.destination`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol

from callflow.cluster.membership import Membership
from callflow.contracts import events
from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import Overloaded
from callflow.history import caller_counts
from callflow.history.history import History
from callflow.switchboard.call_ids import call_id
from callflow.switchboard.caller_limits import HOUR
from callflow.switchboard.calls_in_transit import CallsInTransit
from callflow.switchboard.switchboard import Switchboard


log = logging.getLogger(__name__)

_RESUME_SECONDS: Final = 10.0
_HOLD_SECONDS: Final = 1.0
"""This time and `_RESUME_SECONDS` count from the start of the process: see `WebhookGate.begun`."""
_RESTORED_SECONDS: Final = 2.0
"""How long a webhook waits for a call that is being moved."""
_KNOWN_SECONDS: Final = 0.5
"""How long a webhook waits until the other nodes know this one."""
_COUNT_SECONDS: Final = 0.3
"""How long a new caller waits until it is known how many calls they have at other nodes."""


class Opening(Protocol):
    """The opening of the history at the start."""

    opened: asyncio.Event
    began: float
    """In seconds, on the loop's clock."""

    async def is_open(self, seconds: float) -> bool: ...


class WebhookGate:
    """See the module."""

    def __init__(
        self,
        opening: Opening,
        history: History,
        membership: Membership | None,
        switchboard: Switchboard,
        carriers: Mapping[str, Carrier],
    ) -> None:
        """`membership`: of this node in a cluster; None: this process serves alone."""
        self._opening, self._history, self._membership = opening, history, membership
        self._switchboard, self._carriers = switchboard, carriers
        self._in_transit = CallsInTransit(membership, switchboard) if membership is not None else None

    async def begun(self, webhook_event: events.WebhookEvent | None) -> bool:
        """Return when this process knows which calls it has. None: the request opens a media socket. Returns True if
        that took time: what was known before is old.

        At the start, requests wait at most 1 s for the calls of the previous process; webhooks that ask what to do with
        a caller on the line (`CallResumed`) at most 10 s, because the reply for an unknown call is to hang up. In a
        cluster, webhooks wait until the other nodes know this one.
        """
        if webhook_event is not None and self._switchboard.has(webhook_event):
            return False
        has_waited = not self._opening.opened.is_set() and await self._await_opening(webhook_event)
        if self._membership is not None and webhook_event is not None:
            try:
                async with asyncio.timeout(_KNOWN_SECONDS):
                    has_waited |= await self._membership.known()
            except TimeoutError:
                return True
        return has_waited

    async def hold(self, webhook_event: events.WebhookEvent, *, coming: str = "") -> bool:
        """Return when no call is being moved here that a webhook for this node is about. Returns True if that took
        time: what was known before is old.

        That is at most 2 s. `coming`: a call that was given to this node, which does not have it yet; "": none. Raises
        Overloaded: the call has not arrived by then, and the carrier sends the webhook again.
        """
        if self._in_transit is None or self._switchboard.has(webhook_event):
            return False
        name, has_waited = webhook_event.call or self._switchboard.name_of(webhook_event), False
        for call in filter(None, (name, webhook_event.linked_call)):
            comes = call == coming
            if not self._in_transit.is_under_way(call, comes=comes):
                continue
            has_waited = True
            if not await self._in_transit.settled(call, _RESTORED_SECONDS, comes=comes):
                carrier = self._carriers.get(webhook_event.carrier)
                if carrier is not None and "answers_in_reply" not in carrier.can:
                    raise Overloaded("this call is being moved between two nodes")
                break
        return has_waited

    async def look_up(self, webhook_event: events.WebhookEvent) -> None:
        """Ask the history about a webhook that this process is to take: whether its call is over for us, though its
        caller is still on the line; and in a cluster, how many calls a new caller has at other nodes."""
        if not self._switchboard.has(webhook_event) and self._may_be_old(webhook_event):
            await self._look_for_the_end(webhook_event)
            await self._count_caller(webhook_event.event)

    async def _count_caller(self, event: events.Event) -> None:
        """Count the calls of a new caller at the other nodes, where callers have limits."""
        if self._membership is None or not isinstance(event, events.CallInitiated):
            return
        callers = self._switchboard.admission.callers
        if not callers.are_set:
            return
        number = self._switchboard.international(event.from_number)
        counting = caller_counts.of_caller(self._history.database, number, self._history.now() - HOUR)
        try:
            counts = await self._membership.ask(counting, _COUNT_SECONDS)
        except Exception as error:
            log.warning("the number of a caller's calls at other nodes is not known: %s", type(error).__name__)
        else:
            callers.learn(number, *counts)

    def _may_be_old(self, webhook_event: events.WebhookEvent) -> bool:
        """Return whether the webhook may be about a call that is over for us. It may if it asks what to do with a
        caller, or if its carrier sends it again for days and would so have the call opened a second time. In a cluster
        another node may have had the call, and knows the end of it alone."""
        carrier = self._carriers.get(webhook_event.carrier)
        sends_for_days = self._membership is not None or (carrier is not None and "media_is_remote" in carrier.can)
        asks = (events.CallResumed, events.CallAnswered)
        return isinstance(webhook_event.event, (*asks, events.CallInitiated) if sends_for_days else asks)

    async def _await_opening(self, webhook_event: events.WebhookEvent | None) -> bool:
        """Return False if that was waited for long enough before."""
        asks = (events.CallResumed, events.CallAnswered) if webhook_event and webhook_event.call else events.CallResumed
        resumed = webhook_event is not None and isinstance(webhook_event.event, asks)
        most = _RESUME_SECONDS if resumed else _HOLD_SECONDS
        left = self._opening.began + most - asyncio.get_running_loop().time()
        if left > 0:
            await self._opening.is_open(left)
        return left > 0

    async def _look_for_the_end(self, webhook_event: events.WebhookEvent) -> None:
        """Tell the switchboard if the history knows that this leg's call is over. A leg that was dialled for a call is
        not looked up here: see `Switchboard.on_lost_leg`."""
        name = call_id(webhook_event.carrier, webhook_event.ids)
        if webhook_event.call not in ("", name) or self._switchboard.has(webhook_event):
            return
        if not self._history.is_readable:
            return
        reading, member = self._history.store.is_over(name), self._membership
        try:
            soon = member.ask(reading) if member is not None else self._history.database.soon(reading, _HOLD_SECONDS)
            is_over = await soon
        except Exception as error:
            log.warning("call %s: the history cannot be asked whether it is over: %s", name, type(error).__name__)
            return
        if is_over:
            self._switchboard.learn_end(webhook_event, name)
