"""Sends the events of the history to EVENTS_URL: those of one call in order, those of different calls side by side.

The next event of a call waits for the one before it. A try that fails is repeated after a pause that doubles, for a
day; then, or where the receiver refuses the event itself, it is a dead letter, and the next one has its turn. An event
may arrive twice, with the same id: when the process dies, or the database is away, between the answer and its being
noted.

It runs in the process that looks after the calls of the history, beside the audio: what it does on the event loop is
one small request at a time, and the database is asked by threads.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history.delivery.answer import Answer
from callflow.history.event_store import DueEvent
from callflow.history.events_out import DEAD, DELIVERED


log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""The most events that are on their way at the same time."""
GIVE_UP_SECONDS: Final = 24 * 3600.0
LEAST_TRIES: Final = 5
"""An event is given up after so many tries at the earliest: the server itself may have been away for a day."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 600.0
_LOOK_SECONDS: Final = 5.0
"""How often the table is looked at without a reason: another process may have written events, or an operator's command
may be in another process."""
_EXPIRE_SECONDS: Final = 3600.0
_DELIVERED_SECONDS: Final = 7 * 86400.0
"""How long the row of a delivered event stays, without its body: as long as its id, it cannot be made twice, however
long a call takes and however often its journal is written again."""
_DEAD_SECONDS: Final = 30 * 86400.0
"""How long a dead letter can be sent again; its numbers are not kept for ever."""
_FINISH_SECONDS: Final = 2.0
_FINISH_PAUSE: Final = 0.02
_WRITES: Final = 100
_WRITE_PAUSE: Final = 5.0


class Events(Protocol):
    """What the sender needs of the history's events, with Unix time in seconds; see `EventStore`."""

    async def due(self, now: float, most: int) -> tuple[list[DueEvent], float | None]: ...
    async def delivered(self, name: str, now: float) -> None: ...
    async def dead(self, name: str, now: float, error: str) -> None: ...
    async def failed(self, event: DueEvent, next_at: float, error: str) -> None: ...
    async def counts(self) -> tuple[int, int]: ...
    async def expire(self, state: str, before: float) -> int: ...


class EventPoster(Protocol):
    """What the sender needs of a receiver; see `Receiver`."""

    async def post(self, name: str, body: str, now: float) -> Answer: ...
    async def close(self) -> None: ...


class Sender:
    """Sends events when they are due, and those that were not taken again after a pause."""

    def __init__(
        self,
        events: Events,
        receiver: EventPoster,
        *,
        now: Callable[[], float],
        first_pause: float = _FIRST_PAUSE,
        write_pause: float = _WRITE_PAUSE,
    ) -> None:
        """`now`: Unix time, in seconds. `first_pause`: seconds between the first two tries. `write_pause`: seconds
        until a database that refuses is asked again."""
        self._events, self._receiver, self._now = events, receiver, now
        self._first_pause, self._write_pause = first_pause, write_pause
        self._wake = asyncio.Event()
        self._is_running = False
        self._sending: dict[str, asyncio.Task[None]] = {}
        """By call."""
        self._counted_at = self._expired_at = float("-inf")
        self._failures = RepeatedWarnings(log)
        self._losses = RepeatedWarnings(log, logging.ERROR)
        self.counts: Counter[str] = Counter()
        """Since the start: events `delivered` and `dead`, and tries that `failed`."""
        self.waiting = self.dead = 0
        """Events in the table, as of a few seconds ago; 0 while another process sends them."""
        self.trouble = ""
        """Why the last try failed; "": it did not."""

    def wake(self) -> None:
        """Look for events now."""
        self._wake.set()

    def describe(self) -> dict[str, Any]:
        """Return what `/health` tells: `{"ok", "waiting", "dead", "delivered", "failed"}`, the four as counts, and
        `trouble` if there is one."""
        told: dict[str, Any] = {"ok": not self.trouble, "waiting": self.waiting, "dead": self.dead}
        told |= {"delivered": self.counts["delivered"], "failed": self.counts["failed"]}
        return told | ({"trouble": self.trouble} if self.trouble else {})

    async def finish(self, written: Callable[[], Awaitable[None]]) -> None:
        """Wait, before the process ends, until the last events have arrived: two seconds at most. Else the end of a
        call would be told at the next start only.

        Does nothing where another process sends them, or while nothing gets through. `written`: waits for the journal.
        Never raises.
        """
        if not self._is_running:
            return
        try:
            async with asyncio.timeout(_FINISH_SECONDS):
                await written()
                while not self.trouble and (await self._events.due(self._now(), 1))[0]:
                    self._wake.set()
                    await asyncio.sleep(_FINISH_PAUSE)
        except Exception as error:
            log.info("the last events are sent at the next start (%s)", _kind(error))

    async def run(self) -> None:
        """Send events until cancelled. A process that begins to do the work for all once more calls it again."""
        self._is_running = True
        self._counted_at = float("-inf")
        try:
            while True:
                self._wake.clear()
                pause = await self._look_or_wait()
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            self._is_running = False
            tasks = list(self._sending.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.trouble, self.waiting, self.dead = "", 0, 0  # another process knows better from now on

    async def close(self) -> None:
        """Close all connections; `run` must have ended."""
        await self._receiver.close()

    async def _look_or_wait(self) -> float:
        try:
            return await self._look()
        except Exception as error:
            self._losses.say("look", "events for EVENTS_URL cannot be read (%s): it is tried again", _kind(error))
            return self._write_pause

    async def _look(self) -> float:
        """Begin to send what is due. Returns the seconds until something may be due again."""
        now = self._now()
        await self._tidy(now)
        if len(self._sending) >= AT_ONCE:
            return _LOOK_SECONDS  # the first that is done wakes us
        # What is done while the table is read still waits in what was read: sent again, it would arrive twice.
        busy = frozenset(self._sending)
        due, later = await self._events.due(now, AT_ONCE + len(busy))
        for event in due:
            if event.call not in busy and len(self._sending) < AT_ONCE:
                task = asyncio.create_task(self._send(event), name=f"event {event.id}")
                self._sending[event.call] = task
        return _LOOK_SECONDS if later is None else min(max(later - now, 0.02), _LOOK_SECONDS)

    async def _tidy(self, now: float) -> None:
        if abs(now - self._expired_at) >= _EXPIRE_SECONDS:
            gone = await self._events.expire(DELIVERED, now - _DELIVERED_SECONDS)
            gone += await self._events.expire(DEAD, now - _DEAD_SECONDS)
            if not gone:  # else there may be more: the journal has its turn before
                self._expired_at = now
        if abs(now - self._counted_at) >= _LOOK_SECONDS:
            self.waiting, self.dead = await self._events.counts()
            self._counted_at = now

    async def _send(self, event: DueEvent) -> None:
        try:
            try:
                answer = await self._receiver.post(event.id, event.body, self._now())
            except Exception as error:
                log.exception("event %s cannot be sent because of an internal error", event.id)
                answer = Answer("again", f"an internal error ({type(error).__name__})")
            await self._settle(event, answer)
        finally:
            self._sending.pop(event.call, None)
            self._wake.set()

    async def _settle(self, event: DueEvent, answer: Answer) -> None:
        now = self._now()
        self.trouble = answer.error
        if answer.verdict == "delivered":
            await self._write(lambda: self._events.delivered(event.id, now))
            self.counts["delivered"] += 1
            return
        self.counts["failed"] += 1
        tries = event.tries + 1
        is_late = now - event.since >= GIVE_UP_SECONDS and tries >= LEAST_TRIES
        if answer.verdict == "refused" or is_late:
            self._losses.say(
                "dead", "call %s: its event %s is a dead letter after %d tries (%s): see GET /api/events/dead",
                event.call, event.type, tries, answer.error,
            )  # fmt: skip
            await self._write(lambda: self._events.dead(event.id, now, answer.error))
            self.counts["dead"] += 1
            self._counted_at = float("-inf")
            return
        self._failures.say(
            "failed", "call %s: its event %s has not arrived at EVENTS_URL (%s): it is tried again",
            event.call, event.type, answer.error,
        )  # fmt: skip
        pause = max(answer.wait, pause_after(tries, self._first_pause))
        await self._write(lambda: self._events.failed(event, now + pause, answer.error))

    async def _write(self, work: Callable[[], Awaitable[None]]) -> None:
        """Change the table, however often it takes. The events of the call wait meanwhile."""
        for _ in range(_WRITES):
            try:
                await work()
                return
            except Exception as error:
                self._losses.say("write", "what became of an event cannot be noted (%s)", _kind(error))
                await asyncio.sleep(self._write_pause)


def pause_after(tries: int, first: float = _FIRST_PAUSE) -> float:
    """Return the seconds until the next try: doubled with each, ten minutes at most, and up to a half less by chance,
    so that many events do not come back at the same moment."""
    return float(min(first * 2.0 ** min(tries - 1, 30), _LONGEST_PAUSE)) * random.uniform(0.5, 1.0)


def _kind(error: BaseException) -> str:
    return type(getattr(error, "orig", None) or error).__name__
