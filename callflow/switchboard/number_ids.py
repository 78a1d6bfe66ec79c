"""Finds the carriers' own ids of our numbers (Twilio `PN…`), for the journal.

Few webhooks contain these ids. The carrier is asked for each id once a day, in a task of its own, and the id is noted
for every call to that number; the note may follow the end of the call. There is no note if the carrier does not know
the number or cannot be asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cachetools import TLRUCache

from callflow.contracts.carrier import Carrier
from callflow.contracts.e164 import is_subscriber
from callflow.contracts.errors import CarrierError
from callflow.journal.notes import Began


log = logging.getLogger(__name__)

_KNOWN_SECONDS: Final = 86400.0
"""How long an id is valid: numbers are returned to the carrier, and bought again under another id."""
_UNKNOWN_SECONDS: Final = 3600.0
"""How long the answer is valid that the carrier does not know the number."""
_AGAIN_SECONDS: Final = 300.0
"""The pause before a carrier that has not answered is asked again."""
_ASK_SECONDS: Final = 10.0
_AT_ONCE: Final = 2
_MOST: Final = 1000
"""The most known numbers, requested numbers, and calls that wait for one number."""

_Key = tuple[str, str]
"""Carrier and number."""


class _Known(NamedTuple):
    """A carrier's answer."""

    id: str
    """"": none."""
    seconds: float
    """How long the answer is valid."""


class NumberIds:
    """Asks carriers for the ids of numbers, and passes them to the calls."""

    def __init__(self, tell: Callable[[str, str], None], now: Callable[[], float] = time.monotonic) -> None:
        """`tell`: receives a call and the id of its number. `now`: seconds of a monotonic clock."""
        self._tell = tell
        self._carriers: Mapping[str, Carrier] = {}
        self._known: TLRUCache[_Key, _Known] = TLRUCache(_MOST, lambda _, known, at: at + known.seconds, now)
        self._waiting: dict[_Key, list[str]] = {}
        """Waiting calls, by the requested number."""
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, carriers: Mapping[str, Carrier]) -> None:
        """Set the carriers, by name."""
        self._carriers = carriers

    def began(self, call: str, began: Began) -> None:
        """Pass the id of its number to a call that has begun, now or after the carrier's answer. Never waits."""
        key = (began.carrier, began.from_number if began.direction == "outbound" else began.to_number)
        carrier = self._carriers.get(began.carrier)
        if began.number or carrier is None or "media_is_remote" in carrier.can or not is_subscriber(key[1]):
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
            log.exception("asking %s for the id of %s failed because of an internal error", name, number)
        finally:
            calls = self._waiting.pop(key, [])
        self._known[key] = _Known(found, seconds)
        for call in calls if found else ():
            self._tell(call, found)

    async def close(self) -> None:
        """Cancel all questions."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
