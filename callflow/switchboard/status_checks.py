"""Asks carriers whether the calls that are recovered are still on the line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Literal

from callflow.call.call import Call
from callflow.call.machine import BRIDGED, RECOVERING, RINGING, STREAMING, is_over
from callflow.contracts.carrier import CarrierCallStatus
from callflow.contracts.errors import CarrierError


log = logging.getLogger(__name__)

_YOUNG_SECONDS: Final = 10.0
"""A call younger than this may not be in its carrier's list yet."""
_FRESH_SECONDS: Final = 60.0
"""A conversation in which something happened so lately is taken to be still on the line when its node dies."""
_AGAIN_SECONDS: Final = 1.0
_DOUBT_SECONDS: Final = 5.0
"""The carrier is asked about such a conversation so much later, when its caller has heard something."""


class StatusChecks:
    """Asks the carriers about the calls that this process recovers."""

    def __init__(
        self, now: Callable[[], float], doubt: Callable[[Call], Awaitable[None]], most: asyncio.Semaphore
    ) -> None:
        """`now`: Unix time in seconds. `doubt`: asks about a call that is live here, and ends it if it is gone. `most`:
        bounds the simultaneous questions."""
        self._now, self._doubt, self._most = now, doubt, most
        self._fresh: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def broke(self, call: str, at: float) -> None:
        """Learn when the last entry of a call was written by a node that has died, in Unix time (seconds)."""
        if self._now() - at < _FRESH_SECONDS:
            self._fresh.add(call)

    async def close(self) -> None:
        """Ask the carriers no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, call: Call, *, given: bool = False) -> asyncio.Task[None]:
        """Do what `ask` does, also if nobody waits for it: a call that nobody asks about stays silent for ever."""
        return self._start(self.ask(call, given=given), f"ask about {call.id}")

    async def ask(self, call: Call, *, given: bool = False) -> None:
        """Take a call back, with the status that its carrier tells. `given`: a living node had it a moment ago. Never
        raises."""
        if given:
            call.agent.prompter.moved()
        found: CarrierCallStatus = "ringing" if call.model.state == RINGING else "answered"
        is_fresh = call.id in self._fresh
        self._fresh.discard(call.id)
        is_plain = given and call.model.state != BRIDGED and not call.awaits_leg
        if is_plain or "media_is_remote" in call.carrier.can:  # there, the session beside the call shows how it is
            call.recover(found)
            return
        if is_fresh and call.model.state in (STREAMING, RECOVERING) and not call.awaits_leg:
            # Who waits in silence does not wait for the carrier's answer: it is almost always that the call is there.
            call.recover(found)
            self._start(self._doubt_later(call), f"doubt {call.id}")
            return
        try:
            async with self._most:
                if call.awaits_leg:
                    await call.find_leg()
                found = "gone" if call.awaits_leg else await call.carrier.call_status(call.ids)
                if call.awaits_leg:
                    log.warning("call %s: the carrier knows of no such leg, so it was not dialled, or is over", call.id)
                elif found == "gone" and self._now() - call.began < _YOUNG_SECONDS:
                    await asyncio.sleep(_AGAIN_SECONDS)  # carriers' lists lag behind their calls
                    found = await call.carrier.call_status(call.ids)
        except CarrierError as error:
            log.warning("call %s: the carrier does not tell its status, so it is recovered anyway: %s", call.id, error)
        except Exception:
            log.exception("call %s: asking the carrier failed because of an internal error", call.id)
        call.recover(found, await self._person_status(call))

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _doubt_later(self, call: Call) -> None:
        await asyncio.sleep(_DOUBT_SECONDS)
        if not is_over(call.model):
            await self._doubt(call)

    async def _person_status(self, call: Call) -> Literal["", "answered", "gone"]:
        """Ask for the status of the person with whom the caller talks; "": with none, or it is not known."""
        if call.model.state != BRIDGED or not call.legs.human.control:
            return ""
        try:
            async with self._most:
                return "gone" if await call.carrier.call_status(call.legs.human) == "gone" else "answered"
        except CarrierError as error:
            log.warning("call %s: the carrier does not say whether the person is still there: %s", call.id, error)
        except Exception:
            log.exception("call %s: asking about the person's leg failed because of an internal error", call.id)
        return ""
