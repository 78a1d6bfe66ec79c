"""The carriers' own ids of the numbers that are called (Twilio `PN…`), for the journal.

Few webhooks have them. Each is asked for once a day, in a task apart from all calls, and noted for every call to that
number; the note may come after the end of the call. There is none where the carrier does not know the number or cannot
be asked.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cachetools import TLRUCache

from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import CarrierError
from callflow.journal.notes import Began


log = logging.getLogger(__name__)

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_KNOWN_SECONDS: Final = 86400.0
"""How long an id is believed: numbers are returned to the carrier, and bought again under another id."""
_UNKNOWN_SECONDS: Final = 3600.0
"""How long it is believed that the carrier does not know the number."""
_AGAIN_SECONDS: Final = 300.0
"""When a carrier is asked again that has not answered."""
_ASK_SECONDS: Final = 10.0
_AT_ONCE: Final = 2
_MOST: Final = 1000
"""Numbers that are known, numbers that are asked for, and calls that wait for one of them."""

_Key = tuple[str, str]
"""Carrier and number."""


class _Known(NamedTuple):
    """What a carrier has answered."""

    id: str
    """"": none."""
    seconds: float
    """How long that is believed."""


class NumberIds:
    """Asks carriers for the ids of numbers, and tells them to the calls."""

    def __init__(self, tell: Callable[[str, str], None], now: Callable[[], float] = time.monotonic) -> None:
        """`tell`: takes a call and the id of its number. `now`: seconds, of a clock that never goes back."""
        self._tell = tell
        self._carriers: Mapping[str, Carrier] = {}
        self._known: TLRUCache[_Key, _Known] = TLRUCache(_MOST, lambda _, known, at: at + known.seconds, now)
        self._waiting: dict[_Key, list[str]] = {}
        """Calls, by the number that is being asked for."""
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, carriers: Mapping[str, Carrier]) -> None:
        """Set the carriers, by name."""
        self._carriers = carriers

    def began(self, call: str, began: Began) -> None:
        """Tell a call that has begun the id of its number, now or when the carrier has answered. Never waits."""
        key = (began.carrier, began.to_number)
        if began.number or key[0] not in self._carriers or not _NUMBER.fullmatch(key[1]):
            return
        known = self._known.get(key)
        if known is not None:
            if known.id:
                self._tell(call, known.id)
        elif key in self._waiting:
            if len(self._waiting[key]) < _MOST:
                self._waiting[key].append(call)
        elif len(self._waiting) < _MOST:
            self._waiting[key] = [call]
            task = asyncio.create_task(self._ask(key), name=f"id of number {key[1]}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, key: _Key) -> None:
        name, number = key
        found, seconds = "", _AGAIN_SECONDS
        try:
            async with self._few, asyncio.timeout(_ASK_SECONDS):
                found = await self._carriers[name].number_id(number)
            seconds = _KNOWN_SECONDS if found else _UNKNOWN_SECONDS
            if not found:
                log.info("%s has no number %s of ours, so its calls have no id of it in the history", name, number)
        except (CarrierError, TimeoutError) as error:
            log.info("%s does not say which id %s has: %s", name, number, str(error) or "no answer in time")
        except Exception:
            log.exception("asking %s for the id of %s failed through a fault of our own", name, number)
        finally:
            calls = self._waiting.pop(key, [])
        self._known[key] = _Known(found, seconds)
        for call in calls if found else ():
            self._tell(call, found)

    async def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
