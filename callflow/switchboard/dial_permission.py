"""Says whether a number may be dialled: by the rules of `config/dial_rules.py`, and by the do-not-call list.

Not the hours of the person called: those are a campaign's (`campaigns/schedule.py`).
"""

from __future__ import annotations

from typing import Final

from callflow.config.dial_rules import DialRules
from callflow.contracts.errors import DialRefused
from callflow.history.history import History


_NOT_TO_BE_CALLED: Final = (
    "This number is on the do-not-call list, so it is not dialled: DELETE /api/do-not-call/NUMBER takes it off."
)


class DialPermission:
    """Checks numbers before they are dialled."""

    def __init__(self, rules: DialRules, history: History) -> None:
        self._rules, self._history = rules, history

    async def check(self, number: str, business: str) -> str:
        """Return why this number is not dialled for a business, in a sentence; "": it may be. Raises DialRefused while
        that is not known, and what the database's driver raises."""
        if why := await self._rules.acheck(number):
            return why
        if not self._history.is_readable:
            raise DialRefused(503, "The history is not open, so who must not be called is not known.", wait=1)
        return "" if await self._history.do_not_call.find(number, business) is None else _NOT_TO_BE_CALLED
