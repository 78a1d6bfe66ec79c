"""What happens again and again is logged once, and then as a count now and then.

Whoever can make something happen from outside (a refused webhook, an odd frame) could else fill the log, and hide in it
what matters.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final

from callflow.timers import Timers


_EVERY_SECONDS: Final = 10.0
_MOST_KINDS: Final = 200


@dataclass(slots=True)
class _Kind:
    more: int = 0
    """How many there were since it was logged."""
    last: tuple[str, tuple[Any, ...]] = field(default=("", ()))


class RepeatedWarnings:
    """`say` logs the first of each kind at once; the others, `seconds` later, in one line that has the last of them and
    how many there were. On the event loop only."""

    def __init__(self, log: logging.Logger, level: int = logging.WARNING, *, seconds: float = _EVERY_SECONDS) -> None:
        self._log, self._level, self._seconds = log, level, seconds
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self._timers = Timers(context=Context())  # not that of a call's task: the sum is not about one call alone

    def say(self, kind: str, message: str, *arguments: Any, exc_info: BaseException | None = None) -> None:
        """Log a warning, or count it. `kind`: what counts as the same; it must not be chosen by a stranger."""
        known = self._kinds.get(kind)
        if known is not None and self._timers.is_running(kind):
            known.more += 1
            known.last = message, arguments
            return
        if known is None:
            self._kinds[kind] = _Kind()
            if len(self._kinds) > _MOST_KINDS:
                self._timers.stop(self._kinds.popitem(last=False)[0])
        self._log.log(self._level, message, *arguments, exc_info=exc_info)
        self._timers.start(kind, self._seconds, self._sum_up, kind)

    def _sum_up(self, kind: str) -> None:
        known = self._kinds[kind]
        if known.more:
            (message, arguments), more, known.more = known.last, known.more, 0
            self._log.log(self._level, f"{message} (and %d more like it in %g s)", *arguments, more - 1, self._seconds)
            self._timers.start(kind, self._seconds, self._sum_up, kind)
