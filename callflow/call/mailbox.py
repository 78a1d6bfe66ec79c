"""The mailbox of one call: queued events, and the futures of the replies to their webhooks.

It can be held: then the call takes no step, and goes on with its audio, while the database is asked to give it to
another node. What comes meanwhile waits, until it is known which node takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from callflow.contracts import events
from callflow.contracts.carrier import WebhookReply
from callflow.contracts.events import Event
from callflow.timers import SmallEvent


_MOST: Final = 1000
"""The most queued events. Further webhooks are refused, so that the carrier sends them again."""
_ENDINGS: Final = (events.CallHangup, events.HangupRequested)
"""Events that go to the front of the queue, because they end the call whatever else is queued: all but the answer of
the same leg, without which it would count as never answered."""


E = TypeVar("E", bound=Event)


class Waiting(NamedTuple):
    """An event in a mailbox."""

    event: Event
    reply: asyncio.Future[WebhookReply] | None
    """The future of the webhook's reply; None: the event comes from no webhook."""


class Mailbox:
    """Events in the order of arrival, except that events that end the call come first, behind its answer."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._wake: asyncio.Future[None] | None = None
        """Set while `next` waits."""
        self._closed = False
        self.is_held = False
        self._is_idle = False
        """Whoever takes the events waits for the next one."""
        self._requests = 0
        """Requests of operators that are being served, and commands that the carrier has not answered."""
        self._holding: asyncio.Future[None] | None = None
        """Set while somebody waits to hold it."""
        self._open = SmallEvent(is_set=True)

    def is_full_for(self, event: Event) -> bool:
        """Return whether the mailbox is too full for this event. Events that end the call always fit."""
        return len(self._waiting) >= _MOST and not isinstance(event, _ENDINGS)

    def put(self, event: Event, reply: asyncio.Future[WebhookReply] | None = None, *, first: bool = False) -> None:
        """Add an event. Never waits. `first`: put it before all others."""
        if first or isinstance(event, _ENDINGS):
            self._waiting[:0] = [*self._take_answers(event), Waiting(event, reply)]
        else:
            self._waiting.append(Waiting(event, reply))
        self._wake_up()

    def _take_answers(self, ending: Event) -> list[Waiting]:
        """Remove and return the queued answers of a leg that ends; of none that does not end."""
        if not isinstance(ending, _ENDINGS):
            return []
        found, others = list[Waiting](), list[Waiting]()
        for one in self._waiting:
            is_answer = isinstance(one.event, events.CallAnswered) and one.event.leg == ending.leg
            (found if is_answer else others).append(one)
        self._waiting = others
        return found

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
        """Return whether an event of this kind is queued."""
        return self.last(kind) is not None

    def last(self, kind: type[E]) -> E | None:
        """Return the last queued event of this kind; None: there is none."""
        return next((one.event for one in reversed(self._waiting) if isinstance(one.event, kind)), None)

    async def next(self) -> Waiting | None:
        """Remove and return the next event; wait until there is one, and the mailbox is not held. None: the mailbox is
        closed, and held, or nothing that ends the call is next: that alone is taken by whoever lets go of a call."""
        while not self._closed and (self.is_held or not self._waiting):
            self._is_idle = True
            self._try_to_hold()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            self._is_idle = False
        if self.is_held or not self._waiting or (self._closed and not isinstance(self._waiting[0].event, _ENDINGS)):
            return None
        return self._waiting.pop(0)

    # While the call is given to another node

    async def hold(self, seconds: float) -> bool:
        """Let no further event be taken, as soon as those that are queued have been, no request of an operator is
        being served and the carrier has answered all commands. Returns whether it is held now, which lasts until
        `go_on`: not after `seconds`, nor when it was closed before."""
        self._holding = asyncio.get_running_loop().create_future()
        self._try_to_hold()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._holding
        self._holding = None
        return self.is_held

    def go_on(self) -> None:
        """Hand events out again, after `hold`. A mailbox that was closed meanwhile gives no event out any more."""
        if not self._closed:
            self.is_held = False
            self._wake_up()
        self._open.set()

    async def opened(self) -> None:
        """Wait while it is held: its holder has a deadline."""
        await self._open.wait()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Keep the mailbox from being held, while an operator's request is served, or a command is under way whose
        outcome is an event."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._try_to_hold()

    def _try_to_hold(self) -> None:
        holding = self._holding
        if holding is None or holding.done():
            return
        if self._is_idle and not (self._waiting or self._requests or self._closed):
            self.is_held = True
            self._open.clear()
        if self.is_held or self._closed:
            holding.set_result(None)

    async def ends(self) -> None:
        """Wait until an event that ends the call is queued, or the mailbox is closed. Not while `next` waits."""
        while not self._closed and not any(self.has(kind) for kind in _ENDINGS):
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def close(self) -> None:
        """Make `next` return None instead of waiting; what is queued stays, but for an event that ends the call."""
        self._closed = True
        self._try_to_hold()
        self._open.set()
        self._wake_up()

    def take_rest(self) -> list[Waiting]:
        """Remove and return all queued events."""
        rest, self._waiting = self._waiting, []
        return rest

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
