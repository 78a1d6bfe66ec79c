"""One live call: mailbox -> machine -> journal -> commands. Owns the call's resources and releases them at its end.

Everything that happens to a call is an event in its mailbox, and the call takes one event at a time. A step of the
machine is in the journal before its commands are carried out. Audio never passes here: the relay moves it from socket
to socket.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, replace
from typing import Literal

from msgspec import structs

from callflow.call import machine
from callflow.call.bridged_listening import FIRST
from callflow.call.call_config import CallConfig
from callflow.call.call_log import CallLog
from callflow.call.call_notes import began_note, describe, ended_note, without_voice
from callflow.call.call_parts import make_parts
from callflow.call.caller_lookup import refusal
from callflow.call.carrier_commands import CarrierCommands
from callflow.call.command_ids import CommandPlace
from callflow.call.deadlines import Deadlines
from callflow.call.dtmf import MASK
from callflow.call.handover import ProcessHandover, StatusAtCarrier
from callflow.call.handover_input import HandoverInputBuffer, keep_listening
from callflow.call.legs import Legs
from callflow.call.mailbox import Mailbox
from callflow.call.outbound_order import OutboundOrder
from callflow.call.owned_tasks import OwnedTasks
from callflow.call.pre_answer_lookups import Answers, answers, are_asked, write_down
from callflow.call.restore import RestoredCall
from callflow.call.services import CallServices
from callflow.call.stream_lease import StreamHolder, StreamLease
from callflow.contracts import commands, events
from callflow.contracts.back_references import to_owner
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply
from callflow.contracts.commands import CarrierCommand, Command
from callflow.contracts.errors import Overloaded, Refused
from callflow.contracts.events import Event, LegIds
from callflow.contracts.log_format import CALL
from callflow.contracts.media import MediaSocket
from callflow.journal import notes
from callflow.timers import SmallEvent


log = logging.getLogger(__name__)


class Call:
    """One call, from its first webhook until all its resources are released. `run` is its whole life."""

    def __init__(
        self,
        call_id: str,
        carrier: Carrier,
        ids: LegIds,
        services: CallServices,
        from_number: str = "",
        to_number: str = "",
        *,
        order: OutboundOrder | None = None,
        part_of: OutboundOrder | None = None,
        restored: RestoredCall | None = None,
    ) -> None:
        """`order`: for an outbound call, with its config. `part_of`: that of the outbound call whose other side it is.
        `restored`: a call of the previous process, which then waits for `recover`."""
        self.id, self.carrier, self.ids = call_id, carrier, ids
        self.from_number, self.to_number, self.order, self.part_of = from_number, to_number, order, part_of
        self.given_config = ordered.config if (ordered := order or part_of) is not None else None
        before = (restored.overrides, restored.looked_up, restored.profile) if restored is not None else (None, None)
        self.config = self.given_config or services.config(to_number, *before)
        self.began = services.now()
        self.answered_before = restored.answered_at if restored is not None else None  # Unix time
        self._services, self._loop = services, asyncio.get_running_loop()
        self._log = CallLog(call_id, services)
        self.note, self.entry = self._log.note, self._log.entry
        self._handover, self.mailbox = ProcessHandover(restored), Mailbox()
        post = to_owner(self.post)  # see `contracts/back_references.py`
        self._deadlines = Deadlines(post)
        self._tasks = OwnedTasks(call_id)
        self._ended_at: float | None = None  # Unix time, if transcripts are awaited after the end
        self._words_by = 0.0  # until when transcripts are awaited, on the loop's clock
        self.awaits_words = False  # the call is over, and words of the caller are still being transcribed
        self._streams = StreamLease(call_id, services.stream_tokens, services.address)
        self.legs = Legs(carrier, dials=order is not None, post=post, named=to_owner(self.rename))
        self.legs.known(ids, events.CALLER)
        self._released = False
        self.is_noted = SmallEvent()  # set when what was said last is noted
        self.handover_input: HandoverInputBuffer | None = None  # once the call is let go of
        self._asking: asyncio.Future[WebhookReply] | None = None  # the reply that waits for the caller lookup
        self._use(self.config)
        if restored is not None:
            self._restore(restored)

    def _use(self, config: CallConfig) -> None:
        """Make the parts that the config decides. Only before the call's first step."""
        self.config = config = config.for_carrier(self.carrier.can)
        called = None if self.is_outbound else self.to_number
        self.model = machine.Model(**config.machine_config(self.carrier.can, called=called))
        of = (self, self._services, self.mailbox, self._deadlines, self._tasks)
        parts = make_parts(*of, self._handover.restored)
        self.relay, self.recordings, self.requests, self.agent = parts[:4]
        self._local_commands, self._dtmf, self._listening, self.take_over = parts[4:]
        self._log.hides = self.recordings.pause.hides
        self._carrier_commands = CarrierCommands(
            self.id, self.carrier, self._streams, post=self.post, own=self._tasks.start, legs=self.legs,
            run_after_call=self._services.run_after_call, words=self.requests.line.words,
            offer=self.agent.remote.describe, may_act=self._services.may_act,
            replaces=self._handover.stream_elsewhere, under_way=self.mailbox.serving,
        )  # fmt: skip

    def _restore(self, old: RestoredCall) -> None:
        self.model, self.began = old.model, old.began
        self._log.steps, self._carrier_commands.answered_by = old.steps, old.answer_command
        self._streams.ordinal = old.streams
        if old.transfer is not None:
            self.legs.restore(old.transfer, old.human, old.joined_at, was_listened=old.was_listened)
        self._listening.restore(old.steps)
        now = self._services.now()
        self._deadlines.restore(old.elapsed(now))
        self._local_commands.line.restore(old.muted)
        self._dtmf.restore(old.keys, self._loop.time() - now)
        self.agent.restore(old.agent_state, ago_seconds=max(now - old.at, 0.0))
        self.agent.no_input.pause(bool(old.model.transfer), "transfer")

    # The mailbox

    def post(self, event: Event) -> None:
        """Put an event into the mailbox. Never waits. Events after the end are only written down."""
        if (seen := self._prepared(event)) is not None:
            self._put(seen, None)

    def request_reply(self, event: Event) -> asyncio.Future[WebhookReply]:
        """Put the event of a webhook into the mailbox, and return the future of the reply. Never waits.

        Raises Overloaded when the mailbox is full; never for an event that ends the call.
        """
        if self.mailbox.is_full_for(event):
            raise Overloaded("this call has more events waiting than it can take")
        reply: asyncio.Future[WebhookReply] = self._loop.create_future()
        if (seen := self._prepared(event)) is None:
            reply.set_result(self.carrier.reply(event, ()))
        else:
            self._put(seen, reply)
        return reply

    def _put(self, event: Event, reply: asyncio.Future[WebhookReply] | None) -> None:
        if not (self._released or self._handover.is_elsewhere):
            self.mailbox.put(event, reply)
            return
        if is_kept := self._handover.keeps(event, is_webhook=reply is not None, is_masked=self._log.masks(event)):
            self._log.late(event, "" if self._handover.is_leaving else self.model.state)
        self._handover.answer(self, event, reply, is_kept=is_kept)

    def _prepared(self, event: Event) -> Event | None:
        """Return the event without tokens and secret digits, with what only the call knows; None: it is dropped."""
        match event:
            case events.Dtmf(digit=digit) if digit != MASK:
                return self._dtmf.receive(event, over=self._released and not self._handover.is_leaving)
            case events.StreamFailed():
                return self._streams.failed(event)
            case events.CallInitiated(direction="incoming", leg=events.CALLER) | events.CallResumed(unanswered=True):
                return structs.replace(event, record=self.recordings.from_answer)
            case events.ToolCalled():
                return self.requests.line.without_digits(event)
            case events.AnsweredBy(leg=events.CALLER) if self.is_outbound:
                exchanges = max(event.exchanges, self.agent.conversation.exchanges)
                return structs.replace(event, then=self.config.machines, exchanges=exchanges)
        return event

    async def run(self) -> None:
        """Take events until the call is over and its resources are released. A fault in here ends this call only."""
        CALL.set(self.id)
        try:
            await self._handover.wait()
            if self._handover.restored is None:
                self._begin(await self._ask())
            while not (machine.is_over(self.model) or self.is_handed_over):
                if (waiting := await self.mailbox.next()) is None:
                    break
                event, reply = waiting
                try:
                    await self._step(event, reply)
                finally:
                    self._handover.answer(self, event, reply, failed=True)
        except Exception:
            log.exception("call %s: an internal error ends it", self.id)
            self.model.cause = "our_fault"
            self._carrier_commands.send(self._request(commands.Hangup(), 1000))  # no step has so many commands
        finally:
            if self._handover.awaits_return:  # the call never belonged to this process: its journal stays unchanged
                self._handover.leave()
            if not self._handover.is_leaving:
                self.model.state = machine.HANGUP
            await self._release()

    async def _step(self, event: Event, reply: asyncio.Future[WebhookReply] | None) -> None:
        step = machine.take(self.model, event)
        self.legs.after(step, self._services.now(), self.mailbox)
        if self.model.engine == "lost" or (self.model.engine == "ready" and not self.model.tries):
            self._deadlines.settled("engine")  # tries > 0: a replacement session, not heard yet
        self._note_numbers(event)
        if isinstance(event, events.MediaLost):
            self.agent.stream_lost()
        entry, is_written = await self._log.step(step)
        if not is_written and not self.is_handed_over and not await self._services.may_act(self.id):
            self.let_go()
        if self._handover.is_elsewhere:
            return
        self._log.publish(entry, self.model, from_number=self.from_number, to_number=self.to_number)
        requests = {
            id(command): self._request(command, ordinal)
            for ordinal, command in enumerate(step.commands)
            if isinstance(command, CarrierCommand)
        }
        if reply is not None and not reply.done():
            answer = self._carrier_commands.reply(event, list(requests.values()), over=machine.is_over(self.model))
            reply.set_result(replace(answer, rest=()))  # it is remembered for when the webhook comes again
            requests = {id(request.command): request for request in answer.rest}
        if step.after != machine.RINGING:
            self.relay.answered(ago=event.answered_seconds() if isinstance(event, events.CallHangup) else 0)
        self.recordings.after(step)
        self._listening.after(step)
        self.take_over.after(self.model)
        self.requests.after(step)
        if isinstance(event, events.EngineReady):  # nothing resumes where a person gave the caller back before
            self.agent.prompter.break_over(asked=machine.is_asked_to_speak(step) or not machine.is_talking(self.model))
        for command in step.commands:
            if not isinstance(command, CarrierCommand):
                self._local_commands.do(command, is_written=is_written)
            elif isinstance(command, commands.Dial) and not is_written:
                self.legs.not_written(command.leg)
            elif id(command) in requests:
                self._carrier_commands.send(requests[id(command)])
        self._handover.left.carry_out(self.model, self.requests.line.words.keep, self.post)

    def _request(self, command: Command, ordinal: int, of: CommandPlace | None = None) -> CarrierRequest:
        """Make the request for a command of the newest step, or for the one `of` another place."""
        return self._carrier_commands.request(
            command, of or CommandPlace(self._log.steps, ordinal, self._carrier_commands.mark), ids=self.ids,
            from_number=self.from_number, to_number=self.to_number, at=self.began, config=self.config,
        )  # fmt: skip

    # Outbound calls

    @property
    def is_outbound(self) -> bool:
        """Whether we dial, or dialled."""
        return self.order is not None

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        """Who called whom."""
        return "outbound" if self.is_outbound else "inbound"

    @property
    def awaits_leg(self) -> bool:
        """Whether this is an outbound call whose leg the carrier has not named yet."""
        return self.order is not None and not self.ids.control

    def ids_of(self, leg: str) -> LegIds:
        """Return the carrier's ids of one of the call's legs; empty ones if it is not known."""
        return self.ids if leg == events.CALLER else self.legs.human

    async def _ask(self) -> Answers:
        """Ask about the call while it rings, and take what the caller lookup answers."""
        first = self.mailbox.first
        if first is None or not isinstance(first.event, events.CallInitiated) or not are_asked(self._services):
            return Answers()
        self._asking, asks = first.reply, first.event
        told = await answers(self, self._services, asks, self.mailbox.ends())
        if (found := told.looked_up) is not None and self.given_config is None:
            self._use(self._services.config(self.to_number, None, found))
            if found.refuse or found.profile:
                event = refusal(asks, found) if found.refuse else self._services.admit_profile(self.config, asks)
                self.mailbox.exchange(asks, without_voice(event, self.carrier.can))
        return told

    def _begin(self, told: Answers) -> None:
        self.note(began_note(self, self.order or self.part_of, self._services.address()))
        write_down(told, self)
        if self.order is not None:
            self.post(self.order.dial_requested(record=self.recordings.from_answer, can=self.carrier.can))

    async def find_leg(self, leg: str = events.CALLER) -> None:
        """Search for a leg of a restored call of which it is not known whether it was dialled."""
        number = self.legs.transfer.requested.number if leg == events.HUMAN and self.legs.transfer is not None else ""
        if (dialled := self.legs.dialled(leg)) is not None:
            await dialled.look_for(self._request(commands.Dial(leg=leg, stream=False, number=number), 0))

    # Media

    def claim_stream(self, ordinal: int) -> StreamHolder:
        """Reserve the newest media stream for one socket, whose token names `ordinal`. Returns what serves it. Raises
        Refused."""
        if ordinal > FIRST:
            return self._listening.claim(ordinal)
        if machine.is_over(self.model) or self._handover.awaits_return or self._handover.is_leaving:
            raise Refused("this stream token was used already")
        if self.model.farewell == machine.SPEAKING or self.model.state in (machine.TRANSFERRING, machine.BRIDGED):
            raise Refused("this stream token has expired")
        self._streams.claim(ordinal, has_socket=self.relay.has_socket)
        return self

    def unclaim_stream(self) -> None:
        """Release the reservation, because the socket was not opened after all."""
        self._streams.unclaim()

    async def serve_socket(self, socket: MediaSocket) -> None:
        """Serve the media socket for which the stream was reserved, until it closes or the call ends."""
        secret, ordinal = self._streams.join(), self._streams.ordinal
        CALL.set(self.id)
        try:
            await self._handover.hear_handover_input(self.agent, self.post)
            if machine.is_over(self.model) or self._handover.is_leaving or self._streams.ordinal != ordinal:
                return await socket.close(1000, "the call needs this stream no more")
            await self.relay.serve_socket(socket, self.carrier.media_protocol(), secret)
        except BaseException as error:
            # The relay does not report this end: the web server dropped the connection, or our code failed.
            self.post(events.MediaLost(reason=f"the media socket was dropped here: {type(error).__name__}"))
            raise

    # Requests of operators

    def hang_up(self, when: Literal["goodbye", "now"], by: str) -> bool:
        """End the call, after a goodbye or at once. Returns False if the call is over already. `by`: who asks."""
        if is_live := not (machine.is_over(self.model) or self._released):
            self.requests.hang_up(when, by)
        return is_live

    # Handover between processes

    @property
    def awaits_return(self) -> bool:
        """Whether the call still belongs to the previous process, as far as is known."""
        return self._handover.awaits_return

    @property
    def is_arriving(self) -> bool:
        """Whether the call has just been taken over, and the conversation does not go on here yet."""
        return self._handover.is_arriving

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks or types, no operator has the caller, and no answer, tool or transcript is due."""
        talks = machine.is_talking(self.model) and self.agent.is_quiet
        return talks and not self._dtmf.is_typing and not self.take_over.by

    @property
    def is_handed_over(self) -> bool:
        """Whether the next process continues the call."""
        return self._handover.is_leaving

    def recover(self, found: StatusAtCarrier, human: Literal["", "answered", "gone"] = "") -> None:
        """Continue a call of the previous process, once. `found`, `human`: how the call is, and a person's leg."""
        if (first := self._handover.recover(found, human)) is None:
            return
        if self.model.human != machine.NO_LEG and self.legs.awaits_ids(events.HUMAN):
            self._services.run_after_call(self.find_leg(events.HUMAN))  # a hang-up waits for it
        if first.hangup is not None:
            self._carrier_commands.send(self._request(commands.Hangup(), 0, of=first.hangup))
        if first.recovered is not None:
            self._carrier_commands.mark = first.recovered.mark
            self.mailbox.put(first.recovered, first=True)
            self.take_over.recovered()
            self._dtmf.recovered()
        if first.cut_off:
            self.note(notes.CutOff(cuts=first.cut_off))
        for finished in first.tools:
            self.post(finished)

    async def hand_over(self) -> None:
        """Give up this call without ending it: the next process that reads the journal continues the call."""
        if self._asking is not None:  # else the next process would have a call that nobody answers
            await asyncio.wait([self._asking])
        if self._handover.awaits_return:  # the next process finds its journal as the previous one left it
            self._handover.leave()
        elif not machine.is_over(self.model):
            self._handover.leave()
            self.mailbox.close()
            await self._log.commit(self.entry(notes.HandedOver(quiet=self.is_quiet)))

    def let_go(self, *, listens: bool = False) -> None:
        """Give up this call at once, without a word to anybody: another process has it. `listens`: that one will ask
        for what the caller says meanwhile; until then the stream stays."""
        self.handover_input = keep_listening(self.relay, self.agent) if listens else None
        self._handover.leave(elsewhere=True)
        self.mailbox.close()
        for event, reply in self.mailbox.take_rest():
            self._put(event, reply)

    def rename(self, ids: LegIds, leg: str = events.CALLER) -> None:
        """Replace the carrier's ids of one of the call's legs, because a webhook or a dial brought further ids."""
        self.legs.known(ids, leg)
        if leg == events.CALLER:
            self.ids = ids
        if self._log.steps and not self._released:  # otherwise the `began` note has the ids, or the call is over
            self.note(notes.Ids(**asdict(ids), of="" if leg == events.CALLER else leg))
        if self.legs.dialled(leg) is not None and ids.control:
            self._services.leg_known(self.id, ids, leg)

    def _note_numbers(self, event: Event) -> None:
        if event.leg == events.CALLER and isinstance(event, events.WITH_NUMBERS):
            self.from_number = self.from_number or self._services.number(event.from_number)
            self.to_number = self.to_number or self._services.number(event.to_number)

    describe = describe

    async def _release(self) -> None:
        """Release all resources: a stream that is kept for another node last, the session after pending transcripts."""
        self._deadlines.close()
        self.recordings.pause.close()
        self._dtmf.close()
        self.take_over.close()
        self._words_by = self._loop.time() + self.config.agent.transcript_seconds
        self.awaits_words = self.agent.ended(for_good=not self._handover.is_leaving)
        self.is_noted.set()
        if self.handover_input is not None:
            self._tasks.start(self.agent.close(), "close")
            await self.handover_input.over()
        closes = [self.relay.close(), self._listening.close(), *([] if self.awaits_words else [self.agent.close()])]
        await self._tasks.end(*closes, sessions=not self.awaits_words)
        self._released = True
        self._carrier_commands.close()
        for event, reply in self.mailbox.take_rest():
            self._put(event, reply)
        if self.awaits_words:
            self._ended_at = self._services.now()
        else:
            self._note_end()

    async def write_down(self) -> None:
        """Wait until the transcripts of a call that is over have come or are given up, then write the `ended` note."""
        try:
            await self.agent.wind_up.wait(self._words_by - self._loop.time())
        finally:
            self.awaits_words = False
            self._note_end()
            await self._tasks.end(self.agent.close(), sessions=True)

    def _note_end(self) -> None:
        self.agent.wind_up.close(for_good=not self._handover.is_leaving)
        if not self._handover.is_leaving:
            until = self._handover.ended_before(self.model.cause, self._log.steps) or self._ended_at
            self.note(ended_note(self, until=until, notes_dropped=self._log.notes_dropped))
