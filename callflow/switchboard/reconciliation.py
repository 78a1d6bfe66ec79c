"""Compares our live calls with the carriers': finds calls that only one side considers live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from callflow.call.call import Call
from callflow.contracts import events
from callflow.contracts.carrier import ActiveCall, Carrier
from callflow.contracts.errors import CarrierError
from callflow.history.history import History
from callflow.switchboard.call_ids import call_id
from callflow.switchboard.leftover_legs import hang_up_leg
from callflow.switchboard.switchboard import Switchboard


log = logging.getLogger(__name__)

_SETTLED_SECONDS: Final = 30.0
"""A younger call is not checked, because carriers' lists lag behind their calls."""
_AT_ONCE: Final = 4
_PAUSE_SECONDS: Final = 0.1
"""So many calls are asked about before this pause. A question takes some milliseconds of the loop: those about a
thousand calls, one upon the other, would keep the audio waiting for seconds, and are more than a carrier likes."""


class Reconciliation:
    """Compares the live calls and the history with the carriers' live calls."""

    def __init__(
        self,
        history: History,
        switchboard: Switchboard,
        carriers: Mapping[str, Carrier],
        questions: asyncio.Semaphore,
        bring_back: Callable[[str], Awaitable[Call | None]],
        ask_about: Callable[[Call], Awaitable[None]],
    ) -> None:
        """`questions`: bounds the simultaneous requests to carriers. `bring_back`: restores an unfinished call from the
        history. `ask_about`: asks the carrier for the call's status."""
        self._history, self._switchboard, self._carriers = history, switchboard, carriers
        self._questions, self._bring_back, self._ask_about = questions, bring_back, ask_about

    async def run_once(self, *, lists: bool = True) -> None:
        """Ask the carriers about every live call, and search for every call that the carriers list. `lists`: False
        leaves that to another node."""
        old = [call for call in self._switchboard.calls if self._history.now() - call.began >= _SETTLED_SECONDS]
        async with asyncio.TaskGroup() as asking:
            for number, call in enumerate(old):
                if number and not number % _AT_ONCE:
                    await asyncio.sleep(_PAUSE_SECONDS)
                asking.create_task(self.doubt(call))
        for carrier in self._carriers.values() if lists else ():
            try:
                for active in await carrier.active_calls():
                    await self.account_for(carrier, active)
            except CarrierError as error:
                log.warning("%s does not list its live calls: %s", carrier.name, error)
            except Exception:
                log.exception("comparing our calls with those of %s failed because of an internal error", carrier.name)

    async def doubt(self, call: Call) -> None:
        """Ask the carrier about one live call, and end the call if its carrier has it no more. Never raises."""
        if call.awaits_return:
            return
        try:
            async with self._questions:
                if await call.carrier.call_status(call.ids) != "gone":
                    return
        except CarrierError:
            return  # status unknown: the call goes on
        except Exception:
            log.exception("call %s: asking the carrier failed because of an internal error", call.id)
            return
        log.warning("call %s: the carrier does not list it any more, and sent no hang-up webhook", call.id)
        self._switchboard.counts["lost_hangups"] += 1
        call.post(events.CallHangup(cause="not_at_carrier", source="reconciliation"))

    async def account_for(self, carrier: Carrier, active: ActiveCall) -> None:
        """Find out whose this live leg is: a call that is not finished is recovered, and a leg whose call is over is
        hung up. Raises CarrierError, and what the database raises."""
        ids = active.ids
        if self._switchboard.knows(carrier.name, ids) or self._switchboard.is_live(active.call):
            return
        row = await self._history.store.conversation(active.call or call_id(carrier.name, ids), hidden=True)
        row = row or await self._history.store.of_carrier(carrier.name, ids.control)
        name = str(row["call_id"] or "") if row is not None else ""
        if row is None or not name:
            return  # not our call: another program uses the same account
        if row["ended_at"] is None:
            call = await self._bring_back(name)
            if call is not None:
                log.warning("call %s is unfinished in the history and no process has it: it is recovered", name)
                await self._ask_about(call)
            return
        log.warning("call %s is over, and its carrier still lists it: it is hung up once more", name)
        self._switchboard.counts["orphans"] += 1
        await hang_up_leg(carrier, ActiveCall(ids, name))
