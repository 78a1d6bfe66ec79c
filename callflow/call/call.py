"""One live call: mailbox -> machine -> journal -> commands. It owns everything that the call needs, and lets go of it.

Everything that happens to a call is an event in its mailbox, and events are taken one at a time. A step is committed to
the journal before its commands take effect. Audio never passes here: it goes from socket to socket in the relay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import asdict, replace
from typing import Any, Final, Literal

from callflow.agent.agent import Agent
from callflow.agent.conversation import describe
from callflow.agent.prompts import typed
from callflow.agent.tool_calls import ENDS_CALL, PendingToolCalls
from callflow.call import dtmf, machine
from callflow.call.call_log import CallLog
from callflow.call.deadlines import Deadlines
from callflow.call.dtmf import MASK
from callflow.call.dtmf_entry import DtmfCollector
from callflow.call.restore import HANDED_OVER, RestoredCall
from callflow.call.services import CallServices
from callflow.call.stream_lease import StreamLease
from callflow.contracts import commands, events
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply
from callflow.contracts.commands import CarrierCommand, Command
from callflow.contracts.errors import CarrierError, Overloaded, Refused
from callflow.contracts.events import CallRecovered, Event, LegIds
from callflow.contracts.log_format import CALL
from callflow.contracts.media import MediaSocket
from callflow.contracts.secret_text import Secrets
from callflow.contracts.tools import Caller
from callflow.journal.journal import BEGAN, ENDED
from callflow.media.call_recorder import CallRecorder
from callflow.media.relay import Relay, summary


log = logging.getLogger(__name__)

_MAILBOX: Final = 1000
"""Events that wait; a webhook beyond them is to come again."""
_ENDINGS: Final = (events.CallHangup, events.HangupRequested)
"""They go before everything else that waits: whatever that is, the call is over."""
_CLOSE_SECONDS: Final = 0.5
OPERATOR: Final = "operator"
"""Why a call ended that an operator has ended."""
_LAST_RESORT: Final = 1000
"""The place in its step of a hang-up that no transition asked for."""


class Call:
    """`restored`: it was another process's; it begins with `take_back`."""

    def __init__(
        self,
        name: str,
        carrier: Carrier,
        ids: LegIds,
        services: CallServices,
        *,
        from_number: str = "",
        to_number: str = "",
        restored: RestoredCall | None = None,
    ) -> None:
        self.id, self.carrier, self.ids = name, carrier, ids
        self.from_number, self.to_number = from_number, to_number
        self.config = services.config(to_number, restored.kept if restored is not None else None)
        streams = self.config.stream_tries if "streams_on_request" in carrier.can else 0
        self.model = machine.Model(engine_tries=self.config.engine_tries, stream_tries=streams)
        self.began = services.now()
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._log = CallLog(name, services)
        self.note = self._log.note
        self._restored = restored
        self._back = asyncio.Event()
        """It is ours: at once, or when it was taken back."""
        self._leaving = False
        self._answered_by = (1, 0)
        """Step and ordinal of the command that answers it."""
        self._mailbox: deque[tuple[Event, asyncio.Future[WebhookReply] | None]] = deque()
        self._wake = asyncio.Event()
        self._deadlines = Deadlines(self.post)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: set[asyncio.Task[None]] = set()
        """Those of the engine, which may stay for a moment when the call is over."""
        self._ended_at: float | None = None
        self._was_over = False
        """In the process before."""
        self._words_by = 0.0
        self.awaits_words = False
        """It is over, and the caller's last words are still to come."""
        self._streams = StreamLease(name, services.stream_tokens, services.address)
        self._released = False
        self._recordings: list[str] = [] if restored is None else list(restored.recordings)
        self.relay = Relay(
            call=name, ids=lambda: self.ids, config=self.config.media, clips=self.config.clips, post=self.post,
            note=self.note,
        )  # fmt: skip
        toolbox = services.make_toolbox(Caller(name, from_number, to_number), {ENDS_CALL: self._end_by_agent})
        tool_calls = PendingToolCalls(
            toolbox,
            seconds=self.config.tool_timeout_seconds,
            filler_seconds=self.config.tool_filler_after_ms / 1000,
            post=self.post,
        )
        self.agent = Agent(
            call=name, config=self.config.agent, relay=self.relay, tool_calls=tool_calls, post=self.post, note=self.note,
            own=self._own_session,
        )  # fmt: skip
        self.agent.greeting_heard = self.record
        self._keys = dtmf.pace()
        self._entry = DtmfCollector(
            end=self.config.dtmf_end, pause_seconds=self.config.dtmf_pause_seconds, entered=self._entered
        )
        if restored is None:
            self._back.set()
        else:
            self._restore(restored)

    def _restore(self, old: RestoredCall) -> None:
        self.model, self.began = old.model, old.began
        self._was_over = machine.is_over(old.model)
        self._log.steps, self._answered_by = old.steps, old.answer
        self._streams.ordinal = old.streams
        now = self._services.now()
        self._deadlines.restore({name: now - at for name, at in old.armed.items() if name in ("warning", "call")})
        self.agent.restore(old.agent_state, ago_seconds=max(now - old.at, 0.0))

    # The mailbox

    def post(self, event: Event) -> None:
        """Let something happen to this call. Never waits. What comes after the end is only recorded."""
        seen = self._at_the_edge(event)
        if seen is not None:
            self._put(seen, None)

    def ask(self, event: Event) -> asyncio.Future[WebhookReply]:
        """The same for a webhook, whose sender waits for the answer. Raises Overloaded, but never for an end."""
        if len(self._mailbox) >= _MAILBOX and not isinstance(event, _ENDINGS):
            raise Overloaded("this call has more events waiting than it can take")
        reply: asyncio.Future[WebhookReply] = self._loop.create_future()
        seen = self._at_the_edge(event)
        if seen is None:
            reply.set_result(self.carrier.reply(event, ()))
        else:
            self._put(seen, reply)
        return reply

    def _put(self, event: Event, reply: asyncio.Future[WebhookReply] | None) -> None:
        if self._released:
            if not self._leaving:
                self._log.late(event, self.model.state)
            if reply is not None:
                reply.set_result(self.carrier.reply(event, (), over=not self._leaving))
            return
        if isinstance(event, _ENDINGS):
            self._mailbox.appendleft((event, reply))
        else:
            self._mailbox.append((event, reply))
        self._wake.set()

    def _at_the_edge(self, event: Event) -> Event | None:
        """What nobody is to read is taken out before the machine and the journal see it. None: it is dropped."""
        match event:
            case events.Dtmf(digit=digit, source=source) if digit != MASK:
                return self._press(event, digit, source)
            case events.StreamFailed(address=address) if address:
                if address not in (self._streams.url, self._streams.name):
                    return events.CarrierNotice(kind="an earlier stream failed")
                # it may repeat the address, and what else it was given to open the stream with
                return events.StreamFailed(reason=Secrets([self._streams.secret]).told(event.reason))
        return event

    async def run(self) -> None:
        """Until the call is over and all that it owned is gone. Whatever fails in here ends this call and no other."""
        CALL.set(self.id)
        try:
            await self._back.wait()
            if self._restored is None:
                self._note_beginning()
            while not (machine.is_over(self.model) or self.is_handed_over):
                while not (self._mailbox or self.is_handed_over):
                    self._wake.clear()
                    await self._wake.wait()
                if not self._mailbox:
                    break
                event, reply = self._mailbox.popleft()
                try:
                    await self._step(event, reply)
                finally:
                    if reply is not None and not reply.done():  # the step failed, and its sender still waits
                        reply.set_result(self.carrier.reply(event, (), over=True))
        except Exception:
            log.exception("call %s: a fault of our own ends it", self.id)
            self.model.cause = "our_fault"
            self._send(self._order(commands.Hangup(), ordinal=_LAST_RESORT))
        finally:
            if not self._back.is_set():  # it was never ours: it stays as it is on record
                self._leaving = True
            if not self._leaving:
                self.model.state = machine.HANGUP
            await self._release()

    async def _step(self, event: Event, reply: asyncio.Future[WebhookReply] | None) -> None:
        step = machine.take(self.model, event)
        if self.model.engine == "ready" and not self.model.tries:
            self._deadlines.settled("engine")  # else a session that took the place of another, and was not heard yet
        self._note_numbers(event)
        if isinstance(event, events.MediaLost):
            self.agent.stream_lost()
        record = await self._log.step(step)
        self._log.tell(record, self.model, from_number=self.from_number, to_number=self.to_number)
        orders = {
            id(command): self._order(command, ordinal)
            for ordinal, command in enumerate(step.commands)
            if isinstance(command, CarrierCommand)
        }
        if reply is not None and not reply.done():
            answer = self.carrier.reply(event, list(orders.values()), over=machine.is_over(self.model))
            reply.set_result(answer)
            self._carried([order for order in orders.values() if order not in answer.rest])
            orders = {id(order.command): order for order in answer.rest}
        if step.after != machine.RINGING:
            self.relay.answered()
        consented = not self.config.record_after_opening or (
            self._restored is not None and self._restored.opening_in_full
        )
        if isinstance(event, events.MediaStarted) and consented:
            self.record()
        for command in step.commands:
            if not isinstance(command, CarrierCommand):
                self._do(command)
            elif id(command) in orders:
                self._send(orders[id(command)])

    def _carried(self, orders: list[CarrierRequest]) -> None:
        """What the answer to a webhook carried is done, as far as we will ever hear: and one that answers, answers."""
        for order in orders:
            self.post(events.CommandDone(command=order.command.name))
            if isinstance(order.command, commands.Answer):
                self.post(events.CallAnswered())

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
                self.agent.greet()
            case commands.Prompt(about=about, time=time):
                self.agent.prompt(about, time)
            case commands.RunTool(id=call_id):
                self._own(self.agent.tool_calls.run(call_id), f"tool {call_id}")
            case commands.AnswerTool(id=call_id):
                self.agent.answer_tool(call_id)
            case commands.AwaitGoodbye():
                self.agent.await_goodbye()
            case commands.PlayClip(clip=clip):
                self.note("clip", clip=clip)
                self.relay.play_clip(clip)
            case commands.CloseMedia():
                self._own(self.relay.close(), "close-media")

    # Commands to the carrier

    def _order(self, command: Command, ordinal: int) -> CarrierRequest:
        url = secret = name = ""
        place = (self._log.steps, ordinal)
        if isinstance(command, (commands.Answer, commands.StartStream)):
            if isinstance(command, commands.Answer) and command.again:
                place = self._answered_by
                self._streams.renew()
            else:
                self._streams.open()
            url, secret, name = self._streams.url, self._streams.secret, self._streams.name
        return CarrierRequest(
            command=command,
            id=commands.command_id(self.id, *place),
            call=self.id,
            ids=self.ids,
            stream_url=url,
            stream_secret=secret,
            stream_name=name,
            from_number=self.from_number,
            to_number=self.to_number,
        )

    def _send(self, order: CarrierRequest) -> None:
        if isinstance(order.command, (commands.Hangup, commands.Reject)):
            self._services.outlive(self._execute(order))
        else:
            self._own(self._execute(order), order.command.name)

    async def _execute(self, order: CarrierRequest) -> None:
        name = order.command.name
        CALL.set(self.id)
        try:
            await self.carrier.execute(order)
        except CarrierError as error:
            log.warning("call %s: %s failed: %s", self.id, name, error)
            self.post(events.CommandFailed(command=name, gone=error.gone, reason=str(error)))
        except Exception as error:
            log.exception("call %s: %s failed through a fault of our own", self.id, name)
            self.post(events.CommandFailed(command=name, reason=type(error).__name__))
        else:
            self.post(events.CommandDone(command=name))

    # Media

    def claim_stream(self, ordinal: int) -> None:
        """Reserve the call's media stream for one socket. Raises Refused."""
        if machine.is_over(self.model) or not self._back.is_set() or self._leaving:
            raise Refused("this token is used up")
        if self.model.farewell == machine.SPEAKING:
            raise Refused("this stream's time is over")
        self._streams.claim(ordinal, is_attended=self.relay.is_attended)

    def unclaim_stream(self) -> None:
        """The socket did not come about after all."""
        self._streams.unclaim()

    async def attend(self, wire: MediaSocket) -> None:
        """Serve the media socket that was reserved, until it ends or the call does."""
        secret = self._streams.attended()
        CALL.set(self.id)
        try:
            await self.relay.attend(wire, self.carrier.media_protocol(), secret)
        except BaseException as error:
            # The one end that the relay does not tell: the web server let go of the connection, or a fault of ours.
            self.post(events.MediaLost(reason=f"the media socket was dropped here: {type(error).__name__}"))
            raise

    def record(self) -> None:
        """Begin to, if this call is to be recorded and is not yet."""
        if not self.config.record or self.relay.recorder is not None:
            return
        part = f"-{len(self._recordings) + 1}" if self._recordings else ""
        path = self._services.recordings / f"{self.id}{part}.wav"
        self._recordings.append(path.name)
        self.relay.recorder = CallRecorder(
            path, self._loop.time, lambda reason: self.note("recording_failed", reason=reason)
        )
        self.note("recording", file=",".join(self._recordings), announced=self.config.record_after_opening)

    # What operators ask for

    def hang_up(self, when: Literal["goodbye", "now"], by: str) -> bool:
        """End it: with a goodbye that the caller hears, or at once. False: it is over already."""
        if machine.is_over(self.model) or self._released:
            return False
        kind = events.HangupRequested if when == "now" else events.GoodbyeRequested
        if not any(isinstance(waiting, kind) for waiting, _ in self._mailbox):  # once, however often somebody clicks
            self.post(kind(reason=OPERATOR, by=by))
        return True

    # From process to process

    @property
    def awaits_return(self) -> bool:
        """It is another process's still, as far as anybody knows."""
        return not self._back.is_set()

    @property
    def is_quiet(self) -> bool:
        """Nobody speaks, and nobody owes anything."""
        return self.model.state == machine.STREAMING and not self.model.farewell and self.agent.is_quiet

    @property
    def is_handed_over(self) -> bool:
        """It goes on in the next process."""
        return self._leaving

    def take_back(self, found: Literal["ringing", "answered", "asking", "gone", "over"]) -> None:
        """How the carrier has this call, which was another process's: go on with it. Once; then it is ours.

        over: the carrier's own news of its end follows."""
        old = self._restored
        if self._back.is_set() or old is None:
            return
        if found == "over":
            pass
        elif machine.is_over(old.model):
            if old.hangup is not None and found != "gone":  # it was to be ended, and perhaps nobody said so
                order = self._order(commands.Hangup(), ordinal=0)
                self._send(replace(order, id=commands.command_id(self.id, *old.hangup)))
        else:
            self._mailbox.appendleft((CallRecovered(found=found, handed_over=old.handed_over), None))
            if old.cuts:
                cuts = [(turn, turn.heard_ms or 0, turn.spoken_ms or 0) for turn in old.cuts]
                self.note("cut_off", cuts=[describe(turn.item, heard, of, turn) for turn, heard, of in cuts])
            for name, asked in old.unanswered.items():
                output = '{"error":"the line broke while this was running: whether it was done is not known"}'
                self.post(events.ToolFinished(id=name, tool=str(asked.get("tool", "")), ok=False, output=output))
        self._back.set()

    async def hand_over(self) -> None:
        """Let go of this call without ending it. Whoever reads its record next goes on with it."""
        if machine.is_over(self.model) or not self._back.is_set():
            return
        record = self._log.make(HANDED_OVER, quiet=self.is_quiet)
        self._leaving = True
        self._wake.set()
        await self._log.commit(record)

    # The caller's keypad

    def _press(self, event: Event, digit: str, source: Any) -> Event | None:
        """Each key goes to the agent once, whoever tells it first; and to the record, unless nobody is to read it."""
        if not self._keys.take(self._loop.time()):
            self.relay.counts["keys_dropped"] += 1
            if self.relay.counts["keys_dropped"] == 1:
                log.warning("call %s: keys come faster than anybody can type: some are dropped, and counted", self.id)
            return None
        if self._released:
            return events.Dtmf(leg=event.leg, digit=MASK, source=source)
        if self._entry.press(digit, source):
            shown = MASK if self.config.dtmf_sensitive else digit
            return events.Dtmf(leg=event.leg, digit=shown, source=source)
        return events.CarrierNotice(leg=event.leg, kind="a key that was told already")

    def _entered(self, digits: str) -> None:
        if machine.is_over(self.model):
            return
        shown = MASK * len(digits) if self.config.dtmf_sensitive else self._services.redact.text(digits)
        self.note("digits", digits=shown)
        self.agent.tell(typed(" ".join(digits)), shown=typed(shown))

    # What the agent asks for

    def _end_by_agent(self, reason: str = "") -> None:
        self.note("end_call", reason=self._services.redact.text(reason)[:200])
        self.post(events.EndRequested(reason="agent", by="agent"))

    # The record

    def _note_beginning(self) -> None:
        """All that is needed to make this call again from its record."""
        self.note(
            BEGAN,
            carrier=self.carrier.name,
            **asdict(self.ids),
            **{"from": self.from_number, "to": self.to_number},
            direction="inbound",
            profile=self.config.profile,
            **({"kept": dict(self.config.kept)} if self.config.kept else {}),
            engine_tries=self.model.engine_tries,
            stream_tries=self.model.stream_tries,
            address=self._services.address(),
        )

    def rename(self, ids: LegIds) -> None:
        """The carrier has told more of its names for this call."""
        self.ids = ids
        if self._log.steps:  # else they stand in the note of its beginning
            self.note("ids", **asdict(self.ids))

    def _note_numbers(self, event: Event) -> None:
        if isinstance(event, (events.CallInitiated, events.CallRefused, events.CallAnswered, events.CallResumed)):
            self.from_number = self.from_number or self._services.number(event.from_number)
            self.to_number = self.to_number or self._services.number(event.to_number)

    def describe(self) -> dict[str, Any]:
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

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._own_in(self._tasks, work, name)

    def _own_session(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._own_in(self._sessions, work, name)

    def _own_in(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"{name} {self.id}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _release(self) -> None:
        """Let go of everything, within a second; but for the engine's session, if words are still to come by it."""
        self._deadlines.clear()
        self._entry.close()
        self._words_by = self._loop.time() + self.config.agent.transcript_seconds
        self.awaits_words = self.agent.ended(for_good=not self._leaving)
        await self._let_go(self.relay.close(), *(() if self.awaits_words else (self.agent.close(),)))
        self._released = True
        while self._mailbox:
            self._put(*self._mailbox.popleft())
        if self.awaits_words:
            self._ended_at = self._services.now()
        else:
            self._note_end()

    async def _let_go(self, *closes: Coroutine[Any, Any, None]) -> None:
        closing = [asyncio.ensure_future(close) for close in closes]
        try:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        finally:
            ours = (*closing, *self._tasks, *(() if self.awaits_words else self._sessions))
            for task in ours:
                task.cancel()
            await asyncio.gather(*ours, return_exceptions=True)

    def give_up_words(self) -> None:
        """Wait no longer for them."""
        self.agent.wind_up.give_up()

    async def write_down(self) -> None:
        """Of a call that is over and awaits words: until they have come, or are given up. Then it stands on record as
        ended: whoever reads that has all of it."""
        try:
            await self.agent.wind_up.wait(self._words_by - self._loop.time())
        finally:
            self.awaits_words = False
            self._note_end()
            await self._let_go(self.agent.close())

    def _note_end(self) -> None:
        self.agent.wind_up.close(for_good=not self._leaving)
        if not self._leaving:
            media = {**summary(self.relay), **self.agent.turns.summary()}
            self.note(ENDED, cause=self.model.cause, **self._until(), **self._log.summary(), **media)

    def _until(self) -> dict[str, float]:
        """When it ended, if that was before now. In the process before: nobody knows more than when it was last heard
        of."""
        old = self._restored
        was_theirs = self._was_over or self.model.cause == "interrupted"
        if old is not None and was_theirs and self._log.steps <= old.steps + 1:
            return {"until": old.at}
        return {} if self._ended_at is None else {"until": self._ended_at}
