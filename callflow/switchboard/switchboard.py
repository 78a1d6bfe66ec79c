"""All live calls: who gets in, which call a webhook is about, which call a media socket may join, and the way out."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from callflow.call.call import Call
from callflow.call.dtmf import MASK
from callflow.call.restore import RestoredCall
from callflow.call.services import CallServices
from callflow.contracts import events, secret_text
from callflow.contracts.carrier import Carrier, Request, WebhookReply
from callflow.contracts.errors import Overloaded, Refused
from callflow.contracts.events import CallAnswered, CallHangup, CallInitiated, CallResumed, Event, Signal
from callflow.contracts.log_format import CALL
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.journal.journal import JournalEntry
from callflow.switchboard.limits import CallerLimits


log = logging.getLogger(__name__)

TOMBSTONE_SECONDS: Final = 600.0
"""How long late webhooks of a finished leg are known for what they are."""
_CALLS: Final = uuid.UUID("5f0c0d5e-8f0b-5c4e-9a57-2f3f8a1d7c61")
_REPLY_SECONDS: Final = 0.7
"""A carrier waits for its answer, and with some carriers the caller does too."""
_RELEASE_SECONDS: Final = 1.5
_LOOK_SECONDS: Final = 0.05
"""How often to look for a quiet moment, which is made of many things, none of which tells."""
_LAST_WORDS_SECONDS: Final = 3.0
"""How long the end of the process waits for hang-ups that the carrier has not taken yet, and for what callers said
last."""
_DRAIN: Final = "drain"
"""Who asks for the end of all calls."""
_ODD_SECONDS: Final = 3600.0
"""How often it is said again that a carrier's media sockets are odd."""

Value = TypeVar("Value")


def name_of(carrier: str, ids: events.LegIds) -> str:
    """Our id of a call follows from the carrier's: a webhook repeated after a restart means the same call."""
    return str(uuid.uuid5(_CALLS, f"{carrier}:{ids.leg or ids.control}"))


class Recent(Generic[Value]):
    """Remembers keys for a while, and never more than `most` of them."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._seconds, self._most, self._clock = seconds, most, clock
        self._entries: OrderedDict[str, tuple[float, Value]] = OrderedDict()

    def get(self, key: str) -> Value | None:
        entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > self._clock() else None

    def put(self, key: str, value: Value) -> None:
        now = self._clock()
        self._entries.pop(key, None)
        self._entries[key] = (now + self._seconds, value)
        while self._entries:
            oldest = next(iter(self._entries))
            if len(self._entries) <= self._most and self._entries[oldest][0] > now:
                break
            del self._entries[oldest]

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)


class Switchboard:
    def __init__(
        self,
        make_services: Callable[[Switchboard], CallServices],
        *,
        max_calls: int,
        farewell_seconds: float = 8.0,
        callers: CallerLimits | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, Call] = {}
        self._legs: dict[str, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_words: set[asyncio.Task[None]] = set()
        self._unwritten: dict[Call, asyncio.Task[None]] = {}
        """Calls that are over, and whose callers' last words are still to come: no more than may be live."""
        self._hurries = False
        """Nobody waits for such words any more."""
        self._seen: Recent[asyncio.Future[WebhookReply]] = Recent(TOMBSTONE_SECONDS, 100_000, self._loop.time)
        self._tombs: Recent[str] = Recent(TOMBSTONE_SECONDS, 50_000, self._loop.time)
        self._max_calls = max_calls
        self._callers = callers or CallerLimits()
        self._farewell_seconds = farewell_seconds
        self._accepting = True
        self._leaving = False
        """The calls are being handed over to the next process."""
        self._changed = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self._odd = RepeatedWarnings(log, seconds=_ODD_SECONDS)
        self._services = make_services(self)

    @property
    def calls(self) -> list[Call]:
        return list(self._calls.values())

    @property
    def is_accepting(self) -> bool:
        return self._accepting

    # Webhooks

    async def dispatch(self, carrier: Carrier, signal: Signal) -> WebhookReply:
        """What the webhook is answered with; a repeat gets the answer that the first one got.

        Raises Overloaded, after which the carrier's retry is not a repeat.
        """
        self.counts["webhooks"] += 1
        seen = f"{signal.carrier}:{signal.id}" if signal.id else ""
        answer = self._seen.get(seen) if seen else None
        if answer is not None:
            self.counts["repeats"] += 1
        else:
            answer = self._answer(carrier, signal)
            if seen:
                self._seen.put(seen, answer)
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                return await asyncio.shield(answer)
        except TimeoutError:
            answer.cancel()  # nobody will read it: what it would have carried goes its own way
        except asyncio.CancelledError:
            if not answer.cancelled():
                raise
        self.counts["late_replies"] += 1
        return carrier.reply(signal.event, ())

    def _answer(self, carrier: Carrier, signal: Signal) -> asyncio.Future[WebhookReply]:
        call = self._find(signal)
        if call is not None:
            event = self._about(call, signal)
            if call.awaits_return and isinstance(event, (CallResumed, CallHangup)):  # the carrier knows best
                call.take_back("asking" if isinstance(event, CallResumed) else "over")
            return call.request_reply(event)
        answer: asyncio.Future[WebhookReply] = self._loop.create_future()
        if self._leaving:
            answer.set_result(self._later(carrier, signal))
            return answer
        call = self._receive(carrier, signal)
        if call is not None:
            return call.request_reply(self._first(call, signal.event))
        answer.set_result(carrier.reply(signal.event, (), over=True))
        return answer

    def _later(self, carrier: Carrier, signal: Signal) -> WebhookReply:
        """It is for the next process, a moment from now. Raises Overloaded: the carrier is to ask again."""
        if "answers_in_reply" not in carrier.can and isinstance(signal.event, CallInitiated):
            raise Overloaded("this process is handing its calls over to the next one")
        return carrier.reply(signal.event, ())

    def _find(self, signal: Signal) -> Call | None:
        for name in signal.ids.known():
            call = self._legs.get(f"{signal.carrier}:{name}")
            if call is not None:
                return call
        return None

    def _about(self, call: Call, signal: Signal) -> Event:
        if signal.ids.control and signal.ids.control != call.ids.control:
            self._index(call, signal)
        event = signal.event
        if isinstance(event, CallInitiated) and event.direction == "outgoing":
            return events.NotOurs(reason="an outgoing leg that was not dialled here")
        return event

    def _receive(self, carrier: Carrier, signal: Signal) -> Call | None:
        """A leg that no live call knows: a new call, one found alive, or something that only goes on record."""
        event = signal.event
        for name in signal.ids.known():
            ended = self._tombs.get(f"{signal.carrier}:{name}")
            if ended is not None:
                self._stray(ended, event)
                return None
        name = self._name(signal)
        incoming = isinstance(event, CallInitiated) and event.direction == "incoming"
        if not (incoming or isinstance(event, (CallAnswered, CallResumed))):
            self._stray(name, event)
            if isinstance(event, (CallHangup, CallInitiated)):
                self._bury(signal, name)
            return None
        caller, called = (self._services.number(getattr(event, name, "")) for name in ("from_number", "to_number"))
        call = Call(name, carrier, signal.ids, self._services, from_number=caller, to_number=called)
        self._begin(call)
        return call

    def _begin(self, call: Call) -> None:
        self._calls[call.id] = call
        self._list(call)
        task = asyncio.create_task(self._run(call), name=f"call {call.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def restore(self, carrier: Carrier, restored: RestoredCall) -> Call | None:
        """Another process's call, which waits to be taken back; None: it is here already."""
        if restored.call in self._calls:
            return None
        call = Call(
            restored.call, carrier, restored.ids, self._services,
            from_number=restored.from_number, to_number=restored.to_number, restored=restored,
        )  # fmt: skip
        self.counts["recovered"] += 1
        now, ago = self._loop.time(), max(self._services.now() - restored.began, 0.0)
        self._callers.taken(call.id, call.from_number, now - ago, now)
        self._begin(call)
        return call

    def _first(self, call: Call, event: Event) -> Event:
        """Admission. A refused call is a call too: it goes through the machine and stands on record."""
        self.counts["calls"] += 1
        reason, why = "" if self._accepting else "draining", ""
        if len(self._calls) > self._max_calls:
            reason = "busy"
        if not reason:
            reason, why = self._callers.take(call.id, call.from_number, self._loop.time())
        if not reason:
            return event
        self.counts["refused"] += 1
        if isinstance(event, CallInitiated):
            from_, to = event.from_number, event.to_number
            return events.CallRefused(reason=reason, why=why, from_number=from_, to_number=to)
        self._loop.call_soon(call.post, events.GoodbyeRequested(reason=reason, why=why))
        return event

    async def _run(self, call: Call) -> None:
        try:
            await call.run()
        finally:
            self._calls.pop(call.id, None)
            self._callers.over(call.id)
            for name in [name for name, owner in self._legs.items() if owner is call]:
                del self._legs[name]
                if not call.is_handed_over:
                    self._tombs.put(name, call.id)
            self._changed.set()
            if call.awaits_words:
                await self._write_down(call)

    async def _write_down(self, call: Call) -> None:
        """It is over, has left its place to the next caller, and only its last words are still to come."""
        task = asyncio.current_task()
        if self._hurries or task is None or len(self._unwritten) >= self._max_calls:
            call.give_up_words()
        else:
            self._unwritten[call] = task
        try:
            await call.write_down()
        finally:
            self._unwritten.pop(call, None)

    def _name(self, signal: Signal) -> str:
        return name_of(signal.carrier, signal.ids)

    def _index(self, call: Call, signal: Signal) -> None:
        ids, old = signal.ids, call.ids
        call.rename(
            events.LegIds(
                ids.control or old.control,
                ids.leg or old.leg,
                ids.session or old.session,
                ids.number or old.number,
            )
        )
        self._list(call)

    def _list(self, call: Call) -> None:
        for name in call.ids.known():
            self._legs[f"{call.carrier.name}:{name}"] = call

    def name_of(self, signal: Signal) -> str:
        """The call that it is about, live or not."""
        call = self._find(signal)
        return self._name(signal) if call is None else call.id

    def has(self, signal: Signal) -> bool:
        """It is about a live call."""
        return self._find(signal) is not None

    def live(self, name: str) -> Call | None:
        return self._calls.get(name)

    def is_live(self, call: str) -> bool:
        return call in self._calls

    def knows(self, carrier: str, ids: events.LegIds) -> bool:
        """The leg is live here, or was a moment ago."""
        names = [f"{carrier}:{name}" for name in ids.known()]
        return any(name in self._legs or self._tombs.get(name) is not None for name in names)

    def _bury(self, signal: Signal, name: str) -> None:
        for known in signal.ids.known():
            self._tombs.put(f"{signal.carrier}:{known}", name)

    def _stray(self, name: str, event: Event) -> None:
        self.counts["strays"] += 1
        if isinstance(event, events.Dtmf):  # whose digits these are, and who may read them, is not known
            event = events.Dtmf(digit=MASK)
        elif isinstance(event, events.StreamFailed):
            # without its address; and what may be a token in its reason, for which that call had is not known any more
            event = events.StreamFailed(
                reason=secret_text.NOT_SHOWN if secret_text.sent(event.reason) else event.reason
            )
        self._services.journal.note(JournalEntry(name, 0, self._services.now(), events.to_record(event)))

    # Media sockets

    def claim(self, token: str, handshake: Request) -> Call:
        """The call that a media socket with this token may join. Raises Refused, or Forged."""
        stream = self._services.stream_tokens.read(token)
        CALL.set(stream.call)
        call = self._calls.get(stream.call)
        if call is None:
            raise Refused("no live call has this token")
        odd = call.carrier.verify_stream(handshake)
        call.claim_stream(stream.ordinal)
        if odd:
            self.counts["odd_media_signatures"] += 1
            call.note("media_signature", odd=odd)
            self._odd.say(call.carrier.name, "call %s: its media socket is let in by its token alone: %s", call.id, odd)
        return call

    # The way out

    def outlive(self, work: Coroutine[Any, Any, None]) -> None:
        """Finish something for a call that is over, such as its hang-up at the carrier."""
        task = asyncio.create_task(work, name="last-words")
        self._last_words.add(task)
        task.add_done_callback(self._last_words.discard)

    def stop_accepting(self) -> None:
        self._accepting = False

    async def drain(self, seconds: float) -> None:
        """No new calls; the live ones have `seconds` to end by themselves, and then say goodbye."""
        self.stop_accepting()
        await self._empty(seconds)
        for call in self.calls:
            call.post(events.GoodbyeRequested(reason="shutdown", by=_DRAIN))
        await self._empty(self._farewell_seconds + _RELEASE_SECONDS)
        await self.stop()

    async def hand_over(self, seconds: float) -> None:
        """Let go of all calls at once, without ending them: whoever were let go of earlier would sit in silence until
        this process has left its place to the next one.

        Waits for a moment when nobody speaks. The longer that does not come, the more may: within `seconds`, all.
        Whoever calls meanwhile is answered, and is one of them."""
        began = self._loop.time()
        while True:
            speaking = sum(not call.is_quiet for call in self.calls)
            if speaking <= len(self._calls) * (self._loop.time() - began) / seconds:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self.stop_accepting()
        self._leaving = True
        self._hurry()  # callers are waiting for the next process
        await asyncio.gather(*(call.hand_over() for call in self.calls), return_exceptions=True)
        await self._empty(_RELEASE_SECONDS)

    async def stop(self) -> None:
        """End every call now, and give its hang-up a moment to reach the carrier."""
        self.stop_accepting()
        for call in self.calls:
            call.post(events.HangupRequested(reason="shutdown", by=_DRAIN))
        await self._empty(_RELEASE_SECONDS)
        ends = {*self._last_words, *self._unwritten.values()}
        if ends:
            await asyncio.wait(ends, timeout=_LAST_WORDS_SECONDS)
        self._hurry()
        for task in (*self._tasks, *self._last_words):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._last_words, return_exceptions=True)

    def _hurry(self) -> None:
        self._hurries = True
        for call in self._unwritten:
            call.give_up_words()

    @property
    def unwritten(self) -> int:
        """How many calls are over, and wait for their callers' last words."""
        return len(self._unwritten)

    async def _empty(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self._calls:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
