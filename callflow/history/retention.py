"""How long things are kept: RETENTION_DAYS, looked at once an hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from callflow.contracts.errors import StoreAway
from callflow.history.write_errors import unexplained


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 3600.0
_DAY: Final = 86400.0


class Retention:
    """Deletes what is older than RETENTION_DAYS, once an hour."""

    def __init__(
        self, expire: Callable[[float], Awaitable[int]], days: float, now: Callable[[], float], *, what: str
    ) -> None:
        """`expire`: deletes what began before a moment (Unix time, seconds), and returns how many. `days` 0: nothing is
        ever too old. `now`: returns Unix time. `what`: what is deleted, in the plural."""
        self._expire, self._days, self._now, self._what = expire, days, now, what

    async def run(self) -> None:
        """Delete what is too old, now and every hour, until cancelled; where that fails, it is tried again then."""
        while self._days:
            try:
                deleted = await self._expire(self._now() - self._days * _DAY)
                if deleted:
                    log.info("%d %s were older than %g days, and are deleted", deleted, self._what, self._days)
            except StoreAway as error:
                log.warning("%s that are too old are not deleted yet, for their recordings: %s", self._what, error)
            except Exception as error:
                text = "%s that are too old could not be deleted (%s); it is tried again"
                log.error(text, self._what, type(error).__name__, exc_info=unexplained(error))
            await asyncio.sleep(_LOOK_SECONDS)
