"""Asks the control endpoint about what happens in live calls, and gives its answers to them.

One question at a time for each call: of what happens meanwhile, the newest is asked about next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.config.settings import Settings
from callflow.contracts.control import AT_START, ControlQuestion
from callflow.contracts.secret_text import Secrets
from callflow.journal.live_feed import LiveEvent, LiveFeed
from callflow.journal.notes import Began
from callflow.switchboard.control.ask import ControlAsker, make_asker
from callflow.switchboard.control.service import ControlService
from callflow.switchboard.switchboard import Switchboard


log = logging.getLogger(__name__)

_MOST_NEWS: Final = 2000
_MOST_AT_ONCE: Final = 64


class ControlFollower:
    """Follows all calls, until it is closed."""

    def __init__(self, asker: ControlAsker | None, feed: LiveFeed, board: Callable[[], Switchboard]) -> None:
        """`asker`: None: nothing is asked."""
        self.asker, self._feed, self._board = asker, feed, board
        self._waiting: dict[str, tuple[str, Mapping[str, Any]]] = {}
        """By call: what is asked about next."""
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._task = asyncio.create_task(self._run(asker), name="control") if asker is not None else None

    async def close(self) -> None:
        """Ask nothing any more."""
        tasks = [task for task in (self._task, *self._asking.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.asker is not None:
            await self.asker.close()

    async def _run(self, asker: ControlAsker) -> None:
        with self._feed.watch(_MOST_NEWS) as watcher:
            async for news in watcher:
                if (about := _about(news, asker)) is not None:
                    self._waiting[news.call] = about
                    if news.call not in self._asking and len(self._asking) < _MOST_AT_ONCE:
                        self._begin(asker, news.call)

    def _begin(self, asker: ControlAsker, call: str) -> None:
        task = asyncio.create_task(self._ask(asker, call), name=f"control {call}")
        self._asking[call] = task
        task.add_done_callback(lambda _: self._ended(asker, call))

    def _ended(self, asker: ControlAsker, call: str) -> None:
        del self._asking[call]
        if self._task is not None and not self._task.done():
            waiting = [other for other in self._waiting if other not in self._asking]
            for other in waiting[: _MOST_AT_ONCE - len(self._asking)]:
                self._begin(asker, other)

    async def _ask(self, asker: ControlAsker, name: str) -> None:
        about, told = self._waiting.pop(name)
        live = self._board().live(name)
        if live is None:
            return
        question = ControlQuestion(
            event=about, call=name, carrier=live.carrier.name, from_number=live.from_number,
            to_number=live.to_number, direction=live.direction, more=told,
        )  # fmt: skip
        found = await asker.ask(question)
        live = self._board().live(name)
        if found is not None and live is not None:
            live.requests.step_in.controlled(about, found)


def make_follower(
    settings: Settings, service: ControlService, secrets: Secrets, feed: LiveFeed, board: Callable[[], Switchboard]
) -> ControlFollower:
    """Make what asks whom REALTIME_CONTROL_URL names."""
    return ControlFollower(make_asker(settings, service, secrets), feed, board)


def _about(news: LiveEvent, asker: ControlAsker) -> tuple[str, Mapping[str, Any]] | None:
    """Return what is to be asked about; None: nothing."""
    told = news.data["event"] if news.kind == "step" else news.data
    name = str(told.get("event", "")) if news.kind == "step" else news.kind
    if name in asker.during:
        return name, told
    # A call that comes in asks by itself, before it is answered: see `callflow.call.pre_answer_lookups`.
    is_ours = news.kind == Began.kind and told.get("direction") == "outbound"
    return (AT_START, {}) if is_ours and asker.at_start else None
