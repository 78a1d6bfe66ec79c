"""Remembers recent webhooks with their replies, and legs whose call has ended.

Carriers deliver a webhook again when its reply came late, and send webhooks about a leg minutes after its end. Both are
remembered for ten minutes and in bounded numbers: the least recently used entry is forgotten first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache

from callflow.contracts.carrier import WebhookReply
from callflow.contracts.events import LegIds, WebhookEvent


REMEMBERED_SECONDS: Final = 600.0
_MOST_DELIVERIES: Final = 100_000
_MOST_LEGS: Final = 50_000

PendingReply = asyncio.Future[WebhookReply]


def leg_keys(carrier: str, ids: LegIds) -> tuple[str, ...]:
    """Return the names by which a leg is looked up, unique over all carriers."""
    return tuple(f"{carrier}:{name}" for name in ids.known())


class Deliveries:
    """The replies to the webhooks of the last ten minutes. A repeated webhook gets the reply of the first, even while
    that reply is being made."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, of the event loop."""
        self.clock = clock
        self._replies: TTLCache[str, PendingReply] = TTLCache(
            _MOST_DELIVERIES, REMEMBERED_SECONDS, lambda: self.clock()
        )

    def reply(self, webhook_event: WebhookEvent) -> PendingReply | None:
        """Return the reply to this delivery, finished or not; None: the delivery is new, or has no id."""
        return self._replies.get(f"{webhook_event.carrier}:{webhook_event.id}") if webhook_event.id else None

    def add(self, webhook_event: WebhookEvent, reply: PendingReply) -> None:
        """Remember the reply, finished or not."""
        if webhook_event.id:
            self._replies[f"{webhook_event.carrier}:{webhook_event.id}"] = reply

    def forget(self, webhook_event: WebhookEvent) -> None:
        """Forget this delivery: it was answered nothing, and may come again."""
        self._replies.pop(f"{webhook_event.carrier}:{webhook_event.id}", None)


class Tombstones:
    """The legs whose call has ended within the last ten minutes: late webhooks about them open no call."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, of the event loop."""
        self.clock = clock
        self._calls: TTLCache[str, str] = TTLCache(_MOST_LEGS, REMEMBERED_SECONDS, lambda: self.clock())

    def add(self, key: str, call: str) -> None:
        """Remember that the call of this leg has ended. `key`: one of `leg_keys`."""
        self._calls[key] = call

    def forget(self, carrier: str, ids: LegIds) -> None:
        """Forget that the call of this leg has ended: it is to be answered after all."""
        for key in leg_keys(carrier, ids):
            self._calls.pop(key, None)

    def find(self, carrier: str, ids: LegIds) -> str | None:
        """Return the ended call of this leg; None: no call of the leg has ended within ten minutes."""
        for key in leg_keys(carrier, ids):
            if (call := self._calls.get(key)) is not None:
                return call
        return None
