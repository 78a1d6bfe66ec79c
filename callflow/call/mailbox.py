"""The mailbox of one call: queued events, and the futures of the replies to their webhooks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, NamedTuple

from callflow.contracts import events
from callflow.contracts.carrier import WebhookReply
from callflow.contracts.events import Event


_MOST: Final = 1000
"""The most queued events. Further webhooks are refused, so that the carrier sends them again."""
_ENDINGS: Final = (events.CallHangup, events.HangupRequested)
"""Events that go to the front of the queue, because they end the call whatever else is queued."""


class Waiting(NamedTuple):
    """An event in a mailbox."""

    event: Event
    reply: asyncio.Future[WebhookReply] | None
    """The future of the webhook's reply; None: the event comes from no webhook."""


class Mailbox:
    """Events in the order of arrival, except that events that end the call come first."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._wake: asyncio.Future[None] | None = None
        """Set while `next` waits."""
        self._closed = False

    def is_full_for(self, event: Event) -> bool:
        """Whether the mailbox is too full for this event. Events that end the call always fit."""
        return len(self._waiting) >= _MOST and not isinstance(event, _ENDINGS)

    def put(self, event: Event, reply: asyncio.Future[WebhookReply] | None = None, *, first: bool = False) -> None:
        """Add an event. Never waits. `first`: put it before all others."""
        if first or isinstance(event, _ENDINGS):
            self._waiting.insert(0, Waiting(event, reply))
        else:
            self._waiting.append(Waiting(event, reply))
        self._wake_up()

    @property
    def first(self) -> Waiting | None:
        """The next event, which stays queued; None: the mailbox is empty."""
        return self._waiting[0] if self._waiting else None

    def exchange(self, old: Event, new: Event) -> None:
        """Put another event in the place of a queued one."""
        self._waiting = [one._replace(event=new) if one.event is old else one for one in self._waiting]

    def relabel(self, leg: str, other: str) -> None:
        """Make the queued events of a leg those of another."""
        self._waiting = [
            one._replace(event=replace(one.event, leg=other)) if one.event.leg == leg else one for one in self._waiting
        ]

    def has(self, kind: type[Event]) -> bool:
        """Whether an event of this kind is queued."""
        return any(isinstance(one.event, kind) for one in self._waiting)

    async def next(self) -> Waiting | None:
        """Remove and return the next event; wait until there is one. None: the mailbox is empty and closed."""
        while not self._waiting and not self._closed:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._waiting.pop(0) if self._waiting else None

    async def ends(self) -> None:
        """Wait until an event that ends the call is queued, or the mailbox is closed. Not while `next` waits."""
        while not self._closed and not any(self.has(kind) for kind in _ENDINGS):
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def close(self) -> None:
        """Make `next` return None instead of waiting when the mailbox is empty."""
        self._closed = True
        self._wake_up()

    def take_rest(self) -> list[Waiting]:
        """Remove and return all queued events."""
        rest, self._waiting = self._waiting, []
        return rest

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
