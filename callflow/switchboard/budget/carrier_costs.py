"""Asks carriers what ended calls have cost, where a carrier tells that only when it is asked.

The calls are found in the history, so a restart forgets none, but for the rest of one whose first price has come. A
price comes minutes after the end of a call; each call is asked about a few times within a day, in pauses that grow,
until all of its legs have one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from sqlalchemy.exc import SQLAlchemyError

from callflow.contracts import events
from callflow.contracts.carrier import Carrier, TellsPrice
from callflow.contracts.errors import CarrierError, DatabaseError
from callflow.contracts.events import LegIds
from callflow.history.history import History
from callflow.journal.journal import JournalEntry


log = logging.getLogger(__name__)

_FIRST: Final = 15.0
_PAUSES: Final = (60.0, 300.0, 1800.0, 7200.0)
"""Seconds until a call is asked about again."""
_LOOK_SECONDS: Final = 5.0
_SINCE_SECONDS: Final = 24 * 3600.0
_MOST_CALLS: Final = 200
_MOST_IN_PART: Final = 2000
"""The most calls of which some legs have a price and others not."""


@dataclass
class _Asked:
    """What was asked about one call."""

    at: float
    """When it is to be asked about next, of the loop's clock."""
    times: int = 0
    told: set[str] = field(default_factory=set)
    """The legs whose cost is known."""

    @property
    def is_in_part(self) -> bool:
        """Whether some of its legs are not known yet, and others are, so that the history does not miss its price."""
        return bool(self.told) and self.times <= len(_PAUSES)


class CostLookups:
    """Asks about the calls of all carriers that tell prices."""

    def __init__(self, history: History, carriers: Mapping[str, Carrier], *, first_seconds: float = _FIRST) -> None:
        """`carriers`: by name. `first_seconds`: after the end of a call, until it is asked about for the first time."""
        self._first_seconds = first_seconds
        self._history = history
        telling = {name: one for name, one in carriers.items() if "tells_price" in one.can}
        self._carriers = cast("Mapping[str, TellsPrice]", telling)
        self._loop = asyncio.get_running_loop()
        self._asked: dict[str, _Asked] = {}
        """The calls that are asked about."""

    async def run(self) -> None:
        """Ask for the prices of ended calls, until cancelled."""
        while self._carriers:
            await asyncio.sleep(min(_LOOK_SECONDS, self._first_seconds))
            if not self._history.is_readable or self._history.journal.trouble:
                continue
            try:
                await self._round()
            except (SQLAlchemyError, DatabaseError, OSError) as error:
                log.info("calls without a price cannot be looked up: %s", type(error).__name__)

    async def _round(self) -> None:
        since = self._history.now() - _SINCE_SECONDS
        found = await self._history.spending.without_price(list(self._carriers), since, _MOST_CALLS)
        now = self._loop.time()
        in_part = [call for call, asked in self._asked.items() if asked.is_in_part][-_MOST_IN_PART:]
        known = {call: self._asked[call] for call in [*in_part, *found] if call in self._asked}
        self._asked = {call: _Asked(now + self._first_seconds) for call in found} | known
        for call, asked in self._asked.items():
            if now >= asked.at and asked.times <= len(_PAUSES):
                asked.at = now + _PAUSES[min(asked.times, len(_PAUSES) - 1)]
                asked.times += 1
                await self._ask(call, asked)

    async def _ask(self, call: str, asked: _Asked) -> None:
        whole = []
        for leg in await self._history.spending.legs_of(call):
            if leg.carrier not in self._carriers:
                continue
            try:
                costs, is_whole = await self._carriers[leg.carrier].call_costs(LegIds(control=leg.control))
            except CarrierError as error:
                log.info("call %s: the carrier cannot be asked for its cost: %s", call, error)
                costs, is_whole = (), error.gone
            whole.append(is_whole)
            for cost in costs:
                if cost.of not in asked.told:
                    asked.told.add(cost.of)
                    self._history.journal.note(JournalEntry(call, 0, self._history.now(), events.to_json(cost)))
        if all(whole):
            asked.times = len(_PAUSES) + 1
