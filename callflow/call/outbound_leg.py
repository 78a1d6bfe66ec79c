"""Dials a leg (of an outbound call, or of a person to whom a call is transferred), and finds out which leg it became.

The carrier's ids of the leg come with its answer to the dial, or with a webhook, which may be faster. If the answer is
lost, nobody knows whether a telephone rings: the leg is searched for, and nothing is dialled again, because to ring a
person twice is worse than a call that fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Literal

from callflow.contracts import events
from callflow.contracts.carrier import Carrier, CarrierRequest
from callflow.contracts.commands import Dial
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import Event, LegIds
from callflow.contracts.log_format import CALL


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)
"""Pauses before each search for a leg that may have been dialled."""
_LEG_SECONDS: Final = 20.0
"""How long a hang-up waits for a leg that is being dialled."""


class OutboundLeg:
    """One leg that we dial, from the dial until its ids are known."""

    def __init__(
        self, carrier: Carrier, leg: str, post: Callable[[Event], object], named: Callable[[LegIds], object]
    ) -> None:
        """`leg`: which one, as in `Event.leg`. `post`: takes the result of the dial. `named`: takes the ids of the leg,
        unless a webhook was faster."""
        self._carrier, self._leg, self._post, self._named = carrier, leg, post, named
        self._known: asyncio.Future[LegIds | None] = asyncio.get_running_loop().create_future()
        self._waits_to_hang_up = False
        self.error: CarrierError | None = None
        """Why there is no leg, or why it is not known whether there is one."""

    @property
    def is_settled(self) -> bool:
        """Whether the ids are known, or no leg was made."""
        return self._known.done()

    def known(self, ids: LegIds) -> None:
        """Take the carrier's ids of the leg."""
        if not self._known.done():
            self._known.set_result(ids)

    def failed(self, error: CarrierError) -> None:
        """Note that no leg was made, and why."""
        self.error = error
        if not self._known.done():
            self._known.set_result(None)

    async def wait(self, seconds: float) -> LegIds | None:
        """Return the ids of the leg as soon as they are known. None: there is no leg, or it is not known in time."""
        await asyncio.wait([self._known], timeout=seconds)
        return self._known.result() if self._known.done() else None

    async def wait_to_hang_up(self) -> LegIds | None:
        """Return the ids of a leg that is to be hung up, as `wait` does, for as long as a dial may take."""
        self._waits_to_hang_up = True
        try:
            return await self.wait(_LEG_SECONDS)
        finally:
            self._waits_to_hang_up = False

    def turned_up(self, ids: LegIds) -> bool:
        """Take the ids of a leg that is seen after the end of its call. Returns whether a hang-up waits for them."""
        waits = self._waits_to_hang_up and not self.is_settled
        self.known(ids)
        return waits

    async def dial(self, request: CarrierRequest) -> None:
        """Dial, and report how it went: `CommandDone` or `CommandFailed`."""
        CALL.set(request.call)
        try:
            ids = await self._carrier.dial(request)
        except CarrierError as error:
            log.warning("call %s: dial failed: %s", request.call, error)
            if self.is_settled:  # a webhook has told of the leg
                return
            self.error = error
            if not error.unknown:
                self.failed(error)
            effect: Literal["", "unknown"] = "unknown" if error.unknown else ""
            self._post(
                events.CommandFailed(
                    leg=self._leg, command=Dial.name, effect=effect, refuses=error.refuses, reason=str(error)
                )
            )
            if error.unknown:
                await self.look_for(request)
        except Exception as error:
            log.exception("call %s: dial failed because of an internal error", request.call)
            self.failed(CarrierError("an internal error, which the log of the server tells"))
            self._post(events.CommandFailed(leg=self._leg, command=Dial.name, reason=type(error).__name__))
        else:
            self._found(ids)

    async def look_for(self, request: CarrierRequest) -> None:
        """Search for a leg that may have been dialled, until it is found, a webhook names it or the last search found
        nothing."""
        for pause in _LOOK_SECONDS:
            if await self.wait(pause) is not None or self.is_settled:
                return
            try:
                ids = await self._carrier.find_dialled(request)
            except CarrierError as failure:
                log.warning("call %s: the carrier does not say whether it has dialled: %s", request.call, failure)
                continue
            if ids is not None:
                self._found(ids)
                return

    def _found(self, ids: LegIds) -> None:
        if not self.is_settled:
            self._named(ids)
            self.known(ids)
        self._post(events.CommandDone(leg=self._leg, command=Dial.name))
