"""How long calls are kept: RETENTION_DAYS, looked at once an hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 3600.0
_DAY: Final = 86400.0


class Expires(Protocol):
    """What has a clock and can delete conversations that began before a moment."""

    @property
    def now(self) -> Callable[[], float]: ...

    async def expire(self, before: float) -> int: ...


class Retention:
    """Deletes what is older than RETENTION_DAYS, once an hour."""

    def __init__(self, history: Expires, days: float) -> None:
        """`days` 0: nothing is ever too old."""
        self._history, self._days = history, days

    async def run(self) -> None:
        """Delete what is too old, now and every hour, until cancelled; a database that refuses is asked again then."""
        while self._days:
            try:
                deleted = await self._history.expire(self._history.now() - self._days * _DAY)
                if deleted:
                    log.info("%d calls were older than %g days, and are deleted", deleted, self._days)
            except Exception:
                log.exception("calls that are too old could not be deleted; it is tried again")
            await asyncio.sleep(_LOOK_SECONDS)
