"""What happens again and again is logged once, and then as a count now and then.

Whoever can make something happen from outside (a refused webhook, an odd frame) could else fill the log, and hide in it
what matters.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final


_EVERY_SECONDS: Final = 10.0
_MOST_KINDS: Final = 200


@dataclass(slots=True)
class _Kind:
    timer: asyncio.TimerHandle | None = None
    more: int = 0
    """How many there were since it was said."""
    last: tuple[str, tuple[Any, ...]] = field(default=("", ()))


class RepeatedWarnings:
    """`say` logs the first of each kind at once; the others, `seconds` later, in one line that has the last of them and
    how many there were. On the event loop only."""

    def __init__(self, log: logging.Logger, level: int = logging.WARNING, *, seconds: float = _EVERY_SECONDS) -> None:
        self._log, self._level, self._seconds = log, level, seconds
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()

    def say(self, kind: str, message: str, *arguments: Any, exc_info: BaseException | None = None) -> None:
        """`kind`: what counts as the same; a stranger may not vary it at will."""
        known = self._kinds.get(kind)
        if known is not None and known.timer is not None:
            known.more += 1
            known.last = message, arguments
            return
        if known is None:
            known = self._kinds[kind] = _Kind()
            if len(self._kinds) > _MOST_KINDS:
                oldest = self._kinds.popitem(last=False)[1]
                if oldest.timer is not None:
                    oldest.timer.cancel()
        self._log.log(self._level, message, *arguments, exc_info=exc_info)
        self._later(known)

    def _sum_up(self, known: _Kind) -> None:
        known.timer = None
        if known.more:
            (message, arguments), more, known.more = known.last, known.more, 0
            self._log.log(self._level, f"{message} (and %d more like it in %g s)", *arguments, more - 1, self._seconds)
            self._later(known)

    def _later(self, known: _Kind) -> None:
        """Outside of the task that this came from: the sum is not about its call alone."""
        loop = asyncio.get_running_loop()
        known.timer = loop.call_later(self._seconds, self._sum_up, known, context=Context())
