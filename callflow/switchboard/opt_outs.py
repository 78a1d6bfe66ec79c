"""Puts people who ask for it, on a call that we made, on the do-not-call list."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from callflow.contracts.tools import Caller
from callflow.history.history import History


log = logging.getLogger(__name__)

_SECONDS: Final = 5.0
_REASON: Final = "asked for it on a call"
_BY: Final = "agent"


class OptOuts:
    """Gives calls that we made the tool `opt_out`, and keeps what it is asked for."""

    def __init__(self, history: History) -> None:
        """Must be made on the event loop."""
        self._history = history
        self._loop = asyncio.get_running_loop()

    def beside(self, acts: Mapping[str, Callable[..., Any]], caller: Caller) -> Mapping[str, Callable[..., Any]]:
        """Return what the agent may do to a call, with this beside it on calls that we made: whoever calls us may have
        borrowed the number that is shown."""
        if not caller.was_called:
            return acts
        return {**acts, "opt_out": partial(self.add, caller.call, caller.to_number, caller.business)}

    def add(self, call: str, number: str, business: str = "") -> bool:
        """Put a number on the list, for the business whose call it is; "": for every one. Returns whether it is there.
        For threads: waits at most 5 s."""
        adding = asyncio.run_coroutine_threadsafe(self._add(number, business), self._loop)
        try:
            adding.result(_SECONDS)
        except (Exception, concurrent.futures.CancelledError) as error:
            adding.cancel()
            log.error("call %s: AN OPT-OUT IS NOT ON THE DO-NOT-CALL LIST (%s)", call, type(error).__name__)
            return False
        log.info("call %s: a number that ends in %s is on the do-not-call list now", call, number[-2:])
        return True

    async def _add(self, number: str, business: str) -> None:
        if not self._history.is_readable:
            raise ConnectionError
        async with asyncio.timeout(_SECONDS):
            await self._history.do_not_call.add(number, reason=_REASON, added_by=_BY, business=business)
