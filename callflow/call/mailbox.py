"""The mailbox of one call: events that wait to be taken, one at a time, with the replies that webhooks wait for."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from callflow.contracts import events
from callflow.contracts.carrier import WebhookReply
from callflow.contracts.events import Event


_MOST: Final = 1000
"""Events that may wait; a webhook that comes then is refused, so that its carrier sends it again."""
_ENDINGS: Final = (events.CallHangup, events.HangupRequested)
"""They are taken before everything else that waits, because the call is over whatever that is."""


class Waiting(NamedTuple):
    """An event in a mailbox."""

    event: Event
    reply: asyncio.Future[WebhookReply] | None
    """What the webhook that brought the event is answered with; None: no webhook brought it."""


class Mailbox:
    """In the order of their arrival, except that the end of the call comes first."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def is_full_for(self, event: Event) -> bool:
        """Whether too many events wait for this one to be taken. The end of a call always has room."""
        return len(self._waiting) >= _MOST and not isinstance(event, _ENDINGS)

    def put(self, event: Event, reply: asyncio.Future[WebhookReply] | None = None, *, first: bool = False) -> None:
        """Add an event. Never waits. `first`: before all others."""
        if first or isinstance(event, _ENDINGS):
            self._waiting.appendleft(Waiting(event, reply))
        else:
            self._waiting.append(Waiting(event, reply))
        self._wake.set()

    def has(self, kind: type[Event]) -> bool:
        """Whether an event of this kind waits."""
        return any(isinstance(one.event, kind) for one in self._waiting)

    async def next(self) -> Waiting | None:
        """Take the next event; wait until there is one. None: the mailbox is empty and closed."""
        while not self._waiting and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Let `next` wait no longer when nothing is there."""
        self._closed = True
        self._wake.set()

    def take_rest(self) -> list[Waiting]:
        """Take all that waits."""
        rest = list(self._waiting)
        self._waiting.clear()
        return rest
