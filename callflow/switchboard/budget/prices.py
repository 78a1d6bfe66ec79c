"""Asks carriers what ended calls have cost, where a carrier tells that only when it is asked.

The calls are found in the history, so a restart forgets none. A price comes minutes after the end of a call; each call
is asked about a few times within a day, in pauses that grow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, cast

from sqlalchemy.exc import SQLAlchemyError

from callflow.contracts import events
from callflow.contracts.carrier import Carrier, TellsPrice
from callflow.contracts.errors import CarrierError, DatabaseError
from callflow.contracts.events import LegIds
from callflow.history.history import History
from callflow.history.spending import Unpriced
from callflow.journal.journal import JournalEntry


log = logging.getLogger(__name__)

_FIRST: Final = 15.0
_PAUSES: Final = (60.0, 300.0, 1800.0, 7200.0)
"""Seconds until a call is asked about again."""
_LOOK_SECONDS: Final = 5.0
_SINCE_SECONDS: Final = 24 * 3600.0
_MOST_CALLS: Final = 200


class PriceLookups:
    """Asks about the calls of all carriers that tell prices."""

    def __init__(self, history: History, carriers: Mapping[str, Carrier], *, first_seconds: float = _FIRST) -> None:
        """`carriers`: by name. `first_seconds`: after the end of a call, until it is asked about for the first time."""
        self._first_seconds = first_seconds
        self._history = history
        telling = {name: one for name, one in carriers.items() if "tells_price" in one.can}
        self._carriers = cast("Mapping[str, TellsPrice]", telling)
        self._loop = asyncio.get_running_loop()
        self._asked: dict[str, tuple[int, float]] = {}
        """How often each call was asked about, and when it is to be asked about next (of the loop's clock)."""

    async def run(self) -> None:
        """Ask, until cancelled."""
        while self._carriers:
            await asyncio.sleep(min(_LOOK_SECONDS, self._first_seconds))
            if not self._history.is_readable or self._history.journal.trouble:
                continue
            try:
                await self._round()
            except (SQLAlchemyError, DatabaseError, OSError) as error:
                log.info("which calls have no price yet cannot be read: %s", type(error).__name__)

    async def _round(self) -> None:
        since = self._history.now() - _SINCE_SECONDS
        found = await self._history.spending.without_price(list(self._carriers), since, _MOST_CALLS)
        known, now = self._asked, self._loop.time()
        self._asked = {one.call: known.get(one.call, (0, now + self._first_seconds)) for one in found}
        for one in found:
            times, at = self._asked[one.call]
            if now >= at and times <= len(_PAUSES):
                self._asked[one.call] = (times + 1, now + _PAUSES[min(times, len(_PAUSES) - 1)])
                await self._ask(one)

    async def _ask(self, one: Unpriced) -> None:
        try:
            cost = await self._carriers[one.carrier].call_cost(LegIds(control=one.carrier_call_id))
        except CarrierError as error:
            log.info("call %s: what it has cost cannot be asked for: %s", one.call, error)
            return
        if cost is not None:
            self._history.journal.note(JournalEntry(one.call, 0, self._history.now(), events.to_json(cost)))
