"""One live call: mailbox -> machine -> journal -> commands. It owns everything that the call needs, and lets go of it.

Everything that happens to a call is an event in its mailbox, and events are taken one at a time. A step is committed to
the journal before its commands take effect. Audio never passes here: it goes from socket to socket in the relay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from callflow import commands, events, machine
from callflow.commands import CarrierCommand, Command
from callflow.contracts import (
    Carrier,
    Complaint,
    Engine,
    EngineEvent,
    ItemOpened,
    Lost,
    MakeEngine,
    Order,
    Ready,
    Reply,
    ResponseDone,
    ResponseStarted,
    Speech,
    SpeechDone,
    SpeechStarted,
    SpeechStopped,
    Wire,
    Words,
)
from callflow.errors import CarrierError, Overloaded, Refused
from callflow.events import Event, LegIds
from callflow.journal import Journal, Record
from callflow.live import Live
from callflow.media.clips import Clip
from callflow.media.relay import Relay, summary
from callflow.media.stream import MediaSettings
from callflow.tokens import Mint


log = logging.getLogger(__name__)

_MAILBOX: Final = 1000
_STREAM_USES: Final = 2
"""A carrier that reconnects may use its token once more, after its first socket has closed."""
_CLOSE_SECONDS: Final = 0.5
_LAST_RESORT: Final = 1000
"""The place in its step of a hang-up that no transition asked for."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """What all calls share. Made once, by whoever wires the house."""

    journal: Journal
    live: Live
    make_engine: MakeEngine
    mint: Mint
    clips: Mapping[str, Clip]
    media: MediaSettings
    deadline_seconds: Mapping[str, float]
    """By the names in `callflow.machine.DEADLINES`."""
    journal_seconds: float
    """How long a step waits for its record; then it goes on, loudly."""
    address: Callable[[], str]
    """Our public address, http or https, without a path."""
    now: Callable[[], float]
    """Unix time, for the record."""
    outlive: Callable[[Coroutine[Any, Any, None]], object]
    """Run something that must be finished although its call is over; bounded by its own deadlines."""


class Call:
    def __init__(self, name: str, carrier: Carrier, ids: LegIds, rooms: Rooms) -> None:
        self.id, self.carrier, self.ids = name, carrier, ids
        self.model = machine.Model()
        self.from_number = self.to_number = ""
        self.began = rooms.now()
        self._rooms = rooms
        self._loop = asyncio.get_running_loop()
        self._steps = 0
        self._mailbox: deque[tuple[Event, asyncio.Future[Reply] | None]] = deque()
        self._wake = asyncio.Event()
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._engine: Engine | None = None
        self._stream = 0
        self._stream_uses = 0
        self._reserved = False
        self._released = False
        self.relay = Relay(
            call=name, ids=lambda: self.ids, settings=rooms.media, clips=rooms.clips, post=self.post, note=self.note
        )
        self._heard: dict[type, Callable[[Any], None]] = {
            Speech: self.relay.speech,
            SpeechDone: self.relay.speech_done,
            SpeechStarted: self._on_speech_started,
            SpeechStopped: self._on_speech_stopped,
            ResponseStarted: self.relay.response_started,
            ResponseDone: self._on_response_done,
            Words: self._on_words,
            ItemOpened: self._on_item,
            Ready: lambda _: self.post(events.EngineReady()),
            Lost: lambda lost: self.post(events.EngineLost(reason=lost.reason)),
            Complaint: lambda complaint: self.note("engine_complaint", code=complaint.code, message=complaint.message),
        }

    # The mailbox

    def post(self, event: Event) -> None:
        """Let something happen to this call. Never waits. What comes after the end is only recorded."""
        self._put(event, None)

    def ask(self, event: Event) -> asyncio.Future[Reply]:
        """The same for a webhook, whose sender waits for the answer. Raises Overloaded."""
        if len(self._mailbox) >= _MAILBOX:
            raise Overloaded("this call has more events waiting than it can take")
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self._put(event, reply)
        return reply

    def _put(self, event: Event, reply: asyncio.Future[Reply] | None) -> None:
        if self._released:
            self._record_late(event)
            if reply is not None:
                reply.set_result(self.carrier.reply(event, ()))
            return
        self._mailbox.append((event, reply))
        self._wake.set()

    async def run(self) -> None:
        """Until the call is over and all that it owned is gone. Whatever fails in here ends this call and no other."""
        try:
            while not machine.is_over(self.model):
                while not self._mailbox:
                    self._wake.clear()
                    await self._wake.wait()
                event, reply = self._mailbox.popleft()
                try:
                    await self._step(event, reply)
                finally:
                    if reply is not None and not reply.done():  # the step failed, and its sender still waits
                        reply.set_result(self.carrier.reply(event, ()))
        except Exception:
            log.exception("call %s: a fault of our own ends it", self.id)
            self.model.cause = "our_fault"
            self._send(self._order(commands.Hangup(), ordinal=_LAST_RESORT))
        finally:
            self.model.state = machine.HANGUP
            await self._release()

    async def _step(self, event: Event, reply: asyncio.Future[Reply] | None) -> None:
        step = machine.take(self.model, event)
        self._steps += 1
        self._note_numbers(event)
        record = Record(
            self.id,
            self._steps,
            self._rooms.now(),
            events.to_record(event),
            step.before,
            step.after,
            step.taken,
            [commands.to_record(command) for command in step.commands],
        )
        await self._commit(record)
        self._tell_step(record)
        orders = {
            id(command): self._order(command, ordinal)
            for ordinal, command in enumerate(step.commands)
            if isinstance(command, CarrierCommand)
        }
        left = [command for command in step.commands if isinstance(command, CarrierCommand)]
        if reply is not None and not reply.done():
            answer = self.carrier.reply(event, left)
            left = [command for command in answer.rest if isinstance(command, CarrierCommand)]
            reply.set_result(answer)
        if step.after != machine.RINGING:
            self.relay.answered()
        for command in step.commands:
            if not isinstance(command, CarrierCommand):
                self._do(command)
            elif any(command is one for one in left):
                self._send(orders[id(command)])

    async def _commit(self, record: Record) -> None:
        try:
            async with asyncio.timeout(self._rooms.journal_seconds):
                await self._rooms.journal.append(record)
        except Exception as error:
            log.error("call %s: step %d is not on record (%r); the call goes on", self.id, record.step, error)

    # Local commands

    def _do(self, command: Command) -> None:
        match command:
            case commands.Arm(deadline=name):
                self._disarm(name)
                event = events.DeadlinePassed(deadline=name)
                self._deadlines[name] = self._loop.call_later(self._rooms.deadline_seconds[name], self.post, event)
            case commands.Disarm(deadline=name):
                self._disarm(name)
            case commands.ConnectEngine():
                self._engine = self.relay.engine = self._rooms.make_engine(self.id, self._hear)
                self._own(self._run_engine(self._engine), "engine")
            case commands.Greet() if self._engine is not None and self._engine.greet():
                self.relay.expect_speech()
            case commands.PlayClip(clip=clip):
                self.note("clip", clip=clip)
                self.relay.play_clip(clip)
            case commands.CloseMedia():
                self._own(self.relay.close(), "close-media")

    def _disarm(self, name: str) -> None:
        timer = self._deadlines.pop(name, None)
        if timer is not None:
            timer.cancel()

    async def _run_engine(self, engine: Engine) -> None:
        try:
            await engine.run()
        except Exception as error:
            log.exception("call %s: the engine's adapter failed", self.id)
            self.post(events.EngineLost(reason=f"the adapter failed: {type(error).__name__}"))

    # Commands to the carrier

    def _order(self, command: Command, ordinal: int) -> Order:
        url = secret = ""
        if isinstance(command, (commands.Answer, commands.StartStream)):
            self._stream += 1
            self._stream_uses = 0
            token = self._rooms.mint.path_token(self.id, self._stream)
            secret = self._rooms.mint.header_token(self.id, self._stream)
            url = f"{_websocket(self._rooms.address())}/media-stream/{token}"
        return Order(command, commands.command_id(self.id, self._steps, ordinal), self.id, self.ids, url, secret)

    def _send(self, order: Order) -> None:
        if isinstance(order.command, (commands.Hangup, commands.Reject)):
            self._rooms.outlive(self._execute(order))
        else:
            self._own(self._execute(order), order.command.name)

    async def _execute(self, order: Order) -> None:
        name = order.command.name
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
        if ordinal != self._stream:
            raise Refused("this token's stream was replaced by another")
        if self._reserved or self.relay.is_attended:
            raise Refused("this stream has a socket already")
        if self._stream_uses >= _STREAM_USES or machine.is_over(self.model):
            raise Refused("this token is used up")
        if self.model.farewell == machine.SPEAKING:
            raise Refused("this stream's time is over")
        self._stream_uses += 1
        self._reserved = True

    def unclaim_stream(self) -> None:
        """The socket did not come about after all."""
        self._reserved = False

    async def attend(self, wire: Wire) -> None:
        """Serve the media socket that was reserved, until it ends or the call does."""
        self._reserved = False
        secret = self._rooms.mint.header_token(self.id, self._stream)
        try:
            await self.relay.attend(wire, self.carrier.dialect(), secret)
        except BaseException as error:
            # The one end that the relay does not tell: the web server let go of the connection, or a fault of ours.
            self.post(events.MediaLost(reason=f"the media socket was dropped here: {type(error).__name__}"))
            raise

    # What the engine says

    def _hear(self, heard: EngineEvent) -> None:
        self._heard[type(heard)](heard)

    def _on_speech_started(self, heard: SpeechStarted) -> None:
        self.relay.speech_started(heard)
        self.note("caller_speaks")

    def _on_speech_stopped(self, heard: SpeechStopped) -> None:
        self.relay.speech_stopped(heard)
        self.note("caller_pauses")

    def _on_response_done(self, heard: ResponseDone) -> None:
        self.relay.response_done(heard)
        if heard.status in ("failed", "incomplete"):
            self.note("response_failed", status=heard.status, detail=heard.detail)

    def _on_item(self, heard: ItemOpened) -> None:
        self.relay.conversation.opened(heard.who, heard.item)

    def _on_words(self, heard: Words) -> None:
        turn = self.relay.conversation.words(heard.who, heard.item, heard.text, final=heard.final)
        if heard.final and turn is not None:
            self.note("turn", who=turn.who, item=turn.item, text=turn.text)

    # The record

    def note(self, kind: str, **data: Any) -> None:
        """Something worth remembering that decides nothing."""
        now = self._rooms.now()
        self._rooms.journal.note(Record(self.id, self._steps, now, {"event": kind, **data}))
        self._rooms.live.tell(now, self.id, kind, **data)

    def _record_late(self, event: Event) -> None:
        state = self.model.state
        self._rooms.journal.note(Record(self.id, self._steps, self._rooms.now(), events.to_record(event), state, state))

    def _note_numbers(self, event: Event) -> None:
        if isinstance(event, (events.CallInitiated, events.CallRefused, events.CallAnswered)):
            self.from_number = self.from_number or event.from_number
            self.to_number = self.to_number or event.to_number

    def _tell_step(self, record: Record) -> None:
        if record.before != record.after:
            log.info("call %s: %s -> %s (%s)", self.id[:8], record.before, record.after, record.event["event"])
        self._rooms.live.tell(
            record.at, self.id, "step", event=record.event, before=record.before, after=record.after,
            commands=record.commands, cause=self.model.cause, from_number=self.from_number, to_number=self.to_number,
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "carrier": self.carrier.name,
            "state": self.model.state,
            "conversation": self.relay.conversation.state,
            "from": self.from_number,
            "to": self.to_number,
            "began": self.began,
            "cause": self.model.cause,
        }

    # The end

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"{name} {self.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _release(self) -> None:
        """Let go of everything, within a second."""
        for timer in self._deadlines.values():
            timer.cancel()
        self._deadlines.clear()
        closing = [asyncio.ensure_future(self.relay.close())]
        if self._engine is not None:
            closing.append(asyncio.ensure_future(self._engine.close()))
        await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        for task in (*self._tasks, *closing):
            task.cancel()
        await asyncio.gather(*self._tasks, *closing, return_exceptions=True)
        self._released = True
        while self._mailbox:
            self._put(*self._mailbox.popleft())
        self.note("ended", cause=self.model.cause, **summary(self.relay))


def _websocket(address: str) -> str:
    """http gives ws, https gives wss."""
    return "ws" + address.removeprefix("http")
