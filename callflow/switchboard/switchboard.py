"""All live calls: finds the call that a webhook or a media socket is about, and opens new calls.

`admission.py` decides which calls are accepted, `dedupe.py` recognises repeated and late webhooks, `drain.py` ends all
calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Container, Coroutine
from typing import Any, Final

from cachetools import TTLCache
from msgspec.structs import replace

from callflow.call.call import Call
from callflow.call.call_config import CallConfig
from callflow.call.dtmf import MASK
from callflow.call.handover import HANDS_OVER, status_from
from callflow.call.outbound_leg import OutboundLeg
from callflow.call.outbound_order import OutboundOrder
from callflow.call.pre_answer_lookups import longest_seconds
from callflow.call.restore import RestoredCall
from callflow.call.services import CallServices
from callflow.call.stream_lease import StreamHolder
from callflow.contracts import events, secret_text
from callflow.contracts.carrier import ActiveCall, Carrier, Request, WebhookReply
from callflow.contracts.errors import CallElsewhere, Overloaded, Refused
from callflow.contracts.event import part_of
from callflow.contracts.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CallResumed,
    CarrierCost,
    CarrierRecording,
    Event,
    LegIds,
    WebhookEvent,
)
from callflow.contracts.log_format import CALL
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.switchboard.admission import Admission, BudgetRules
from callflow.switchboard.call_ids import call_id
from callflow.switchboard.caller_limits import CallerLimits
from callflow.switchboard.dedupe import REMEMBERED_SECONDS, Deliveries, Tombstones, leg_keys
from callflow.switchboard.drain import Drain
from callflow.switchboard.lag_admission import LagAdmission
from callflow.switchboard.lead_to_sip import SipLeading
from callflow.switchboard.leftover_legs import hang_up_leg


log = logging.getLogger(__name__)

_REPLY_SECONDS: Final = 0.7
"""How long a webhook waits for its reply; with some carriers the caller waits as well."""
_MOST_ENDED_DIALS: Final = 10_000
_SIGNATURE_WARNING_SECONDS: Final = 3600.0
"""Interval of the log's warnings about wrong signatures of a carrier's media sockets."""


class Switchboard:
    """The live calls of this process, by id and by the carriers' names of their legs."""

    def __init__(
        self,
        make_services: Callable[[Switchboard], CallServices],
        *,
        max_calls: int,
        callers: CallerLimits | None = None,
        load: LagAdmission | None = None,
    ) -> None:
        """`max_calls`: at the same time. `callers`: the limits of each caller; None: no limits. `load`: refuses calls
        while the loop is late; None: none are refused for that."""
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, Call] = {}
        self._legs: dict[str, tuple[Call, str]] = {}
        """By `leg_keys`: the call, and which of its legs it is."""
        self.counts: Counter[str] = Counter()
        self._deliveries = Deliveries(self._loop.time)
        self._tombstones = Tombstones(self._loop.time)
        self._ended_dials: TTLCache[tuple[str, str], OutboundLeg] = TTLCache(
            _MOST_ENDED_DIALS, REMEMBERED_SECONDS, lambda: self._deliveries.clock()
        )
        """The legs that were dialled for calls that have ended here, by call and leg."""
        self.load = load or LagAdmission(0, 0)
        """How late the event loop is, and whether new calls are refused for that."""
        self.admission = Admission(max_calls, callers or CallerLimits(), self.load, self.counts)
        self._drain = Drain(self._calls, self.admission, most_unwritten=max_calls)
        self._signature_warnings = RepeatedWarnings(log, seconds=_SIGNATURE_WARNING_SECONDS)
        self.on_lost_leg: Callable[[Carrier, ActiveCall], None] = lambda carrier, leg: None
        """Called for a leg that we dialled, and whose call is not live here."""
        self._services = make_services(self)
        self.sip_leading = SipLeading(self._services, self._tombstones, self.counts, self.dispatch, call_id, self.live)
        self.on_call_gone: Callable[[], None] = lambda: None
        """Called when nothing of a call is left to be done."""

    def keep_to(self, budget: BudgetRules) -> None:
        """Take calls within this budget only."""
        self.admission.budget = budget

    @property
    def calls(self) -> list[Call]:
        """The live calls, oldest first."""
        return list(self._calls.values())

    @property
    def count(self) -> int:
        """How many calls are live; may be read on any thread."""
        return len(self._calls)

    @property
    def is_accepting(self) -> bool:
        """Whether new calls are taken."""
        return self.admission.is_open

    # Webhooks

    async def dispatch(self, carrier: Carrier, webhook_event: WebhookEvent) -> WebhookReply:
        """Pass the webhook's event to its call, and return the reply. A repeated webhook gets the reply of the first.

        Raises Overloaded: the carrier must send the webhook again, which then does not count as a repeat.
        """
        self.counts["webhooks"] += 1
        if (found := self._find(webhook_event)) is not None:
            await found[0].mailbox.opened()  # it is just being given to another node, and may stay
        reply = self._deliveries.reply(webhook_event)
        if reply is not None:
            self.counts["repeats"] += 1
        else:
            reply = self._deliver(carrier, webhook_event)
            self._deliveries.add(webhook_event, reply)
        try:
            async with asyncio.timeout(self.reply_seconds(webhook_event.event)):
                return await asyncio.shield(reply)
        except TimeoutError:
            reply.cancel()  # nobody reads a late reply: the commands it would have carried are sent over the API
        except (CallElsewhere, Overloaded):
            self._deliveries.forget(webhook_event)  # it may come again, and the call come back
            raise
        except asyncio.CancelledError:
            if not reply.cancelled():
                raise
        self.counts["late_replies"] += 1
        return carrier.reply(webhook_event.event, ())

    def reply_seconds(self, event: Event) -> float:
        """Return how long a webhook waits. The one about a call that rings also waits for what is asked meanwhile,
        so that with its reply the call is in the journal."""
        return _REPLY_SECONDS + (longest_seconds(self._services) if isinstance(event, CallInitiated) else 0.0)

    def _deliver(self, carrier: Carrier, webhook_event: WebhookEvent) -> asyncio.Future[WebhookReply]:
        found_leg = self._find(webhook_event)
        if found_leg is not None:
            call, leg = found_leg
            event = self._classify_event(call, leg, webhook_event)
            if call.awaits_return and (found := status_from(event, call)):  # the carrier has the call
                call.recover(found)
            return call.request_reply(event)
        reply: asyncio.Future[WebhookReply] = self._loop.create_future()
        if self._drain.is_handing_over:
            reply.set_result(self._defer_to_next_process(carrier, webhook_event))
            return reply
        led = self.sip_leading.take(carrier, webhook_event, is_open=self.admission.is_open)
        if led is not None:
            reply.set_result(led)
            return reply
        opened = self._open_call(carrier, webhook_event)
        if opened is not None:
            return opened.request_reply(self.admission.admit(opened, webhook_event.event, len(self._calls)))
        reply.set_result(carrier.reply(webhook_event.event, (), over=True))
        return reply

    def _defer_to_next_process(self, carrier: Carrier, webhook_event: WebhookEvent) -> WebhookReply:
        """Reply so that the carrier asks again in a moment, when the next process runs. Raises Overloaded for a carrier
        that asks again only after an error."""
        if "answers_in_reply" not in carrier.can:
            raise Overloaded(HANDS_OVER)
        return carrier.reply(webhook_event.event, ())

    def _find(self, webhook_event: WebhookEvent) -> tuple[Call, str] | None:
        """Return the live call that the webhook is about, and the leg."""
        for key in leg_keys(webhook_event.carrier, webhook_event.ids):
            found = self._legs.get(key)
            if found is not None:
                return found[0], found[0].legs.present(found[1], webhook_event.ids)
        dialled, leg = self._calls.get(webhook_event.call), webhook_event.leg
        if dialled is None or not dialled.legs.awaits_ids(leg):
            return None
        return dialled, dialled.legs.present(leg, webhook_event.ids)

    def _classify_event(self, call: Call, leg: str, webhook_event: WebhookEvent) -> Event:
        """Return the event for this live call, and add ids of the leg that no earlier webhook contained."""
        control = webhook_event.ids.control
        if control and leg != events.FORMER and control != call.ids_of(leg).control:
            self._add_ids(call, webhook_event.ids, leg)
        event = webhook_event.event
        if leg != events.CALLER:
            return replace(event, leg=leg)
        if isinstance(event, CallInitiated) and event.direction == "outgoing" and not call.is_outbound:
            return events.NotOurs(reason="an outgoing leg that was not dialled here")
        if isinstance(event, events.AnsweredBy):  # whoever was led to a SIP address talks in another call
            others = (other for other in self._calls.values() if part_of(other.ids) == call.id)
            return replace(event, exchanges=max((other.agent.conversation.exchanges for other in others), default=0))
        return event

    def _open_call(self, carrier: Carrier, webhook_event: WebhookEvent) -> Call | None:
        """Open a call for an unknown leg that rings or is answered already. None: any other event, which is only
        written down."""
        event = webhook_event.event
        ended = self._tombstones.find(webhook_event.carrier, webhook_event.ids)
        if ended is not None:
            self._unmatched_event(ended, event)
            return None
        name = call_id(webhook_event.carrier, webhook_event.ids)
        if webhook_event.call not in ("", name):
            self._lost_leg(carrier, webhook_event)
            return None
        incoming = isinstance(event, CallInitiated) and event.direction == "incoming"
        if not (incoming or isinstance(event, (CallAnswered, CallResumed))):
            self._unmatched_event(name, event)
            if isinstance(event, (CallHangup, CallInitiated)):
                self._add_tombstone(webhook_event, name)
            return None
        ids, order = self.sip_leading.other_side(webhook_event)
        caller, called = (self._services.number(getattr(order or event, n, "")) for n in ("from_number", "to_number"))
        call = Call(name, carrier, ids, self._services, caller, called, part_of=order)
        self._begin(call)
        return call

    def _lost_leg(self, carrier: Carrier, webhook_event: WebhookEvent) -> None:
        """Take a webhook about a leg that was dialled for a call which is not live: if its call is over, somebody's
        telephone rings for nobody."""
        call, ids = webhook_event.call, webhook_event.ids
        self._unmatched_event(call, webhook_event.event)
        ended_here = self._ended_dials.get((call, webhook_event.leg))
        if isinstance(webhook_event.event, CallHangup) or ended_here is not None:
            self._add_tombstone(webhook_event, call)
        if isinstance(
            webhook_event.event, (CallHangup, CarrierRecording, CarrierCost)
        ):  # of a leg that is over, or none
            return
        if ended_here is None:
            self.on_lost_leg(carrier, ActiveCall(ids, call))
        elif not ended_here.turned_up(ids):
            log.warning("call %s: a leg of it appeared after its end, and is hung up", call)
            self.counts["orphans"] += 1
            self._drain.run_after_call(hang_up_leg(carrier, ActiveCall(ids, call)))

    def learn_end(self, webhook_event: WebhookEvent, name: str) -> None:
        """Learn that the call of this leg is over, with the id that the call had."""
        self._add_tombstone(webhook_event, name)

    def _add_tombstone(self, webhook_event: WebhookEvent, name: str) -> None:
        for key in leg_keys(webhook_event.carrier, webhook_event.ids):
            self._tombstones.add(key, name)

    def _unmatched_event(self, name: str, event: Event) -> None:
        """Write down an event of no live call, without possible secrets: the call's own masking is not available any
        more."""
        self.counts["strays"] += 1
        if isinstance(event, events.Dtmf):
            event = events.Dtmf(digit=MASK)
        elif isinstance(event, events.StreamFailed):
            reason = secret_text.NOT_SHOWN if secret_text.sent(event.reason) else event.reason
            event = events.StreamFailed(reason=reason)
        self._services.journal.note(JournalEntry(name, 0, self._services.now(), events.to_json(event)))

    # The life of a call

    def dial(self, call: str, carrier: Carrier, order: OutboundOrder) -> Call:
        """Open an outbound call, which then dials. `call`: its id. Raises Overloaded if there is no room for it.

        The live call of this id, if there is one, is returned instead.
        """
        live = self._calls.get(call)
        if live is not None:
            return live
        self.admission.admit_dial(len(self._calls) + 1, order.config)
        opened = Call(
            call, carrier, LegIds(), self._services,
            from_number=order.from_number, to_number=order.to_number, order=order,
        )  # fmt: skip
        self._begin(opened)
        return opened

    def dial_refusal(self, config: CallConfig | None) -> str:
        """Return why a call of this config, None: of any, would not begin now, as a clause; "": it would."""
        return self.admission.dial_refusal(len(self._calls) + 1, config)

    def leg_known(self, call: str, ids: LegIds, leg: str) -> None:
        """Take the carrier's ids of a leg that was dialled."""
        live = self._calls.get(call)
        if live is not None:
            self._index(live, ids, leg)

    def restore(self, carrier: Carrier, restored: RestoredCall) -> Call | None:
        """Open a call of the previous process, which then waits for `recover`. None: the call is live here already,
        or left to the next process with all others."""
        if restored.call in self._calls or self._drain.is_handing_over:
            return None
        call = Call(
            restored.call, carrier, restored.ids, self._services,
            from_number=restored.from_number, to_number=restored.to_number, order=restored.order, restored=restored,
            part_of=restored.part_of,
        )  # fmt: skip
        self.counts["recovered"] += 1
        if not call.is_outbound and call.given_config is None:
            self.admission.count_restored(call, max(self._services.now() - restored.began, 0.0))
        self._begin(call)
        return call

    def _begin(self, call: Call) -> None:
        self._calls[call.id] = call
        for leg in (events.CALLER, events.HUMAN):
            self._index(call, call.ids_of(leg), leg)
        self._drain.start(self._run(call), f"call {call.id}")

    async def _run(self, call: Call) -> None:
        try:
            await call.run()
        finally:
            self._calls.pop(call.id, None)
            self.admission.ended(call)
            if not call.is_handed_over:
                self._remember_dials(call)
            for key in [key for key, (owner, _) in self._legs.items() if owner is call]:
                del self._legs[key]
                if not call.is_handed_over:
                    self._tombstones.add(key, call.id)
            self._drain.call_ended()
            try:
                if call.awaits_words:
                    await self._drain.write_down(call)
            finally:
                self.on_call_gone()

    def _remember_dials(self, call: Call) -> None:
        for leg in (events.CALLER, events.HUMAN):
            dialled = call.legs.dialled(leg)
            if dialled is not None:
                self._ended_dials[call.id, leg] = dialled

    def _add_ids(self, call: Call, ids: LegIds, leg: str) -> None:
        old = call.ids_of(leg)
        call.rename(
            LegIds(
                ids.control or old.control,
                ids.leg or old.leg,
                ids.session or old.session,
                ids.number or old.number,
            ),
            leg,
        )
        self._index(call, call.ids_of(leg), leg)

    def _index(self, call: Call, ids: LegIds, leg: str) -> None:
        for key in leg_keys(call.carrier.name, ids):
            self._legs[key] = call, leg

    # Looking calls up

    def name_of(self, webhook_event: WebhookEvent) -> str:
        """Return the id of the call that a webhook is about, live or not."""
        found = self._find(webhook_event)
        return call_id(webhook_event.carrier, webhook_event.ids) if found is None else found[0].id

    def international(self, number: str) -> str:
        """Return a telephone number as it is written down."""
        return self._services.number(number)

    def has(self, webhook_event: WebhookEvent) -> bool:
        """Return whether a webhook is about a live call."""
        return self._find(webhook_event) is not None

    def live(self, name: str) -> Call | None:
        """Return the live call of this id."""
        return self._calls.get(name)

    def let_go(self, call: str) -> None:
        """Give up a call that another node has, if it is live here."""
        live = self._calls.get(call)
        if live is not None and not live.is_handed_over:
            self.counts["let_go"] += 1
            live.let_go()

    def is_live(self, call: str) -> bool:
        """Return whether there is a live call of this id."""
        return call in self._calls

    def knows(self, carrier: str, ids: LegIds) -> bool:
        """Return whether the leg belongs to a live call, or to one that ended a moment ago."""
        is_live = any(key in self._legs for key in leg_keys(carrier, ids))
        return is_live or self._tombstones.find(carrier, ids) is not None

    # Media sockets

    def claim(self, token: str, handshake: Request, carriers: Container[str] | None = None) -> StreamHolder:
        """Reserve the media stream that a token names for one socket, and return what serves it. Raises Refused or
        Forged.

        `handshake`: the request that opens the socket; a carrier may sign it. `carriers`: whose calls have their
        sockets where this one came in; None: all.
        """
        stream = self._services.stream_tokens.read(token)
        CALL.set(stream.call)
        call = self._calls.get(stream.call)
        if call is None or (carriers is not None and call.carrier.name not in carriers):
            raise Refused("no live call has this token")
        problem = call.carrier.verify_stream(handshake, self._services.stream_tokens.header_tokens(*stream))
        holder = call.claim_stream(stream.ordinal)
        if problem:
            self.counts["odd_media_signatures"] += 1
            call.note(notes.MediaSignature(odd=problem))
            self._signature_warnings.say(
                call.carrier.name, "call %s: its media socket is accepted by its token alone: %s", call.id, problem
            )
        return holder

    # Ending all calls: see `Drain`

    def run_after_call(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task that must finish even when its call is over, such as the hang-up at the carrier."""
        self._drain.run_after_call(work)

    @property
    def unwritten(self) -> int:
        """Number of ended calls that wait for transcripts."""
        return self._drain.unwritten

    async def drain(self, seconds: float) -> None:
        """Refuse new calls, give live calls `seconds` to end by themselves, then end them with a goodbye, and stop."""
        await self._drain.drain(seconds)

    async def hand_over(self, seconds: float) -> None:
        """Hand all calls over to the next process, within `seconds`, at a moment when as few people as possible
        speak."""
        await self._drain.hand_over(seconds)

    async def stop(self) -> None:
        """End every call now, and give the hang-ups a moment to reach the carrier."""
        await self._drain.stop()
