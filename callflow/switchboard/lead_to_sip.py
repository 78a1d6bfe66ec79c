"""Leads callers of numbers at telephone carriers to the engine's SIP address, where the profile of the number says so.

Such a leg is no call here: the call is the one that arrives over SIP, linked by our headers. What the carrier tells of
the leg afterwards is only noted, unless nobody has answered there: then the caller is answered here, over a stream.
That is so, too, where another process has led them there: who they are comes back with the webhook.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from cachetools import TTLCache
from msgspec import structs

from callflow.call.call import Call
from callflow.call.command_ids import command_id
from callflow.call.machine.model import BRIDGED
from callflow.call.outbound_order import OutboundOrder
from callflow.call.services import CallServices
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply
from callflow.contracts.commands import LeadToSip
from callflow.contracts.errors import CarrierError
from callflow.contracts.event import LED as LED_FROM
from callflow.contracts.event import PART_OF
from callflow.contracts.events import (
    CallAnswered,
    CallBridged,
    CallHangup,
    CallInitiated,
    LegIds,
    WebhookEvent,
)
from callflow.contracts.log_format import CALL
from callflow.switchboard.dedupe import Tombstones, leg_keys


log = logging.getLogger(__name__)

LED: Final = "sip"
"""The leg that rings the SIP address, as its webhooks name it."""
_MOST: Final = 10_000
_SECONDS: Final = 120.0
"""How long a leg is remembered that was led away and not answered: far longer than it rings."""
_TALK_SECONDS: Final = 4 * 3600.0


_OVER: Final = ("", "normal_clearing")
"""Causes with which a leg to the address ends that was answered there."""
_CALLED_OFF: Final = ("originator_cancel", "time_limit")
"""Those after which the caller is not on the line any more. Only where it is not known whether they were answered."""


class SipLeading:
    """Leads callers of one process to one SIP address."""

    def __init__(
        self,
        services: CallServices,
        tombstones: Tombstones,
        counts: Counter[str],
        answer_here: Callable[[Carrier, WebhookEvent], Coroutine[Any, Any, object]],
        name_of: Callable[[str, LegIds], str],
        live: Callable[[str], Call | None],
    ) -> None:
        """`tombstones`: the legs about which later webhooks are only noted. `answer_here`: takes a webhook once more,
        for a caller who is back. `name_of`: returns the id that a call of this carrier's leg has. `live`: returns the
        live call of an id."""
        self._services, self._tombstones, self._counts = services, tombstones, counts
        self._answer_here, self._name_of, self._live = answer_here, name_of, live
        clock = asyncio.get_running_loop().time
        self._led: TTLCache[str, tuple[Carrier, WebhookEvent]] = TTLCache(_MOST, _SECONDS, clock)
        self._reached: TTLCache[str, bool] = TTLCache(_MOST, _TALK_SECONDS, clock)
        """Callers who were answered there."""

    def take(self, carrier: Carrier, webhook_event: WebhookEvent, *, is_open: bool) -> WebhookReply | None:
        """Take a webhook about no call of ours: lead a caller who rings, or see what has become of one. Returns the
        reply to the carrier; None: it is for others. `is_open`: new calls are taken."""
        self._told(carrier, webhook_event)
        event = webhook_event.event
        if not isinstance(event, CallInitiated):
            return None
        if event.led == "over":
            return carrier.reply(event, (), over=True)
        if event.led:
            self._tombstones.forget(webhook_event.carrier, webhook_event.ids)
            return None
        return self._lead(carrier, webhook_event, event) if is_open else None

    def other_side(self, webhook_event: WebhookEvent) -> tuple[LegIds, OutboundOrder | None]:
        """Return the ids of a leg that rings, and the order of the outbound call whose other side it is; None: of none.
        Such a leg has that call for its session; one that another carrier's leg has led here, that leg. The header that
        says so is anybody's word, so the call must have been led here."""
        ids = webhook_event.ids
        dialled = self._live(webhook_event.linked_call)
        if dialled is not None and dialled.is_outbound and dialled.model.state == BRIDGED:
            return (ids if ids.session else replace(ids, session=f"{PART_OF}{dialled.id}")), dialled.order
        carrier, _, leg = getattr(webhook_event.event, "linked", "").partition(":")
        if leg and f"{carrier}:" != PART_OF and not ids.session:
            ids = replace(ids, session=f"{LED_FROM}{carrier}:{self._name_of(carrier, LegIds(leg=leg))}")
        return ids, None

    def _lead(self, carrier: Carrier, webhook_event: WebhookEvent, event: CallInitiated) -> WebhookReply | None:
        services, name = self._services, self._name_of(webhook_event.carrier, webhook_event.ids)
        if "leads_to_sip" not in carrier.can or event.direction != "incoming":
            return None
        caller, called = services.number(event.from_number), services.number(event.to_number)
        config = services.config(called)
        if not config.sip_address or (event.route or config.route) != "sip":
            return None
        request = CarrierRequest(
            LeadToSip(address=config.sip_address), command_id(name, 0, 1), name, webhook_event.ids,
            from_number=caller, to_number=called,
        )  # fmt: skip
        self._led[name] = carrier, webhook_event
        for key in leg_keys(webhook_event.carrier, webhook_event.ids):
            self._tombstones.add(key, name)
        self._counts["led_to_sip"] += 1
        reply = carrier.reply(event, [request])
        for left in reply.rest:
            services.run_after_call(self._execute(carrier, left, name))
        log.info("call %s: a caller is led to the engine's SIP address", name)
        return reply

    def _told(self, carrier: Carrier, webhook_event: WebhookEvent) -> None:
        """Take a webhook about a leg that rings the SIP address: one that ends before it was answered brings the
        caller back; with that of an outbound call, the call is over."""
        if webhook_event.leg != LED:
            return
        dialled = self._live(webhook_event.call)
        if dialled is not None and dialled.is_outbound and isinstance(webhook_event.event, CallHangup):
            is_over = webhook_event.event.cause in _OVER
            dialled.post(CallInitiated(led="over" if is_over else "failed"))
        if isinstance(webhook_event.event, (CallAnswered, CallBridged)):
            self._led.pop(webhook_event.call, None)
            self._reached[webhook_event.call] = True
        elif isinstance(webhook_event.event, CallHangup):
            rang, is_over = webhook_event.rings_for, webhook_event.event.cause in (*_OVER, *_CALLED_OFF)
            is_known = rang is None or is_over or webhook_event.call in self._reached
            self._come_back(webhook_event.call, None if is_known or rang is None else (carrier, rang))

    async def _execute(self, carrier: Carrier, request: CarrierRequest, name: str) -> None:
        CALL.set(name)
        try:
            await carrier.execute(request)
        except CarrierError as error:
            log.warning("call %s: a caller cannot be led to the engine's SIP address: %s", name, error)
            if not error.gone:
                self._come_back(name)

    def _come_back(self, name: str, elsewhere: tuple[Carrier, WebhookEvent] | None = None) -> None:
        """Answer a caller here who was led away. `elsewhere`: who that is, if a process of before has led them."""
        found = self._led.pop(name, None) or elsewhere
        if found is not None and isinstance(found[1].event, CallInitiated):
            carrier, first = found
            back = replace(first, id="", event=structs.replace(found[1].event, led="failed"))
            self._services.run_after_call(self._answer(carrier, back))

    async def _answer(self, carrier: Carrier, back: WebhookEvent) -> None:
        await self._answer_here(carrier, back)
