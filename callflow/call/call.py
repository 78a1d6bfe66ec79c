"""One live call: mailbox -> machine -> journal -> commands. It owns what the call needs, and releases it in the end.

Whatever happens to a call is an event in its mailbox, and events are taken one at a time. A step of the machine is in
the journal before its commands are carried out. Audio never passes here: the relay moves it from socket to socket.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Any, Final, Literal

from callflow.agent.agent import Agent
from callflow.agent.prompts import typed
from callflow.agent.tool_calls import ENDS_CALL, PendingToolCalls
from callflow.call import machine
from callflow.call.call_log import CallLog
from callflow.call.carrier_commands import CarrierCommands
from callflow.call.deadlines import Deadlines
from callflow.call.dtmf import MASK, DtmfCollector
from callflow.call.handover import Found, ProcessHandover
from callflow.call.mailbox import Mailbox
from callflow.call.owned_tasks import OwnedTasks
from callflow.call.recordings import Recordings
from callflow.call.restore import RestoredCall
from callflow.call.services import CallServices
from callflow.call.stream_lease import StreamLease
from callflow.contracts import commands, events
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply
from callflow.contracts.commands import CarrierCommand, Command
from callflow.contracts.errors import Overloaded, Refused
from callflow.contracts.events import Event, LegIds
from callflow.contracts.log_format import CALL
from callflow.contracts.media import MediaSocket
from callflow.contracts.tools import Caller
from callflow.journal import notes
from callflow.media.relay import Relay, summary


log = logging.getLogger(__name__)

OPERATOR: Final = "operator"
"""The cause of a call that an operator has ended."""
_LAST_RESORT: Final = 1000
"""Ordinal of a hang-up that no transition asked for: no step has so many commands."""


class Call:
    """One call, from the first webhook about it until nothing of it is left. `run` is its life."""

    def __init__(
        self,
        call_id: str,
        carrier: Carrier,
        ids: LegIds,
        services: CallServices,
        *,
        from_number: str = "",
        to_number: str = "",
        restored: RestoredCall | None = None,
    ) -> None:
        """`restored`: what the journal says of a call of the process before; it waits for `take_back`."""
        self.id, self.carrier, self.ids = call_id, carrier, ids
        self.from_number, self.to_number = from_number, to_number
        self.config = services.config(to_number, restored.overrides if restored is not None else None)
        streams = self.config.stream_tries if "streams_on_request" in carrier.can else 0
        self.model = machine.Model(engine_tries=self.config.engine_tries, stream_tries=streams)
        self.began = services.now()
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._log = CallLog(call_id, services)
        self.note = self._log.note
        self._handover = ProcessHandover(restored)
        self._mailbox = Mailbox()
        self._deadlines = Deadlines(self.post)
        self._tasks = OwnedTasks(call_id)
        self._ended_at: float | None = None
        """In Unix time, if words of the caller are awaited after the end."""
        self._words_by = 0.0
        """Until when they are awaited, on the loop's clock."""
        self.awaits_words = False
        """The call is over, and words that the caller said are still being transcribed."""
        self._streams = StreamLease(call_id, services.stream_tokens, services.address)
        self._carrier_commands = CarrierCommands(
            call_id, carrier, self._streams, post=self.post, own=self._tasks.start,
            run_after_call=services.run_after_call,
        )  # fmt: skip
        self._released = False
        self._recordings = Recordings(
            call_id, services.recordings, restored.recordings if restored is not None else (),
            note=self.note, clock=self._loop.time,
        )  # fmt: skip
        self.relay = Relay(
            call=call_id, ids=lambda: self.ids, config=self.config.media, clips=self.config.clips, post=self.post,
            note=self.note,
        )  # fmt: skip
        toolbox = services.make_toolbox(Caller(call_id, from_number, to_number), {ENDS_CALL: self._end_by_agent})
        tool_calls = PendingToolCalls(
            toolbox, seconds=self.config.tool_timeout_seconds,
            filler_seconds=self.config.tool_filler_after_ms / 1000, post=self.post,
        )  # fmt: skip
        self.agent = Agent(
            call=call_id, config=self.config.agent, relay=self.relay, tool_calls=tool_calls, post=self.post,
            note=self.note, own=self._tasks.start_session,
        )  # fmt: skip
        self.agent.greeting_heard = self.record
        self._dtmf = DtmfCollector(
            call_id, end=self.config.dtmf_end, pause_seconds=self.config.dtmf_pause_seconds,
            sensitive=self.config.dtmf_sensitive, entered=self._entered,
            dropped=lambda: self.relay.counts.update(keys_dropped=1),
        )  # fmt: skip
        if restored is not None:
            self._restore(restored)

    def _restore(self, old: RestoredCall) -> None:
        self.model, self.began = old.model, old.began
        self._log.steps, self._carrier_commands.answered_by = old.steps, old.answer_command
        self._streams.ordinal = old.streams
        now = self._services.now()
        self._deadlines.restore({name: now - at for name, at in old.armed.items() if name in ("warning", "call")})
        self.agent.restore(old.agent_state, ago_seconds=max(now - old.at, 0.0))

    # The mailbox

    def post(self, event: Event) -> None:
        """Let something happen to this call. Never waits. What comes after the end is only written down."""
        seen = self._without_secrets(event)
        if seen is not None:
            self._put(seen, None)

    def request_reply(self, event: Event) -> asyncio.Future[WebhookReply]:
        """Post the event of a webhook, whose sender waits for the reply. Never waits.

        Raises Overloaded when too many events wait already; never for the end of the call.
        """
        if self._mailbox.is_full_for(event):
            raise Overloaded("this call has more events waiting than it can take")
        reply: asyncio.Future[WebhookReply] = self._loop.create_future()
        seen = self._without_secrets(event)
        if seen is None:
            reply.set_result(self.carrier.reply(event, ()))
        else:
            self._put(seen, reply)
        return reply

    def _put(self, event: Event, reply: asyncio.Future[WebhookReply] | None) -> None:
        if self._released:
            leaving = self._handover.is_leaving
            if not leaving:
                self._log.late(event, self.model.state)
            if reply is not None and not reply.done():  # its sender may have given up
                reply.set_result(self.carrier.reply(event, (), over=not leaving))
            return
        self._mailbox.put(event, reply)

    def _without_secrets(self, event: Event) -> Event | None:
        """Return the event as the machine and the journal may see it, without tokens and secret digits; None: it is
        dropped."""
        match event:
            case events.Dtmf(digit=digit) if digit != MASK:
                return self._dtmf.receive(event, over=self._released)
            case events.StreamFailed():
                return self._streams.failed(event)
        return event

    async def run(self) -> None:
        """Take events until the call is over and all that it owned is released. A fault in here ends this call only."""
        CALL.set(self.id)
        try:
            await self._handover.wait()
            if self._handover.restored is None:
                self._note_beginning()
            while not (machine.is_over(self.model) or self.is_handed_over):
                waiting = await self._mailbox.next()
                if waiting is None:
                    break
                event, reply = waiting
                try:
                    await self._step(event, reply)
                finally:
                    if reply is not None and not reply.done():  # the step failed, and its sender still waits
                        reply.set_result(self.carrier.reply(event, (), over=True))
        except Exception:
            log.exception("call %s: a fault of our own ends it", self.id)
            self.model.cause = "our_fault"
            self._carrier_commands.send(self._request(commands.Hangup(), ordinal=_LAST_RESORT))
        finally:
            if self._handover.awaits_return:  # it was never this process's: its journal stays as it is
                self._handover.leave()
            if not self._handover.is_leaving:
                self.model.state = machine.HANGUP
            await self._release()

    async def _step(self, event: Event, reply: asyncio.Future[WebhookReply] | None) -> None:
        step = machine.take(self.model, event)
        if self.model.engine == "ready" and not self.model.tries:
            self._deadlines.settled("engine")  # else a session that took the place of another, and was not heard yet
        self._note_numbers(event)
        if isinstance(event, events.MediaLost):
            self.agent.stream_lost()
        entry = await self._log.step(step)
        self._log.tell(entry, self.model, from_number=self.from_number, to_number=self.to_number)
        requests = {
            id(command): self._request(command, ordinal)
            for ordinal, command in enumerate(step.commands)
            if isinstance(command, CarrierCommand)
        }
        if reply is not None and not reply.done():
            answer = self._carrier_commands.reply(event, list(requests.values()), over=machine.is_over(self.model))
            reply.set_result(answer)
            requests = {id(request.command): request for request in answer.rest}
        if step.after != machine.RINGING:
            self.relay.answered()
        restored = self._handover.restored
        consented = not self.config.record_after_opening or (restored is not None and restored.opening_in_full)
        if isinstance(event, events.MediaStarted) and consented:
            self.record()
        for command in step.commands:
            if not isinstance(command, CarrierCommand):
                self._do(command)
            elif id(command) in requests:
                self._carrier_commands.send(requests[id(command)])

    def _request(self, command: Command, ordinal: int, *, step: int | None = None) -> CarrierRequest:
        """Make the request for a command of the newest step, or of an earlier one."""
        return self._carrier_commands.request(
            command, self._log.steps if step is None else step, ordinal,
            ids=self.ids, from_number=self.from_number, to_number=self.to_number,
        )  # fmt: skip

    # Local commands

    def _do(self, command: Command) -> None:
        match command:
            case commands.Arm(deadline=name):
                preamble = self.carrier.preamble_seconds if name in ("ring", "stream") else 0.0
                seconds = self.config.deadline_seconds[name] + preamble
                self._deadlines.arm(name, seconds, shared=name == "engine")
            case commands.Disarm(deadline=name):
                self._deadlines.disarm(name)
            case commands.ConnectEngine():
                self.agent.connect()
            case commands.RotateEngine():
                self.agent.rotate()
            case commands.Greet():
                self.agent.prompter.greet()
            case commands.Prompt(about=about, time=time):
                self.agent.prompter.prompt(about, time)
            case commands.RunTool(id=call_id):
                self._tasks.start(self.agent.tool_calls.run(call_id), f"tool {call_id}")
            case commands.AnswerTool(id=call_id):
                self.agent.answer_tool(call_id)
            case commands.AwaitGoodbye():
                self.agent.await_goodbye()
            case commands.PlayClip(clip=clip):
                self.note(notes.Clip(clip=clip))
                self.relay.play_clip(clip)
            case commands.CloseMedia():
                self._tasks.start(self.relay.close(), "close-media")

    # Media

    def claim_stream(self, ordinal: int) -> None:
        """Reserve the call's newest media stream for one socket. `ordinal`: of the stream that its token is for.

        Raises Refused.
        """
        if machine.is_over(self.model) or self._handover.awaits_return or self._handover.is_leaving:
            raise Refused("this token is used up")
        if self.model.farewell == machine.SPEAKING:
            raise Refused("this stream's time is over")
        self._streams.claim(ordinal, has_socket=self.relay.has_socket)

    def unclaim_stream(self) -> None:
        """Give the reservation back: the socket was not opened after all."""
        self._streams.unclaim()

    async def serve_socket(self, socket: MediaSocket) -> None:
        """Serve the media socket for which the stream was reserved, until it closes or the call ends."""
        secret = self._streams.join()
        CALL.set(self.id)
        try:
            await self.relay.serve_socket(socket, self.carrier.media_protocol(), secret)
        except BaseException as error:
            # The one end that the relay does not report: the web server dropped the connection, or a fault of ours.
            self.post(events.MediaLost(reason=f"the media socket was dropped here: {type(error).__name__}"))
            raise

    def record(self) -> None:
        """Begin to record the call, if its settings ask for that and it is not recorded yet."""
        if self.config.record and self.relay.recorder is None:
            self.relay.recorder = self._recordings.begin(announced=self.config.record_after_opening)

    # What operators ask for

    def hang_up(self, when: Literal["goodbye", "now"], by: str) -> bool:
        """End the call: after a goodbye that the caller hears, or at once. Returns False if it is over already.

        `by`: who asks, for the journal: see `callflow.web.console.requested_by`.
        """
        if machine.is_over(self.model) or self._released:
            return False
        kind = events.HangupRequested if when == "now" else events.GoodbyeRequested
        if not self._mailbox.has(kind):  # however often an operator clicks: once
            self.post(kind(reason=OPERATOR, by=by))
        return True

    # From process to process

    @property
    def awaits_return(self) -> bool:
        """Whether the call still belongs to the process before, as far as anybody knows."""
        return self._handover.awaits_return

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks, and no answer, tool or transcript is outstanding."""
        return self.model.state == machine.STREAMING and not self.model.farewell and self.agent.is_quiet

    @property
    def is_handed_over(self) -> bool:
        """Whether the call goes on in the next process."""
        return self._handover.is_leaving

    def take_back(self, found: Found) -> None:
        """Go on with this call, which the process before had. Only the first time: then it is this process's.

        `found`: how the carrier has it.
        """
        first = self._handover.take_back(found)
        if first is None:
            return
        if first.hangup is not None:
            step, ordinal = first.hangup
            self._carrier_commands.send(self._request(commands.Hangup(), ordinal, step=step))
        if first.recovered is not None:
            self._mailbox.put(first.recovered, first=True)
        if first.cut_off:
            self.note(notes.CutOff(cuts=first.cut_off))
        for finished in first.tools:
            self.post(finished)

    async def hand_over(self) -> None:
        """Let go of this call without ending it. The process that reads its journal next goes on with it."""
        if machine.is_over(self.model) or self._handover.awaits_return:
            return
        entry = self._log.entry(notes.HandedOver(quiet=self.is_quiet))
        self._handover.leave()
        self._mailbox.close()
        await self._log.commit(entry)

    # What the caller types

    def _entered(self, digits: str) -> None:
        if machine.is_over(self.model):
            return
        shown = MASK * len(digits) if self.config.dtmf_sensitive else self._services.redact.text(digits)
        self.note(notes.Digits(digits=shown))
        self.agent.tell(typed(" ".join(digits)), shown=typed(shown))

    # What the agent asks for

    def _end_by_agent(self, reason: str = "") -> None:
        self.note(notes.EndCall(reason=self._services.redact.text(reason)[:200]))
        self.post(events.EndRequested(reason="agent", by="agent"))

    # What the call is

    def _note_beginning(self) -> None:
        """Write down all that is needed to make this call again from its journal."""
        self.note(
            notes.Began(
                carrier=self.carrier.name,
                **asdict(self.ids),
                from_number=self.from_number,
                to_number=self.to_number,
                direction="inbound",
                profile=self.config.profile,
                kept=dict(self.config.overrides or {}),
                engine_tries=self.model.engine_tries,
                stream_tries=self.model.stream_tries,
                address=self._services.address(),
            )
        )

    def rename(self, ids: LegIds) -> None:
        """Take the carrier's ids of this call, of which it has told more than before."""
        self.ids = ids
        if self._log.steps:  # else the note of its beginning has them
            self.note(notes.Ids(**asdict(self.ids)))

    def _note_numbers(self, event: Event) -> None:
        if isinstance(event, (events.CallInitiated, events.CallRefused, events.CallAnswered, events.CallResumed)):
            self.from_number = self.from_number or self._services.number(event.from_number)
            self.to_number = self.to_number or self._services.number(event.to_number)

    def describe(self) -> dict[str, Any]:
        """Return what operators see of a live call: its id, carrier, state, the state of the conversation, the numbers
        of both sides, when it began (Unix time, seconds) and, if it is ending, why."""
        return {
            "id": self.id,
            "carrier": self.carrier.name,
            "state": self.model.state,
            "conversation": self.agent.conversation.state,
            "from": self.from_number,
            "to": self.to_number,
            "began": self.began,
            "cause": self.model.cause,
        }

    # The end

    async def _release(self) -> None:
        """Release everything within a second; the engine's session may stay longer, if it still has words to write."""
        self._deadlines.close()
        self._dtmf.close()
        self._words_by = self._loop.time() + self.config.agent.transcript_seconds
        self.awaits_words = self.agent.ended(for_good=not self._handover.is_leaving)
        closes = [self.relay.close()] if self.awaits_words else [self.relay.close(), self.agent.close()]
        await self._tasks.end(*closes, sessions=not self.awaits_words)
        self._released = True
        for event, reply in self._mailbox.take_rest():
            self._put(event, reply)
        if self.awaits_words:
            self._ended_at = self._services.now()
        else:
            self._note_end()

    def give_up_words(self) -> None:
        """Wait no longer for words of the caller that are still being transcribed."""
        self.agent.wind_up.give_up()

    async def write_down(self) -> None:
        """For a call that is over and awaits words: wait until they have come or are given up, then note the end. A
        reader of the journal who finds that note finds all words as well."""
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
            known = {"cause": self.model.cause, "until": until, "notes_dropped": self._log.notes_dropped}
            media = {**summary(self.relay), **self.agent.turns.summary()}
            self.note(notes.read({"event": notes.Ended.kind, **known, **media}))
