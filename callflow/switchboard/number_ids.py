"""The carriers' own ids of the numbers that are called (Twilio `PN…`), for the record.

Few webhooks bring them. Each is asked for once a day, apart from all calls, and told to the record of every call to
that number: a note of its own, which may come when the call is over. Where the carrier does not know the number or
cannot be asked, the record stays without.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import CarrierError


log = logging.getLogger(__name__)

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_KNOWN_SECONDS: Final = 86400.0
"""Numbers are given back and bought anew."""
_UNKNOWN_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 300.0
"""After a question that was not answered."""
_ASK_SECONDS: Final = 10.0
_AT_ONCE: Final = 2
_MOST: Final = 1000
"""Numbers that are known, and calls that wait."""

_Key = tuple[str, str]


class NumberIds:
    def __init__(self, tell: Callable[[str, str], None], now: Callable[[], float] = time.monotonic) -> None:
        """`tell`: the record, of a call and its number's id."""
        self._tell, self._now = tell, now
        self._carriers: Mapping[str, Carrier] = {}
        self._known: dict[_Key, tuple[str, float]] = {}
        """The id ("": none), and until when that holds."""
        self._waiting: dict[_Key, list[str]] = {}
        """Calls, by the number that is being asked for."""
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, carriers: Mapping[str, Carrier]) -> None:
        self._carriers = carriers

    def began(self, call: str, event: Mapping[str, Any]) -> None:
        """A call has begun, with these facts. Never waits."""
        key = (str(event.get("carrier") or ""), str(event.get("to") or ""))
        if event.get("number") or key[0] not in self._carriers or not _NUMBER.fullmatch(key[1]):
            return
        number, until = self._known.get(key, ("", 0.0))
        if self._now() < until:
            if number:
                self._tell(call, number)
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
                log.info("%s has no number %s of ours, so the record of its calls has no id of it", name, number)
        except (CarrierError, TimeoutError) as error:
            log.info("%s does not say which id %s has: %s", name, number, str(error) or "no answer in time")
        except Exception:
            log.exception("asking %s for the id of %s failed through a fault of our own", name, number)
        finally:
            calls = self._waiting.pop(key, [])
        self._known.pop(key, None)
        self._known[key] = (found, self._now() + seconds)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        for call in calls if found else ():
            self._tell(call, found)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
