"""Asks the caller lookup about a call that rings, within its time. A call goes on without an answer that is late or
cannot be used: this never fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from callflow.config.settings import Settings
from callflow.contracts.caller_lookup import LookedUp, Question, read_answer
from callflow.contracts.errors import LookupFailed
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.tools.caller_lookup import FunctionAsked
from callflow.tools.registry import Tools


log = logging.getLogger(__name__)

_LATER: Final = 1.0
"""Seconds by which the time of what is asked is longer: that an answer is late is said here."""


class Ask(Protocol):
    """A function in tools.py, or a server at an address."""

    async def __call__(self, question: Question) -> str | bytes:
        """Return the answer as JSON, as it came. Raises LookupFailed, or TimeoutError."""

    async def close(self) -> None:
        """Close all connections."""


class TimedLookup:
    """See `callflow.contracts.caller_lookup.CallerLookup`."""

    def __init__(self, ask: Ask, seconds: float) -> None:
        self._ask, self.seconds = ask, seconds
        self._loop = asyncio.get_running_loop()
        self._warnings = RepeatedWarnings(log)

    async def look_up(self, question: Question) -> LookedUp:
        """Ask, and return what came of it in time."""
        began = self._loop.time()
        found = await self._asked(question)
        if found.why:
            self._warnings.say(
                found.outcome, "call %s: the caller lookup %s (%s): the call goes on without it", question.call,
                "is late" if found.outcome == "late" else "has failed", found.why,
            )  # fmt: skip
        return replace(found, ms=round((self._loop.time() - began) * 1000))

    async def _asked(self, question: Question) -> LookedUp:
        try:
            async with asyncio.timeout(self.seconds):
                return read_answer(await self._ask(question))
        except TimeoutError:
            return LookedUp(outcome="late", why=f"no answer within {self.seconds:g} s")
        except LookupFailed as error:
            return LookedUp(outcome="failed", why=str(error))
        except Exception as error:
            log.exception("call %s: the caller lookup failed because of an internal error", question.call)
            return LookedUp(outcome="failed", why=f"an internal error ({type(error).__name__})")

    async def close(self) -> None:
        """Close all connections."""
        await self._ask.close()


def make_lookup(settings: Settings, tools: Callable[[], Tools]) -> TimedLookup:
    """Make what CALLER_LOOKUP names, ready for its first question. `tools`: returns those of the present version of
    their file."""
    seconds = settings.caller_lookup_seconds
    if not settings.lookup_url:
        return TimedLookup(FunctionAsked(tools, seconds + _LATER), seconds)
    # Only where they are needed: they are heavy.
    from callflow.history.delivery.caller_lookup import UrlLookup
    from callflow.history.delivery.signature import Signer

    signer = Signer(settings.events_secret.get_secret_value())
    return TimedLookup(UrlLookup(settings.lookup_url, signer, seconds + _LATER), seconds)
